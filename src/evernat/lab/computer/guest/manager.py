"""The service manager: units by name, and the order in which they start (After=, Before=, Wants=, Requires=)."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from . import unitfile
from .journal import Journal
from .loop import Loop
from .service import Done, Env, Service
from .settings import remarks, settings
from .unitfile import UnitError, canonical

WANTS = Path("/etc/systemd/system/multi-user.target.wants")
"""Links to the units that start at each boot."""


class Job:
    """A start that was ordered and has not ended."""

    def __init__(self, service: Service) -> None:
        self.service = service
        self.running = False
        self.said = False
        self.waiters: list[Done] = []


class Manager:
    """Loads units and runs jobs on them."""

    def __init__(self, loop: Loop, journal: Journal) -> None:
        self.services: dict[str, Service] = {}
        self._journal = journal
        self._jobs: dict[str, Job] = {}
        self._env = Env(loop, journal)

    def service(self, name: str) -> Service:
        """The service by that name, loaded when it is not. Raises UnitError when there is none, or it is broken."""
        name = canonical(name)
        if name not in self.services:
            self._load(name)
        return self.services[name]

    def enabled(self) -> list[str]:
        """Units that start at boot."""
        return sorted(path.name for path in WANTS.glob("*.service")) if WANTS.is_dir() else []

    def daemon_reload(self) -> None:
        """Read the files of all known units again; processes stay as they are, broken units keep what they had."""
        for name, service in list(self.services.items()):
            try:
                file = unitfile.load(name)
                if file is None:
                    if service.active in ("inactive", "failed"):
                        del self.services[name]
                    continue
                service.settings = settings(file)
            except UnitError as error:
                self._journal.manager(name, f"{name}: {error}")

    def start(self, name: str, done: Done) -> None:
        """Start a unit and what it needs; `done` gets an empty string or why not. Raises UnitError like `service`."""
        name = canonical(name)
        if name.endswith(".target"):
            done("")
            return
        self._order(name, set()).waiters.append(done)
        self._run_jobs()

    def stop(self, name: str, done: Done) -> None:
        """Stop a unit; a start that has not begun is forgotten."""
        service = self.service(name)
        job = self._jobs.get(service.settings.name)
        if job is not None and not job.running:
            self._end(service.settings.name, "was stopped meanwhile")
        service.stop(done)

    def restart(self, name: str, done: Done) -> None:
        """Stop, then start."""
        service = self.service(name)

        def stopped(_: str) -> None:
            service.reset_failed()
            self.start(name, done)

        self.stop(name, stopped)

    def stop_all(self, done: Callable[[], None]) -> None:
        """Stop everything, what started last first, as far as After= and Before= say."""
        for name, job in list(self._jobs.items()):
            if not job.running:
                self._end(name, "the machine is going down")
        waiting = {name for name, each in self.services.items() if each.sub not in ("dead", "failed")}
        asked: set[str] = set()

        def stopped(name: str) -> None:
            waiting.discard(name)
            release()

        def release() -> None:
            if not waiting:
                done()
                return
            ready = {
                name for name in waiting - asked if not any(name in self._after(other) for other in waiting)
            }
            if not ready and not asked & waiting:
                ready = set(waiting)  # They are ordered in a circle.
            asked.update(ready)
            for name in sorted(ready):
                self.services[name].stop(lambda _, name=name: stopped(name))  # type: ignore[misc]

        release()

    def _load(self, name: str) -> None:
        if not name.endswith(".service"):
            raise UnitError(f"{name}: the lab's boot program runs services only")
        file = unitfile.load(name)
        if file is None:
            raise UnitError(f"Unit {name} not found.")
        self.services[name] = Service(settings(file), self._env)
        confining, unknown = remarks(file)
        if confining:
            self._journal.manager(name, f"{name}: not enforced in the lab: {', '.join(confining)}")
        if unknown:
            self._journal.manager(
                name, f"{name}: warning: the lab's boot program ignores {', '.join(unknown)}"
            )

    def _order(self, name: str, seen: set[str]) -> Job:
        """Put down a job for a unit and those it wants. Nothing is put down when something it requires is not there."""
        service = self.service(name)
        seen.add(name)
        for other in (*service.settings.requires, *service.settings.wants):
            if other in seen or not other.endswith(".service"):
                continue
            try:
                self._order(other, seen)
            except UnitError as error:
                if other in service.settings.requires:
                    raise
                self._journal.manager(name, f"{name}: {error}")
        return self._jobs.setdefault(name, Job(service))

    def _after(self, name: str) -> set[str]:
        """Units that `name` starts after."""
        mine = self.services[name].settings.after
        return {each for each in self.services if each in mine or name in self.services[each].settings.before}

    def _run_jobs(self) -> None:
        for name, job in list(self._jobs.items()):
            first = sorted(self._jobs.keys() & self._after(name) - {name})
            if not job.running and not first:
                self._run(name, job)
            elif not job.running and not job.said:
                self._journal.manager(name, f"{name}: waits until {', '.join(first)} has started (After=)")
                job.said = True
        if self._jobs and not any(job.running for job in self._jobs.values()):
            name = min(self._jobs)
            self._journal.manager(
                name, f"{name}: is started out of order, units wait for one another in a circle"
            )
            self._run(name, self._jobs[name])

    def _run(self, name: str, job: Job) -> None:
        job.running = True
        job.service.start(lambda why: self._end(name, why))

    def _end(self, name: str, why: str) -> None:
        job = self._jobs.pop(name, None)
        if job is None:
            return
        if why and job.running:
            self._journal.manager(name, f"Failed to start {name}: {why}")
        for done in job.waiters:
            done(why)
        if why:
            self._end_dependants(name)
        self._run_jobs()

    def _end_dependants(self, name: str) -> None:
        """A unit whose Requires= could not be started before it is not started either."""
        for other, job in list(self._jobs.items()):
            if name in job.service.settings.requires and not job.running:
                self._end(other, f"{name} failed, which it requires")
