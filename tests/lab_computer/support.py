"""A little network for machines to boot in: one router namespace with the metadata service, one veth per instance."""

from __future__ import annotations

import ctypes
import os
import socket
import subprocess
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import waitress

from evernat.lab.computer import Computers
from evernat.lab.metadata import Credentials, Metadata
from evernat.lab.profile import NONE, Profile
from evernat.lab.world import Attachment, Eni, Instance, Subnet, World

_CLONE_NEWNET = 0x40000000
_libc = ctypes.CDLL(None, use_errno=True)


class Namespace:
    """A network namespace that only a descriptor holds."""

    def __init__(self) -> None:
        made: list[int] = []

        def make() -> None:
            assert _libc.unshare(_CLONE_NEWNET) == 0, os.strerror(ctypes.get_errno())
            made.append(os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC))

        thread = threading.Thread(target=make)
        thread.start()
        thread.join()
        self.fd = made[0]

    def inside(self, call: Callable[[], Any]) -> Any:
        """Call in a thread that is in this namespace."""
        result: list[Any] = []

        def enter() -> None:
            assert _libc.setns(self.fd, _CLONE_NEWNET) == 0
            result.append(call())

        thread = threading.Thread(target=enter)
        thread.start()
        thread.join()
        return result[0]

    def ip(self, text: str) -> None:
        """Run lines of ip(8)."""
        command = ["nsenter", f"--net=/proc/self/fd/{self.fd}", "ip", "-batch", "-"]
        subprocess.run(command, input=text, text=True, check=True, pass_fds=(self.fd,))

    def close(self) -> None:
        """Let go of it."""
        os.close(self.fd)


class Lab:
    """Computers and metadata without cloud and fabric; `set` plays both."""

    def __init__(self, directory: Path, profile: Profile = NONE, **more: Any) -> None:
        self.directory = directory
        self.world = World(
            region="us-west-2", account="123456789012", vpc_cidrs=("10.0.0.0/16",),
            subnets=(Subnet("subnet-1", "10.0.0.0/24", "us-west-2a", "rtb-1"),),
        )  # fmt: skip
        self.exits: list[tuple[str, str]] = []
        self.logs: list[str] = []
        self.credentials: Credentials | None = None
        self._router = Namespace()
        self._router.ip("link set lo up\naddress add 169.254.169.254/32 dev lo\n")
        self._namespaces: dict[tuple[str, int], Namespace] = {}
        listener = self._router.inside(self._listen)
        app = Metadata(lambda: self.world, lambda _: self.credentials)
        self._server = waitress.create_server(
            app, sockets=[listener], threads=4, clear_untrusted_proxy_headers=False
        )
        threading.Thread(target=self._server.run, daemon=True).start()
        self.computers = Computers(
            directory / "machines", self._netns, lambda *each: self.exits.append(each), profile, self.logs.append,
            host_command=lambda name: ["sh", "-c", f"echo host {name}; exec sleep 1000"], **more,
        )  # fmt: skip

    @staticmethod
    def _listen() -> socket.socket:
        listener = socket.socket()
        listener.bind(("169.254.169.254", 80))
        listener.listen()
        return listener

    def _netns(self, instance_id: str) -> int:
        boots = next(each.boots for each in self.world.instances if each.id == instance_id)
        return self._namespaces[instance_id, boots].fd

    def _wire(self, instance: Instance) -> None:
        if (instance.id, instance.boots) in self._namespaces:
            return
        namespace = self._namespaces[instance.id, instance.boots] = Namespace()
        port = f"p{len(self._namespaces)}"
        namespace.ip(f"link set lo up\nlink add ens5 type veth peer name {port}\n")
        subprocess.run(
            ["nsenter", f"--net=/proc/self/fd/{namespace.fd}", "ip", "link", "set", port, "netns",
             f"/proc/self/fd/{self._router.fd}"],
            check=True, pass_fds=(namespace.fd, self._router.fd),
        )  # fmt: skip
        address = instance.private_address
        self._router.ip(
            f"link set {port} up\naddress add 10.0.0.1/32 dev {port}\nroute replace {address}/32 dev {port}\n"
        )
        namespace.ip(
            f"address add {address}/32 dev ens5\nlink set ens5 up\n"
            "route add 10.0.0.1 dev ens5 scope link\nroute add default via 10.0.0.1\n"
        )

    def set(self, *instances: Instance) -> None:
        """Make these the instances there are."""
        enis = tuple(
            Eni(f"eni-{each.id}", f"02:00:00:00:00:{number:02x}", "subnet-1", (each.private_address,),
                attachment=Attachment(each.id, 0))
            for number, each in enumerate(instances)
        )  # fmt: skip
        self.world = replace(self.world, instances=instances, enis=enis)
        self.computers.stop_gone(self.world)
        for each in instances:
            if each.powered:
                self._wire(each)
        self.computers.start_new(self.world)

    def run(self, instance_id: str, *command: str) -> subprocess.CompletedProcess[str]:
        """Run a command inside an instance."""
        pid = self.computers.pid(instance_id)
        assert pid, f"{instance_id} does not run: {self.console(instance_id)}"
        # Like what init starts: nothing in an instance may set the machine's clock or make devices.
        drop = ["setpriv", "--bounding-set", "-sys_time,-mknod,-sys_rawio"]
        enter = [*drop, "nsenter", "-t", str(pid), "-m", "-u", "-p", "-n", "-i"]
        path = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"}
        return subprocess.run([*enter, *command], capture_output=True, text=True, env=path, check=False)

    def out(self, instance_id: str, *command: str) -> str:
        """What a command prints; it must succeed."""
        result = self.run(instance_id, *command)
        assert result.returncode == 0, (
            f"{command}: {result.stdout}{result.stderr}\n{self.console(instance_id)}"
        )
        return result.stdout.strip()

    def console(self, instance_id: str) -> str:
        """The instance's console so far."""
        path = self.computers.console(instance_id)
        return path.read_text() if path.exists() else ""

    def wait(self, condition: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Wait until something is so, and answer it."""
        deadline = time.monotonic() + seconds
        while not (got := condition()):
            consoles = "\n".join(self.console(each.id) for each in self.world.instances)
            assert time.monotonic() < deadline, f"still not so; log {self.logs}; consoles:\n{consoles}"
            time.sleep(0.01)
        return got

    def booted(self, instance_id: str) -> None:
        """Wait for the end of its user data."""
        self.wait(lambda: "Cloud-init of the lab finished" in self.console(instance_id))

    def close(self) -> None:
        """Take everything down."""
        self.computers.close()
        self._server.close()
        for each in (*self._namespaces.values(), self._router):
            each.close()


def instance(
    user_data: bytes | str = b"", name: str = "i-0000000000000001", last: int = 10, **more: Any
) -> Instance:
    """A running instance with address 10.0.0.`last`."""
    data = user_data.encode() if isinstance(user_data, str) else user_data
    values: dict[str, Any] = {
        "id": name, "state": "running", "zone": "us-west-2a", "subnet_id": "subnet-1", "instance_type": "t4g.nano",
        "image_id": "ami-1", "private_address": f"10.0.0.{last}", "user_data": data,
    }  # fmt: skip
    return Instance(**{**values, **more})
