"""A service's settings out of its unit file: what of systemd.service(5) and systemd.exec(5) the lab does, typed.

Settings that confine a service are left out (an instance of the lab is no security boundary) and named at debug level;
what is not known here at all is warned of, since a unit that relies on it behaves differently on a real machine.
"""

from __future__ import annotations

import os
import re
import signal
from pathlib import Path
from typing import NamedTuple

from .unitfile import UnitError, UnitFile, boolean, seconds, split

# Defaults of systemd-system.conf(5).
_TIMEOUT = 90.0
_RESTART_DELAY = 0.1
_START_LIMIT = (10.0, 5)

TYPES = ("simple", "exec", "notify", "oneshot", "idle")
_RESTARTS = ("no", "always", "on-success", "on-failure", "on-abnormal", "on-abort", "on-watchdog")

_UNIT_KEYS = {
    "Description", "Documentation", "After", "Before", "Wants", "Requires", "StartLimitIntervalSec", "StartLimitBurst",
    "ConditionPathExists", "DefaultDependencies",
}  # fmt: skip
_SERVICE_KEYS = {
    "Type", "ExecStartPre", "ExecStart", "ExecStartPost", "ExecStop", "ExecStopPost", "ExecReload", "Restart",
    "RestartSec", "RemainAfterExit", "TimeoutSec", "TimeoutStartSec", "TimeoutStopSec", "WatchdogSec",
    "NotifyAccess", "Environment", "EnvironmentFile", "WorkingDirectory", "StandardInput", "StandardOutput",
    "StandardError", "SyslogIdentifier", "RuntimeDirectory", "RuntimeDirectoryPreserve", "StateDirectory",
    "LogsDirectory", "CacheDirectory", "ConfigurationDirectory", "User", "Group", "UMask", "Nice",
    "CPUSchedulingPolicy", "CPUSchedulingPriority", "OOMScoreAdjust", "KillMode", "KillSignal", "SendSIGKILL",
    "SuccessExitStatus", "RestartPreventExitStatus", "StartLimitInterval", "StartLimitBurst",
}  # fmt: skip
_CONFINING = re.compile(
    r"(Protect|Private|Restrict|SystemCall|Capability|Ambient|NoNewPrivileges|MemoryDenyWriteExecute|LockPersonality|"
    r"ReadOnlyPaths|ReadWritePaths|InaccessiblePaths|DevicePolicy|DeviceAllow|Delegate|Slice|Memory|CPU(Weight|Quota|"
    r"Shares|Accounting)|Tasks|IO|Limit|SecureBits|RemoveIPC|IPAddress|ProcSubset|UtmpIdentifier|Log)"
)


class Command(NamedTuple):
    """One command line: words not yet expanded, whether its failure counts (no `-` before it)."""

    words: tuple[str, ...]
    must_succeed: bool = True


class Settings(NamedTuple):
    """A service as written, with defaults filled in. Times in seconds, None for never."""

    name: str
    description: str
    type: str
    start_pre: tuple[Command, ...]
    start: tuple[Command, ...]
    start_post: tuple[Command, ...]
    stop: tuple[Command, ...]
    stop_post: tuple[Command, ...]
    reload: tuple[Command, ...]
    restart: str
    restart_delay: float
    remain: bool
    start_timeout: float | None
    stop_timeout: float | None
    watchdog: float
    notify_access: str
    environment: dict[str, str]
    environment_files: tuple[str, ...]
    working_directory: str
    output: str
    error: str
    identifier: str
    directories: dict[str, tuple[str, ...]]
    preserve_runtime: bool
    user: str
    group: str
    umask: int
    nice: int
    policy: str
    priority: int
    oom_score: int | None
    kill_mode: str
    kill_signal: int
    send_kill: bool
    success: tuple[int, ...]
    prevent_restart: tuple[int, ...]
    start_limit: tuple[float, int]
    conditions: tuple[str, ...]
    after: tuple[str, ...]
    before: tuple[str, ...]
    wants: tuple[str, ...]
    requires: tuple[str, ...]


