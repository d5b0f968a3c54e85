"""How others keep a NAT instance available, in the same lab as ours, written from what they publish about it.

- "re-attach at boot" (one instance in an Auto Scaling group; user data attaches a persistent interface that carries
  the Elastic IP, then masquerades): nothing happens until the group has found the instance dead and the next one has
  booted.
- "periodic check" (a function beside the NAT instance asks for a page through it every 5 s, and when that fails puts
  the route on a managed NAT gateway that stands by): found out within 5 s and the page's timeout; another address.

Neither knows anything of connections. Both get every advantage the lab can give: their programs are as short as they
can be, their packages are there at once, their API calls need no permission, and nothing of them is throttled.
"""

from __future__ import annotations

import base64
import contextlib
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from threading import Event, Thread
from typing import Any

from bench.figure import Figure, median
from evernat.lab import aws, checks
from evernat.lab.addresses import API_HOST, INTERNET_HOST
from evernat.lab.checks import attempt, until
from evernat.lab.client import Lab
from evernat.lab.errors import LabError
from evernat.lab.load import Host, Load, server
from evernat.lab.probing import watching

IMAGE = "resolve:ssm:/aws/service/ami-amazon-linux-latest/al2023-ami-kernel-default-arm64"
EVERY = 5.0
"""Seconds between two checks, and seconds a check may take."""

LONGEST_WAIT = 15.0
"""Seconds a connection has to show that it lives, once packets pass again."""

NODE = """#!/usr/bin/python3
import subprocess, sys, time, urllib.error, urllib.parse, urllib.request
METADATA = "http://169.254.169.254/latest/"
INTERFACE = "{interface}"

def ask(url, data=None, method=None, **headers):
    names = {{k.replace("_", "-"): v for k, v in headers.items()}}
    return urllib.request.urlopen(urllib.request.Request(url, data, names, method=method), timeout=5).read().decode()

def api(**parameters):
    parameters["Version"] = "2016-11-15"
    return ask("http://{api}/", urllib.parse.urlencode(parameters).encode())

def links():
    return [w.split("@")[0] for w in subprocess.check_output(["ip", "-o", "link"], text=True).split(": ")[1::2]]

token = ask(METADATA + "api/token", method="PUT", X_aws_ec2_metadata_token_ttl_seconds="600")
instance = ask(METADATA + "meta-data/instance-id", X_aws_ec2_metadata_token=token)
subprocess.run(["dnf", "install", "-y", "nftables"], check=True)
out = "ens5"
if INTERFACE:
    out = "ens6"
    while True:
        try:
            api(Action="AttachNetworkInterface", NetworkInterfaceId=INTERFACE, InstanceId=instance, DeviceIndex="1")
            break
        except urllib.error.URLError:
            time.sleep(1)
    while subprocess.run(["ip", "route", "replace", "default", "via", "{router}", "dev", out]).returncode:
        time.sleep(0.1)
open("/proc/sys/net/ipv4/ip_forward", "w").write("1")
rules = "table ip nat {{ chain post {{ type nat hook postrouting priority srcnat; oifname %s masquerade; }}; }}" % out
subprocess.run(["nft", "-f", "-"], input=rules, text=True, check=True)
"""


@dataclass(frozen=True)
class Rival:
    """Another way, up and running: the instance that does the work, and its public address."""

    name: str
    instance: Callable[[], str]
    public: str


@dataclass(frozen=True)
class Outcome:
    """What clients noticed when the node was powered off. `gap` in seconds, of 10 ms probes."""

    gap: float
    kept: int
    held: int
    stream: bool
    same_address: bool


def outage(
    lab: Lab,
    node: str,
    public: str,
    *,
    counts: dict[str, int],
    client: str = "client-a",
    within: float = 300,
    patience: float = LONGEST_WAIT,
) -> Outcome:
    """Power the node off under probes and held connections, wait until packets pass again, ask who lived."""
    with server(lab), Load(lab, [Host(client, counts)] if counts else []) as load:
        with watching(lab, client) as seen:
            time.sleep(0.5)
            begun = time.monotonic()
            lab.kill(node, "power")
            if not until(lambda: checks.udp(lab, client).ok, within):
                raise RuntimeError(f"no packets {within:.0f} s after {node} was powered off")
            # What TCP repeats comes later the longer it was silent.
            time.sleep(min(1 + 1.2 * (time.monotonic() - begun), patience))
        found = load.check(patience) if counts else load.opened
        address = attempt(lab, client, "tcp", INTERNET_HOST, 80).get("address")
    return Outcome(
        seen.longest_gap, found.total("alive"), found.total("wanted"), seen.stream_alive, address == public
    )


