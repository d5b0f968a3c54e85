"""Plans for people and programs."""

from __future__ import annotations

import time
from typing import Any

from rich.console import Console

from evernat.cli.terminal import Waiting, safe
from evernat.stack.cost import MONTH
from evernat.stack.steps import Change, Plan, Step

MARKS = {
    "create": ("+", "green"),
    "change": ("~", "yellow"),
    "replace": ("±", "magenta"),
    "delete": ("-", "red"),
    "wait": ("…", "dim"),
}


def plan_text(plan: Plan, console: Console) -> None:
    """Print a plan, one step a line with its changes below."""
    for step in plan.steps if plan.changes else ():
        console.print(f"  {title(step)}")
        for change in step.changes:
            console.print(f"      [dim]{_change(change)}[/]")
    if plan.changes and plan.public_addresses:
        console.print(f"  [dim]{_addresses(plan.public_addresses)}[/]")
    for warning in plan.warnings:
        console.print(f"[yellow]note[/] {safe(warning)}")
    console.print(summary(plan))


def title(step: Step) -> str:
    """A step in one line, with markup."""
    mark, colour = MARKS[step.verb]
    if step.verb == "wait":
        return f"[{colour}]{mark}[/] wait {safe(step.title)}"
    because = f" [dim]because {safe(step.because)}[/]" if step.because else ""
    return f"[{colour}]{mark}[/] {step.verb} [bold]{safe(step.part)}[/] {safe(step.title)}{because}"


def summary(plan: Plan) -> str:
    """What the plan amounts to, in one line with markup."""
    if not plan.changes:
        return f"stack [bold]{safe(plan.stack)}[/] in {safe(plan.region)}: nothing to do"
    counts = [
        f"{plan.count(verb)} to {verb}"
        for verb in ("create", "change", "replace", "delete")
        if plan.count(verb)
    ]
    return f"stack [bold]{safe(plan.stack)}[/] in {safe(plan.region)}: {', '.join(counts)}"


def plan_json(plan: Plan) -> dict[str, Any]:
    """A plan for programs."""
    return {
        "stack": plan.stack,
        "region": plan.region,
        "purpose": plan.purpose,
        "pending": len(plan.changes),
        "resources": plan.resources,
        "public_addresses": plan.public_addresses,
        "warnings": list(plan.warnings),
        "steps": [
            {
                "verb": step.verb,
                "part": step.part,
                "title": step.title,
                "because": step.because,
                "changes": [{"field": c.field, "old": c.old, "new": c.new} for c in step.changes],
            }
            for step in plan.steps
        ],
    }


class Progress:
    """Prints steps as they are done, with what is being waited for beside a spinner."""

    def __init__(self, console: Console, spinner: Waiting) -> None:
        self.console = console
        self.spinner = spinner
        self.begun = time.monotonic()

    def __call__(self, step: Step, text: str) -> None:
        """A step begins, is done, or waits for something."""
        if text == "begin":
            self.begun = time.monotonic()
            self.spinner.update(title(step))
        elif text == "done":
            self.console.print(f"  {title(step)} [dim]{time.monotonic() - self.begun:.1f} s[/]")
        else:
            self.spinner.update(f"{title(step)} [dim]({safe(text)})[/]")
            if not self.console.is_terminal:
                self.console.print(f"    {safe(text)}")


def _addresses(count: int) -> str:
    """What is paid for them, whatever runs."""
    return f"{count} public IPv4 address{'es' * (count > 1)}: {count * MONTH:.2f} USD a month"


def _change(change: Change) -> str:
    old, new = safe(change.old), safe(change.new)
    if not change.old:
        return f"{safe(change.field)}: + {new}"
    if not change.new:
        return f"{safe(change.field)}: - {old}"
    return f"{safe(change.field)}: {old} → {new}"
