"""A node on real packets with a cloud of just the calls the agent makes; the whole cloud is in the lab's own tests.

The fabric moves packets, the lab's metadata service answers, and `Stub` plays the EC2 and Auto Scaling API at API_HOST.
"""

from __future__ import annotations

import hashlib
import json
import re
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import MappingProxyType
from typing import IO, Any
from urllib.parse import parse_qsl

from evernat.agent.beside import joined, unpack
from evernat.bundle import NodeConfig, PortForward, folder, parameters
from evernat.bundle.cloudconfig import PROGRAM
from evernat.bundle.sources import agent_sources
from evernat.lab.addresses import API_HOST, CHECKIP_HOST, METADATA, PLACES
from evernat.lab.fabric import Fabric
from evernat.lab.metadata import Metadata
from evernat.lab.world import (
    Attachment,
    Eni,
    Instance,
    Route,
    RouteTable,
    Rule,
    SecurityGroup,
    Subnet,
    World,
)

NODE, OTHER, CLIENT = "i-0000000000000000a", "i-0000000000000000b", "i-0000000000000000c"
GATEWAY, ADDRESS, PUBLIC = "eni-0000000000000000e", "172.18.128.50", "203.0.113.7"
CLIENT_ADDRESS = "172.18.64.10"
VPC = "vpc-00000000000000001"


@dataclass(frozen=True)
class Keys:
    """Credentials that the stub does not check (the signature has a test of its own)."""

    access_key_id: str = "AKIDEXAMPLE"
    secret_access_key: str = "secret"
    token: str = "session-token"
    expiration: str = "2099-01-01T00:00:00Z"


XMLNS = "http://ec2.amazonaws.com/doc/2016-11-15/"


def config(**changes: Any) -> NodeConfig:
    """The settings of the node under test."""
    base = NodeConfig(
        stack="main", interface=GATEWAY, clients=("172.18.64.0/20",), group="evernat-main", version="test"
    )
    return replace(base, **changes)


def forward(
    port: int = 8080, target: str = CLIENT_ADDRESS, to: int = 80, protocol: str = "tcp"
) -> PortForward:
    """A port forward from everywhere."""
    return PortForward(protocol, (port, port), target, to, ("0.0.0.0/0",))  # type: ignore[arg-type]


def _eni(name: str, address: str, owner: str, index: int, public: str, checked: bool = True) -> Eni:
    return Eni(
        id=name,
        mac="02:00:" + ":".join(f"{int(part):02x}" for part in address.split(".")),
        subnet_id="subnet-private" if address.startswith("172.18.64.") else "subnet-public",
        addresses=(address,),
        public=((address, public),) if public else (),
        source_dest_check=checked,
        groups=("sg-open",),
        attachment=Attachment(owner, index) if owner else None,
    )


def _instance(name: str, subnet: str, address: str, **more: Any) -> Instance:
    return Instance(
        name,
        "running",
        "us-west-2a",
        subnet,
        "t4g.nano",
        "ami-1",
        address,
        role_name="node",
        profile_arn="arn:aws:iam::123456789012:instance-profile/node",
        **more,
    )


def first_world() -> World:
    """One node with an auto-assigned public address, one client, and the gateway's interface in nobody's hands."""
    everything = Rule("-1", -1, -1, ("0.0.0.0/0",))
    local = Route("172.18.0.0/16", "local")
    return World(
        region="us-west-2",
        account="123456789012",
        vpc_cidrs=("172.18.0.0/16",),
        subnets=(
            Subnet("subnet-public", "172.18.128.0/20", "us-west-2a", "rtb-public"),
            Subnet("subnet-private", "172.18.64.0/20", "us-west-2a", "rtb-private"),
        ),
        route_tables=(
            RouteTable("rtb-public", (local, Route("0.0.0.0/0", "igw", "igw-1"))),
            RouteTable("rtb-private", (local, Route("0.0.0.0/0", "eni", GATEWAY))),
        ),
        groups=(SecurityGroup("sg-open", (everything,), (everything,)),),
        enis=(
            _eni("eni-node", "172.18.128.5", NODE, 0, "192.0.2.5"),
            _eni("eni-other", "172.18.128.6", OTHER, 0, ""),
            _eni("eni-client", CLIENT_ADDRESS, CLIENT, 0, ""),
            _eni(GATEWAY, ADDRESS, "", 1, PUBLIC, checked=False),
        ),
        instances=(
            _instance(NODE, "subnet-public", "172.18.128.5"),
            _instance(OTHER, "subnet-public", "172.18.128.6"),
            _instance(CLIENT, "subnet-private", CLIENT_ADDRESS, tags=(("Name", "web"),)),
        ),
    )


