"""User data: gzip'd `#cloud-config`, the same bytes for the same input, small enough for EC2 or refused."""

from __future__ import annotations

import gzip
import json
from collections.abc import Mapping, Sequence
from typing import Any

from evernat.bundle.node import ClusterConfig, NodeConfig
from evernat.bundle.sources import agent_sources

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
    sources = {f"/opt/evernat/agent/{path}": text for path, text in agent_sources(config.identity).items()}
    texts = {
        **sources,
        "/etc/evernat/agent.json": config.json(),
        "/etc/systemd/system/evernat-agent.service": UNITS[config.identity],
        "/etc/systemd/networkd.conf.d/evernat.conf": NETWORKD,
    }
    commands = [["systemctl", "daemon-reload"], ["systemctl", "enable", "--now", "evernat-agent.service"]]
    return "".join(
        [
            "#cloud-config\nwrite_files:\n",
            *(_file(path, text) for path, text in texts.items()),
            _file("/usr/local/bin/evernat-agent", PROGRAM, "0755"),
            *(f"- {_flow(dict(entry))}\n" for entry in write_files),
            "runcmd:\n",
            *(f"- {_flow(command)}\n" for command in [*commands, *runcmd]),
        ]
    )


def _file(path: str, text: str, permissions: str = "") -> str:
    """One of our files, readable as it is."""
    mode = f"  permissions: '{permissions}'\n" if permissions else ""
    body = "".join(f"   {line}\n" if line else "\n" for line in text.splitlines())
    return f"- path: {path}\n{mode}  content: |\n{body}" if text else f"- path: {path}\n{mode}  content: ''\n"


def _flow(value: Any) -> str:
    """A value of the user's: JSON is YAML too."""
    return json.dumps(value, ensure_ascii=False)


def _gzip(text: str) -> bytes:
    return gzip.compress(text.encode(), compresslevel=9, mtime=0)
