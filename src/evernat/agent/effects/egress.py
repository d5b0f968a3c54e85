"""A client of our own, which asks the internet as the clients of a gateway do.

It lives in a network namespace of the agent's own, joined to the node by a veth pair, so its packets come in by an
interface, pass the forward chain and are translated. The kernel takes both away when the process ends. Whoever checks
enters the namespace with a thread of its own, which never comes back, so no other thread can be left in there.
"""

from __future__ import annotations

import ctypes
import errno
import os
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable, Sequence
from typing import TypeVar, Union

from ..contract import ADDRESS_EVERY, INSIDE, LINK, NETWORK, NODE, OWN, client
from ..values import Egress
from . import EffectError, kernel
from .names import resolve
from .process import run
from .web import Web

OWN_WAY = -1
"""Instead of a gateway's index: as the node's primary private address, through the forward chain too."""

DIRECT = -2
"""The node's own sockets: tells whether the internet can be reached at all."""

CLONE_NEWNET = 0x40000000
RESET = struct.pack("ii", 1, 0)
"""Of SO_LINGER: close with a reset, so that conntrack keeps the connection for 10 s and not for 120."""


class Client:
    """The client. `places` are `address:port`, `url` answers the caller's address. For any thread."""

    def __init__(self, places: Sequence[str], url: str, gateways: int):
        self._places = [(host, int(port)) for host, port in (place.split(":") for place in places)]
        self._url = url
        self._addresses = [OWN, *(client(n) for n in range(gateways))]
        self._lock = threading.Lock()
        self._space = -1  # descriptor of the namespace
        # When the public address was asked for, and the last answer.
        self._seen: dict[int, tuple[float, str]] = {}

    def check(self, way: int, timeout: float = 3.0) -> Egress:
        """Whether any place answers, within `timeout` seconds. `way`: a gateway's index, OWN_WAY or DIRECT.

        Of the hops it knows "check" and "beyond": `machine.hops` tells more. After a passed check the public address
        is asked for when it is not known or ADDRESS_EVERY old; no answer to that is no failure.
        """
        began = time.monotonic()
        try:
            sockets = self._sockets(way, len(self._places))
        except (OSError, EffectError) as error:
            self.close()
            return Egress(began, "check", f"no client of the agent's own: {error}")
        wrong = reach(sockets, self._places, began + timeout)
        if wrong:
            self.renew(way)
            if way != DIRECT and not self.whole():
                self.close()
                return Egress(began, "check", f"somebody changed {LINK}: {wrong}")
            return Egress(began, "beyond", wrong)
        return Egress(began, address=self._address(way, began + timeout))

    def renew(self, way: int) -> None:
        """Something changed: ask for the public address at the next check."""
        self._seen.pop(way, None)

    def close(self) -> None:
        """Let the namespace go; the next check makes another."""
        with self._lock:
            if self._space >= 0:
                os.close(self._space)
            self._space = -1

    def whole(self) -> bool:
        """Whether the node's end of the cable is as it was made."""
        shown = run("ip", "-4", "address", "show", "dev", LINK, "up", check=False)
        return f"inet {NODE}/" in shown and kernel.forwards(LINK)

    def _address(self, way: int, end: float) -> str:
        asked, last = self._seen.get(way, (-ADDRESS_EVERY, ""))
        now = time.monotonic()
        if now - asked < ADDRESS_EVERY:
            return last
        self._seen[way] = now, last
        try:
            web = Web(dial=lambda host, port, until: self._dial(way, host, port, until))
            text = web.request("GET", self._url, {}, timeout=max(end - now, 0.5))[1].strip()
            web.close()
            if re.fullmatch(r"[\d.]{7,15}", text):
                self._seen[way] = now, text
        except EffectError:
            pass
        return self._seen[way][1]

    def _dial(self, way: int, host: str, port: int, until: float) -> socket.socket:
        """A connection; names are looked up outside, for the namespace has no resolver. OSError."""
        error = OSError(f"no address of {host}")
        for address in resolve(host, until - time.monotonic()):
            (made,) = self._sockets(way, 1)
            made.settimeout(max(until - time.monotonic(), 0.01))
            try:
                made.connect((address, port))
                return made
            except OSError as failed:
                made.close()
                error = failed
        raise error

    def _sockets(self, way: int, count: int) -> list[socket.socket]:
        """Sockets that do not block and send the given way. OSError, EffectError."""

        def make() -> list[socket.socket]:
            made = []
            for _ in range(count):
                one = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
                one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
                made.append(one)
                if way != DIRECT:
                    one.bind((self._addresses[way + 1], 0))
            return made

        if way == DIRECT:
            return make()
        with self._lock:
            if self._space < 0:
                self._make()
            return within(self._space, make)

    def _make(self) -> None:
        run("ip", "link", "delete", LINK, check=False)
        node = os.getpid()

        def inside() -> int:
            # With given MAC addresses udev makes no others up.
            cable = (
                f"link add {INSIDE} address 02:00:a9:fe:52:02 type veth"
                f" peer name {LINK} address 02:00:a9:fe:52:01 netns {node}\n"
            )
            addresses = "".join(f"address add {a}/24 dev {INSIDE}\n" for a in self._addresses)
            up = f"link set {INSIDE} up\nroute add default via {NODE}\n"
            run("ip", "-batch", "-", text=cable + addresses + up)
            return os.open("/proc/thread-self/ns/net", os.O_RDONLY | os.O_CLOEXEC)

        space = within(None, inside)
        try:
            up = f"address replace {NODE}/{NETWORK[-2:]} dev {LINK}\nlink set {LINK} up\n"
            run("ip", "-4", "-batch", "-", text=up)
            kernel.forward(LINK)
            for _ in range(200):
                if kernel.carries(LINK) and within(space, lambda: kernel.carries(INSIDE)):
                    break
                time.sleep(0.005)
        except (OSError, EffectError):
            os.close(space)
            raise
        self._space = space


Result = TypeVar("Result")


def within(space: int | None, do: Callable[[], Result]) -> Result:
    """What `do` gives in a namespace, in a new one if there is none. Raises what `do` raises; OSError: not let in."""
    result: list[Union[Result, Exception]] = []

    def visit() -> None:
        libc = ctypes.CDLL(None, use_errno=True)
        try:
            if libc.unshare(CLONE_NEWNET) if space is None else libc.setns(space, CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), "cannot enter a network namespace")
            result.append(do())
        except Exception as error:
            result.append(error)

    thread = threading.Thread(target=visit, daemon=True)
    thread.start()
    thread.join()
    if isinstance(result[0], Exception):
        raise result[0]
    return result[0]


def reach(sockets: Sequence[socket.socket], places: Sequence[tuple[str, int]], end: float) -> str:
    """Connect to all places at once; empty as soon as one of them answers, else what came instead. Closes all."""
    waiting, wrong, poll = {}, [], select.poll()
    for one, place in zip(sockets, places):
        code = one.connect_ex(place)
        if code in (0, errno.EINPROGRESS):
            waiting[one.fileno()] = one, place
            poll.register(one, select.POLLOUT)
        else:
            wrong.append(f"{place[0]}: {os.strerror(code)}")
    try:
        while waiting:
            ready = poll.poll(max(end - time.monotonic(), 0) * 1000)
            if not ready:
                break
            for number, _ in ready:
                one, place = waiting.pop(number)
                poll.unregister(number)
                code = one.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR)
                if not code:
                    return ""
                wrong.append(f"{place[0]}: {os.strerror(code)}")
    finally:
        for one in sockets:
            one.close()
    return ", ".join([*wrong, *(f"{place[0]}: no answer" for _, place in waiting.values())])
