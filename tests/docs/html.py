"""What a page of the site refers to, and what in it can be referred to."""

from __future__ import annotations

from html.parser import HTMLParser

LOADING = {
    "link": "href",
    "script": "src",
    "img": "src",
    "iframe": "src",
    "source": "src",
    "video": "src",
    "audio": "src",
    "object": "data",
}
"""Elements for which a browser fetches something without being asked."""


class Page(HTMLParser):
    """A page, read."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.anchors: set[str] = set()
        self.loaded: list[str] = []

    @classmethod
    def of(cls, text: str) -> Page:
        """The page with this text."""
        page = cls()
        page.feed(text)
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Remember what it refers to, and its name."""
        have = dict(attrs)
        if tag == "a" and (target := have.get("href")):
            self.links.append(target)
        if name := have.get("id") or (have.get("name") if tag == "a" else None):
            self.anchors.add(name)
        if (source := have.get(LOADING.get(tag, ""))) and have.get("rel") not in (
            "next",
            "prev",
            "canonical",
        ):
            self.loaded.append(source)
