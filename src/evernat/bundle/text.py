"""JSON as Terraform's `jsonencode` writes it, so that the module in `terraform/` makes the same user data."""

from __future__ import annotations

import json
from typing import Any

ESCAPED = str.maketrans({c: f"\\u{ord(c):04x}" for c in "<>&\u2028\u2029"})
"""Only strings can hold them, and there both spellings mean the same."""


def encode(value: Any) -> str:
    """Sorted keys, no blanks, characters as they are but for those that Go escapes."""
    plain = json.dumps(value, ensure_ascii=False, sort_keys=True, separators=(",", ":"), default=list)
    return plain.translate(ESCAPED)
