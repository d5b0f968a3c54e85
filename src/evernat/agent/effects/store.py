"""The parameter store (AWS Systems Manager)."""

from __future__ import annotations

import json
from collections.abc import Sequence

from .api import Api
from .web import UnansweredError

MOST = 10
"""Names that one GetParameters takes (Systems Manager API reference)."""


class MissingError(UnansweredError):
    """There is no such parameter."""


class Store(Api):
    """Reads and writes parameters."""

    def parameters(self, names: Sequence[str]) -> dict[str, str]:
        """Name -> text of each, in calls of MOST names; UnansweredError when one of them does not exist."""
        found: dict[str, str] = {}
        for at in range(0, len(names), MOST):
            found.update(self._some(names[at : at + MOST]))
        return found

    def parameter(self, name: str) -> str:
        """The text of one, empty when there is none."""
        try:
            return self.parameters([name])[name]
        except MissingError:
            return ""

    def put(self, name: str, value: str) -> None:
        """Store a text, over the last one."""
        self._ask("PutParameter", {"Name": name, "Value": value, "Type": "String", "Overwrite": True})

    def _some(self, names: Sequence[str]) -> dict[str, str]:
        answer = self._ask("GetParameters", {"Names": names, "WithDecryption": True})
        try:
            found = json.loads(answer)
            if found["InvalidParameters"]:
                raise MissingError(f"GetParameters: there is no {', '.join(found['InvalidParameters'])}")
            return {item["Name"]: item["Value"] for item in found["Parameters"]}
        except (ValueError, LookupError, TypeError, RecursionError) as error:
            raise UnansweredError(f"GetParameters: {error!r}") from error

    def _ask(self, action: str, asked: dict[str, object]) -> str:
        status, answer = self._post("ssm", action, json.dumps(asked), f"AmazonSSM.{action}", renew=True)
        if status != 200:
            raise UnansweredError(f"{action}: {answer[-200:]}")
        return answer
