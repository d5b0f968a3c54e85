"""The lab while it runs: wires cloud, fabric, computers and metadata together and answers the control socket."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import waitress

from evernat.lab import addresses, control, place, troubles
from evernat.lab.aws import client
from evernat.lab.cloud import Cloud, Front, Network, build_network, images
from evernat.lab.computer import Computers
from evernat.lab.control import Answer
from evernat.lab.errors import LabError
from evernat.lab.fabric import Fabric
from evernat.lab.fabric.tools import FabricError
from evernat.lab.metadata import Metadata
from evernat.lab.profile import PROFILES
from evernat.lab.services import command
from evernat.lab.services.checkip import checkip
from evernat.lab.world import Instance, Unreachable, World

REGION = "us-west-2"
PLACES = ("internet", "isp", "router")


def log(text: str) -> None:
    """One line into daemon.log, with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S.%f} {text}", file=sys.stderr, flush=True)


class Running:
    """All of one lab. The methods named in `handlers` are the verbs of the control socket."""

    def __init__(
        self, directory: Path, name: str, run_id: str, latency: str, keeper: int, rootless: bool
    ) -> None:
        self.directory, self.name, self.id, self.latency = directory, name, run_id, latency
        self.rootless = rootless
        self.profile = PROFILES[latency]
        self.phase = "starting"
        self.ended = threading.Event()
        self.network: Network | None = None
        listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.endpoint = f"http://127.0.0.1:{listener.getsockname()[1]}"
        self.started = f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}"
        self.control = control.Server(directory / "control.sock", self.handlers(), log)
        self.phase = "building the fabric"
        self.fabric = Fabric(log=log)
        self.phase = "starting the cloud"
        self.cloud = Cloud(self.profile, region=REGION, log=log)
        self.computers = Computers(
            directory / "machines",
            netns=self.fabric.netns,
            on_exit=self._guest_ended,
            profile=self.profile,
            log=log,
            host_command=lambda host: command("client", host),
            system=images.system,
        )
        self.metadata = Metadata(self.cloud.world, self.cloud.credentials)
        self.servers = [
            serve(Front(self.cloud), [listener, self._listen("internet", addresses.API_HOST)], threads=24),
            serve(checkip, [self._listen("internet", addresses.CHECKIP_HOST)], threads=4),
            serve(self.metadata, [self._listen("router", addresses.METADATA)], threads=8),
        ]
        self.internet = self.fabric.spawn("internet", command("internet", "internet"))
        place.write(
            directory, place.LabFile(name, run_id, keeper, self.endpoint, REGION, latency, self.started)
        )

    def _listen(self, where: str, address: str) -> socket.socket:
        listener = self.fabric.socket(where, socket.AF_INET, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, 80))
        listener.listen(128)
        return listener

    def start(self) -> None:
        """Let the cloud run and build the network in it, through the API like any other user."""
        self.cloud.subscribe(self._follow)
        self.cloud.start()
        self.phase = "building the VPC"
        self.network = build_network(self.client)
        self.phase = "up"
        log("up")

    def client(self, service: str) -> Any:
        """A boto3 client of this lab."""
        return client(service, self.variables())

    def _follow(self, world: World) -> None:
        """Bring packets and machines in line with the world: what is gone goes before what is new comes."""
        self.computers.stop_gone(world)
        try:
            self.fabric.apply(world)
        except FabricError as error:
            log(f"the fabric is not what the cloud says: {error}")
        self.computers.start_new(world)

    def _guest_ended(self, instance_id: str, how: str) -> None:
        if how == "reboot":
            self.cloud.guest_reboot(instance_id)
        else:
            self.cloud.guest_shutdown(instance_id)

    # Verbs of the control socket

    def handlers(self) -> dict[str, control.Handler]:
        """Verb -> method."""
        return {
            "state": lambda: Answer(self.phase),
            "run_id": lambda: Answer(self.id),
            "status": self.status,
            "environment": self.environment,
            "enter": self.enter,
            "kill": self.kill,
            "mend": self.mend,
            "disturb": self.disturb,
            "separate": self.separate,
            "rejoin": self.rejoin,
            "stall": self.stall,
            "reboot": self.reboot,
            "fault": self.fault,
            "faults": self.faults,
            "clear_faults": self.clear_faults,
            "path_mtu": self.path_mtu,
            "calls": self.calls,
            "counters": lambda: Answer(self.fabric.counters()),
            "console": self.console,
            "spot": self.spot,
        }

    def status(self) -> Answer:
        """Everything about the lab, for people and programs."""
        world = self.cloud.world()
        hosts = [
            {"name": i.host, "address": i.private_address, "instance": i.id, "zone": i.zone}
            for i in world.instances
            if i.host
        ]
        hosts.append({"name": "internet", "address": addresses.INTERNET_HOST, "instance": "", "zone": ""})
        return Answer(
            {
                "name": self.name,
                "state": self.phase,
                "run_id": self.id,
                "region": REGION,
                "latency": self.latency,
                "endpoint": self.endpoint,
                "started": self.started,
                "directory": str(self.directory),
                "network": asdict(self.network) if self.network else None,
                "hosts": sorted(hosts, key=lambda h: h["name"]),
                "nodes": [self._node(world, i) for i in world.instances if not i.host],
                "troubles": troubles.of_all(world),
                "degraded": degraded(),
            }
        )

    def _node(self, world: World, instance: Instance) -> dict[str, Any]:
        mine = [e for e in world.enis if e.attachment and e.attachment.instance_id == instance.id]
        tags = dict(instance.tags)
        return {
            "id": instance.id,
            "name": tags.get("Name", ""),
            "stack": tags.get("evernat:stack", ""),
            "slot": tags.get("evernat:slot", ""),
            "state": instance.state,
            "powered": instance.powered,
            "connected": instance.connected,
            "troubles": troubles.of_instance(world, instance),
            "boots": instance.boots,
            "type": instance.instance_type,
            "zone": instance.zone,
            "spot": instance.spot,
            "private_address": instance.private_address,
            "public_addresses": [public for eni in mine for _, public in eni.public],
            "interfaces": [eni.id for eni in mine],
        }

    def environment(self) -> Answer:
        """Variables for any AWS client."""
        return Answer(self.variables())

    def variables(self) -> dict[str, str]:
        """Variables for any AWS client, and the lab's name for our own commands.

        The lab's user may do everything, and signatures are not checked.
        """
        return {
            "AWS_ENDPOINT_URL": self.endpoint,
            "AWS_REGION": REGION,
            "AWS_DEFAULT_REGION": REGION,
            "AWS_ACCESS_KEY_ID": "lab",
            "AWS_SECRET_ACCESS_KEY": "lab",
            "EVERNAT_LAB": self.name,
        }

    def _instance(self, node: str) -> Instance:
        world = self.cloud.world()
        found = [i for i in world.instances if node and (i.host == node or i.id.startswith(node))]
        if len(found) != 1:
            known = ", ".join(i.host or i.id for i in world.instances) or "none"
            what = "is not unique" if found else "is not there"
            raise LabError(f"node {node!r} {what} (known: {known})", "evernat lab status  shows all")
        return found[0]

    def enter(self, host: str, inside: bool) -> Answer:
        """Kinds and descriptors of the namespaces to enter, user namespace first."""
        kinds, fds = [], []
        if self.rootless:
            kinds.append("user")
            fds.append(os.open("/proc/self/ns/user", os.O_RDONLY))
        if host in PLACES and not inside:
            return Answer([*kinds, "net"], (*fds, self.fabric.place(host)))
        instance = self._instance(host)
        if not instance.powered:
            raise LabError(f"{host} is powered off", "evernat lab status  shows who runs")
        if inside:
            pid = self.computers.pid(instance.id)
            if pid is None:
                raise LabError(f"{host} has no files of its own", "leave --inside away")
            for kind, name in (("mount", "mnt"), ("uts", "uts"), ("pid", "pid")):
                kinds.append(kind)
                fds.append(os.open(f"/proc/{pid}/ns/{name}", os.O_RDONLY))
        return Answer([*kinds, "net"], (*fds, self.fabric.netns(instance.id)))

    def kill(self, node: str, how: str, interface: str = "") -> Answer:
        """Break a node. `interface` is for places out of its reach: only through that one."""
        if how in troubles.FAR:
            return self.separate(how, node, interface)
        if interface:
            raise LabError(
                f"--how {how} is for the whole node", f"--interface goes with {', '.join(troubles.FAR)}"
            )
        instance = self._instance(node)
        log(f"kill {instance.id} ({how})")
        ways: dict[str, Callable[[str], Any]] = {
            "power": self.cloud.pull_plug,
            "network": self.cloud.cut_network,
            "partition": lambda i: self.cloud.disturb(i, parted=1000),
            "agent": self.computers.kill_unit,
            "terminate": lambda i: self.client("ec2").terminate_instances(InstanceIds=[i]),
        }
        if how not in ways:
            raise LabError(f"--how {how!r} is not known", f"use one of {', '.join((*ways, *troubles.FAR))}")
        ways[how](instance.id)
        return Answer({"id": instance.id, "how": how})

    def separate(self, what: str, node: str = "", interface: str = "") -> Answer:
        """Put something outside out of reach, for a node or for everybody; see `troubles.unreachable`."""
        lost = self._unreachable(what, node, interface)
        log(f"unreachable: {lost}")
        self.cloud.separate(lost)
        return Answer({"id": lost.instance, "how": what})

    def rejoin(self, what: str, node: str = "", interface: str = "") -> Answer:
        """Undo one `separate`."""
        lost = self._unreachable(what, node, interface)
        log(f"reachable again: {lost}")
        self.cloud.rejoin(lost)
        return Answer({"id": lost.instance, "how": what})

    def _unreachable(self, what: str, node: str, interface: str) -> Unreachable:
        instance = self._instance(node).id if node else ""
        return troubles.unreachable(self.cloud.world(), what, instance, interface)

    def mend(self, node: str) -> Answer:
        """Give a node its whole network back."""
        instance = self._instance(node)
        log(f"mend {instance.id}")
        self.cloud.mend_network(instance.id)
        return Answer({"id": instance.id})

    def disturb(self, node: str, lossy: float | None = None, parted: float | None = None) -> Answer:
        """Lose a share (0 to 1) of a node's packets, or of those between it and other nodes."""
        instance = self._instance(node)
        log(f"disturb {instance.id}: lossy {lossy}, parted {parted}")
        self.cloud.disturb(instance.id, lossy=_per_mille(lossy), parted=_per_mille(parted))
        return Answer({"id": instance.id})

    def stall(self, node: str, seconds: float) -> Answer:
        """Stop a node's programs for a while."""
        instance = self._instance(node)
        if self.computers.pid(instance.id) is None:
            raise LabError(
                f"{node} has no programs that could be stopped", "evernat lab status  shows who runs"
            )
        log(f"stall {instance.id} for {seconds} s")
        self.computers.stall(instance.id, seconds)
        return Answer({"id": instance.id})

    def reboot(self, node: str) -> Answer:
        """Reboot through the API."""
        instance = self._instance(node)
        self.client("ec2").reboot_instances(InstanceIds=[instance.id])
        return Answer({"id": instance.id})

    def fault(self, **fault: Any) -> Answer:
        """Add a fault to API calls: arguments of `Faults.add`; or `interface_release` seconds."""
        if "interface_release" in fault:
            self.cloud.faults.interface_release(float(fault["interface_release"]))
        else:
            self.cloud.faults.add(**fault)
        return Answer(None)

    def faults(self) -> Answer:
        """The faults of API calls that have not struck as often as they should."""
        kept = ("action", "kind", "code", "seconds", "times", "struck", "principal")
        found = [f for f in self.cloud.faults.listed if not f.spent]
        return Answer([{name: getattr(fault, name) for name in kept} for fault in found])

    def clear_faults(self) -> Answer:
        """Take all faults of the API and of the network away."""
        self.cloud.faults.clear()
        self.fabric.set_path_mtu(1500)
        self.cloud.rejoin()
        for instance in self.cloud.world().instances:
            if not instance.connected or instance.lossy or instance.parted:
                self.cloud.mend_network(instance.id)
        return Answer(None)

    def path_mtu(self, mtu: int) -> Answer:
        """Narrow the path on the internet, in bytes."""
        self.fabric.set_path_mtu(mtu)
        return Answer(None)

    def calls(self, since: float = 0.0) -> Answer:
        """The API calls seen since a time (Unix seconds)."""
        return Answer([asdict(c) for c in list(self.cloud.calls) if c.time >= since])

    def console(self, node: str) -> Answer:
        """What a node wrote to its console so far."""
        path = self.computers.console(self._instance(node).id)
        return Answer(path.read_text(errors="replace") if path.exists() else "")

    def spot(self, node: str, notice: str, seconds: float = 120.0) -> Answer:
        """Give a node a spot interruption notice (terminated after `seconds`) or a rebalance recommendation."""
        instance = self._instance(node)
        if notice not in ("interrupt", "rebalance"):
            raise LabError(f"--notice {notice!r} is not known", "use interrupt or rebalance")
        if not instance.spot:
            raise LabError(f"{instance.id} is not a spot instance", "set  use_spot = true  in evernat.toml")
        log(f"spot {instance.id}: {notice}")
        if notice == "interrupt":
            self.cloud.interrupt_spot(instance.id, seconds)
        else:
            self.cloud.recommend_rebalance(instance.id)
        return Answer({"id": instance.id})

    def close(self) -> None:
        """Stop everything, machines before links before namespaces."""
        self.phase = "going down"
        self.control.close()
        self.cloud.close()
        self.computers.close()
        self.internet.terminate()
        self.internet.wait(5)
        self.fabric.close()


