"""What touches the world: sockets, subprocesses, /proc. Each module does one thing and decides nothing."""


class EffectError(Exception):
    """It could not be done or learned; the text says what was tried and what came back."""
