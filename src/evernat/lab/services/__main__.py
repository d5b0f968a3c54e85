"""`python -m evernat.lab.services --role client|internet --name NAME`: serves until it is told to stop (SIGTERM)."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal

from evernat.lab.addresses import INTERNET_HOST, PLACES
from evernat.lab.services import ECHO, HTTP, IPERF, PUSH, echo, web
from evernat.lab.services.seen import Seen


async def _serve(role: str, name: str) -> None:
    """The internet host shares its namespace with the AWS API, so it listens on its own addresses only."""
    addresses = [INTERNET_HOST, "127.0.0.1"] if role == "internet" else ["0.0.0.0"]  # noqa: S104
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    async with contextlib.AsyncExitStack() as stack:
        seen = None
        if role == "internet":
            seen = Seen(INTERNET_HOST)
            await seen.start()
            await stack.enter_async_context(echo.push_server(addresses, PUSH))
            await stack.enter_async_context(echo.iperf(INTERNET_HOST, IPERF))
            for address, port in PLACES:
                await stack.enter_async_context(echo.tcp_echo([address], port))
        await stack.enter_async_context(echo.tcp_echo(addresses, ECHO))
        await stack.enter_async_context(echo.udp_echo(addresses, ECHO))
        await stack.enter_async_context(web.server(addresses, HTTP, name, seen))
        print("ready", flush=True)
        await stop.wait()


def main() -> None:
    """Reads the command line and serves."""
    parser = argparse.ArgumentParser(prog="evernat.lab.services", description=__doc__)
    parser.add_argument("--role", choices=("client", "internet"), required=True)
    parser.add_argument("--name", required=True)
    arguments = parser.parse_args()
    asyncio.run(_serve(arguments.role, arguments.name))


if __name__ == "__main__":
    main()
