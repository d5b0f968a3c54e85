"""The errors of the stack: what was attempted, with what, what came back, and what to do."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from evernat.errors import EvernatError


class StackError(EvernatError):
    """What goes wrong with a stack: its input, AWS, or time."""


@dataclass(frozen=True)
class Problem:
    """One thing wrong with the input: the field as the user writes it, its value, what is wrong, what to do."""

    field: str
    value: str
    cause: str
    remedy: str

    def __str__(self) -> str:
        shown = f"{self.field} = {self.value}" if self.value else self.field
        return f"{shown}: {self.cause}"


class BadInput(StackError):  # noqa: N818 - says what it is
    """The input cannot be deployed; nothing was changed. All problems are told at once."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        super().__init__(
            "\n".join(str(p) for p in problems), "\n".join(dict.fromkeys(p.remedy for p in problems))
        )
        self.problems = tuple(problems)


class ApiError(StackError):
    """AWS refused a call. `code` is AWS's error code."""

    def __init__(self, operation: str, code: str, message: str, remedy: str = "") -> None:
        super().__init__(f"AWS refused {operation}: {code}: {message}", remedy)
        self.operation = operation
        self.code = code
        self.message = message


class AccessError(ApiError):
    """The credentials are missing, expired or not allowed to do this."""


class OutcomeUnknown(ApiError):  # noqa: N818 - says what it is
    """No usable answer came: the call may or may not have been carried out. Look again before anything else."""


class NotReady(StackError):  # noqa: N818 - says what it is
    """What was waited for did not happen in time; the cause says what is missing."""
