"""Services below HTTP: echo by TCP and UDP, a push that nobody asks for, and iperf3.

Each is a context: it is open while inside.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import cast

_PUSH_EVERY = 0.05
_CHUNK = 65536

Handler = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


@contextlib.asynccontextmanager
async def tcp_server(addresses: Sequence[str], port: int, handler: Handler) -> AsyncIterator[None]:
    """Serves each connection by `handler`; a connection that breaks ends just itself."""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError, ValueError):
            await handler(reader, writer)
        writer.close()

    listener = await asyncio.start_server(serve, list(addresses), port, backlog=1024)
    try:
        yield
    finally:
        listener.close()


def tcp_echo(addresses: Sequence[str], port: int) -> contextlib.AbstractAsyncContextManager[None]:
    """Sends back whatever comes."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(_CHUNK):
            writer.write(data)
            await writer.drain()

    return tcp_server(addresses, port, handler)


def push_server(addresses: Sequence[str], port: int) -> contextlib.AbstractAsyncContextManager[None]:
    """Sends a line every 50 ms, numbered from 0, until the other side goes."""

    async def handler(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        number = 0
        while not writer.is_closing():
            writer.write(b"%d\n" % number)
            await writer.drain()
            number += 1
            await asyncio.sleep(_PUSH_EVERY)

    return tcp_server(addresses, port, handler)


class _UdpEcho(asyncio.DatagramProtocol):
    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # Before Python 3.12 asyncio's own datagram transport is no subclass of its DatagramTransport.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, addr: tuple[str, int]) -> None:
        self._transport.sendto(data, addr)


@contextlib.asynccontextmanager
async def udp_echo(addresses: Sequence[str], port: int) -> AsyncIterator[None]:
    """Sends back each datagram."""
    loop = asyncio.get_running_loop()
    transports = []
    try:
        for address in addresses:
            transport, _ = await loop.create_datagram_endpoint(_UdpEcho, local_addr=(address, port))
            transports.append(transport)
        yield
    finally:
        for transport in transports:
            transport.close()


@contextlib.asynccontextmanager
async def iperf(address: str, port: int) -> AsyncIterator[None]:
    """An iperf3 server, which the kernel ends with this process however that ends; if it is missing, nothing."""
    command = ["setpriv", "--pdeathsig", "KILL", "iperf3", "-s", "-B", address, "-p", str(port)]
    quiet = asyncio.subprocess.DEVNULL
    child = await asyncio.create_subprocess_exec(*command, stdin=quiet, stdout=quiet, stderr=None)
    try:
        yield
    finally:
        with contextlib.suppress(ProcessLookupError):
            child.kill()
        await child.wait()
