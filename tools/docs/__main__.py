"""Writes into `docs/` what is made from code: `python -m tools.docs`."""

from tools.docs.pages import current

for path, text in current().items():
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
        print(f"wrote {path.name}")
