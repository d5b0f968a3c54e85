"""One file per part of a stack: what it should be, the steps that make it so, the steps that remove it. All pure."""
