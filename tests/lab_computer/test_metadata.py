"""The metadata service: sessions, who is asking, every path the agent and cloud-init read. Time is passed in."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import Any

import pytest

from evernat.lab.metadata import Metadata
from evernat.lab.metadata.tree import architecture, zone_id
from evernat.lab.world import Attachment, Eni, Instance, Subnet, World

MAC, SECOND = "02:aa:00:00:00:01", "02:aa:00:00:00:02"


@dataclass(frozen=True)
class Keys:
    """Role credentials."""

    access_key_id: str = "ASIA1"
    secret_access_key: str = "secret"
    token: str = "token"
    expiration: str = "2030-01-01T00:00:00Z"


def _world() -> World:
    nat = Instance(
        id="i-1", state="running", zone="us-west-2a", subnet_id="subnet-1", instance_type="t4g.nano", image_id="ami-1",
        private_address="172.18.128.5", user_data=b"\x1f\x8bdata", tags=(("Name", "nat"), ("evernat:stack", "main")),
        tags_in_metadata=True, profile_arn="arn:aws:iam::123456789012:instance-profile/p", role_name="role", spot=True,
    )  # fmt: skip
    plain = Instance(
        id="i-2", state="running", zone="us-west-2c", subnet_id="subnet-1", instance_type="t3.micro", image_id="ami-2",
        private_address="172.18.128.6",
    )  # fmt: skip
    return World(
        region="us-west-2",
        account="123456789012",
        vpc_cidrs=("172.18.0.0/16",),
        subnets=(Subnet("subnet-1", "172.18.128.0/20", "us-west-2a", "rtb-1"),),
        enis=(
            Eni("eni-2", SECOND, "subnet-1", ("172.18.128.9", "172.18.128.10"), (("172.18.128.9", "203.0.113.7"),),
                attachment=Attachment("i-1", 1), groups=("sg-1",)),
            Eni("eni-1", MAC, "subnet-1", ("172.18.128.5",), (("172.18.128.5", "192.0.2.1"),),
                attachment=Attachment("i-1", 0)),
            Eni("eni-3", "02:aa:00:00:00:03", "subnet-1", ("172.18.128.6",), attachment=Attachment("i-2", 0)),
            Eni("eni-4", "02:aa:00:00:00:04", "subnet-1", ("172.18.128.7",)),
        ),
        instances=(nat, plain),
    )  # fmt: skip


class Service:
    """The application, with a world and a clock to turn."""

    def __init__(self) -> None:
        self.world = _world()
        self.now = 1_700_000_000.0
        self.keys: Keys | None = Keys()
        self.app = Metadata(lambda: self.world, lambda _: self.keys, clock=lambda: self.now)

    def ask(
        self, method: str, path: str, caller: str = "172.18.128.5", **headers: str
    ) -> tuple[int, str, dict[str, str]]:
        """One request."""
        seen: dict[str, Any] = {}

        def start(status: str, fields: list[tuple[str, str]]) -> None:
            seen.update(status=int(status.split()[0]), headers=dict(fields))

        environ: Any = {"REQUEST_METHOD": method, "PATH_INFO": path, "REMOTE_ADDR": caller}
        environ.update({f"HTTP_{name.upper()}": value for name, value in headers.items()})
        body = b"".join(self.app(environ, start))  # type: ignore[arg-type]
        assert int(seen["headers"]["Content-Length"]) == len(body) or method == "HEAD"
        return seen["status"], body.decode("latin-1"), seen["headers"]

    def token(self, seconds: str = "60", caller: str = "172.18.128.5") -> str:
        """A session token."""
        headers = {"x_aws_ec2_metadata_token_ttl_seconds": seconds}
        status, body, _ = self.ask("PUT", "/latest/api/token", caller, **headers)
        assert status == 200
        return body

    def get(self, path: str, caller: str = "172.18.128.5") -> str | None:
        """What is at a path, in a session of its own."""
        headers = {"x_aws_ec2_metadata_token": self.token(caller=caller)}
        status, body, _ = self.ask("GET", path, caller, **headers)
        return body if status == 200 else None

    def change(self, **changes: Any) -> None:
        """Change the first instance."""
        first, *rest = self.world.instances
        self.world = replace(self.world, instances=(replace(first, **changes), *rest))


@pytest.fixture
def service() -> Service:
    """A service of its own for each test."""
    return Service()


def test_token_needed(service: Service) -> None:
    """Without a token, with a made-up one, with another instance's, with an expired one: 401."""
    path = "/latest/meta-data/instance-id"
    assert service.ask("GET", path)[0] == 401
    assert service.ask("GET", path, x_aws_ec2_metadata_token="bm9uc2Vuc2U=")[0] == 401
    assert service.ask("GET", path, x_aws_ec2_metadata_token="\xff")[0] == 401
    assert service.ask("GET", path, x_aws_ec2_metadata_token=service.token(caller="172.18.128.6"))[0] == 401
    token = service.token("10")
    assert service.ask("GET", path, x_aws_ec2_metadata_token=token)[:2] == (200, "i-1")
    service.now += 10
    assert service.ask("GET", path, x_aws_ec2_metadata_token=token)[0] == 401


