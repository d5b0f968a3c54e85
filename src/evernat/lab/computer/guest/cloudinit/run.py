"""Cloud-init's work at one boot, stage by stage. Runs as the service cloud-final.service.

Fetch (or take the copy of an earlier boot), bootcmd and boothooks, write_files, packages, then scripts in the order
of their file names, runcmd being one of them. As on a real machine everything but bootcmd, boothooks and scripts per
boot is begun once per instance: what a reboot or a power cut interrupted is not run again.
"""

from __future__ import annotations

import json
import os
import subprocess
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from ..places import CLOUD_INIT_RESULT
from . import imds, merge, modules, parts

_CLOUD = Path("/var/lib/cloud")
_INSTANCE = _CLOUD / "instance"
_USER_DATA = _INSTANCE / "user-data.txt"
_LOG = Path("/var/log/cloud-init-output.log")
_FOLDERS = {
    "script": modules.SCRIPTS,
    "script-per-boot": _CLOUD / "scripts/per-boot",
    "script-per-instance": _CLOUD / "scripts/per-instance",
    "script-per-once": _CLOUD / "scripts/per-once",
    "boothook": _INSTANCE / "boothooks",
}
_PATIENCE = 60.0
"""Seconds to wait for the metadata service at the first boot."""

_errors: list[str] = []


def _log(text: str) -> None:
    print(text, flush=True)


def _fail(text: str) -> None:
    _errors.append(text)
    _log(f"ERROR: {text}")


def _always(module: str, call: Callable[[], object]) -> None:
    """One module: what is wrong with its part of the config keeps none of the others from running."""
    try:
        call()
    except (OSError, ValueError, TypeError, AttributeError) as error:
        _fail(f"{module}: {type(error).__name__}: {error}")


def _once(module: str, call: Callable[[], object]) -> None:
    """One module that is run in one boot of an instance only. Its mark is set before, as cloud-init does."""
    mark = _INSTANCE / "sem" / f"config_{module}"
    if not mark.exists():
        mark.parent.mkdir(exist_ok=True)
        mark.touch()
        _always(module, call)


class UserData(NamedTuple):
    """All parts handled: one config, and scripts by the place they belong to."""

    config: dict[str, Any]
    scripts: tuple[tuple[Path, str], ...]


def digest(data: bytes) -> UserData:
    """Take user data apart and merge it. Broken or unknown parts are named and left out, as cloud-init does."""
    import yaml

    config: dict[str, Any] = {}
    scripts: list[tuple[Path, str]] = []
    for part in parts.split(data):
        if part.kind in _FOLDERS:
            scripts.append((_FOLDERS[part.kind] / part.name, part.text))
        elif part.kind == "cloud-config":
            try:
                loaded = yaml.safe_load(part.text) or {}
            except yaml.YAMLError as error:
                _fail(f"{part.name}: cloud-config is not valid YAML: {error}")
                continue
            if not isinstance(loaded, dict):
                _fail(f"{part.name}: cloud-config must be a mapping, not {type(loaded).__name__}")
                continue
            how = part.merge or loaded.get("merge_how") or loaded.get("merge_type") or merge.DEFAULT
            config = merge.merge(config, loaded, merge.parse(how))
        else:
            start = part.text.split("\n", 1)[0][:40]
            _fail(f"{part.name}: user data of kind {part.kind} is not handled in the lab (begins {start!r})")
    return UserData(config, tuple(scripts))


def _user_data() -> bytes:
    """The copy on disk, or what the metadata service has. Raises MetadataError when it does not come."""
    if _USER_DATA.exists():
        return _USER_DATA.read_bytes()
    service = imds.Metadata(_PATIENCE)
    instance = (service.get("meta-data/instance-id") or b"unknown").decode()
    home = _CLOUD / "instances" / instance
    home.mkdir(parents=True, exist_ok=True)
    _INSTANCE.unlink(missing_ok=True)
    _INSTANCE.symlink_to(home)
    data = service.get("user-data") or b""
    copy = home / "user-data.new"
    copy.touch(mode=0o600)
    copy.write_bytes(data)
    copy.rename(_USER_DATA)
    _log(f"Cloud-init of the lab: new instance {instance}, {len(data)} bytes of user data")
    return data


def _bootcmd(config: dict[str, Any], instance: str) -> None:
    if config.get("bootcmd"):
        script = _INSTANCE / "bootcmd"
        modules.keep_script(script, modules.shell_script(config["bootcmd"]))
        modules.run(("/bin/sh", str(script)), _fail, {"INSTANCE_ID": instance})
    folder = _FOLDERS["boothook"]
    for hook in sorted(folder.iterdir()) if folder.is_dir() else ():
        modules.run((str(hook),), _fail, {"INSTANCE_ID": instance})


def _keep_scripts(scripts: tuple[tuple[Path, str], ...]) -> None:
    for path, text in scripts:
        body = text.lstrip()
        if body.startswith("#cloud-boothook"):
            body = body.split("\n", 1)[1].lstrip("\n") if "\n" in body else ""
        modules.keep_script(path, body if body.startswith("#!") else f"#!/bin/sh\n{body}")


def _run_parts(kind: str) -> None:
    modules.run_parts(_FOLDERS[kind], _fail)


def boot() -> None:
    """All modules, in their order."""
    data = digest(_user_data())
    config = data.config
    for key in modules.unknown(config):
        _log(f"cloud-config {key!r} is not done in the lab")
    _always("user scripts", lambda: _keep_scripts(data.scripts))
    _always("bootcmd", lambda: _bootcmd(config, _INSTANCE.resolve().name))
    _once("write_files", lambda: modules.write_files(config, False, _fail))
    _once("packages", lambda: modules.install_packages(config, _fail))
    _always("runcmd", lambda: modules.keep_runcmd(config))
    _once("write_files_deferred", lambda: modules.write_files(config, True, _fail))
    _once("scripts_per_once", lambda: _run_parts("script-per-once"))
    _always("scripts_per_boot", lambda: _run_parts("script-per-boot"))
    _once("scripts_per_instance", lambda: _run_parts("script-per-instance"))
    _once("scripts_user", lambda: _run_parts("script"))


def _tee() -> None:
    """Copy all output, that of commands too, to the log file, as cloud-init's stock configuration does."""
    tee = subprocess.Popen(("tee", "-a", str(_LOG)), stdin=subprocess.PIPE)
    assert tee.stdin is not None
    os.dup2(tee.stdin.fileno(), 1)
    os.dup2(tee.stdin.fileno(), 2)
    tee.stdin.close()


def main() -> int:
    """Answers 1 when something failed; the machine runs on all the same, as a real one does."""
    started = time.monotonic()
    _tee()
    try:
        boot()
    except (OSError, ValueError, imds.MetadataError) as error:
        _fail(f"{type(error).__name__}: {error}")
    _log(
        f"Cloud-init of the lab finished after {time.monotonic() - started:.2f} seconds, {len(_errors)} errors"
    )
    CLOUD_INIT_RESULT.write_text(
        json.dumps({"v1": {"datasource": "DataSourceEc2Local", "errors": _errors}}) + "\n"
    )
    return 1 if _errors else 0