def _commands(unit: UnitFile, key: str) -> tuple[Command, ...]:
    commands = []
    for line in unit.all("Service", key):
        prefix = re.match(r"[-@:+!]*", line)
        marks = prefix[0] if prefix else ""
        words = split(line[len(marks) :])
        if "@" in marks:
            del words[1:2]  # the given argv[0]; nothing in the lab looks at it
        if not words:
            raise UnitError(f"{unit.path}: {key}= names no program")
        commands.append(Command(tuple(words), "-" not in marks))
    return tuple(commands)


def _environment(unit: UnitFile) -> dict[str, str]:
    words = [word for line in unit.all("Service", "Environment") for word in split(line)]
    return dict(word.split("=", 1) for word in words if "=" in word)


def read_environment_files(files: tuple[str, ...]) -> dict[str, str]:
    """Variables of EnvironmentFile= settings, read at each start. Raises UnitError when one without `-` is missing."""
    variables: dict[str, str] = {}
    for entry in files:
        path = Path(entry.lstrip("-"))
        if not path.exists():
            if entry.startswith("-"):
                continue
            raise UnitError(f"EnvironmentFile {path} does not exist")
        for line in path.read_text(errors="replace").splitlines():
            key, equals, value = line.strip().partition("=")
            if equals and not key.startswith(("#", ";")):
                variables[key.strip()] = "".join(split(value)) if value[:1] in ("'", '"') else value.strip()
    return variables


def _statuses(unit: UnitFile, key: str) -> tuple[int, ...]:
    """Exit statuses and signals, signals as negative numbers (as wait status conversion has them)."""
    return tuple(int(word) if word.isdigit() else -_signal(word) for word in unit.words("Service", key))


def _signal(word: str) -> int:
    try:
        return int(signal.Signals[word if word.startswith("SIG") else f"SIG{word}"])
    except KeyError as error:
        raise UnitError(f"unknown signal {word!r}") from error


def _start_limit(unit: UnitFile) -> tuple[float, int]:
    interval = unit.last("Unit", "StartLimitIntervalSec") or unit.last("Service", "StartLimitInterval")
    burst = unit.last("Unit", "StartLimitBurst") or unit.last("Service", "StartLimitBurst")
    return (
        (seconds(interval) or 0.0) if interval else _START_LIMIT[0],
        int(burst) if burst else _START_LIMIT[1],
    )


def _timeouts(unit: UnitFile, kind: str) -> tuple[float | None, float | None]:
    both = unit.last("Service", "TimeoutSec")
    # A oneshot service may start for as long as it likes, unless told otherwise (systemd.service(5)).
    start = unit.last(
        "Service", "TimeoutStartSec", both or ("infinity" if kind == "oneshot" else str(_TIMEOUT))
    )
    stop = unit.last("Service", "TimeoutStopSec", both or str(_TIMEOUT))
    # Zero means the same as infinity.
    return seconds(start) or None, seconds(stop) or None


def _choice(unit: UnitFile, key: str, default: str, choices: tuple[str, ...]) -> str:
    value = unit.last("Service", key, default)
    if value not in choices:
        raise UnitError(
            f"{unit.path}: {key}={value} is not one of {', '.join(choices)} (all that the lab's boot program does)"
        )
    return value


_DIRECTORIES = (
    "RuntimeDirectory",
    "StateDirectory",
    "LogsDirectory",
    "CacheDirectory",
    "ConfigurationDirectory",
)


