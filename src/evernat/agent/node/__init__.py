"""A node's run loop: its bookkeeping is pure, its daemon is threads and sockets."""
