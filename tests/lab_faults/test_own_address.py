"""What happens to an instance's own connections when an Elastic IP comes to or leaves its primary address.

From AWS's documentation, not from a run on AWS: the address it had is released, so whatever used it is cut; what hangs
on a secondary address does not touch it.
"""

from __future__ import annotations

import json
import sys
from typing import Any

from evernat.lab.addresses import API_HOST, INTERNET_HOST
from evernat.lab.checks import attempt, until

from .conftest import Cloud
from .talk import Talk

CLAIM = """
import json, sys
import boto3
from botocore.config import Config
from botocore.exceptions import ClientError, HTTPClientError

def ec2():
    once = Config(retries={"total_max_attempts": 1}, connect_timeout=2, read_timeout=2)
    return boto3.client("ec2", endpoint_url=sys.argv[1], region_name="us-west-2", aws_access_key_id="lab",
                        aws_secret_access_key="lab", config=once)

client = ec2()
client.describe_addresses(AllocationIds=[sys.argv[2]])
try:
    client.associate_address(AllocationId=sys.argv[2], NetworkInterfaceId=sys.argv[3],
                             PrivateIpAddress=sys.argv[4], AllowReassociation=False)
    said = "answered"
except (ClientError, HTTPClientError) as error:
    said = type(error).__name__
again = ec2().describe_addresses(AllocationIds=[sys.argv[2]])["Addresses"][0]
print(json.dumps({"said": said, "at": again.get("NetworkInterfaceId")}))
"""


def seen_as(cloud: Cloud, instance: str) -> str:
    """The address the internet sees an instance under, over a fresh connection."""
    return str(attempt(cloud.lab, instance, "tcp", INTERNET_HOST, 80).get("address", ""))


def test_an_elastic_ip_on_the_primary_address_cuts_what_was_open(cloud: Cloud) -> None:
    """Coming and going it breaks the instance's own connections; fresh ones have the new address each time."""
    instance = cloud.launch()
    nic = cloud.interface(instance)["NetworkInterfaceId"]
    auto = cloud.node(instance)["public_addresses"][0]
    assert until(lambda: seen_as(cloud, instance) == auto, 5)
    before = Talk(cloud.lab, instance)
    allocation, public = cloud.allocate()
    association = cloud.ec2.associate_address(AllocationId=allocation, NetworkInterfaceId=nic)[
        "AssociationId"
    ]
    assert before.again() in ("ConnectionResetError", "TimeoutError")
    assert seen_as(cloud, instance) == public
    under_elastic = Talk(cloud.lab, instance)
    cloud.ec2.disassociate_address(AssociationId=association)
    assert under_elastic.again() in ("ConnectionResetError", "TimeoutError")
    new = cloud.node(instance)["public_addresses"][0]
    assert new not in (auto, public)
    assert seen_as(cloud, instance) == new
    before.end()
    under_elastic.end()


def test_an_elastic_ip_on_a_secondary_address_cuts_nothing(cloud: Cloud) -> None:
    """The instance's way out is its primary address: it keeps the auto-assigned one, and its connections."""
    instance = cloud.launch(interface={"SecondaryPrivateIpAddressCount": 1})
    interface = cloud.interface(instance)
    secondary = interface["PrivateIpAddresses"][1]["PrivateIpAddress"]
    assert until(lambda: seen_as(cloud, instance) != "", 5)
    talk = Talk(cloud.lab, instance)
    allocation, public = cloud.allocate()
    association = cloud.ec2.associate_address(
        AllocationId=allocation,
        NetworkInterfaceId=interface["NetworkInterfaceId"],
        PrivateIpAddress=secondary,
    )["AssociationId"]
    assert talk.again() == "heard"
    assert public in cloud.node(instance)["public_addresses"]
    cloud.ec2.disassociate_address(AssociationId=association)
    assert talk.again() == "heard"
    talk.end()


def test_the_answer_to_a_claim_never_arrives(cloud: Cloud) -> None:
    """AssociateAddress onto the caller's own primary address takes effect; a fresh look shows it, the call does not."""
    instance = cloud.launch()
    interface = cloud.interface(instance)
    allocation, public = cloud.allocate()
    assert until(lambda: seen_as(cloud, instance) != "", 5)
    shown = cloud.lab.exec(
        instance,
        [
            *(sys.executable, "-c", CLAIM, f"http://{API_HOST}", allocation),
            *(interface["NetworkInterfaceId"], interface["PrivateIpAddress"]),
        ],
    )
    answer: dict[str, Any] = json.loads(shown.stdout)
    assert answer == {"said": "ReadTimeoutError", "at": interface["NetworkInterfaceId"]}, shown.stderr
    assert seen_as(cloud, instance) == public


def test_the_address_leaves_with_its_instance(cloud: Cloud) -> None:
    """While a dead machine still counts as running the association stays; terminated, it is gone."""
    instance = cloud.launch()
    allocation, _ = cloud.allocate()
    cloud.ec2.associate_address(
        AllocationId=allocation, NetworkInterfaceId=cloud.interface(instance)["NetworkInterfaceId"]
    )

    def association() -> str:
        found = cloud.ec2.describe_addresses(AllocationIds=[allocation])["Addresses"][0]
        return str(found.get("AssociationId", ""))

    cloud.lab.kill(instance, "power")
    assert association()
    cloud.ec2.terminate_instances(InstanceIds=[instance])
    assert until(lambda: association() == "", 5)
