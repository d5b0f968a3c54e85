"""Carrying out a plan: call after call, without a decision of its own."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any
from uuid import uuid4

from evernat.stack.api import Api
from evernat.stack.errors import ApiError, NotReady, OutcomeUnknown, StackError
from evernat.stack.steps import Call, Plan, Step, Wait
from evernat.stack.values import NONCE, resolve
from evernat.stack.wait import wait_for

PATIENCE = 120.0
"""Seconds for which a refusal that passes by itself is put up with (IAM and EC2 are eventually consistent)."""

MISSING = ("NotFound", "NoSuchEntity", "NotFoundException")
"""Words of error codes for things that do not exist, or not everywhere yet."""

Report = Callable[[Step, str], None]
"""Called with a step and `begin`, `done`, or a line on what is being waited for."""


class Run:
    """One execution of a plan. `known` grows with the ids of what is made."""

    def __init__(
        self,
        api: Api,
        plan: Plan,
        *,
        timeout: float = 600.0,
        ready: bool = True,
        report: Report | None = None,
        nonce: str = "",
    ) -> None:
        self.api = api
        self.plan = plan
        self.timeout = timeout
        self.ready = ready
        self.report = report or (lambda step, text: None)
        self.known: dict[str, str] = {**plan.known, NONCE: nonce or uuid4().hex}
        self.made: set[str] = set()

    def all(self) -> None:
        """Carry out every step. Raises at the first that fails; what was done stays, and the next plan finds it."""
        for step in self.plan.steps:
            self.step(step)

    def step(self, step: Step) -> None:
        """Carry out one step."""
        if step.verb == "wait" and not self.ready:
            return
        self.report(step, "begin")
        undo: list[Call] = []
        for action in step.actions:
            if isinstance(action, Wait):
                wait_for(
                    self.api, self.plan.stack, action, self.timeout, lambda text: self.report(step, text)
                )
                continue
            try:
                self._call(action)
            except OutcomeUnknown:
                raise  # it may have been carried out: whoever looks again sees what is left to do
            except StackError:
                self._take_back(undo)
                raise
            undo += [action.undo] if action.undo else []
        self.report(step, "done")

    def _take_back(self, calls: list[Call]) -> None:
        for call in reversed(calls):
            # What went wrong first is what the user must know.
            with suppress(StackError):
                self._call(call)

    def _call(self, call: Call) -> None:
        try:
            self._tried(call)
        except OutcomeUnknown:
            raise
        except ApiError as error:
            if call.otherwise:
                return self._call(call.otherwise)
            if call.remedy:
                error.remedy = call.remedy
            raise

    def _tried(self, call: Call) -> None:
        params: dict[str, Any] = resolve(call.params, self.known)
        deadline = self.api.clock.now() + PATIENCE
        pause = 0.5
        while True:
            try:
                answer = self.api.call(call.service, call.operation, **params)
                break
            except ApiError as error:
                if error.code in call.done:
                    return
                if not self._passes(call, error):
                    raise
                if self.api.clock.now() > deadline:
                    raise NotReady(f"{error.cause}\n(tried for {PATIENCE:.0f} s)", error.remedy) from error
            self.api.clock.sleep(pause)
            pause = min(pause * 1.6, 8.0)
        for name, path in call.yields:
            value: Any = answer
            for key in path.split("."):
                value = value[key]
            self.known[name] = value
            self.made.add(value)

    def _passes(self, call: Call, error: ApiError) -> bool:
        """Whether waiting may help: the call says so, or it concerns something made a moment ago in this run."""
        if any(word == error.code or word in error.message for word in call.patient):
            return True
        return error.code.endswith(MISSING) and any(thing in error.message for thing in self.made)
