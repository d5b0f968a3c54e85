"""The agent as the Terraform module in `terraform/` takes it: no Python runs where a module is planned.

`python -m evernat.bundle.module FOLDER` writes the files; a test says when they are out of date. What a node is told,
and what the user adds, is left out of the cloud-config and put in by the module, in the places marked by CUT.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from evernat.bundle.beside import parameters
from evernat.bundle.cloudconfig import cloud_config
from evernat.bundle.node import VERSION

CUT = "# evernat:cut\n"
"""Between the parts of a cloud-config: before the settings, after them, after the user's write_files."""


def files() -> dict[str, str]:
    """Path -> text of all files."""
    beside = {identity: parameters("", identity) for identity in ("address", "eni")}
    code = {
        identity: {"digest": next(iter(pieces)).split("/")[-2], "parameters": len(pieces)}
        for identity, pieces in beside.items()
    }
    return {
        "manifest.json": json.dumps({"version": VERSION, **code}, indent=2) + "\n",
        **{f"{identity}.yaml": CUT.join(cloud_config(identity)) for identity in beside},
        **{
            f"beside/{identity}/{index}.txt": f"{piece}\n"
            for identity, pieces in beside.items()
            for index, piece in enumerate(pieces.values())
        },
    }


def write(folder: Path) -> None:
    """Make the folder hold these files and no others."""
    wanted = files()
    for path in [path for path in folder.rglob("*") if path.is_file()]:
        if path.relative_to(folder).as_posix() not in wanted:
            path.unlink()
    for name, text in wanted.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    write(Path(sys.argv[1]))
