"""Runs a program."""

from __future__ import annotations

import subprocess

from . import EffectError


def run(*command: str, text: str = "", check: bool = True) -> str:
    """What it prints when fed `text`; what it complains of is the EffectError."""
    try:
        done = subprocess.run(command, input=text, capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.SubprocessError) as error:
        raise EffectError(str(error)) from error
    if check and done.returncode:
        raise EffectError(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout
