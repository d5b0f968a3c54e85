"""User data: gzip'd `#cloud-config`, the same bytes for the same input, small enough for EC2 or refused."""

from __future__ import annotations

import gzip
from collections.abc import Mapping, Sequence
from typing import Any

from evernat.bundle.node import ClusterConfig, NodeConfig
from evernat.bundle.sources import agent_sources
from evernat.bundle.text import encode

LIMIT = 16_384
"""Bytes of user data before base64, by EC2."""

UNIT = """\
[Unit]
Description=evernat: this instance is a NAT gateway
After=network.target
StartLimitIntervalSec=0

[Service]
Type=notify
ExecStart=/usr/local/bin/evernat-agent run
Restart=always
RestartSec=1
WatchdogSec=120
RuntimeDirectory=evernat
OOMScoreAdjust=-900
StandardOutput=journal+console

[Install]
WantedBy=multi-user.target
"""

UNITS = {
    "eni": UNIT,
    # Stopping hands the gateways over first, and the copying of connections has to last until then.
    "address": UNIT.replace("agent run\n", "agent cluster\nKillMode=mixed\nTimeoutStopSec=20\n"),
}

PROGRAM = """\
#!/bin/sh
cd /opt/evernat && exec /usr/bin/python3 -SEs -m agent "$@"
"""

NETWORKD = """\
[Network]
ManageForeignRoutes=no
ManageForeignRoutingPolicyRules=no
"""
"""systemd-networkd removes rules and routes it did not make whenever it sets up a link; from the second boot on this
keeps it from that, and before that the agent puts them back."""


class UserDataTooLargeError(ValueError):
    """The user data is beyond LIMIT; the text says how much of it is whose."""


def user_data(
    config: NodeConfig | ClusterConfig,
    write_files: Sequence[Mapping[str, Any]] = (),
    runcmd: Sequence[Sequence[str] | str] = (),
) -> bytes:
    """The user data as EC2 takes it (before base64). `write_files` and `runcmd` are the user's own, and come last."""
    data = _gzip(cloud_config_text(config, write_files, runcmd))
    if len(data) > LIMIT:
        ours = len(_gzip(cloud_config_text(config)))
        raise UserDataTooLargeError(
            f"user data has {len(data):,} bytes, {LIMIT:,} are allowed: evernat's part takes {ours:,}, "
            f"user_data_write_files and user_data_runcmd the other {len(data) - ours:,}. "
            "Let runcmd fetch what is large"
        )
    return data


def cloud_config_text(
    config: NodeConfig | ClusterConfig,
    write_files: Sequence[Mapping[str, Any]] = (),
    runcmd: Sequence[Sequence[str] | str] = (),
) -> str:
    """The text inside `user_data`."""
    before, after, end = cloud_config(config.identity)
    entries = [f"- {encode(dict(entry))}\n" for entry in write_files]
    commands = [f"- {encode(command)}\n" for command in runcmd]
    return "".join([before, f"   {config.json()}", after, *entries, end, *commands])


def cloud_config(identity: str) -> tuple[str, str, str]:
    """What is the same for all nodes of an identity: before the settings' line, after it, after the user's files."""
    sources = {f"/opt/evernat/agent/{path}": text for path, text in agent_sources().items()}
    others = {
        "/etc/systemd/system/evernat-agent.service": UNITS[identity],
        "/etc/systemd/networkd.conf.d/evernat.conf": NETWORKD,
    }
    commands = [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "evernat-agent.service"]]
    before = "".join(_file(path, text) for path, text in sources.items())
    after = "".join(_file(path, text) for path, text in others.items())
    return (
        f"#cloud-config\nwrite_files:\n{before}- path: /etc/evernat/agent.json\n  content: |\n",
        f"{after}{_file('/usr/local/bin/evernat-agent', PROGRAM, '0755')}",
        "".join(["runcmd:\n", *(f"- {encode(command)}\n" for command in commands)]),
    )


def _file(path: str, text: str, permissions: str = "") -> str:
    """One of our files, readable as it is."""
    mode = f"  permissions: '{permissions}'\n" if permissions else ""
    body = "".join(f"   {line}\n" if line else "\n" for line in text.splitlines())
    return f"- path: {path}\n{mode}  content: |\n{body}" if text else f"- path: {path}\n{mode}  content: ''\n"


def _gzip(text: str) -> bytes:
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)
