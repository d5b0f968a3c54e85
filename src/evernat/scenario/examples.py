"""docs/scenarios.md: `python -m evernat.scenario.examples tests/scenarios/*.txt > docs/scenarios.md`."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

from evernat.scenario.script import EVENTS, read

PAGE = """# Scenarios

What the nodes of a stack decide when something happens, as transcripts. `evernat scenario FILE` plays one with the
agent's real decision code in a simulated network and AWS: no time passes, nothing is touched. The tests play all of
these, and compare; random ones by the hundred thousand are played by `make sim`.

Lines with `>` are what happens: seconds, event. The others are what follows: `b main: standby -> claiming (why)` is a
change of role of the node in slot b for the gateway main, `b asks AWS` a call, `aws` what AWS has done. An instance is
named after its slot: `i-a2` is the second one in slot a. Times are those of the simulation (a call of the API
takes 0.1 s unless the scenario says otherwise), and no measurement.

{scenarios}
## Events

| event | means |
|---|---|
{events}

`evernat scenario` starts with a stack at rest (`start steady`) or with instances just launched (`start new`);
`topology` is single, pair, ring2 (two zones) or ring (three); `api` seconds per call, `heal` seconds until the Auto
Scaling group replaces a dead node, `seed` another run of the same dice.
"""


def page(files: Sequence[Path]) -> str:
    """The whole page, with these scenarios."""
    events = "\n".join(f"| `{name} {words}` | {means} |" for name, (words, means) in EVENTS.items())
    return PAGE.format(
        scenarios="\n".join(_one(file) for file in files), events=events.replace(" ` |", "` |")
    )


def _one(file: Path) -> str:
    body = [line for line in file.read_text().splitlines() if not line.startswith("#")]
    comment = "\n".join(read(file).comment)
    text = "\n".join(body).strip("\n")
    return f"## {file.stem}\n\n{comment}\n\n```\n{text}\n```\n"


if __name__ == "__main__":
    sys.stdout.write(page([Path(name) for name in sys.argv[1:]]))
