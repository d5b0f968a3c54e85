"""The tables of terraform/README.md. `python -m tests.terraform.readme` writes them (`make terraform` does)."""

from __future__ import annotations

import re
from collections.abc import Iterator

from tests.terraform.differences import table
from tests.terraform.tool import MODULE

README = MODULE / "README.md"


def inputs() -> str:
    """The variables of the module, in their order."""
    rows = ["| input | type | default | |", "|---|---|---|---|"]
    for name, body in _blocks("variables", "variable"):
        kind = _argument(body, "type")
        default = _argument(body, "default")
        shown = "required" if not default else f"`{default}`"
        rows.append(f"| `{name}` | `{kind}` | {shown} | {_description(body)} |")
    return "\n".join(rows) + "\n"


def outputs() -> str:
    """The outputs of the module."""
    rows = [f"| `{name}` | {_description(body)} |" for name, body in _blocks("outputs", "output")]
    return "\n".join(["| output | |", "|---|---|", *rows]) + "\n"


TABLES = {"inputs": inputs, "outputs": outputs, "differences": table}


def written(text: str) -> str:
    """The README with its tables made anew, each between two comments that name it."""
    for name, make in TABLES.items():
        start, end = f"<!-- {name} -->\n", f"<!-- /{name} -->\n"
        before, _, rest = text.partition(start)
        _, found, after = rest.partition(end)
        assert found, f"{README} has no place for {name}"
        text = f"{before}{start}{make()}{end}{after}"
    return text


def _blocks(file: str, kind: str) -> Iterator[tuple[str, str]]:
    text = (MODULE / f"{file}.tf").read_text(encoding="utf-8")
    return iter(re.findall(rf'^{kind} "([^"]+)" {{\n(.*?)^}}$', text, re.MULTILINE | re.DOTALL))


def _argument(body: str, name: str) -> str:
    """What an argument of a block is set to, on one line; empty when it is not there."""
    found = re.search(rf"^  {name} +=? *(.*?)$(?=\n  \w|\n\n|\n?\Z|\n}})", body, re.MULTILINE | re.DOTALL)
    one_line = re.sub(r"\s*\n\s*", ", ", found[1]) if found else ""
    one_line = re.sub(r"([({\[]), ", r"\1", one_line)
    return re.sub(r", ([)}\]])", r"\1", re.sub(r" +", " ", one_line)).replace("|", "\\|")


def _description(body: str) -> str:
    found = re.search(r'^  description = "(.*)"$', body, re.MULTILINE)
    assert found, body
    return found[1].replace('\\"', '"').replace("|", "\\|")


if __name__ == "__main__":
    README.write_text(written(README.read_text(encoding="utf-8")), encoding="utf-8")
