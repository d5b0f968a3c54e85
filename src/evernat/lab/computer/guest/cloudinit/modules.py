"""The modules of cloud-config that the lab does: write_files, bootcmd, packages, runcmd."""

from __future__ import annotations

import base64
import grp
import gzip
import os
import pwd
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

Log = Callable[[str], None]

SCRIPTS = Path("/var/lib/cloud/instance/scripts")

_DONE_HERE = {"write_files", "bootcmd", "runcmd", "packages", "package_update", "package_upgrade",
              "package_reboot_if_required", "merge_how", "merge_type", "final_message"}  # fmt: skip
_MODE = 0o644


def unknown(config: dict[str, Any]) -> list[str]:
    """Keys of a cloud-config that the lab leaves alone."""
    return sorted(str(key) for key in config if key not in _DONE_HERE)


def shell_script(commands: list[Any]) -> str:
    """A script out of runcmd or bootcmd: texts as they are, lists with every word quoted.

    Raises ValueError for an entry that is neither.
    """
    lines = ["#!/bin/sh"]
    for command in commands:
        if isinstance(command, str):
            lines.append(command.strip())
        elif isinstance(command, list):
            lines.append(" ".join("'" + str(word).replace("'", "'\\''") + "'" for word in command))
        elif command is not None:
            raise ValueError(f"a command must be a text or a list, not {type(command).__name__}: {command!r}")
    return "\n".join(lines) + "\n"


def _decode(content: Any, encoding: str) -> bytes:
    data = content if isinstance(content, bytes) else str(content).encode()
    steps = (
        encoding.strip().lower().replace("-", "").replace("base64", "b64").replace("gzip", "gz").split("+")
    )
    if encoding and not set(steps) <= {"gz", "b64", "text/plain"}:
        raise ValueError(f"unknown encoding {encoding!r}")
    if "b64" in steps:
        data = base64.b64decode(data)
    return gzip.decompress(data) if "gz" in steps else data


def _mode(permissions: Any, log: Log) -> int:
    if permissions is None:
        return _MODE
    if isinstance(permissions, (int, float)):
        return int(permissions)
    try:
        return int(str(permissions), 8)
    except ValueError:
        log(f"Undecodable permissions {permissions!r}, using {_MODE:o}")
        return _MODE


def write_file(entry: dict[str, Any], log: Log) -> None:
    """Write one file of write_files. Raises ValueError or OSError, with the reason."""
    if not entry.get("path"):
        raise ValueError(f"an entry without path: {entry!r}")
    path = Path(str(entry["path"]))
    if entry.get("source"):
        raise ValueError(f"{path}: source= is not fetched in the lab")
    data = _decode(entry.get("content") or "", str(entry.get("encoding") or ""))
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab" if entry.get("append") else "wb") as file:
        file.write(data)
    path.chmod(_mode(entry.get("permissions"), log))
    user, _, group = str(entry.get("owner") or "root:root").partition(":")
    try:
        _own(path, user, group)
    except (OSError, KeyError) as error:
        # A user namespace with a single user has nobody else to give it to.
        log(f"{path}: cannot be owned by {user}:{group} here: {error}")


def _own(path: Path, user: str, group: str) -> None:
    uid = pwd.getpwnam(user).pw_uid if user else -1
    os.chown(path, uid, grp.getgrnam(group).gr_gid if group else -1)


def write_files(config: dict[str, Any], deferred: bool, log: Log) -> None:
    """Write the files of one stage. A failure does not keep the others from being written."""
    for entry in config.get("write_files") or ():
        if bool(entry.get("defer")) != deferred:
            continue
        try:
            write_file(entry, log)
        except (OSError, ValueError) as error:
            log(f"Failed to write {entry.get('path')}: {error}")


def install_packages(config: dict[str, Any], log: Log) -> None:
    """Install what `packages` names; a package may be written as [name, version]."""
    names = [str(each[0] if isinstance(each, list) else each) for each in config.get("packages") or ()]
    if names:
        run((shutil.which("dnf") or "apt-get", "install", "-y", *names), log)


def keep_runcmd(config: dict[str, Any]) -> None:
    """Lay runcmd down among the scripts of the final stage. Raises ValueError when it is malformed."""
    commands = config.get("runcmd")
    if commands:
        keep_script(SCRIPTS / "runcmd", shell_script(commands))


def keep_script(path: Path, text: str) -> None:
    """Lay a script down for later, executable for root alone."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o700)


def run(command: tuple[str, ...], log: Log, environment: dict[str, str] | None = None) -> None:
    """Run a command with this process's output; says when it did not work."""
    try:
        code = subprocess.run(command, env={**os.environ, **(environment or {})}, check=False).returncode
    except OSError as error:
        log(f"Failed to run {command[0]}: {error}")
        return
    if code != 0:
        log(f"Failed to run {' '.join(command)}: it ended with {code}")


def run_parts(folder: Path, log: Log) -> None:
    """Run all executables of a directory in order of their names."""
    for path in sorted(folder.iterdir()) if folder.is_dir() else ():
        if path.is_file() and os.access(path, os.X_OK):
            run((str(path),), log)
