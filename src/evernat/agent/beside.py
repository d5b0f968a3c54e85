"""Fetches the agent's files that lie beside the user data, in the parameter store, and starts the daemon.

Imports nothing that has to be fetched before it is there.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import sys
from collections.abc import Sequence

from .daemon import insist, log, never_wait, read
from .effects import EffectError
from .effects.imds import Metadata
from .effects.store import Store

KEPT = "beside.txt"
"""What was fetched, as it was: a node that starts again needs the parameter store for its key only."""

SPARE = (os.environ.get("RUNTIME_DIRECTORY", "/run/evernat"), "/dev/shm/evernat")  # noqa: S108 (only if it is ours)
"""File systems in memory, for a node whose disk is full or read-only."""


def joined(code: Sequence[str], values: dict[str, str]) -> str:
    """The text of all files. EffectError when it is not the one the user data was made with."""
    text = "".join(values[name].partition("\n")[2] + "\n" for name in code)
    if not _right(text, code):
        raise EffectError(f"{code[0]} and its likes were changed: delete them, then evernat deploy")
    return text


def kept(folder: str, code: Sequence[str]) -> str:
    """The text that `unpack` left, empty when there is none or it is not of this user data."""
    text = _content(os.path.join(folder, KEPT))
    return text if _right(text, code) else ""


def unpack(folder: str, text: str) -> None:
    """Have the files below `folder`. Right ones are not written: the file system may be full, or read-only."""
    try:
        for part in text.split("#file ")[1:]:
            path, _, source = part.partition("\n")
            # Two braces in a row are written as `{#{`: a parameter cannot hold them.
            _write(os.path.join(folder, path), source.replace("{#", "{"))
        _write(os.path.join(folder, KEPT), text)
    except OSError as error:
        raise EffectError(f"cannot write the agent's files: {error}") from error


def _right(text: str, code: Sequence[str]) -> bool:
    return hashlib.sha256(text.encode()).hexdigest()[:16] == code[0].split("/")[-2]


def _content(path: str) -> str:
    with contextlib.suppress(OSError, ValueError), open(path) as file:
        return file.read()
    return ""


def _write(path: str, text: str) -> None:
    if _content(path) != text or not os.path.exists(path):
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(f"{path}.new", "w") as file:
            file.write(text)
        os.replace(f"{path}.new", path)


def fetch(store: Store, folder: str, key: str, code: Sequence[str]) -> str:
    """Have the files below `folder`; gives the text of the parameter `key`, where a stack has one.

    What the disk has is not asked for: an agent whose stack has no key starts again without the parameter store.
    """
    text, names = kept(folder, code), [key] if key else []
    values = store.parameters(names if text else [*names, *code])
    text = text or joined(code, values)
    try:
        unpack(folder, text)
    except EffectError as error:
        _elsewhere(folder, text, str(error))
    log(
        "code", origin="parameters" if len(values) > len(names) else "disk", folder=code[0].rpartition("/")[0]
    )
    return values.get(key, "")


def _elsewhere(folder: str, text: str, why: str) -> None:
    """Run from memory what cannot be written where it belongs. EffectError when that has no room either."""
    for spare in SPARE:
        place = os.path.join(spare, "agent")
        try:
            os.makedirs(spare, 0o700, exist_ok=True)
            if os.lstat(spare).st_uid != os.geteuid():
                continue  # somebody else's
            _copy(folder, place)
            unpack(place, text)
        except (OSError, EffectError):
            continue
        log("elsewhere", folder=place, reason=why)
        os.chdir(spare)  # where other processes of ours look for the package
        for name, module in [*sys.modules.items()]:
            inside = name.partition(f"{__package__}.")[2].replace(".", "/")
            if name == __package__ or (inside and hasattr(module, "__path__")):
                module.__path__ = [os.path.join(place, inside)]
        return
    raise EffectError(why)


def _copy(folder: str, place: str) -> None:
    """What travelled in user data."""
    for base, _, names in os.walk(folder):
        for name in names:
            if name.endswith(".py"):
                path = os.path.join(base, name)
                _write(os.path.join(place, os.path.relpath(path, folder)), _content(path))


def main(arguments: list[str]) -> int:
    """Become the daemon of the settings' identity, once its files are here, and the key of a cluster's node."""
    text = read(arguments)
    never_wait()
    settings = json.loads(text)
    metadata = Metadata()
    host = insist("host", metadata.host)
    who = {name: settings[name] for name in ("version", "stack", "slot") if name in settings}
    log("start", **who, instance=host.instance)
    folder, store = os.path.dirname(__file__), Store(host, metadata)
    parameter = settings.get("key_parameter", "")
    key = insist("parameters", lambda: fetch(store, folder, parameter, settings["code"]))
    if settings["identity"] == "address":
        from .cluster import Agent
        from .cluster_model import Config

        config = Config.parse(text)
        insist("metadata", lambda: Agent(config, host, metadata, bytes.fromhex(key))).run()
    from .run import run

    run(text, host)
