"""The lab while it runs: wires cloud, fabric, computers and metadata together and answers the control socket."""

from __future__ import annotations

import os
import resource
import signal
import socket
import sys
import threading
import time
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import waitress

from evernat.lab import addresses, control, place, troubles
from evernat.lab.aws import client
from evernat.lab.breaking import Breaking
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
from evernat.lab.world import Instance, World

REGION = "us-west-2"
PLACES = ("internet", "isp", "router")


def log(text: str) -> None:
    """One line into daemon.log, with the time."""
    print(f"{datetime.now(UTC):%H:%M:%S.%f} {text}", file=sys.stderr, flush=True)


class Running:
    """All of one lab. The methods named in `handlers` are verbs of the control socket, as are those of `Breaking`."""

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
        self.verbs = self.handlers()
        self.control = control.Server(directory / "control.sock", self.verbs, log)
        self.phase = "building the fabric"
        self.fabric = Fabric(log=log)
        self.phase = "starting the cloud"
        self.cloud = Cloud(
            self.profile,
            region=REGION,
            log=log,
            console=lambda instance: self.computers.console_text(instance),
        )
        self.computers = Computers(
            directory / "machines",
            netns=self.fabric.netns,
            on_exit=self._guest_ended,
            profile=self.profile,
            log=log,
            host_command=lambda host: command("client", host),
            system=images.system,
        )
        self.breaking = Breaking(self.cloud, self.computers, self.fabric, self.client, log)
        self.verbs |= self.breaking.handlers()
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
            "calls": self.calls,
            "counters": lambda: Answer(self.fabric.counters()),
            "console": self.console,
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
            "troubles": self.breaking.troubles(instance),
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

    def enter(self, host: str, inside: bool) -> Answer:
        """Kinds and descriptors of the namespaces to enter, user namespace first."""
        kinds, fds = [], []
        if self.rootless:
            kinds.append("user")
            fds.append(os.open("/proc/self/ns/user", os.O_RDONLY))
        if host in PLACES and not inside:
            return Answer([*kinds, "net"], (*fds, self.fabric.place(host)))
        instance = troubles.find(self.cloud.world(), host)
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

    def calls(self, since: float = 0.0) -> Answer:
        """The API calls seen since a time (Unix seconds)."""
        return Answer([asdict(c) for c in list(self.cloud.calls) if c.time >= since])

    def console(self, node: str) -> Answer:
        """What a node wrote to its console so far."""
        path = self.computers.console(troubles.find(self.cloud.world(), node).id)
        return Answer(path.read_text(errors="replace") if path.exists() else "")

    def close(self) -> None:
        """Stop everything, machines before links before namespaces."""
        self.phase = "going down"
        self.control.close()
        self.cloud.close()
        self.computers.close()
        self.internet.terminate()
        self.internet.wait(5)
        self.fabric.close()


MOST = 10_000
"""Connections, to each service."""


def serve(app: Any, sockets: list[socket.socket], threads: int) -> Any:
    """Serve a WSGI application on bound sockets in a thread.

    By poll(): select() ends with descriptor 1024. A node whose address moves leaves its connections half open, and each
    stands for two minutes.
    """
    server = waitress.create_server(
        app,
        sockets=sockets,
        threads=threads,
        clear_untrusted_proxy_headers=False,
        connection_limit=MOST,
        asyncore_use_poll=True,
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
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
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
