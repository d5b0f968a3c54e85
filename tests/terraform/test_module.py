"""The module's own tests, and that what it takes from the build is current."""

from __future__ import annotations

import re

import pytest

from evernat.bundle.module import files
from evernat.text import printable
from tests.terraform.conftest import Starter
from tests.terraform.readme import README, written
from tests.terraform.tool import MODULE, PROVIDERS


@pytest.mark.parametrize("schema", PROVIDERS)
def test_terraform_test(terraform: Starter, schema: str) -> None:
    """All runs of terraform/tests pass."""
    said = terraform(schema, "terraform")("test")
    assert ", 0 failed" in said


def test_the_agent_is_current() -> None:
    """terraform/agent holds what the build would write today: after a change of the agent run  make terraform."""
    folder = MODULE / "agent"
    there = {
        p.relative_to(folder).as_posix(): p.read_text(encoding="utf-8")
        for p in folder.rglob("*")
        if p.is_file()
    }
    assert sorted(there) == sorted(files())
    assert [path for path, text in files().items() if there[path] != text] == []


def test_the_readme_is_current() -> None:
    """Its tables of inputs, outputs and differences are those of today: after a change run  make terraform."""
    text = README.read_text(encoding="utf-8")
    assert written(text) == text


def test_what_prints() -> None:
    """Every validation of texts in the module refuses the characters that Python refuses."""
    text = (MODULE / "variables.tf").read_text(encoding="utf-8")
    classes = re.findall(r"\[\^\\\\x00[^]]*\]", text)
    assert len(classes) >= 5
    assert len(set(classes)) == 1
    python = re.sub(r"x\{([0-9a-f]{2,4})\}", lambda m: f"u{m[1]:>04}", classes[0].replace("\\\\", "\\"))
    allowed = re.compile(python)
    for code in range(0x110000):
        # Terraform has no surrogates: it takes no text with one.
        if not 0xD800 <= code < 0xE000:
            assert bool(allowed.fullmatch(chr(code))) == printable(chr(code)), hex(code)
