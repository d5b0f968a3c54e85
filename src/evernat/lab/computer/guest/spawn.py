"""Starting one process of a service with the surroundings systemd.exec(5) promises it."""

from __future__ import annotations

import grp
import os
import pwd
import resource
import signal
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from .settings import Settings

PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
EXIT_EXEC = 203
"""systemd.exec(5): the program could not be executed."""
EXIT_USER = 217
EXIT_CHDIR = 200

_POLICIES = {
    "other": os.SCHED_OTHER,
    "batch": os.SCHED_BATCH,
    "idle": os.SCHED_IDLE,
    "fifo": os.SCHED_FIFO,
    "rr": os.SCHED_RR,
}
_BASES = {
    "RuntimeDirectory": ("/run", "RUNTIME_DIRECTORY"),
    "StateDirectory": ("/var/lib", "STATE_DIRECTORY"),
    "LogsDirectory": ("/var/log", "LOGS_DIRECTORY"),
    "CacheDirectory": ("/var/cache", "CACHE_DIRECTORY"),
    "ConfigurationDirectory": ("/etc", "CONFIGURATION_DIRECTORY"),
}


class Surroundings(NamedTuple):
    """What a process gets besides its command line. `output` and `error` are descriptors."""

    environment: dict[str, str]
    output: int
    error: int


def directories(settings: Settings) -> dict[str, str]:
    """Make a service's directories; answers the variables that tell it where they are."""
    variables = {}
    for key, names in settings.directories.items():
        base, variable = _BASES[key]
        paths = [Path(base, name) for name in names]
        for path in paths:
            path.mkdir(parents=True, exist_ok=True)
            if settings.user:
                entry = pwd.getpwnam(settings.user)
                os.chown(path, entry.pw_uid, entry.pw_gid)
        if paths:
            variables[variable] = ":".join(map(str, paths))
    return variables


def runtime_directories(settings: Settings) -> list[Path]:
    """Directories to remove when the service has ended."""
    names = () if settings.preserve_runtime else settings.directories["RuntimeDirectory"]
    return [Path("/run", name) for name in names]


def home(user: str) -> str:
    """Where a user lives; `/` for one that does not exist."""
    try:
        return pwd.getpwnam(user).pw_dir
    except KeyError:
        return "/"


def _identity(settings: Settings) -> tuple[int, int] | None:
    if not settings.user and not settings.group:
        return None
    user = pwd.getpwnam(settings.user or "root")
    return user.pw_uid, grp.getgrnam(settings.group).gr_gid if settings.group else user.pw_gid


def _scheduling(settings: Settings, warn: Callable[[str], None]) -> None:
    """Priorities an ordinary user may not set are left out, said aloud."""
    if settings.nice:
        try:
            os.setpriority(os.PRIO_PROCESS, 0, settings.nice)
        except OSError as error:
            warn(f"Nice={settings.nice} is denied here ({error.strerror}), running without")
    if settings.policy in _POLICIES:
        priority = settings.priority if settings.policy in ("fifo", "rr") else 0
        try:
            os.sched_setscheduler(0, _POLICIES[settings.policy], os.sched_param(priority))
        except OSError as error:
            warn(f"CPUSchedulingPolicy={settings.policy} is denied here ({error.strerror}), running without")
    if settings.oom_score is not None:
        try:
            Path("/proc/self/oom_score_adj").write_text(str(settings.oom_score))
        except OSError as error:
            warn(f"OOMScoreAdjust={settings.oom_score} is denied here ({error.strerror}), running without")


def _become(settings: Settings, around: Surroundings) -> None:
    """In the child: everything between fork and exec. Leaves by `os._exit` with systemd's status when it cannot."""
    os.setsid()
    signal.set_wakeup_fd(-1)
    # SIGPIPE stays ignored, as Python left it: IgnoreSIGPIPE= is on by default.
    for number in (signal.SIGCHLD, signal.SIGINT, signal.SIGXFSZ):
        signal.signal(number, signal.SIG_DFL)
    null = os.open("/dev/null", os.O_RDONLY)
    for source, target in ((null, 0), (around.output, 1), (around.error, 2)):
        os.dup2(source, target)
    _scheduling(settings, lambda text: print(text, flush=True))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    os.umask(settings.umask)
    try:
        identity = _identity(settings)
        if identity is not None and identity != (0, 0):
            os.setgroups([])
            os.setresgid(*[identity[1]] * 3)
            os.setresuid(*[identity[0]] * 3)
    except KeyError as error:
        print(f"no such user or group: {error}", flush=True)
        os._exit(EXIT_USER)
    except OSError as error:
        # In a user namespace with a single user there is nobody else to become.
        print(f"User={settings.user} is not possible here ({error.strerror}), running as root", flush=True)
    folder = settings.working_directory
    try:
        os.chdir(folder.lstrip("-").replace("~", around.environment.get("HOME", "/root")) or "/")
    except OSError as error:
        if not folder.startswith("-"):
            print(f"WorkingDirectory={folder}: {error.strerror}", flush=True)
            os._exit(EXIT_CHDIR)


def spawn(settings: Settings, words: Sequence[str], around: Surroundings) -> tuple[int, str]:
    """Start a process; answers its id and why its program could not be executed (empty: it was)."""
    reader, writer = os.pipe2(os.O_CLOEXEC)
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reader)
            _become(settings, around)
            environment = {**around.environment, "WATCHDOG_PID": str(os.getpid())}
            if "WATCHDOG_USEC" not in environment:
                del environment["WATCHDOG_PID"]
            os.execvpe(words[0], list(words), environment)  # noqa: S606
        except OSError as error:
            os.write(writer, f"{words[0]}: {error.strerror}".encode())
        finally:
            os._exit(EXIT_EXEC)
    os.close(writer)
    with os.fdopen(reader, "rb") as pipe:
        return pid, pipe.read().decode(errors="replace")


def members(invocation: str, leaders: Sequence[int]) -> list[int]:
    """Living processes of a service, those that went to the background too.

    systemd knows them by their control group. Here a service's processes carry its invocation id in their environment,
    or belong to the session of one that init started.
    """
    mark = f"INVOCATION_ID={invocation}".encode()
    found = []
    for entry in os.listdir("/proc"):  # noqa: PTH208 - a plain listing, many times a second while stopping
        if not entry.isdigit() or entry == "1":
            continue
        try:
            fields = Path("/proc", entry, "stat").read_text().rpartition(")")[2].split()
            if fields[0] in "ZX":
                continue
            if int(fields[3]) in leaders or mark in Path("/proc", entry, "environ").read_bytes().split(b"\0"):
                found.append(int(entry))
        except OSError:
            continue
    return found
