"""The site as it is built."""

from __future__ import annotations

import json
import re
from pathlib import Path
from urllib.parse import unquote, urlsplit

import pytest
from tools.docs.pages import DOCS, ROOT

from .html import Page


def test_no_warnings(built: tuple[Path, str]) -> None:
    """It builds strictly, and nothing is warned of."""
    assert not re.search(r"WARNING|ERROR", built[1]), built[1]


def test_links_lead_somewhere(built: tuple[Path, str], pages: dict[Path, Page]) -> None:
    """Every link inside the site leads to a page or file that is there, and its anchor to a place on it."""
    assert len(pages) > 20
    broken = []
    for path, page in pages.items():
        base = built[0] if path.name == "404.html" else path.parent
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (base / unquote(parts.path.lstrip("/" if base == built[0] else ""))).resolve()
            target = target if parts.path else path
            target = target / "index.html" if target.is_dir() else target
            name = unquote(parts.fragment)
            if not target.exists() or (name and target in pages and name not in pages[target].anchors):
                broken.append(f"{path.relative_to(built[0])}: {link}")
    assert not broken


def test_nothing_is_fetched_from_elsewhere(built: tuple[Path, str], pages: dict[Path, Page]) -> None:
    """Pages and styles load only what lies beside them, and no page has what makes the theme fetch a program."""
    loaded = [f"{path}: {source}" for path, page in pages.items() for source in page.loaded if "//" in source]
    for sheet in built[0].rglob("*.css"):
        loaded += re.findall(r"(?:@import|url\()\s*[\"']?(?:https?:)?//[^)\"']*", sheet.read_text())
    assert not loaded
    texts = {path: path.read_text() for path in pages}
    assert not [path for path, text in texts.items() if 'class="mermaid"' in text or "fonts.g" in text]


def test_every_diagram_is_a_picture(pages: dict[Path, Page], built: tuple[Path, str]) -> None:
    """Diagrams are drawn when the site is built: two for the roles, one each for takeover and handover."""
    drawn = {path.parent.name: path.read_text().count('<div class="picture">') for path in pages}
    assert (drawn["states"], drawn["how"]) == (2, 2)


def test_both_languages_can_be_searched(built: tuple[Path, str]) -> None:
    """The index knows Japanese words too, and its programs are part of the site."""
    index = json.loads((built[0] / "search" / "search_index.json").read_text())
    assert index["config"]["lang"] == ["en", "ja"]
    assert [part for part in index["docs"] if "ラボ" in part["text"]]
    assert list(built[0].rglob("lunr.ja.min.js"))


TEXTS = [*sorted(ROOT.glob("*.md")), *sorted(DOCS.rglob("*.md"))]


@pytest.mark.parametrize("path", TEXTS, ids=lambda path: str(path.relative_to(ROOT)))
def test_links_hold_where_the_repository_is_read(path: Path) -> None:
    """Links in the texts themselves lead to files of the repository, as a reader on its pages follows them."""
    text = re.sub(r"```.*?```", "", path.read_text(), flags=re.S)
    targets = re.findall(r"\]\((?!https?:|#)([^)#\s]+)", text)
    assert not [target for target in targets if not (path.parent / target).exists()]
