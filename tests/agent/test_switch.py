"""The dead man's switch, on real packets: what a guarded holder's kernel lets out while nobody renews it."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from evernat.agent import contract, rules
from evernat.agent.cluster_model import Gateway, Rules
from tests.agent.packets import CLIENT, LINK, NODE, OTHER, OUTSIDE, Net

pytestmark = pytest.mark.packets

HOME = Gateway("home", "eipalloc-1", "a", "b", {"a": 0, "b": 1}, (), (f"{CLIENT}/32",))
PORT = 4817


@pytest.fixture
def net() -> Iterator[Net]:
    made = Net()
    yield made
    made.close()


def load(net: Net, guarded: bool) -> None:
    """Serve the client, with a standby that would take over or without one."""
    home = frozenset({"home"})
    wanted = Rules(home, members=frozenset({OTHER}), guarded=home if guarded else frozenset())
    net.load(rules.table([HOME], {"home": NODE}, wanted, PORT, LINK, False, NODE))


@contextmanager
def beating(net: Net) -> Iterator[None]:
    """An agent that renews the switch with each heartbeat."""
    ended = threading.Event()
    with net.socket("node", socket.SOCK_DGRAM) as renewing:

        def beat() -> None:
            while not ended.wait(0.02):
                with suppress(OSError):  # the rule that renews drops it: PermissionError
                    renewing.sendto(b"", (contract.RENEW, PORT))

        thread = threading.Thread(target=beat)
        thread.start()
        try:
            yield
        finally:
            ended.set()
            thread.join()


OVER = 0.3
"""Seconds after which what the last heartbeat renewed is over."""


def wait(seconds: float) -> None:
    """Let time pass."""
    threading.Event().wait(seconds)


def talks(connection: socket.socket) -> bool:
    """Whether an answer comes within three seconds; TCP sends again."""
    connection.settimeout(3)
    try:
        connection.sendall(b"x")
        return connection.recv(1) == b"x"
    except TimeoutError:
        return False


def test_packets_stop_with_the_agent_and_go_on_with_it(net: Net) -> None:
    """Nothing of a client leaves while nobody renews; then the same connection goes on."""
    load(net, guarded=True)
    with net.server("outside", 7), net.socket("client") as connection:
        with beating(net):
            connection.connect((OUTSIDE, 7))
            assert connection.recv(100).decode().strip() == NODE
            assert talks(connection)
        wait(OVER)
        assert not talks(connection)
        assert net.call("client", OUTSIDE, 7) == "TimeoutError"
        with beating(net):
            connection.settimeout(20)  # until TCP sends again
            assert connection.recv(1) == b"x"
            assert talks(connection)


def test_a_reset_reaches_nobody(net: Net) -> None:
    """One from outside ends the connection neither at the client nor in the node's memory."""
    load(net, guarded=True)
    with net.socket("outside") as listener, net.socket("client") as connection:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((OUTSIDE, 7))
        listener.listen()
        with beating(net):
            connection.connect((OUTSIDE, 7))
            far, _ = listener.accept()
        wait(OVER)
        far.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
        far.close()
        connection.settimeout(0.5)
        with pytest.raises(TimeoutError):
            connection.recv(1)
        assert "ESTABLISHED" in net.run("node", f"conntrack -L -s {CLIENT} 2>/dev/null")


def test_without_a_standby_packets_go_on(net: Net) -> None:
    """Nobody would take over: the kernel serves without the agent."""
    load(net, guarded=False)
    with net.server("outside", 7), net.socket("client") as connection:
        connection.connect((OUTSIDE, 7))
        assert connection.recv(100).decode().strip() == NODE
        wait(2 * OVER)
        assert talks(connection)


def test_only_root_renews(net: Net) -> None:
    """A program of another user cannot hold the switch."""
    load(net, guarded=True)
    program = (
        "import socket,time\n"
        "s=socket.socket(socket.AF_INET,socket.SOCK_DGRAM)\n"
        f"for _ in range(40): s.sendto(b'', ('{contract.RENEW}', {PORT})); time.sleep(0.02)\n"
        "print('sent')"
    )
    said: list[str] = []
    command = f'setpriv --reuid 65534 --clear-groups /usr/bin/python3 -c "{program}"'
    spawned = threading.Thread(target=lambda: said.append(net.run("node", command, check=False)))
    with net.server("outside", 7):
        wait(OVER)  # so is the element that a table is loaded with
        spawned.start()
        assert net.call("client", OUTSIDE, 7, timeout=0.6) == "TimeoutError"
        spawned.join()
    if said != ["sent\n"]:
        pytest.skip(f"no other user here: {said}")
