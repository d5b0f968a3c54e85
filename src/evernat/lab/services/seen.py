"""Which source addresses the internet host has seen, counted by the kernel for every packet that reaches it."""

from __future__ import annotations

import asyncio
import json
from asyncio.subprocess import PIPE
from typing import Any

_TABLE = "ip seen"


class Seen:
    """The record of who sent packets to one address of this namespace, whatever the protocol or port."""

    def __init__(self, address: str) -> None:
        self._address = address

    async def start(self) -> None:
        """Begins to count. Raises RuntimeError with nft's own words if it cannot."""
        await _nft(
            "-f",
            "-",
            text=f"""
            table {_TABLE} {{
                set sources {{
                    type ipv4_addr . inet_proto
                    flags dynamic
                    size 65536
                    counter
                }}
                chain input {{
                    type filter hook input priority filter; policy accept;
                    ip daddr {self._address} update @sources {{ ip saddr . meta l4proto counter }}
                }}
            }}""",
        )

    async def forget(self) -> None:
        """Starts anew from nothing."""
        await _nft("flush", "set", *_TABLE.split(), "sources")

    async def packets(self) -> dict[str, dict[str, int]]:
        """Packets by source address and protocol ("tcp", "udp", "icmp" ...)."""
        answer = json.loads(await _nft("-j", "list", "set", *_TABLE.split(), "sources"))
        found: dict[str, dict[str, int]] = {}
        for item in answer["nftables"]:
            for element in item.get("set", {}).get("elem", ()):
                address, protocol, count = _element(element)
                found.setdefault(address, {})[protocol] = count
        return found


def _element(element: Any) -> tuple[str, str, int]:
    content = element["elem"]
    address, protocol = content["val"]["concat"]
    return str(address), str(protocol), int(content["counter"]["packets"])


async def _nft(*words: str, text: str = "") -> str:
    child = await asyncio.create_subprocess_exec("nft", *words, stdin=PIPE, stdout=PIPE, stderr=PIPE)
    out, problem = await child.communicate(text.encode())
    if child.returncode:
        raise RuntimeError(f"nft {' '.join(words)}: {problem.decode().strip()}")
    return out.decode()
