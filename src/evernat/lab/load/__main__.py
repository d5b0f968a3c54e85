"""`python -m evernat.lab.load serve`, `... keep` and `... flood`."""

from __future__ import annotations

import argparse
import json
import signal
import sys

from evernat.lab.load import KINDS, PORT
from evernat.lab.load.flood import flood
from evernat.lab.load.keep import Keeper
from evernat.lab.load.loop import Loop, many_files
from evernat.lab.load.serve import serve


def main() -> None:
    """Serve until SIGTERM, keep until standard input ends, or flood for some seconds."""
    parser = argparse.ArgumentParser(prog="evernat.lab.load")
    verbs = parser.add_subparsers(dest="verb", required=True)
    server = verbs.add_parser("serve", help="be the far end")
    server.add_argument("--address", default="0.0.0.0")  # noqa: S104 - in a namespace of the lab
    server.add_argument("--port", type=int, default=PORT)
    keeper = verbs.add_parser("keep", help="open connections and hold them")
    keeper.add_argument("address")
    keeper.add_argument("--port", type=int, default=PORT)
    keeper.add_argument("--every", type=float, default=1.0, metavar="SECONDS", help="interval of all kinds")
    for kind in KINDS:
        keeper.add_argument(f"--{kind}", type=int, default=0, metavar="N")
    flooder = verbs.add_parser("flood", help="send datagrams as fast as it goes")
    flooder.add_argument("address")
    flooder.add_argument("--port", type=int, default=PORT)
    flooder.add_argument("--seconds", type=float, default=10.0)
    flooder.add_argument("--rate", type=float, default=0.0, metavar="PER_SECOND", help="0: no limit")
    flooder.add_argument("--flows", type=int, default=1, metavar="N", help="source ports, used in turn")
    a = parser.parse_args()
    if a.verb == "flood":
        many_files()
        print(json.dumps({"sent": flood(a.address, a.port, a.seconds, a.rate, a.flows)}))
        return
    loop = Loop()
    most = many_files()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    if a.verb == "serve":
        serve(loop, a.address, a.port)
        sys.stdout.write("ready\n")
        sys.stdout.flush()
    else:
        counts = {kind: int(getattr(a, kind)) for kind in KINDS}
        if sum(counts.values()) > most - 50:
            parser.error(f"{sum(counts.values())} connections need more files than the {most} allowed here")
        Keeper(loop, a.address, a.port, dict.fromkeys(KINDS, a.every)).start(counts)
    loop.run()


if __name__ == "__main__":
    main()
