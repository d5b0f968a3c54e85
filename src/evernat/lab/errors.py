"""The one error the lab raises at its users."""

from __future__ import annotations


class LabError(Exception):
    """Something the user can do something about: `cause` says what is wrong, `remedy` what to do."""

    def __init__(self, cause: str, remedy: str = "") -> None:
        super().__init__(cause)
        self.cause = cause
        self.remedy = remedy