@dataclass
class Stub:
    """The API. `calls` are those seen, in order; `refuse` answers some with an AWS error, `hang_up` with nothing."""

    fabric: Fabric
    world: World = field(default_factory=first_world)
    calls: list[dict[str, str]] = field(default_factory=list)
    refuse: dict[str, list[str]] = field(default_factory=dict)
    hang_up: dict[str, list[str]] = field(default_factory=dict)  # action -> "before" or "after" its effect
    hook: str = "waiting"
    parameters: dict[str, str] = field(default_factory=dict)
    reads: list[list[str]] = field(default_factory=list)
    writes: list[tuple[str, str]] = field(default_factory=list)
    odd: list[str | None] = field(default_factory=list)
    unhealthy: list[str] = field(default_factory=list)
    checkip: str = ""  # what the address service answers, the caller's address if empty

    def change(self, interface: str = "", instance: str = "", **fields: Any) -> None:
        """Change one interface or instance of the world, and the network with it."""
        enis = tuple(replace(e, **fields) if e.id == interface else e for e in self.world.enis)
        instances = tuple(replace(i, **fields) if i.id == instance else i for i in self.world.instances)
        self.world = replace(self.world, enis=enis, instances=instances)
        self.fabric.apply(self.world)

    def eni(self, name: str) -> Eni:
        """One interface."""
        return next(e for e in self.world.enis if e.id == name)

    def made(self, action: str) -> list[dict[str, str]]:
        """The calls of one action."""
        return [call for call in self.calls if call["Action"] == action]

    def __call__(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """Answer one request."""
        body = environ["wsgi.input"].read(int(environ.get("CONTENT_LENGTH") or 0)).decode()
        if environ.get("HTTP_X_AMZ_TARGET"):
            return self._store(environ["HTTP_X_AMZ_TARGET"], json.loads(body), start_response)
        call = dict(parse_qsl(body)) | {"authorization": environ.get("HTTP_AUTHORIZATION", "")}
        self.calls.append(call)
        action = call["Action"]
        cut = self.hang_up[action].pop(0) if self.hang_up.get(action) else ""
        if cut == "before":
            raise ConnectionAbortedError
        if self.refuse.get(action):
            return self._refusal(start_response, self.refuse[action].pop(0))
        try:
            xml = getattr(self, f"_{action}")(call)
        except LookupError as error:
            return self._refusal(start_response, str(error.args[0]))
        if cut == "after":
            raise ConnectionAbortedError
        text = f'<{action}Response xmlns="{XMLNS}">{xml}</{action}Response>'
        return _answer(start_response, "200 OK", text)

    def _store(self, target: str, asked: dict[str, Any], start_response: Any) -> list[bytes]:
        """The parameter store; `odd` are answers that it gives instead, None a refusal, in turn."""
        action = target.partition(".")[2]
        if self.hang_up.get(action):
            self.hang_up[action].pop(0)
            raise ConnectionAbortedError
        if self.refuse.get(action):
            return self._refusal(start_response, self.refuse[action].pop(0))
        if self.odd:
            self.odd.append(self.odd.pop(0))
            text = self.odd[-1]
            return _answer(start_response, "200 OK" if text else "400 Bad Request", text or "{}")
        if target.endswith("PutParameter"):
            self.parameters[asked["Name"]] = asked["Value"]
            self.writes.append((asked["Name"], asked["Value"]))
            return _answer(start_response, "200 OK", "{}")
        self.reads.append(asked["Names"])
        there = [name for name in asked["Names"] if name in self.parameters]
        found = [{"Name": name, "Value": self.parameters[name]} for name in there]
        missing = sorted({*asked["Names"]} - {*there})
        return _answer(
            start_response, "200 OK", json.dumps({"Parameters": found, "InvalidParameters": missing})
        )

    def tell(self, environ: dict[str, Any], start_response: Any) -> list[bytes]:
        """The service that tells addresses."""
        return _answer(start_response, "200 OK", (self.checkip or environ["REMOTE_ADDR"]) + "\n")

    def _refusal(self, start_response: Any, code: str) -> list[bytes]:
        error = f"<Error><Code>{code}</Code><Message>no</Message></Error>"
        return _answer(start_response, "400 Bad Request", f"<Response><Errors>{error}</Errors></Response>")

    def _DescribeNetworkInterfaces(self, call: dict[str, str]) -> str:
        e = self.eni(call["NetworkInterfaceId.1"])
        public = f"<association><publicIp>{e.public[0][1]}</publicIp></association>" if e.public else ""
        held = e.attachment
        attachment = (
            f"<attachment><attachmentId>eni-attach-{e.id}</attachmentId>"
            f"<instanceId>{held.instance_id}</instanceId><status>attached</status></attachment>"
            if held
            else ""
        )
        return (
            f"<networkInterfaceSet><item><macAddress>{e.mac}</macAddress><vpcId>{VPC}</vpcId>"
            f"<privateIpAddress>{e.addresses[0]}</privateIpAddress>{public}{attachment}"
            f"<sourceDestCheck>{str(e.source_dest_check).lower()}</sourceDestCheck></item></networkInterfaceSet>"
        )

    def _DescribeSecurityGroupRules(self, call: dict[str, str]) -> str:
        return "<securityGroupRuleSet/>"

    def _DescribeInstances(self, call: dict[str, str]) -> str:
        wanted: dict[str, set[str]] = {}
        for key, name in call.items():
            if key.startswith("Filter.") and key.endswith(".Name"):
                prefix = key[: -len("Name")] + "Value."
                wanted[name] = {value for k, value in call.items() if k.startswith(prefix)}
        items = ""
        for i in self.world.instances:
            facts = {
                "instance-id": i.id,
                "vpc-id": VPC,
                "instance-state-name": i.state,
                "tag:Name": dict(i.tags).get("Name", ""),
            }
            if all(facts[name] in values for name, values in wanted.items()):
                tags = "".join(f"<item><key>{k}</key><value>{v}</value></item>" for k, v in i.tags)
                items += (
                    f"<item><instanceId>{i.id}</instanceId><launchTime>2026-01-01T00:00:0{i.boots}Z</launchTime>"
                    f"<privateIpAddress>{i.private_address}</privateIpAddress><tagSet>{tags}</tagSet>"
                    f"<instanceState><name>{i.state}</name></instanceState></item>"
                )
        return f"<reservationSet><item><instancesSet>{items}</instancesSet></item></reservationSet>"

    def _AttachNetworkInterface(self, call: dict[str, str]) -> str:
        if self.eni(call["NetworkInterfaceId"]).attachment:
            raise LookupError("InvalidNetworkInterface.InUse")
        held = Attachment(call["InstanceId"], int(call["DeviceIndex"]))
        self.change(call["NetworkInterfaceId"], attachment=held)
        return "<attachmentId>eni-attach-1</attachmentId>"

    def _DetachNetworkInterface(self, call: dict[str, str]) -> str:
        self.change(call["AttachmentId"][len("eni-attach-") :], attachment=None)
        return "<return>true</return>"

    def _SetInstanceHealth(self, call: dict[str, str]) -> str:
        self.unhealthy.append(call["InstanceId"])
        return ""

    def _CompleteLifecycleAction(self, call: dict[str, str]) -> str:
        if self.hook != "waiting":
            raise LookupError("ValidationError")
        self.hook = call["LifecycleActionResult"]
        return "<CompleteLifecycleActionResult/>"


def _answer(start_response: Any, status: str, text: str) -> list[bytes]:
    start_response(status, [("Content-Type", "text/xml"), ("Content-Length", str(len(text)))])
    return [text.encode()]


class _Handler(BaseHTTPRequestHandler):
    """HTTP/1.1 with keep-alive in front of a WSGI application; one that raises ConnectionError cuts the connection."""

    protocol_version = "HTTP/1.1"
    wbufsize = 65536

    def _do(self) -> None:
        environ = {
            "REQUEST_METHOD": self.command,
            "PATH_INFO": self.path,
            "REMOTE_ADDR": self.client_address[0],
            "CONTENT_LENGTH": self.headers.get("Content-Length", ""),
            "wsgi.input": self.rfile,
            **{f"HTTP_{k.upper().replace('-', '_')}": v for k, v in self.headers.items()},
        }
        try:
            body = b"".join(self.server.app(environ, self._start))  # type: ignore[attr-defined]
        except ConnectionError:
            self.close_connection = True
            return
        self.end_headers()
        self.wfile.write(body)

    do_GET = do_PUT = do_POST = _do  # noqa: N815

    def _start(self, status: str, headers: list[tuple[str, str]]) -> None:
        self.send_response_only(int(status[:3]))
        for name, value in headers:
            self.send_header(name, value)

    def log_message(self, *_: Any) -> None:
        pass


class _Server(ThreadingHTTPServer):
    def __init__(self, listener: Any, app: Any) -> None:
        super().__init__(listener.getsockname(), _Handler, bind_and_activate=False)
        self.socket.close()
        self.socket = listener
        self.app = app

    def handle_error(self, *_: Any) -> None:
        """A client that went away is no news."""


def listening(fabric: Fabric, address: str, port: int) -> socket.socket:
    """Takes TCP connections on an address of the internet."""
    listener = fabric.socket("internet")
    listener.bind((address, port))
    listener.listen(16)
    return listener


def serve(fabric: Fabric, place: str, address: str, app: Any) -> _Server:
    """An HTTP server on port 80 of an address in a place of the fabric."""
    listener = fabric.socket(place)
    listener.setsockopt(1, 2, 1)
    listener.bind((address, 80))
    listener.listen(16)
    server = _Server(listener, app)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    return server


@dataclass
class Lab:
    """A running stub, and agents as processes in the node's network namespace."""

    fabric: Fabric
    cloud: Stub
    home: Path
    python: str = "/usr/bin/python3"
    agent: subprocess.Popen[bytes] | None = None
    env: dict[str, str] = field(default_factory=dict)
    output: IO[bytes] | None = None  # where the log goes instead of the file
    kept: list[Any] = field(default_factory=list)  # what must stay open

    def start(
        self,
        settings: NodeConfig | None = None,
        path: str = "",
        constants: Mapping[str, str] = MappingProxyType({}),
        inserted: Mapping[str, str] = MappingProxyType({}),
        *,
        fetched: bool = True,
        **env: str,
    ) -> None:
        """Start the agent from the sources as they travel; `fetched`: those beside the user data are on its disk.

        `constants`: other values of some in contract.py or decide.py, for those who have no time. `inserted`: what
        follows a line of the sources, for effects that go wrong.
        """
        for name, text in agent_sources().items():
            file = self.home / "agent" / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)
        settings = settings or config()
        code = parameters(settings.stack, "eni")
        text = joined(list(code), code)
        for name, value in constants.items():
            text, found = re.subn(rf"^{name} = .*$", f"{name} = {value}", text, flags=re.MULTILINE)
            assert found == 1, name
        for line, more in inserted.items():
            assert text.count(f"{line}\n") == 1, line
            text = text.replace(f"{line}\n", f"{line}\n{more}\n")
        if fetched:
            unpack(str(self.home / "agent"), text)
        digest = hashlib.sha256(text.encode()).hexdigest()[:16]
        names = [f"{folder(settings.stack)}/{digest}/0"] if constants or inserted else list(code)
        told = {**json.loads(settings.json()), "code": names}
        (self.home / "agent.json").write_text(json.dumps(told))
        assert "-SEs -m agent" in PROGRAM
        self.agent = self.fabric.spawn(
            NODE,
            [self.python, "-SEs", "-m", "agent", "run", str(self.home / "agent.json")],
            cwd=self.home,
            env={
                "PATH": path or "/usr/sbin:/usr/bin:/sbin:/bin",
                "RUNTIME_DIRECTORY": str(self.home),
                **self.env,
                **env,
            },
            stdout=self.output or (self.home / "log").open("a"),
            stderr=subprocess.STDOUT,
        )

    def stop(self) -> None:
        """Kill the agent."""
        if self.agent:
            self.agent.kill()
            self.agent.wait()
            self.agent = None

    def status(self) -> dict[str, Any]:
        """What the agent says of itself, nothing if it has not said anything yet."""
        try:
            found: dict[str, Any] = json.loads((self.home / "status.json").read_text())
        except FileNotFoundError:
            return {}
        return found

    def log(self) -> list[dict[str, Any]]:
        """The lines logged."""
        return [json.loads(line) for line in (self.home / "log").read_text().splitlines()]

    def until(self, what: Callable[[], Any], seconds: float = 10.0) -> Any:
        """Wait for something to be true; the log is the message when it is not."""
        end = time.monotonic() + seconds
        while time.monotonic() < end:
            found = what()
            if found:
                return found
            time.sleep(0.02)
        raise AssertionError(f"{self.status()}\n{(self.home / 'log').read_text()}")

    def holds(self) -> bool:
        """Whether the agent says that NAT is proven."""
        return self.status().get("role") == "holding"

    def run(self, where: str, command: str) -> str:
        """What a shell command says inside a place or an instance, errors included."""
        process = self.fabric.spawn(
            where, ["sh", "-c", command], stdout=subprocess.PIPE, stderr=subprocess.STDOUT
        )
        return process.communicate(timeout=20)[0].decode()


def lab(home: Path) -> Iterator[Lab]:
    """A stub that runs; all of it gone afterwards."""
    fabric = Fabric()
    cloud = Stub(fabric)
    fabric.apply(cloud.world)
    servers = [
        serve(fabric, "internet", API_HOST, cloud),
        serve(fabric, "internet", CHECKIP_HOST, cloud.tell),
        serve(fabric, "router", METADATA, Metadata(lambda: cloud.world, lambda _: Keys())),
    ]
    places = [listening(fabric, *place) for place in PLACES]
    made = Lab(fabric, cloud, home)
    try:
        yield made
    finally:
        made.stop()
        for server in servers:
            server.shutdown()
            server.server_close()
        for place in places:
            place.close()
        fabric.close()
