"""A cloud behind a real HTTP server, with a clock that only tests move."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError
from waitress.server import create_server

from evernat.lab.cloud import Cloud, Front
from evernat.lab.cloud.images import IMAGES
from evernat.lab.profile import NONE, Profile

REGION = "us-west-2"
ARM, X86 = IMAGES[0].id, IMAGES[1].id


def parameter_names(ssm: Any) -> list[str]:
    """Names of all parameters; one answer holds ten."""
    pages = ssm.get_paginator("describe_parameters").paginate()
    return [p["Name"] for answer in pages for p in answer["Parameters"]]


class Clock:
    """Seconds that pass when a test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Server:
    """One HTTP server for all clouds of the session; `cloud` is the one of the running test."""

    def __init__(self) -> None:
        self.cloud: Cloud | None = None
        self._server = create_server(self._app, host="127.0.0.1", port=0, threads=4)
        self.url = f"http://127.0.0.1:{self._server.effective_port}"
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()

    def _app(self, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        assert self.cloud is not None
        return Front(self.cloud)(environ, start_response)

    def close(self) -> None:
        self._server.close()

    def client(
        self, service: str, key: str = "lab", secret: str = "lab", token: str | None = None, **kw: Any
    ) -> Any:
        """A boto3 client that does not try again by itself."""
        config = Config(retries={"total_max_attempts": 1}, connect_timeout=3, read_timeout=10)
        make: Any = boto3.client  # the service is not a literal here
        return make(
            service,
            region_name=kw.pop("region", REGION),
            endpoint_url=self.url,
            aws_access_key_id=key,
            aws_secret_access_key=secret,
            aws_session_token=token,
            config=config,
        )


@dataclass
class Lab:
    """A cloud with a small network: one VPC, a public subnet in zone a, private ones in a and b, a group, a gateway."""

    cloud: Cloud
    clock: Clock
    server: Server
    ec2: Any
    asg: Any
    iam: Any
    vpc: str = ""
    public: str = ""
    private: str = ""
    other_zone: str = ""
    gateway: str = ""
    table: str = ""
    group: str = ""

    def advance(self, seconds: float = 0.0) -> None:
        """Let time pass and everything that is due happen, step by step."""
        end = self.clock.now + seconds
        while self.clock.now < end:
            self.clock.now = min(end, self.clock.now + 0.2)
            self.cloud.tick()
        for _ in range(3):
            self.cloud.tick()

    def run(self, settle: bool = True, **params: Any) -> str:
        """Launch an instance and wait until it runs."""
        params = {"ImageId": ARM, "InstanceType": "t4g.nano", "MinCount": 1, "MaxCount": 1} | params
        if not params.get("NetworkInterfaces"):
            params = {"SubnetId": self.public, "SecurityGroupIds": [self.group]} | params
        instance_id = str(self.ec2.run_instances(**params)["Instances"][0]["InstanceId"])
        if settle:
            self.advance()
        return instance_id

    def eni(self, **params: Any) -> str:
        """Make an interface in the public subnet."""
        made = self.ec2.create_network_interface(**{"SubnetId": self.public, "Groups": [self.group]} | params)
        return str(made["NetworkInterface"]["NetworkInterfaceId"])

    def eip(self) -> tuple[str, str]:
        """Allocate an Elastic IP: (allocation id, address)."""
        made = self.ec2.allocate_address(Domain="vpc")
        return made["AllocationId"], made["PublicIp"]

    def attach(self, eni: str, instance: str, index: int = 1) -> str:
        """Attach an interface; gives the attachment id."""
        made = self.ec2.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=instance, DeviceIndex=index
        )
        return str(made["AttachmentId"])

    def instance(self, instance_id: str) -> dict[str, Any]:
        """An instance as DescribeInstances shows it."""
        found = self.ec2.describe_instances(InstanceIds=[instance_id])["Reservations"][0]["Instances"][0]
        return dict(found)

    def interface(self, eni: str) -> dict[str, Any]:
        """An interface as DescribeNetworkInterfaces shows it."""
        return dict(self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])["NetworkInterfaces"][0])

    def routes(self, table: str) -> dict[str, dict[str, Any]]:
        """The routes of a table by destination."""
        found = self.ec2.describe_route_tables(RouteTableIds=[table])["RouteTables"][0]["Routes"]
        return {r["DestinationCidrBlock"]: r for r in found}


def make_lab(server: Server, profile: Profile = NONE, log: Callable[[str], None] = print) -> Lab:
    """A fresh cloud behind the session's server."""
    clock = Clock()
    cloud = Cloud(profile, REGION, log, clock=clock, sleep=lambda _s: None)
    server.cloud = cloud
    clients = {name: _client(server, name) for name in ("ec2", "autoscaling", "iam")}
    lab = Lab(cloud, clock, server, clients["ec2"], clients["autoscaling"], clients["iam"])
    lab.vpc = lab.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnets = [("10.0.0.0/24", "a"), ("10.0.1.0/24", "a"), ("10.0.2.0/24", "b")]
    lab.public, lab.private, lab.other_zone = (
        lab.ec2.create_subnet(VpcId=lab.vpc, CidrBlock=c, AvailabilityZone=REGION + z)["Subnet"]["SubnetId"]
        for c, z in subnets
    )
    lab.gateway = lab.ec2.create_internet_gateway()["InternetGateway"]["InternetGatewayId"]
    lab.ec2.attach_internet_gateway(InternetGatewayId=lab.gateway, VpcId=lab.vpc)
    lab.table = lab.ec2.create_route_table(VpcId=lab.vpc)["RouteTable"]["RouteTableId"]
    lab.group = lab.ec2.create_security_group(GroupName="g", Description="g", VpcId=lab.vpc)["GroupId"]
    return lab


_CLIENTS: dict[tuple[str, str], Any] = {}


def _client(server: Server, service: str) -> Any:
    # Making a client takes 50 ms; they keep no state.
    key = (server.url, service)
    if key not in _CLIENTS:
        _CLIENTS[key] = server.client(service)
    return _CLIENTS[key]


@contextmanager
def refused(code: str) -> Iterator[None]:
    """The call inside fails with AWS's error code."""
    with pytest.raises(ClientError) as caught:
        yield
    assert caught.value.response["Error"]["Code"] == code, caught.value
