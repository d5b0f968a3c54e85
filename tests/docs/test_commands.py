"""The pages' commands."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from evernat.lab import client
from tests.e2e.support import lab_name

from .commands import blocks, order, script


@pytest.mark.packets
@pytest.mark.timeout(420)
def test_they_run(tmp_path: Path) -> None:
    """What is marked as running in a lab runs there, page after page, and each command does what it is meant to."""
    name = lab_name("docs")
    program = tmp_path / "bin" / "evernat"
    program.parent.mkdir()
    program.write_text(f'#!/bin/sh\nexec {sys.executable} -m evernat.cli "$@"\n')
    program.chmod(0o755)
    source = os.pathsep.join(path for path in sys.path if path)
    environment = os.environ | {
        "PATH": f"{program.parent}:{os.environ['PATH']}",
        "PYTHONPATH": source,
        "EVERNAT_LAB": name,
        "TOP": str(tmp_path),
        "COLUMNS": "200",
    }
    try:
        done = subprocess.run(
            ["bash", "-c", script()],
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=400,
        )
    finally:
        client.down(name)
    assert done.returncode == 0, done.stdout[-6000:]


def test_most_of_the_quick_start_runs() -> None:
    """Every page for starters has blocks that run, and so has the runbook."""
    for page in ("start/lab.md", "start/hobby.md", "start/team.md", "start/operator.md", "runbook.md"):
        assert page in order()
        assert [block for block in blocks(page) if block.runs], page


def test_the_japanese_commands_are_the_english_ones() -> None:
    """No command of the Japanese page is without its like on an English one, where it is run."""
    english = {b.text for page in order() if not page.startswith("ja/") for b in blocks(page)}
    japanese = [block.text for block in blocks("ja/start.md")]
    assert len(japanese) > 5
    assert not [text for text in japanese if text not in english]
