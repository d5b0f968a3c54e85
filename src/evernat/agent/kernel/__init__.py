"""What the kernel is told, as text: pure."""
