"""A small HTTP/1.1 server that tells its callers who they are.

- `GET /`: who answers and who asks, `NAME ADDRESS PORT` on the clients and `ADDRESS PORT` on the internet host; as JSON
  (`{"name", "address", "port"}`) with `Accept: application/json`.
- `POST` or `PUT` anything: takes the body and answers how many bytes it was.
- `GET /bytes/N`: N bytes.
- `GET /seen`, only on the internet host: packets by source address and protocol, as JSON; `DELETE /seen` forgets them.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus

from evernat.lab.services.echo import tcp_server
from evernat.lab.services.seen import Seen

_CHUNK = 65536


@dataclass(frozen=True)
class _Request:
    method: str
    path: str
    headers: dict[str, str]
    peer: tuple[str, int]
    size: int
    """Of the body, in bytes, which is already gone."""


@dataclass(frozen=True)
class _Answer:
    body: bytes
    kind: str = "text/plain; charset=utf-8"
    status: HTTPStatus = HTTPStatus.OK


def server(
    addresses: Sequence[str], port: int, name: str, seen: Seen | None
) -> contextlib.AbstractAsyncContextManager[None]:
    """Serves as host `name`; `seen` is there on the internet host only."""

    async def handler(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while request := await _read(reader, writer):
            answer = await _answer(request, name, seen)
            _write(writer, answer, last=_is_last(request))
            await writer.drain()
            if _is_last(request):
                return

    return tcp_server(addresses, port, handler)


async def _read(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> _Request | None:
    """The next request with its body swallowed, or None when the connection is at its end."""
    head = await reader.readline()
    if not head.strip():
        return None
    method, path, _version = head.decode("latin-1").split()
    headers: dict[str, str] = {}
    while line := (await reader.readline()).decode("latin-1").strip():
        key, _, value = line.partition(":")
        headers[key.lower()] = value.strip()
    if headers.get("expect", "").lower() == "100-continue":
        writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        await writer.drain()
    chunked = "chunked" in headers.get("transfer-encoding", "").lower()
    size = await (
        _swallow_chunks(reader) if chunked else _swallow(reader, int(headers.get("content-length", "0")))
    )
    host, port = writer.get_extra_info("peername")[:2]
    return _Request(method, path, headers, (host, port), size)


async def _swallow(reader: asyncio.StreamReader, size: int) -> int:
    left = size
    while left > 0:
        data = await reader.read(min(left, _CHUNK))
        if not data:
            raise asyncio.IncompleteReadError(b"", left)
        left -= len(data)
    return size


async def _swallow_chunks(reader: asyncio.StreamReader) -> int:
    total = 0
    while size := int((await reader.readline()).split(b";")[0], 16):
        total += await _swallow(reader, size)
        await reader.readline()
    while (await reader.readline()).strip():
        pass  # trailers
    return total


async def _answer(request: _Request, name: str, seen: Seen | None) -> _Answer:
    if request.method in ("POST", "PUT"):
        return _Answer(b"%d\n" % request.size)
    if request.path == "/seen" and seen is not None:
        if request.method == "DELETE":
            await seen.forget()
        return _json(await seen.packets())
    if request.method not in ("GET", "HEAD"):
        return _Answer(b"method not allowed\n", status=HTTPStatus.METHOD_NOT_ALLOWED)
    if request.path.startswith("/bytes/") and request.path[7:].isdigit():
        return _Answer(b"x" * int(request.path[7:]), "application/octet-stream")
    if request.path != "/":
        return _Answer(b"not found\n", status=HTTPStatus.NOT_FOUND)
    address, port = request.peer
    if "application/json" in request.headers.get("accept", ""):
        return _json({"name": name, "address": address, "port": port})
    words = f"{address} {port}" if seen is not None else f"{name} {address} {port}"
    return _Answer(f"{words}\n".encode())


def _json(value: object) -> _Answer:
    return _Answer(json.dumps(value).encode() + b"\n", "application/json")


def _is_last(request: _Request) -> bool:
    return request.headers.get("connection", "").lower() == "close"


def _write(writer: asyncio.StreamWriter, answer: _Answer, *, last: bool) -> None:
    head = [
        f"HTTP/1.1 {answer.status.value} {answer.status.phrase}",
        f"Content-Type: {answer.kind}",
        f"Content-Length: {len(answer.body)}",
        f"Connection: {'close' if last else 'keep-alive'}",
    ]
    writer.write("\r\n".join(head).encode() + b"\r\n\r\n" + answer.body)
