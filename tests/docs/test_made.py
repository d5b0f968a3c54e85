"""What is made from code."""

from __future__ import annotations

import re

import pytest
from tools.docs import pages, policy, prices
from tools.docs.picture import draw


def test_current() -> None:
    """What stands in the pages is what the code says now; `make docs` writes it."""
    old = [path.name for path, text in pages.current().items() if path.read_text() != text]
    assert not old


def test_every_part_is_shown() -> None:
    """No part is made for nobody."""
    shown = {
        found[1] for path in pages.DOCS.rglob("*.md") for found in pages.MARKED.findall(path.read_text())
    }
    assert shown == set(pages.PARTS)


def test_every_permission_has_a_reason() -> None:
    """Each call of the policies has its reason, and there is no reason without a call."""
    named = set(re.findall(r"^- `(\w+:\w+)`", policy.page("single") + policy.page("cluster"), re.M))
    assert named == set(policy.REASONS)


def test_prices_by_hand() -> None:
    """A month of a pair on demand, and of two managed gateways with a terabyte, calculated on paper."""
    pair = next(setup for setup in prices.SETUPS if setup.name == "`pair`")
    assert pair.month(prices.ON_DEMAND) == pytest.approx(2 * (0.0042 * 730 + 0.64) + 3 * 3.65)
    assert prices.managed(2, 1000) == pytest.approx(65.70 + 7.30 + 45.00)


def test_a_picture_shows_every_transition() -> None:
    """An arrow for each, and a box for each role."""
    drawn = draw("stateDiagram-v2\n[*] --> one\none --> two\ntwo --> one\none --> three")
    assert drawn.count("marker-end") == 4
    assert drawn.count('class="state"') == 3


@pytest.mark.parametrize("text", ["graph TD", "", "stateDiagram-v2\none -> two", "sequenceDiagram\na->b: x"])
def test_what_cannot_be_drawn_is_refused(text: str) -> None:
    """A diagram that is not understood breaks the build; half a picture would mislead."""
    with pytest.raises(ValueError, match=r"^(not|no) "):
        draw(text)


def test_the_same_text_gives_the_same_picture() -> None:
    """Nothing in it depends on the run."""
    text = "sequenceDiagram\nparticipant a as A\nparticipant b as B\na->>b: hello\nNote over b: <well>"
    assert draw(text) == draw(text)
    assert "&lt;well&gt;" in draw(text)


def test_the_call_in_the_guide_is_that_of_the_example() -> None:
    """The guide for users of the article's module shows the module's own example, with its source in another place."""
    example = (pages.ROOT / "terraform/examples/article/main.tf").read_text()
    shown = re.search(r'^module "nat" \{.*?^\}', (pages.DOCS / "move/article.md").read_text(), re.M | re.S)
    there = re.search(r'^module "nat" \{.*?^\}', example, re.M | re.S)
    assert shown
    assert there
    assert re.sub(r"source = .*", "", shown[0]) == re.sub(r"source = .*", "", there[0])
