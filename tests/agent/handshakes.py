"""Opens connections and forgets them without a word: what stays is their entry in every table on the way.

`serve ADDRESS PORT...` accepts and forgets; `open ADDRESS FIRST COUNT PORT...` prints how many handshakes were
finished. The n-th connection always has the same source port and port: another FIRST makes others. Ports are used in
turn.
"""

from __future__ import annotations

import contextlib
import select
import socket
import sys

TCP_REPAIR = 19
BATCH = 200
LOWEST = 1025


def forget(made: socket.socket) -> None:
    """Close it without FIN or RST (a socket in repair mode says nothing)."""
    made.setsockopt(socket.IPPROTO_TCP, TCP_REPAIR, 1)
    made.close()


def serve(address: str, ports: list[int]) -> None:
    """For ever."""
    poll = select.epoll()
    listeners = {}
    for port in ports:
        listener = socket.socket()
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((address, port))
        listener.listen(4096)
        listener.setblocking(False)
        listeners[listener.fileno()] = listener
        poll.register(listener.fileno(), select.EPOLLIN)
    print("ready", flush=True)
    while True:
        for descriptor, _ in poll.poll():
            with contextlib.suppress(BlockingIOError):
                while True:
                    forget(listeners[descriptor].accept()[0])


def begun(address: str, number: int, ports: list[int]) -> socket.socket:
    """The connection of that number, under way."""
    made = socket.socket()
    made.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    made.bind(("", LOWEST + number // len(ports)))
    made.setblocking(False)
    made.connect_ex((address, ports[number % len(ports)]))
    return made


def batch(waiting: list[socket.socket], seconds: float) -> int:
    """Wait for them, and forget them; how many were finished."""
    poll, known, done = select.epoll(), {made.fileno(): made for made in waiting}, 0
    for descriptor in known:
        poll.register(descriptor, select.EPOLLOUT)
    while known:
        ready = poll.poll(seconds)
        if not ready:
            break
        for descriptor, _ in ready:
            made = known.pop(descriptor)
            done += made.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == 0
            poll.unregister(descriptor)
            forget(made)
    for made in known.values():
        forget(made)
    poll.close()
    return done


def main(what: str, address: str, *words: str) -> None:
    """The command line."""
    if what == "serve":
        serve(address, [int(word) for word in words])
    first, count, *ports = map(int, words)
    numbers = range(first, first + count)
    print(
        sum(
            batch([begun(address, number, ports) for number in numbers[at : at + BATCH]], 0.3)
            for at in range(0, count, BATCH)
        ),
        flush=True,
    )


if __name__ == "__main__":
    main(*sys.argv[1:])
