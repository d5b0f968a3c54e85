"""Scenarios: a stack's nodes with the agent's real decisions, in a simulated network and AWS, under virtual time.

`script` reads the text, `world` is what there is, `happen` what may happen to it, `invariants` what must always hold,
`play` plays a scenario. Random ones are made in tests/sim.
"""

from evernat.scenario.play import Played, play
from evernat.scenario.script import ScenarioError, Script, parse, read

__all__ = ["Played", "ScenarioError", "Script", "parse", "play", "read"]
