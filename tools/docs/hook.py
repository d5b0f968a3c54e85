"""MkDocs' hook: draws diagrams while the site is built, and takes in pages that live elsewhere in the repository."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

from mkdocs.structure.files import File

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tools.docs.picture import draw  # noqa: E402 - MkDocs loads this file by its path

TAKEN_IN = {"terraform.md": "terraform/README.md", "changelog.md": "CHANGELOG.md"}
"""Page of the site -> file of the repository. Links to these files lead to the pages, so they work in both places."""


def on_config(config: Any) -> Any:
    """Mermaid text becomes a picture; everything else in a fence is highlighted as before."""
    fences = [{"name": "mermaid", "class": "picture", "format": _format}]
    config["mdx_configs"].setdefault("pymdownx.superfences", {})["custom_fences"] = fences
    return config


def on_files(files: Any, *, config: Any) -> Any:
    """Take pages in. What they link to beside themselves is no part of the site: there the path is shown."""
    for page, source in TAKEN_IN.items():
        folder = source.rpartition("/")[0]
        beside = rf"\1 (`{folder}/\2`)" if folder else r"\1 (`\2`)"
        text = (ROOT / source).read_text(encoding="utf-8")
        content = re.sub(r"\[([^]]+)\]\((?!https?:|#)([^)]+)\)", beside, text)
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Any, **_: Any) -> str:
    """Links to files that were taken in."""
    up = "../" * page.file.src_uri.count("/")
    for name, source in TAKEN_IN.items():
        markdown = re.sub(rf"\]\((?:\.\./)+{re.escape(source)}(#[^)]*)?\)", rf"]({up}{name}\1)", markdown)
    return markdown


def _format(source: str, *_: Any, **__: Any) -> str:
    return draw(source)
