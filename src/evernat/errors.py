"""The root of all errors that evernat raises at its users."""

from __future__ import annotations


class EvernatError(Exception):
    """Something the user can do something about: `cause` says what is wrong, `remedy` what to do about it."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