def test_token_life(service: Service) -> None:
    """A token lives 1 to 21600 seconds; the answer says how long it still does."""
    for life in ("0", "21601", "-1", "x", ""):
        assert service.ask("PUT", "/latest/api/token", x_aws_ec2_metadata_token_ttl_seconds=life)[0] == 400
    assert service.ask("PUT", "/latest/api/token")[0] == 400
    token = service.token("21600")
    service.now += 600
    headers = service.ask("GET", "/latest/meta-data/mac", x_aws_ec2_metadata_token=token)[2]
    assert headers["X-Aws-Ec2-Metadata-Token-Ttl-Seconds"] == "21000"


def test_forwarded(service: Service) -> None:
    """A request that went through a proxy gets no token: 403."""
    headers = {"x_aws_ec2_metadata_token_ttl_seconds": "60", "x_forwarded_for": "10.0.0.1"}
    assert service.ask("PUT", "/latest/api/token", **headers)[0] == 403


def test_methods(service: Service) -> None:
    """Only GET and HEAD read; the rest is 405."""
    token = service.token()
    assert service.ask("POST", "/latest/meta-data/", x_aws_ec2_metadata_token=token)[0] == 405
    assert service.ask("HEAD", "/latest/meta-data/mac", x_aws_ec2_metadata_token=token)[:2] == (200, "")


def test_caller(service: Service) -> None:
    """An instance is known by any address of its interfaces; nobody else is answered."""
    assert service.get("/latest/meta-data/instance-id", "172.18.128.10") == "i-1"
    assert service.get("/latest/meta-data/instance-id", "172.18.128.6") == "i-2"
    for stranger in ("172.18.128.7", "203.0.113.7", ""):
        assert (
            service.ask("PUT", "/latest/api/token", stranger, x_aws_ec2_metadata_token_ttl_seconds="60")[0]
            == 404
        )


@pytest.mark.parametrize(
    ("path", "answer"),
    [
        ("instance-id", "i-1"), ("instance-type", "t4g.nano"), ("ami-id", "ami-1"), ("mac", MAC),
        ("local-ipv4", "172.18.128.5"),
        ("public-ipv4", "192.0.2.1"), ("hostname", "ip-172-18-128-5.us-west-2.compute.internal"),
        ("instance-life-cycle", "spot"), ("placement/region", "us-west-2"),
        ("placement/availability-zone", "us-west-2a"),
        ("placement/availability-zone-id", "usw2-az1"), ("services/domain", "http://198.51.100.2 http://198.51.100.3"),
        ("services/partition", "aws"),
        ("tags/instance/Name", "nat"), ("tags/instance/", "Name\nevernat:stack"), ("iam/security-credentials/", "role"),
        ("events/maintenance/scheduled", "[]"), ("network/interfaces/macs/", f"{MAC}/\n{SECOND}/"),
        (f"network/interfaces/macs/{SECOND}/device-number", "1"),
        (f"network/interfaces/macs/{SECOND}/interface-id", "eni-2"),
        (f"network/interfaces/macs/{SECOND}/local-ipv4s", "172.18.128.9\n172.18.128.10"),
        (f"network/interfaces/macs/{SECOND}/public-ipv4s", "203.0.113.7"),
        (f"network/interfaces/macs/{SECOND}/ipv4-associations/", "203.0.113.7"),
        (f"network/interfaces/macs/{SECOND}/ipv4-associations/203.0.113.7", "172.18.128.9"),
        (f"network/interfaces/macs/{MAC}/subnet-id", "subnet-1"),
        (f"network/interfaces/macs/{MAC}/subnet-ipv4-cidr-block", "172.18.128.0/20"),
        (f"network/interfaces/macs/{MAC}/vpc-ipv4-cidr-block", "172.18.0.0/16"),
        (f"network/interfaces/macs/{SECOND}/security-group-ids", "sg-1"),
    ],
)  # fmt: skip
def test_paths(service: Service, path: str, answer: str) -> None:
    """Every path answers as on EC2."""
    assert service.get(f"/latest/meta-data/{path}") == answer


