from __future__ import annotations

import threading
import time
import urllib.request
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError

from evernat.lab.cloud import Cloud
from evernat.lab.cloud.registry import HANDLERS
from evernat.lab.profile import NONE
from evernat.lab.world import World
from tests.lab_cloud.support import Lab, Server, make_lab, refused


def test_an_unknown_action_is_refused(lab: Lab) -> None:
    """InvalidAction for what AWS has and the lab has not, and for what nobody has."""
    for call in (lab.ec2.describe_fleets, lab.asg.describe_policies, lab.iam.list_users):
        with refused("InvalidAction"):
            call()
    request = urllib.request.Request(lab.server.url, data=b"Action=DoMagic&Version=2016-11-15")
    with pytest.raises(urllib.error.HTTPError) as caught:
        urllib.request.urlopen(request)
    assert (caught.value.code, b"InvalidAction" in caught.value.read()) == (400, True)


def test_an_unknown_service_is_refused(lab: Lab) -> None:
    """A service the lab does not have answers with an error, not with silence."""
    with pytest.raises(ClientError):
        lab.server.client("sns").list_topics()


@pytest.mark.parametrize("service", ["ec2", "autoscaling", "iam", "ssm", "sts"])
def test_a_bug_of_the_lab_looks_like_one_of_aws(
    server: Server, service: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An exception inside becomes InternalError with status 500 in the service's protocol, and is logged."""
    lines: list[str] = []
    make_lab(server, log=lines.append)
    action = {
        "ec2": "DescribeAddresses", "autoscaling": "DescribeTags", "iam": "ListRoles",
        "ssm": "GetParameters", "sts": "GetCallerIdentity",
    }[service]  # fmt: skip

    def broken(_region: Any, _params: Any) -> Any:
        raise ZeroDivisionError("oops")

    monkeypatch.setitem(HANDLERS, (service, action), broken)
    client = server.client(service)
    calls: dict[str, Callable[[], Any]] = {
        "ec2": lambda: client.describe_addresses(),
        "autoscaling": lambda: client.describe_tags(),
        "iam": lambda: client.list_roles(),
        "ssm": lambda: client.get_parameters(Names=["x"]),
        "sts": lambda: client.get_caller_identity(),
    }
    with pytest.raises(ClientError) as caught:
        calls[service]()
    assert caught.value.response["Error"]["Code"] == "InternalError"
    assert caught.value.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert any("ZeroDivisionError" in line for line in lines)


def test_who_am_i(lab: Lab) -> None:
    """GetCallerIdentity names the account and the lab's user."""
    found = lab.server.client("sts").get_caller_identity()
    assert (found["Account"], found["Arn"]) == ("123456789012", "arn:aws:iam::123456789012:user/lab")


def test_a_session_that_is_over(lab: Lab) -> None:
    """Access keys that begin with EXPIRED play it: RequestExpired from EC2, ExpiredToken elsewhere."""
    for service, code in (("ec2", "RequestExpired"), ("sts", "ExpiredToken")):
        client = lab.server.client(service, "EXPIREDKEY", "x", "t")
        with refused(code):
            client.describe_vpcs() if service == "ec2" else client.get_caller_identity()


def test_faults_strike_the_nth_call(lab: Lab) -> None:
    """The second and third AllocateAddress fail with the code given, the fourth works."""
    lab.cloud.faults.add("AllocateAddress", "AddressLimitExceeded", nth=2, times=2)
    lab.eip()
    for _ in range(2):
        with refused("AddressLimitExceeded"):
            lab.eip()
    lab.eip()
    assert len(lab.ec2.describe_addresses()["Addresses"]) == 2


def test_throttling_has_each_services_code(lab: Lab) -> None:
    """RequestLimitExceeded from EC2, Throttling elsewhere."""
    lab.cloud.faults.add("*", "throttle", times=2)
    with refused("RequestLimitExceeded"):
        lab.eip()
    with refused("Throttling"):
        lab.asg.describe_tags()


def test_a_connection_cut_before_and_after(lab: Lab) -> None:
    """drop-before: nothing happened; drop-after: it happened and nobody was told."""
    lab.cloud.faults.add("ec2:AllocateAddress", "drop-before")
    with pytest.raises(ConnectionClosedError):
        lab.eip()
    assert lab.ec2.describe_addresses()["Addresses"] == []
    lab.cloud.faults.add("ec2:AllocateAddress", "drop-after")
    with pytest.raises(ConnectionClosedError):
        lab.eip()
    assert len(lab.ec2.describe_addresses()["Addresses"]) == 1
    assert [c.error for c in lab.cloud.calls if c.action == "AllocateAddress"] == ["dropped", None]


def test_cleared_faults_are_gone(lab: Lab) -> None:
    """clear() ends them all."""
    lab.cloud.faults.add("*", "AccessDenied", times=99)
    lab.cloud.faults.clear()
    lab.eip()


def test_latency_is_spent_before_the_effect(server: Server) -> None:
    """A call takes its profile's time, others the default; a delay fault adds to it."""
    spent: list[float] = []
    make_lab(server)
    cloud = Cloud(replace(NONE, calls={"AllocateAddress": 1.0}, default_call=0.25), sleep=spent.append)
    server.cloud = cloud
    client = server.client("ec2")
    client.allocate_address()
    client.describe_addresses()
    cloud.faults.add("DescribeAddresses", "delay", seconds=2.0)
    client.describe_addresses()
    assert spent == [1.0, 0.25, 2.25]


def test_every_call_is_in_the_log(lab: Lab) -> None:
    """Who, what, with what, and how it ended."""
    lab.cloud.calls.clear()
    with refused("InvalidVpcID.NotFound"):
        lab.ec2.describe_vpcs(VpcIds=["vpc-1"])
    eni = lab.eni()
    first, second = lab.cloud.calls
    assert (first.name, first.error, first.principal, first.source) == (
        "ec2:DescribeVpcs",
        "InvalidVpcID.NotFound",
        "user",
        "127.0.0.1",
    )
    assert (second.action, second.error, second.changed) == ("CreateNetworkInterface", None, True)
    assert second.params["SubnetId"] == lab.public
    lab.ec2.delete_network_interface(NetworkInterfaceId=eni)
    assert lab.cloud.calls[-1].resources[0].arn.endswith(f":network-interface/{eni}")


def test_many_callers_at_once(lab: Lab) -> None:
    """One lock: 8 threads making and deleting interfaces see no error, and nothing is left."""
    problems: list[BaseException] = []

    def work() -> None:
        client = lab.server.client("ec2")
        try:
            for _ in range(5):
                eni = client.create_network_interface(SubnetId=lab.public)["NetworkInterface"][
                    "NetworkInterfaceId"
                ]
                client.describe_network_interfaces()
                client.delete_network_interface(NetworkInterfaceId=eni)
        except BaseException as problem:
            problems.append(problem)

    threads = [threading.Thread(target=work) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert problems == []
    assert lab.cloud.world().enis == ()


def test_a_subscriber_that_fails_harms_nobody(lab: Lab) -> None:
    """The call is answered and the other subscribers are told."""
    worlds: list[World] = []

    def broken(_world: World) -> None:
        raise ValueError("oops")

    lab.cloud.subscribe(broken)
    lab.cloud.subscribe(worlds.append)
    eni = lab.eni()
    assert [e.id for e in worlds[-1].enis] == [eni]


def test_time_passes_by_itself_once_started(server: Server) -> None:
    """start() runs timers in the background: a launched instance is running a moment later; close() ends it."""
    lab = make_lab(server)
    cloud = Cloud(NONE)
    server.cloud = cloud
    lab = replace(lab, cloud=cloud)
    vpc = lab.ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    subnet = lab.ec2.create_subnet(VpcId=vpc, CidrBlock="10.0.0.0/24")["Subnet"]["SubnetId"]
    cloud.start()
    try:
        instance = lab.run(settle=False, SubnetId=subnet, SecurityGroupIds=[])
        deadline = time.monotonic() + 5
        while cloud.world().instances[0].state != "running" and time.monotonic() < deadline:
            time.sleep(0.01)
        assert cloud.world().instances[0].id == instance
        assert cloud.world().instances[0].powered
    finally:
        cloud.close()
    lab.ec2.terminate_instances(InstanceIds=[instance])
    time.sleep(0.05)
    assert cloud.world().instances[0].state == "shutting-down"
