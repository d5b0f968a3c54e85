"""What touches the world: sockets, subprocesses, /proc. Each module does one thing and decides nothing."""
