"""The lab's cloud: state, lock, time and subscribers in one place."""

from __future__ import annotations

import datetime
import threading
import time
from collections.abc import Callable
from dataclasses import replace

from evernat.lab.cloud import actions, ec2_state, moto_app, world_view
from evernat.lab.cloud.autoscaling import reconcile
from evernat.lab.cloud.calls import Call
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.faults import Faults
from evernat.lab.cloud.principals import Credentials, Principals
from evernat.lab.cloud.resources import Machine
from evernat.lab.cloud.state import Region, forget_moto_defaults
from evernat.lab.cloud.timers import Timers
from evernat.lab.profile import Profile
from evernat.lab.world import Unreachable, World

ACCOUNT = "123456789012"
"""The lab's account, AWS's own example number."""

CALLS_KEPT = 50_000
"""Calls that stay in the log; a lab may run for days."""

assert actions.LOADED  # the modules that register handlers


def _silent(_line: str) -> None:
    """Log nothing."""


class Cloud:
    """An AWS of one account. There can be one in a process at a time: moto's state is global.

    Time is `clock` (monotonic seconds) and latency is spent in `sleep`; tests pass their own. Without `start` nothing
    happens in the background and `tick` does it.
    """

    def __init__(
        self,
        profile: Profile,
        region: str = "us-west-2",
        log: Callable[[str], None] = _silent,
        *,
        account: str = ACCOUNT,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
        console: Callable[[str], bytes] = lambda _instance: b"",
    ) -> None:
        self.profile = profile
        self.region_name = region
        self.account = account
        self.log = log
        self.sleep = sleep
        self.console = console
        self.lock = threading.RLock()
        self.faults = Faults()
        self.calls: list[Call] = []
        self.principals = Principals()
        self._clock = clock
        self._timers = Timers()
        self._regions: dict[str, Region] = {}
        self._subscribers: list[Callable[[World], None]] = []
        self._wake = threading.Condition(self.lock)
        self._stop = False
        self._thread: threading.Thread | None = None
        self._next_group_tick = 0.0
        moto_app.fresh(account)
        self._world = world_view.build(self.region(region))

    # what the API's front works with ----------------------------------------------------------------------------

    def region(self, name: str) -> Region:
        """The records of a region; a region nobody used before is empty."""
        if name not in self._regions:
            made = Region(
                name=name,
                account=self.account,
                profile=self.profile,
                clock=self._clock,
                timers=self._timers,
                faults=self.faults,
                log=self.log,
                console=lambda instance: self.console(instance),
            )
            forget_moto_defaults(made)
            self._regions[name] = made
        return self._regions[name]

    def record(self, call: Call) -> None:
        """Add a call to the log, which keeps the last `CALLS_KEPT` at least."""
        with self.lock:
            if len(self.calls) >= 2 * CALLS_KEPT:
                del self.calls[:CALLS_KEPT]
            self.calls.append(call)

    # the world --------------------------------------------------------------------------------------------------

    def world(self) -> World:
        """The world as last published."""
        with self.lock:
            return self._world

    def subscribe(self, fn: Callable[[World], None]) -> None:
        """Call `fn` with every new world, under the lock and before the answer of the call that made it."""
        with self.lock:
            self._subscribers.append(fn)

    def publish(self) -> bool:
        """Build the world; if it differs from the last one, hand it to the subscribers. Under the lock."""
        world = world_view.build(self.region(self.region_name))
        self._wake.notify_all()
        if world == self._world:
            return False
        self._revoke_gone(world)
        self._world = replace(world, generation=self._world.generation + 1)
        for subscriber in self._subscribers:
            try:
                subscriber(self._world)
            except Exception as problem:  # the cloud goes on whatever a subscriber does
                self.log(f"a subscriber failed on world {self._world.generation}: {problem!r}")
        return True

    def _revoke_gone(self, world: World) -> None:
        for gone in {i.id for i in self._world.instances} - {i.id for i in world.instances}:
            self.principals.revoke(gone)

    # time -------------------------------------------------------------------------------------------------------

    def start(self) -> None:
        """Let time pass by itself: a thread runs timers and the Auto Scaling reconciler."""
        self._stop = False
        self._thread = threading.Thread(target=self._run, name="cloud", daemon=True)
        self._thread.start()

    def close(self) -> None:
        """Stop the thread. Nothing happens by itself after that."""
        with self.lock:
            self._stop = True
            self._wake.notify_all()
        if self._thread:
            self._thread.join()
            self._thread = None

    def tick(self) -> bool:
        """Do what is due now; True if the world changed."""
        with self.lock:
            changed = self.run_timers()
            if self._clock() >= self._next_group_tick:
                self._next_group_tick = self._clock() + self.profile.group_tick
                for region in self._regions.values():
                    reconcile.check(region)
            for region in self._regions.values():
                reconcile.advance(region)
            return self.publish() or changed

    def run_timers(self) -> bool:
        """Run what is due and publish if that changed the world. Under the lock.

        Each moment has a world of its own: who watches sees `pending` before `running` even when it takes no time.
        """
        return self._timers.run_due(self._clock()) > 0 and self.publish()

    def _run(self) -> None:
        with self.lock:
            while not self._stop:
                try:
                    self.tick()
                except Exception as problem:  # a background failure must not end time
                    self.log(f"the cloud's background work failed: {problem!r}")
                due = self._timers.next_due()
                wait = self._next_group_tick - self._clock()
                if due is not None:
                    wait = min(wait, due - self._clock())
                self._wake.wait(max(wait, 0.001))

    # what the lab does to machines --------------------------------------------------------------------------------

    def _change(self, instance_id: str, change: Callable[[Region, Machine], None]) -> None:
        with self.lock:
            region = self.region(self.region_name)
            change(region, region.machine(instance_id))
            self.publish()

    def pull_plug(self, instance_id: str) -> None:
        """The machine is dead at once; the API says running until the status check fails."""

        def pull(region: Region, machine: Machine) -> None:
            machine.plugged_in = False
            ec2_state.trouble(region, machine)

        self._change(instance_id, pull)

    def cut_network(self, instance_id: str) -> None:
        """All cables of the machine are cut; it runs on, and status checks fail in a while."""

        def cut(region: Region, machine: Machine) -> None:
            machine.connected = False
            ec2_state.trouble(region, machine)

        self._change(instance_id, cut)

    def disturb(
        self,
        instance_id: str,
        *,
        lossy: int | None = None,
        parted: int | None = None,
    ) -> None:
        """Make a machine's network bad in ways that status checks do not see; None leaves as it is.

        `lossy`: per mille of all its packets; `parted`: per mille of those to and from other instances.
        """

        def change(_region: Region, machine: Machine) -> None:
            machine.lossy = machine.lossy if lossy is None else lossy
            machine.parted = machine.parted if parted is None else parted

        self._change(instance_id, change)

    def separate(self, lost: Unreachable) -> None:
        """Nothing passes any more between somebody and something outside. Status checks do not see it."""
        with self.lock:
            region = self.region(self.region_name)
            if lost not in region.unreachable:
                region.unreachable.append(lost)
            self.publish()

    def rejoin(self, lost: Unreachable | None = None) -> None:
        """What `separate` did is undone; without an argument, for everything and everybody."""
        with self.lock:
            region = self.region(self.region_name)
            region.unreachable = [each for each in region.unreachable if lost not in (None, each)]
            self.publish()

    def mend_network(self, instance_id: str) -> None:
        """The cables are back, and nothing disturbs what they carry."""

        def mend(region: Region, machine: Machine) -> None:
            machine.connected = True
            machine.lossy = machine.parted = 0
            region.unreachable = [each for each in region.unreachable if each.instance != instance_id]
            ec2_state.trouble(region, machine)

        self._change(instance_id, mend)

    def guest_shutdown(self, instance_id: str) -> None:
        """The operating system powered itself off: stopped or terminated, as the instance's attribute says."""
        self._change(instance_id, ec2_state.guest_shutdown)

    def guest_reboot(self, instance_id: str) -> None:
        """The operating system rebooted itself."""

        def again(_region: Region, machine: Machine) -> None:
            if machine.state == "running":
                machine.boots += 1

        self._change(instance_id, again)

    def set_instance_host(self, instance_id: str, host: str) -> None:
        """Make an instance one of the lab's own hosts, as the tag `lab:host` does at launch."""

        def rename(_region: Region, machine: Machine) -> None:
            machine.host = host

        self._change(instance_id, rename)

    def interrupt_spot(self, instance_id: str, seconds: float = 120.0) -> None:
        """Give the two-minute notice; the instance is terminated after `seconds`."""

        def interrupt(region: Region, machine: Machine) -> None:
            if not machine.spot:
                raise AwsError("InvalidParameterValue", f"{instance_id} is not a Spot Instance")
            machine.spot_action = ("terminate", _iso(seconds))
            message = "Server.SpotInstanceTermination: Spot instance termination"

            def end() -> None:
                ec2_state.terminate(region, machine, "Server.SpotInstanceTermination", message)

            region.later(seconds, end)

        self._change(instance_id, interrupt)

    def recommend_rebalance(self, instance_id: str) -> None:
        """Say that the instance is at elevated risk of interruption."""

        def recommend(_region: Region, machine: Machine) -> None:
            machine.rebalance = _iso(0)

        self._change(instance_id, recommend)

    def credentials(self, instance_id: str) -> Credentials | None:
        """The instance's role credentials, None without an instance profile."""
        with self.lock:
            region = self.region(self.region_name)
            machine = region.machines.get(instance_id)
            role = world_view.role_of(region, machine.profile_arn) if machine and machine.alive else ""
            return self.principals.issue(instance_id, role) if role else None


def _iso(seconds: float) -> str:
    moment = datetime.datetime.now(datetime.UTC) + datetime.timedelta(seconds=seconds)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
