"""What the end-to-end tests share."""

from __future__ import annotations

import os
import secrets
import subprocess
import sys
from pathlib import Path


def lab_name(prefix: str) -> str:
    """A lab name of this test's own."""
    return f"{prefix}-{secrets.token_hex(3)}"


def cli(
    *arguments: str, cwd: Path | None = None, environment: dict[str, str] | None = None, timeout: float = 90
) -> subprocess.CompletedProcess[str]:
    """Run `evernat` as a user would and return what it printed."""
    return subprocess.run(
        [sys.executable, "-m", "evernat.cli", *arguments],
        cwd=cwd,
        env=os.environ | {"COLUMNS": "200"} | (environment or {}),
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout,
    )