def test_listing(service: Service) -> None:
    """A directory lists its entries with a slash after directories, asked for with a slash or without."""
    assert service.get("/latest/") == service.get("/latest") == "dynamic/\nmeta-data/\nuser-data"
    listing = (service.get("/latest/meta-data/") or "").split("\n")
    assert {"instance-id", "network/", "iam/", "tags/", "placement/"} <= set(listing)
    assert service.get("/latest/meta-data/instance-id/") is None
    assert service.get("/latest/meta-data/nothing") is None


def test_user_data(service: Service) -> None:
    """User data comes back as the bytes it was given; without any the path is not there."""
    assert service.get("/latest/user-data") == "\x1f\x8bdata"
    assert service.get("/latest/user-data", "172.18.128.6") is None
    assert service.get("/latest/", "172.18.128.6") == "dynamic/\nmeta-data/"


def test_absent(service: Service) -> None:
    """What an instance has not, is not there: public address, role, tags, spot notices, recommendations."""
    for path in (
        "public-ipv4",
        "iam/",
        "iam/info",
        "tags/instance/",
        "spot/instance-action",
        "events/recommendations/rebalance",
    ):
        assert service.get(f"/latest/meta-data/{path}", "172.18.128.6") is None, path
    service.change(tags_in_metadata=False)
    assert service.get("/latest/meta-data/tags/instance/Name") is None


def test_credentials(service: Service) -> None:
    """Role credentials come in AWS's words; while there are none yet, the path is not there."""
    path = "/latest/meta-data/iam/security-credentials/role"
    answer = json.loads(service.get(path) or "")
    assert answer["Code"] == "Success"
    assert (answer["AccessKeyId"], answer["SecretAccessKey"], answer["Token"]) == ("ASIA1", "secret", "token")
    assert answer["Expiration"] == "2030-01-01T00:00:00Z"
    assert json.loads(service.get("/latest/meta-data/iam/info") or "")["InstanceProfileArn"].endswith("/p")
    service.keys = None
    assert service.get(path) is None


def test_identity_document(service: Service) -> None:
    """The identity document names instance, account, region and architecture."""
    document = json.loads(service.get("/latest/dynamic/instance-identity/document") or "")
    assert document["instanceId"] == "i-1"
    assert document["accountId"] == "123456789012"
    assert document["region"] == "us-west-2"
    assert document["architecture"] == "arm64"
    assert document["pendingTime"] == "2023-11-14T22:13:20Z"


def test_spot_notice(service: Service) -> None:
    """An interruption notice and a rebalance recommendation appear the moment they are given."""
    assert service.get("/latest/meta-data/spot/instance-action") is None
    service.change(spot_action=("terminate", "2026-01-01T00:02:00Z"), rebalance="2026-01-01T00:00:00Z")
    notice = json.loads(service.get("/latest/meta-data/spot/instance-action") or "")
    assert notice == {"action": "terminate", "time": "2026-01-01T00:02:00Z"}
    assert service.get("/latest/meta-data/spot/termination-time") == "2026-01-01T00:02:00Z"
    advice = json.loads(service.get("/latest/meta-data/events/recommendations/rebalance") or "")
    assert advice == {"noticeTime": "2026-01-01T00:00:00Z"}


def test_follows_the_world(service: Service) -> None:
    """An interface that is detached is gone from the metadata at once, and its address no longer answers."""
    service.world = replace(service.world, enis=service.world.enis[1:])
    assert service.get("/latest/meta-data/network/interfaces/macs/") == f"{MAC}/"
    assert (
        service.ask("PUT", "/latest/api/token", "172.18.128.9", x_aws_ec2_metadata_token_ttl_seconds="9")[0]
        == 404
    )


def test_no_power(service: Service) -> None:
    """A machine without power asks nothing."""
    service.change(powered=False)
    assert service.ask("PUT", "/latest/api/token", x_aws_ec2_metadata_token_ttl_seconds="60")[0] == 404


@pytest.mark.parametrize(
    ("kind", "expected"),
    [("t4g.nano", "arm64"), ("c7gn.large", "arm64"), ("a1.medium", "arm64"), ("x2gd.medium", "arm64"),
     ("t3a.nano", "x86_64"),
     ("g4dn.xlarge", "x86_64"), ("g5g.xlarge", "arm64"), ("m6i.large", "x86_64")],
)  # fmt: skip
def test_architecture(kind: str, expected: str) -> None:
    """A type's name tells its architecture."""
    assert architecture(kind) == expected


@pytest.mark.parametrize(
    ("zone", "expected"),
    [
        ("us-west-2c", "usw2-az3"),
        ("ap-southeast-1a", "apse1-az1"),
        ("eu-central-1b", "euc1-az2"),
        ("us-gov-west-1a", "usgw1-az1"),
    ],
)
def test_zone_id(zone: str, expected: str) -> None:
    """Zone ids have AWS's form."""
    assert zone_id(zone) == expected
