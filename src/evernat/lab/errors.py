"""The one error the lab raises at its users."""

from __future__ import annotations

from evernat.errors import EvernatError


class LabError(EvernatError):
    """What was asked of a lab cannot be done."""