def settings(unit: UnitFile) -> Settings:
    """Read a service unit. Raises UnitError, which names file and setting, for values that make no sense."""
    service = {key: unit.last("Service", key) for key in _SERVICE_KEYS}
    starts = _commands(unit, "ExecStart")
    kind = _choice(unit, "Type", "simple" if starts else "oneshot", TYPES)
    if kind != "oneshot" and len(starts) != 1:
        raise UnitError(f"{unit.path}: Type={kind} needs exactly one ExecStart=, found {len(starts)}")
    start_timeout, stop_timeout = _timeouts(unit, kind)
    return Settings(
        name=unit.name,
        description=unit.last("Unit", "Description", unit.name),
        type=kind,
        start_pre=_commands(unit, "ExecStartPre"),
        start=starts,
        start_post=_commands(unit, "ExecStartPost"),
        stop=_commands(unit, "ExecStop"),
        stop_post=_commands(unit, "ExecStopPost"),
        reload=_commands(unit, "ExecReload"),
        restart=_choice(unit, "Restart", "no", _RESTARTS),
        restart_delay=(seconds(service["RestartSec"]) or 0.0) if service["RestartSec"] else _RESTART_DELAY,
        remain=boolean(service["RemainAfterExit"] or "no"),
        start_timeout=start_timeout,
        stop_timeout=stop_timeout,
        watchdog=(seconds(service["WatchdogSec"]) or 0.0) if service["WatchdogSec"] else 0.0,
        notify_access=_choice(unit, "NotifyAccess", "main", ("none", "main", "exec", "all")),
        environment=_environment(unit),
        environment_files=tuple(unit.all("Service", "EnvironmentFile")),
        working_directory=service["WorkingDirectory"],
        output=service["StandardOutput"] or "journal",
        error=service["StandardError"] or "inherit",
        identifier=service["SyslogIdentifier"],
        directories={key: tuple(unit.words("Service", key)) for key in _DIRECTORIES},
        preserve_runtime=service["RuntimeDirectoryPreserve"] not in ("", "no"),
        user=service["User"],
        group=service["Group"],
        umask=int(service["UMask"] or "022", 8),
        nice=int(service["Nice"] or 0),
        policy=service["CPUSchedulingPolicy"],
        priority=int(service["CPUSchedulingPriority"] or 1),
        oom_score=int(service["OOMScoreAdjust"]) if service["OOMScoreAdjust"] else None,
        kill_mode=_choice(unit, "KillMode", "control-group", ("control-group", "mixed", "process", "none")),
        kill_signal=_signal(service["KillSignal"] or "SIGTERM"),
        send_kill=boolean(service["SendSIGKILL"] or "yes"),
        success=_statuses(unit, "SuccessExitStatus"),
        prevent_restart=_statuses(unit, "RestartPreventExitStatus"),
        start_limit=_start_limit(unit),
        conditions=tuple(unit.all("Unit", "ConditionPathExists")),
        after=tuple(unit.words("Unit", "After")),
        before=tuple(unit.words("Unit", "Before")),
        wants=tuple(unit.words("Unit", "Wants")),
        requires=tuple(unit.words("Unit", "Requires")),
    )


def unmet_condition(conditions: tuple[str, ...]) -> str:
    """The first ConditionPathExists= that does not hold, or an empty string."""
    for condition in conditions:
        path = condition.lstrip("!|")
        if os.path.exists(path) == ("!" in condition[:2]):  # noqa: PTH110 - says no for an unreadable path
            return condition
    return ""


def remarks(unit: UnitFile) -> tuple[list[str], list[str]]:
    """Settings the lab leaves out: (those that only confine, unknown ones)."""
    confining: list[str] = []
    unknown: list[str] = []
    known = {
        "Unit": _UNIT_KEYS,
        "Service": _SERVICE_KEYS,
        "Install": {"WantedBy", "Alias", "RequiredBy", "Also"},
    }
    for section, values in unit.sections.items():
        for key, _ in values:
            if key in known.get(section, ()) or section.startswith("X-"):
                continue
            (confining if section == "Service" and _CONFINING.match(key) else unknown).append(
                f"{section}.{key}"
            )
    return confining, unknown