def _per_mille(share: float | None) -> int | None:
    if share is not None and not 0 <= share <= 1:
        raise LabError(f"a share of packets is from 0 to 1, not {share}", "0.05 is five of a hundred packets")
    return None if share is None else round(share * 1000)


def serve(app: Any, sockets: list[socket.socket], threads: int) -> Any:
    """Serve a WSGI application on bound sockets in a thread."""
    server = waitress.create_server(
        app, sockets=sockets, threads=threads, clear_untrusted_proxy_headers=False, connection_limit=1000
    )
    threading.Thread(target=server.run, name="http", daemon=True).start()
    return server


def degraded() -> list[str]:
    """What this machine does not allow the lab, in words."""
    found = []
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        found.append("real-time priority is denied: timings under load are worse than on a node")
    return found


def run(directory: Path, name: str, run_id: str, latency: str, keeper: int, rootless: bool) -> None:
    """Be the lab until SIGTERM."""
    running: list[Running] = []
    ended = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: ended.set())
    try:
        lab = Running(directory, name, run_id, latency, keeper, rootless)
        running.append(lab)
        threading.Thread(target=_start_or_end, args=(lab, ended), daemon=True).start()
        ended.wait()
    finally:
        for lab in running:
            begun = time.monotonic()
            lab.close()
            log(f"down after {time.monotonic() - begun:.2f} s")


def _start_or_end(lab: Running, ended: threading.Event) -> None:
    try:
        lab.start()
    except Exception as error:
        lab.phase = f"failed: {error!r}"
        log(lab.phase)
        time.sleep(1)
        ended.set()
        raise
