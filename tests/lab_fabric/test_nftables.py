"""Rulesets as values: the transaction between two of them."""

from __future__ import annotations

from evernat.lab.fabric.nftables import Holder, Ruleset, transaction

A = Ruleset({"s": Holder("set", "type ipv4_addr", frozenset({"10.0.0.1", "10.0.0.2"}))}, {"c": ("accept",)})
B = Ruleset(
    {"s": Holder("set", "type ipv4_addr", frozenset({"10.0.0.2", "10.0.0.3"}))}, {"d": ("ip saddr @s drop",)}
)


def test_nothing_to_do_is_no_text() -> None:
    """From a ruleset to itself there is no transaction."""
    assert transaction(A, A) == ""


def test_only_what_differs_is_named() -> None:
    """Elements and chains that stay are not mentioned."""
    assert transaction(A, B).splitlines() == [
        "add chain ip fabric d",
        "add rule ip fabric d ip saddr @s drop",
        "delete element ip fabric s { 10.0.0.1 }",
        "add element ip fabric s { 10.0.0.3 }",
        "flush chain ip fabric c",
        "delete chain ip fabric c",
    ]


def test_a_name_exists_before_it_is_used_and_goes_after() -> None:
    """Sets come first and go last, chains are empty before they go."""
    assert transaction(Ruleset(), A).splitlines()[0] == "add set ip fabric s { type ipv4_addr; }"
    assert transaction(A, Ruleset()).splitlines()[-1] == "delete set ip fabric s"


def test_changed_rules_replace_the_old_ones() -> None:
    """A chain whose rules changed is emptied and filled again in the same transaction."""
    after = Ruleset(A.holders, {"c": ("drop",)})
    assert transaction(A, after).splitlines() == ["flush chain ip fabric c", "add rule ip fabric c drop"]