@contextmanager
def reattach_at_boot(lab: Lab) -> Iterator[Rival]:
    """One instance in a group, one interface that outlives it."""
    made = _Made(lab)
    with contextlib.ExitStack() as stack:
        stack.callback(made.undo)
        interface, public = made.interface()
        made.group(interface)
        made.routes(NetworkInterfaceId=interface)
        made.await_nat(public)
        yield Rival("re-attach at boot", lambda: made.holder(interface), public)


@contextmanager
def periodic_check(lab: Lab) -> Iterator[Rival]:
    """One instance, a managed NAT gateway beside it, and who looks every 5 s."""
    made = _Made(lab)
    stop = Event()
    with contextlib.ExitStack() as stack:
        stack.callback(made.undo)
        instance, public = made.instance()
        standby = made.nat_gateway()
        interface = made.interface_of(instance)
        made.routes(NetworkInterfaceId=interface)
        made.await_nat(public)
        watcher = Thread(target=_watch, args=(lab, made, standby, stop), daemon=True)
        watcher.start()
        stack.callback(watcher.join)
        stack.callback(stop.set)
        yield Rival("periodic check", lambda: instance, public)


def _watch(lab: Lab, made: _Made, standby: str, stop: Event) -> None:
    """Ask for a page from the private subnet; the API is reached by an endpoint of its own, not through the NAT."""
    while not stop.wait(EVERY):
        if "error" in attempt(lab, "client-a", "tcp", INTERNET_HOST, 80, timeout=EVERY):
            made.routes(NatGatewayId=standby)
            return


