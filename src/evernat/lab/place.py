"""Where a lab keeps its few files, and how a lab is found again by its name.

One directory per lab, owner-only: `lab.json` (what it is), `control.sock` (how to talk to it), logs, and
the files of its instances. Everything else of a lab lives in namespaces of its own processes and goes with them.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import tempfile
from dataclasses import asdict, dataclass
from pathlib import Path

from evernat.lab.errors import LabError

NAME = re.compile(r"[a-z0-9][a-z0-9-]{0,30}")
RUN_VARIABLE = "EVERNAT_LAB_RUN"
"""Environment variable that every process of a lab carries; its value is the run id."""


@dataclass(frozen=True)
class LabFile:
    """The content of `lab.json`. `pid` is the lab's outermost process, `endpoint` the API on loopback."""

    name: str
    run_id: str
    pid: int
    endpoint: str
    region: str
    latency: str
    started: str


def base() -> Path:
    """The directory that holds this user's labs (`EVERNAT_LAB_DIR`, or one in the temporary directory)."""
    chosen = os.environ.get("EVERNAT_LAB_DIR")
    return Path(chosen) if chosen else Path(tempfile.gettempdir()) / f"evernat-{os.getuid()}"


def check_name(name: str) -> str:
    """The name itself; LabError when it cannot be a lab's name."""
    if not NAME.fullmatch(name):
        raise LabError(
            f"lab name {name!r} is not possible",
            "use 1 to 31 lower-case letters, digits and dashes, beginning with a letter or digit",
        )
    return name


def directory(name: str) -> Path:
    """The directory of one lab, existing or not."""
    return base() / check_name(name)


def create(name: str) -> Path:
    """Make the lab's directory, owner-only. LabError if it exists, or if somebody else owns its parent."""
    parent = base()
    parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    owner = parent.lstat()
    if owner.st_uid != os.getuid() or not stat.S_ISDIR(owner.st_mode):
        raise LabError(f"{parent} belongs to somebody else", "set EVERNAT_LAB_DIR to a directory of your own")
    path = directory(name)
    try:
        path.mkdir(mode=0o700)
    except FileExistsError:
        raise LabError(
            f"a lab named {name!r} exists", f"remove it:  evernat lab down --name {name}"
        ) from None
    return path


def read(name: str) -> LabFile | None:
    """What `lab.json` says, or None when there is none (no such lab, or it died before it was up)."""
    try:
        return LabFile(**json.loads((directory(name) / "lab.json").read_text()))
    except FileNotFoundError:
        return None
    except (ValueError, TypeError) as error:
        raise LabError(
            f"{directory(name)}/lab.json is damaged: {error}",
            f"remove the lab:  evernat lab down --name {name}",
        ) from None


def write(path: Path, lab: LabFile) -> None:
    """Write `lab.json` in one step."""
    draft = path / "lab.json.new"
    draft.write_text(json.dumps(asdict(lab), indent=2) + "\n")
    draft.rename(path / "lab.json")


def names() -> list[str]:
    """Names of all labs of this user that left a directory, up or not."""
    parent = base()
    return (
        sorted(p.name for p in parent.iterdir() if p.is_dir() and NAME.fullmatch(p.name))
        if parent.is_dir()
        else []
    )


def remove(name: str) -> None:
    """Delete the lab's directory, and the parent when no other lab is left in it."""
    path = directory(name)
    if path.exists():
        # overlayfs leaves work/work with mode 000
        for found in path.glob("**/work"):
            for inner in found.glob("work"):
                inner.chmod(0o700)
        shutil.rmtree(path)
    parent = base()
    if parent.is_dir() and not os.environ.get("EVERNAT_LAB_DIR") and not any(parent.iterdir()):
        parent.rmdir()
