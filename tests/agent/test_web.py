"""HTTP against servers that are slow, endless or odd: each request ends in time, as an answer or as no answer."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import pytest

from evernat.agent.effects import names, web
from evernat.agent.effects.web import UnansweredError, Web, pick

OK = b"HTTP/1.1 200 OK\r\n"


@contextmanager
def server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """The URL of a server that treats each connection so, after reading what was asked."""
    listener = socket.create_server(("127.0.0.1", 0))

    def one(made: socket.socket) -> None:
        with made:
            try:
                made.recv(65536)
                serve(made)
            except OSError:
                pass

    def accept() -> None:
        while True:
            try:
                made, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=one, args=(made,), daemon=True).start()

    threading.Thread(target=accept, daemon=True).start()
    try:
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/x"
    finally:
        listener.close()


def drip(head: bytes, piece: bytes, pause: float = 0.02) -> Callable[[socket.socket], None]:
    """Send the head, then the piece again and again, for ever."""

    def serve(made: socket.socket) -> None:
        made.sendall(head)
        while True:
            made.sendall(piece)
            time.sleep(pause)

    return serve


ENDLESS = {
    "silence": drip(b"", b"", 0.1),
    "a byte of a status line at a time": drip(b"", b"H"),
    "a byte of a header at a time": drip(OK, b"x"),
    "headers": drip(OK, b"a: b\r\n", 0.001),
    "continue": drip(b"", b"HTTP/1.1 100 Continue\r\n\r\n", 0.001),
    "a byte of a body at a time": drip(OK + b"Content-Length: 100000\r\n\r\n", b"x"),
    "a body without end": drip(OK + b"\r\n", b"x" * 100),
    "a chunk's byte at a time": drip(OK + b"Transfer-Encoding: chunked\r\n\r\nffff\r\n", b"x"),
    "chunks": drip(OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\nx\r\n"),
}


@pytest.mark.parametrize("serve", ENDLESS.values(), ids=ENDLESS)
def test_endless(serve: Callable[[socket.socket], None]) -> None:
    """Whatever comes bit by bit and never ends, the request ends when its time is up."""
    with server(serve) as url:
        began = time.monotonic()
        with pytest.raises(UnansweredError):
            Web().request("GET", url, {}, timeout=0.4)
        assert time.monotonic() - began < 2


ODD = {
    "nothing": b"",
    "no HTTP": b"SSH-2.0-x\r\n",
    "no number": b"HTTP/1.1 abc\r\n\r\n",
    "a negative length": OK + b"Content-Length: -5\r\n\r\n",
    "a length beyond memory": OK + b"Content-Length: 99999999999999999999\r\n\r\nx",
    "a chunk beyond memory": OK + b"Transfer-Encoding: chunked\r\n\r\nffffffffffffffff\r\nx",
    "no chunk": OK + b"Transfer-Encoding: chunked\r\n\r\nzz\r\n",
    "half a chunk": OK + b"Transfer-Encoding: chunked\r\n\r\n10\r\nhalf",
    "half a body": OK + b"Content-Length: 10\r\n\r\nhalf",
    "a line too long": OK + b"a: " + b"x" * 70000 + b"\r\n\r\n",
    "too many headers": OK + b"a: b\r\n" * 200 + b"\r\n",
    "too much": OK + b"\r\n" + b"x" * (web.LONGEST + 1),
}


@pytest.mark.parametrize("answer", ODD.values(), ids=ODD)
def test_odd(answer: bytes) -> None:
    """What is no whole answer is UnansweredError; one that closes early may be the text so far, never more."""
    with server(lambda made: made.sendall(answer)) as url:
        try:
            _, text = Web().request("GET", url, {}, timeout=3)
        except UnansweredError:
            return
        assert len(text) <= 1


def test_one_connection_for_several_requests() -> None:
    """A second request goes over the same connection when the server keeps it, over another when it does not."""
    connections: list[int] = []

    def serve(made: socket.socket, last: bytes = b"") -> None:
        connections.append(made.fileno())
        made.sendall(OK + last + b"Content-Length: 2\r\n\r\nhi")
        while made.recv(65536):
            made.sendall(OK + b"Content-Length: 2\r\n\r\nho")

    with server(serve) as url:
        talk = Web()
        assert [talk.request("POST", url, {"a": "b"}, "body")[1] for _ in range(2)] == ["hi", "ho"]
    assert len(connections) == 1
    with server(lambda made: serve(made, b"Connection: close\r\n")) as url:
        talk = Web()
        assert [talk.request("GET", url, {})[1] for _ in range(2)] == ["hi", "hi"]
    assert len(connections) == 3


def test_a_url_that_is_none() -> None:
    """Words instead of a URL are no answer, and no crash."""
    for url in ("", "x", "http://", "http://127.0.0.1:port/"):
        with pytest.raises(UnansweredError):
            Web().request("GET", url, {}, timeout=0.5)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "text", ["", "null", "[]", "3", '"a"', "{}", '{"a": null}', '{"a": {}}', '{"a": 3}', DEEP, "{"]
)
def test_odd_json(text: str) -> None:
    """What is not an object with the texts that are wanted is UnansweredError, however it is odd."""
    with pytest.raises(UnansweredError, match="what: "):
        pick("what", text, "a")


def test_a_resolver_that_hangs(monkeypatch: pytest.MonkeyPatch) -> None:
    """A request whose name cannot be looked up ends in time; once it was, the last good addresses are used."""
    hang = threading.Event()
    look = socket.getaddrinfo
    monkeypatch.setattr(names, "_known", {})

    def slow(*asked: object) -> object:
        if asked[0] == "localhost":
            hang.wait(5)
        return look(*asked)  # type: ignore[arg-type]

    monkeypatch.setattr(socket, "getaddrinfo", slow)
    with server(lambda made: made.sendall(OK + b"Content-Length: 2\r\n\r\nhi")) as url:
        named = url.replace("127.0.0.1", "localhost")
        began = time.monotonic()
        with pytest.raises(UnansweredError, match="does not answer"):
            Web().request("GET", named, {}, timeout=0.3)
        assert time.monotonic() - began < 2
        hang.set()
        assert Web().request("GET", named, {}, timeout=3)[1] == "hi"
        hang.clear()
        assert Web().request("GET", named, {}, timeout=3)[1] == "hi"
        hang.set()


def test_a_name_that_nothing_has(monkeypatch: pytest.MonkeyPatch) -> None:
    """The resolver's own words are in the message."""
    monkeypatch.setattr(names, "_known", {})
    with pytest.raises(OSError, match=r"no address of nothing\.invalid: "):
        names.resolve("nothing.invalid", 5)