class _Made:
    """What a rival needs, made by API calls in the lab's public subnet of zone a, and taken away again."""

    def __init__(self, lab: Lab) -> None:
        self._lab = lab
        self._ec2 = aws.client("ec2", lab.environment())
        self._groups = aws.client("autoscaling", lab.environment())
        self._network = lab.status()["network"]
        self._undo: list[Callable[[], object]] = []

    def undo(self) -> None:
        """Take all of it away, last first."""
        for step in reversed(self._undo):
            until(lambda: self._tried(step), 30)  # noqa: B023 - called at once

    @staticmethod
    def _tried(step: Callable[[], object]) -> bool:
        """Things in use become free after a while."""
        try:
            step()
        except Exception:  # whatever AWS calls it
            return False
        return True

    def interface(self) -> tuple[str, str]:
        """A persistent interface with an Elastic IP on it."""
        made = self._ec2.create_network_interface(
            SubnetId=self._network["public_subnet_ids"][0], Groups=[self._network["client_group_id"]]
        )["NetworkInterface"]["NetworkInterfaceId"]
        self._undo.append(lambda: self._ec2.delete_network_interface(NetworkInterfaceId=made))
        self._ec2.modify_network_interface_attribute(
            NetworkInterfaceId=made, SourceDestCheck={"Value": False}
        )
        return str(made), self._elastic_ip(made)

    def _elastic_ip(self, interface: str) -> str:
        address = self._allocate()
        found = self._ec2.associate_address(
            AllocationId=address["AllocationId"], NetworkInterfaceId=interface
        )
        self._undo.append(lambda: self._ec2.disassociate_address(AssociationId=found["AssociationId"]))
        return str(address["PublicIp"])

    def _allocate(self) -> dict[str, Any]:
        made = self._ec2.allocate_address(Domain="vpc")
        self._undo.append(lambda: self._ec2.release_address(AllocationId=made["AllocationId"]))
        return dict(made)

    def _launch(self, interface: str) -> dict[str, Any]:
        router = self._network["public_cidrs"][0].replace(".0/20", ".1")
        return {
            "ImageId": IMAGE,
            "InstanceType": "t4g.nano",
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "AssociatePublicIpAddress": True,
                    "Groups": [self._network["client_group_id"]],
                }
            ],
            "UserData": NODE.format(interface=interface, api=API_HOST, router=router),
        }

    def instance(self) -> tuple[str, str]:
        """A NAT instance with an Elastic IP on its own interface."""
        launch = self._launch("")
        launch["NetworkInterfaces"][0]["SubnetId"] = self._network["public_subnet_ids"][0]
        made = self._ec2.run_instances(MinCount=1, MaxCount=1, **launch)["Instances"][0]["InstanceId"]
        self._undo.append(lambda: self._ec2.terminate_instances(InstanceIds=[made]))
        self._ec2.modify_instance_attribute(InstanceId=made, SourceDestCheck={"Value": False})
        if not until(lambda: self._is_out(made), 60):
            raise RuntimeError(f"{made} did not boot")
        return str(made), self._elastic_ip(self.interface_of(made))

    def _is_out(self, instance: str) -> bool:
        with contextlib.suppress(LabError):  # not powered on yet
            return "address" in checks.attempt(self._lab, instance, "tcp", INTERNET_HOST, 80)
        return False

    def interface_of(self, instance: str) -> str:
        """The first interface of an instance."""
        found = self._ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        return str(found["NetworkInterfaces"][0]["NetworkInterfaceId"])

    def group(self, interface: str) -> None:
        """An Auto Scaling group of one instance that attaches the interface when it boots."""
        launch = self._launch(interface)
        launch["UserData"] = base64.b64encode(launch["UserData"].encode()).decode()
        name = "rival-reattach"
        self._ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=launch)
        self._undo.append(lambda: self._ec2.delete_launch_template(LaunchTemplateName=name))
        self._groups.create_auto_scaling_group(
            AutoScalingGroupName=name,
            LaunchTemplate={"LaunchTemplateName": name, "Version": "$Latest"},
            MinSize=1,
            MaxSize=1,
            DesiredCapacity=1,
            VPCZoneIdentifier=self._network["public_subnet_ids"][0],
        )
        self._undo.append(
            lambda: self._groups.delete_auto_scaling_group(AutoScalingGroupName=name, ForceDelete=True)
        )

    def holder(self, interface: str) -> str:
        """The instance that has the interface now."""
        found = self._ec2.describe_network_interfaces(NetworkInterfaceIds=[interface])["NetworkInterfaces"]
        return str(found[0].get("Attachment", {}).get("InstanceId", ""))

    def nat_gateway(self) -> str:
        """A managed NAT gateway with its own Elastic IP."""
        address = self._allocate()
        made = self._ec2.create_nat_gateway(
            SubnetId=self._network["public_subnet_ids"][0], AllocationId=address["AllocationId"]
        )["NatGateway"]["NatGatewayId"]
        self._undo.append(lambda: self._ec2.delete_nat_gateway(NatGatewayId=made))
        return str(made)

    def routes(self, **target: str) -> None:
        """The default routes of all private subnets lead there."""
        for table in self._network["private_route_table_ids"]:
            route = {"RouteTableId": table, "DestinationCidrBlock": "0.0.0.0/0"}
            try:
                self._ec2.replace_route(**route, **target)
            except self._ec2.exceptions.ClientError:
                self._ec2.create_route(**route, **target)
                self._undo.append(lambda route=route: self._ec2.delete_route(**route))  # type: ignore[misc]

    def await_nat(self, public: str) -> None:
        """Until clients are out under the address."""
        if not until(lambda: checks.tcp(self._lab, "client-a", public).ok, 120):
            raise RuntimeError(f"clients are not out under {public} within 120 s")


RIVALS: Sequence[Callable[[Lab], contextlib.AbstractContextManager[Rival]]] = (
    reattach_at_boot,
    periodic_check,
)


def figures(lab: Lab, latency: str, rounds: int, counts: dict[str, int]) -> list[tuple[Figure, float]]:
    """Each rival, set up anew in every round: its figure, and the median gap to compare ours with."""
    found = []
    for rival in RIVALS:
        outcomes = []
        for _ in range(rounds):
            with rival(lab) as one:
                outcomes.append(outage(lab, one.instance(), one.public, counts=counts))
                name = one.name
        gap = median([outcome.gap for outcome in outcomes])
        last = outcomes[-1]
        address = "same" if last.same_address else "another"
        value = f"{gap:.1f} s, {last.kept} of {last.held} connections kept, {address} address"
        figure = Figure(
            f"{name}: power-off to packets again", value, on=f"lab, {latency}, median of {rounds}"
        )
        found.append((figure, gap))
    return found
