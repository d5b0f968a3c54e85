"""The effects that need no packets: answers that are not what they should be, and devices."""

from __future__ import annotations

import itertools
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import ClassVar

import pytest

from evernat.agent.common import Host
from evernat.agent.effects import EffectError, kernel
from evernat.agent.effects.api import RefusedError, parse
from evernat.agent.effects.imds import Metadata
from evernat.agent.effects.process import run
from evernat.agent.effects.web import UnansweredError, Web
from evernat.agent.model import Config
from tests.agent.stub import config, forward

BOMB = '<?xml version="1.0"?><!DOCTYPE x [<!ENTITY a "ha"><!ENTITY b "&a;&a;&a;">]><x>&b;</x>'


@pytest.mark.parametrize("text", [BOMB, "<html><body>proxy", "", "<x xmlns='a'>\x00</x>", "<!-- --><x/>"])
def test_bad_xml(text: str) -> None:
    """A document type (so entities), half a document, or no XML at all is no answer: nothing is concluded from it."""
    with pytest.raises(UnansweredError):
        parse("DescribeInstances", text)


def test_namespace() -> None:
    """EC2's namespace is taken off, whatever its version."""
    text = '<R xmlns="http://ec2.amazonaws.com/doc/2016-11-15/"><a><b>c</b></a></R>'
    assert parse("DescribeInstances", text).findtext("a/b") == "c"


def test_a_refusal_quotes_no_token() -> None:
    """AWS quotes the whole request after the first line of a signature mismatch; that part is left out."""
    message = "The request signature we calculated does not match.\n\nThe Canonical String ... x-amz-security-token:abc"
    error = RefusedError("CompleteLifecycleAction", "SignatureDoesNotMatch", message)
    assert str(error).endswith("does not match.")
    assert error.code == "SignatureDoesNotMatch"


def test_nobody_there() -> None:
    """A closed port is no answer, with the host in the message."""
    with pytest.raises(UnansweredError, match=r"127\.0\.0\.1:1: "):
        Web().request("GET", "http://127.0.0.1:1/", {})


def test_plain_http_is_the_labs_alone() -> None:
    """Every endpoint is HTTPS, but where the metadata answers a whole URL for the domain, which AWS never does."""
    host = Host("i-1", "us-west-2", "172.18.128.0/20", "amazonaws.com")
    assert host.endpoint("ec2") == "https://ec2.us-west-2.amazonaws.com/"
    assert host.probe() == "https://checkip.amazonaws.com/"
    lab = host._replace(domain="http://198.51.100.2 http://198.51.100.3")
    assert (lab.endpoint("ec2"), lab.probe()) == ("http://198.51.100.2/", "http://198.51.100.3/")


class Answers(BaseHTTPRequestHandler):
    """Answers with a text, and says nothing of it."""

    def _answer(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


class Imds(Answers):
    """Refuses the first session; the role's answer is `role`."""

    sessions = 0
    role = "{}"

    def do_PUT(self) -> None:
        type(self).sessions += 1
        self._answer(200, f"session-{self.sessions}")

    def do_GET(self) -> None:
        if self.headers["X-aws-ec2-metadata-token"] == "session-1":
            return self._answer(401, "")
        return self._answer(200, self.role if self.path.endswith("node") else "node")


def test_metadata_session() -> None:
    """A refused session is renewed; a role that IAM does not give yet is no answer, and no crash."""
    server = HTTPServer(("127.0.0.1", 0), Imds)
    Thread(target=server.serve_forever, daemon=True).start()
    metadata = Metadata(f"http://127.0.0.1:{server.server_port}/latest/")
    try:
        assert metadata.get("meta-data/anything") == "node"
        assert Imds.sessions == 2
        Imds.role = '{"Code": "AssumeRoleUnauthorizedAccess"}'
        with pytest.raises(UnansweredError, match="AccessKeyId"):
            metadata.credentials()
        Imds.role = '{"AccessKeyId": "a", "SecretAccessKey": "b", "Token": "c"}'
        assert metadata.credentials() == ("a", "b", "c")
        Imds.role = '{"AccessKeyId": "d", "SecretAccessKey": "e", "Token": "f"}'
        assert metadata.credentials() == ("a", "b", "c")
        assert metadata.credentials(renew=True) == ("d", "e", "f")
    finally:
        server.shutdown()
        server.server_close()


class Paths(Answers):
    """Answers what `there` has below /latest/meta-data/."""

    there: ClassVar[dict[str, str]] = {}

    def do_PUT(self) -> None:
        self._answer(200, "session")

    def do_GET(self) -> None:
        text = self.there.get(self.path.partition("meta-data/")[2])
        self._answer(404 if text is None else 200, text or "")


def test_private_addresses() -> None:
    """The primary one is first and the others are in the order of their numbers, however they are listed."""
    mac, primary = "02:00:00:00:00:01", "10.0.9.7"
    server = HTTPServer(("127.0.0.1", 0), Paths)
    Thread(target=server.serve_forever, daemon=True).start()
    metadata = Metadata(f"http://127.0.0.1:{server.server_port}/latest/")
    listed = f"network/interfaces/macs/{mac}/local-ipv4s"
    Paths.there = {"mac": mac, "local-ipv4": primary, listed: primary}
    try:
        assert metadata.addresses() == (primary,)
        for order in itertools.permutations((primary, "10.0.10.1", "10.0.9.12")):
            Paths.there[listed] = "\n".join(order)
            assert metadata.addresses() == (primary, "10.0.9.12", "10.0.10.1")
        del Paths.there[listed]
        with pytest.raises(UnansweredError, match="local-ipv4s: HTTP 404"):
            metadata.addresses()
    finally:
        server.shutdown()
        server.server_close()


def test_device() -> None:
    """A device is found by its MAC; a MAC that nothing has gives no device."""
    assert kernel.device("00:00:00:00:00:00") == "lo"
    assert kernel.device("02:ff:ff:ff:ff:fe") == ""


def test_a_program_that_fails() -> None:
    """The error is the program's own words; a program that is not there is an error of the same kind."""
    with pytest.raises(EffectError, match="sh: on purpose"):
        run("sh", "-c", "echo on purpose >&2; exit 3")
    with pytest.raises(EffectError, match="no-such-program"):
        run("no-such-program")


def test_settings() -> None:
    """What the bundle writes the agent reads back; an unknown key is refused by name."""
    settings = config(forwards=(forward(8080, "name:web"),))
    read = Config.parse(settings.json())
    assert (read.stack, read.interface, read.address) == ("main", settings.interface, None)
    assert read.forwards[0].dynamic
    assert read.forwards[0].ports == (8080, 8080)
    with pytest.raises(TypeError, match="colour"):
        Config.parse(settings.json().replace('"stack"', '"colour":1,"stack"'))
