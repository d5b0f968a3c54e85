"""The user data: what cloud-init makes of it, its size, and that it is always the same."""

from __future__ import annotations

import gzip
import json
import random
from typing import Any

import pytest
import yaml

from evernat.bundle import (
    LIMIT,
    NodeConfig,
    PortForward,
    UserDataTooLargeError,
    cloud_config_text,
    parameters,
    user_data,
)
from evernat.bundle.sources import agent_sources

CONFIG = NodeConfig(
    stack="main",
    interface="eni-0123456789abcdef0",
    clients=("172.18.64.0/20", "172.18.80.0/20", "172.18.96.0/20"),
    group="evernat-main",
    address="eipalloc-0123456789abcdef0",
)
SCRIPT = "#!/bin/sh\n\n  # indented\techo \"q\" 'a' $x: {}\nüñí\n"


def parsed(data: bytes) -> dict[str, Any]:
    text = gzip.decompress(data).decode()
    assert text.startswith("#cloud-config\n")
    found: dict[str, Any] = yaml.safe_load(text)
    return found


def test_size() -> None:
    """The agent leaves room in the 16,384 bytes that EC2 takes."""
    assert len(user_data(CONFIG)) < 9_000


def test_files_arrive_as_they_are() -> None:
    """Every file has the very text it should have, after YAML."""
    files = {file["path"]: file["content"] for file in parsed(user_data(CONFIG))["write_files"]}
    for path, text in agent_sources().items():
        assert files[f"/opt/evernat/agent/{path}"] == text
    settings = json.loads(files["/etc/evernat/agent.json"])
    assert settings["address"] == CONFIG.address
    assert settings["hook"] == "evernat-ready"
    assert "WatchdogSec=" in files["/etc/systemd/system/evernat-agent.service"]


def test_the_users_come_last() -> None:
    """The user's files and commands follow ours, in their order and whatever is in them."""
    write_files: list[dict[str, Any]] = [
        {"path": "/opt/nat/dnat.sh", "content": SCRIPT, "permissions": "0755"},
        {"path": "/etc/b", "encoding": "b64", "content": "YQ==", "append": True, "owner": "root:root"},
    ]
    runcmd: list[list[str] | str] = [
        ["yum", "install", "-y", "jq"],
        "echo 'one: two' # three",
        ["systemctl", "start", "dnat"],
    ]
    found = parsed(user_data(CONFIG, write_files, runcmd))
    assert found["write_files"][-2:] == write_files
    assert found["runcmd"][-3:] == runcmd
    assert found["runcmd"][-4] == ["systemctl", "enable", "--now", "evernat-agent.service"]


def test_same_in_same_out() -> None:
    """Equal settings give equal bytes, tuples and lists alike; no time stamp is in them."""
    forward = PortForward("tcp", (80, 80), "name:web", 8080, ("0.0.0.0/0",))
    one = NodeConfig("s", "eni-1", ("10.0.0.0/8",), "g", forwards=(forward,))
    two = NodeConfig("s", "eni-1", ["10.0.0.0/8"], "g", forwards=[forward])
    assert user_data(one) == user_data(two)
    assert user_data(one)[4:8] == b"\0\0\0\0"


def test_too_large() -> None:
    """Beyond EC2's limit: an error that says whose part is how large, and what to do."""
    noise = random.Random(1).randbytes(9000).hex()
    with pytest.raises(
        UserDataTooLargeError, match=r"16,384 are allowed: evernat's part takes .* runcmd fetch"
    ):
        user_data(CONFIG, [{"path": "/x", "content": noise}])
    assert len(noise) > LIMIT


def test_what_travels_is_readable() -> None:
    """No file is packed: each source is there line by line."""
    assert "   def sign(\n" in cloud_config_text(CONFIG)
    beside = "\n".join(parameters("main", "eni").values())
    assert "\ndef step(state, seen, now):\n" in beside
    assert "\n    type nat hook postrouting priority srcnat;\n" in beside
