"""User data taken apart: gzip, MIME multipart (nested), and what kind each part is by its first line or its type."""

from __future__ import annotations

import gzip
import zlib
from typing import Any, NamedTuple

MIME_STARTS = (b"Content-Type:", b"MIME-Version:", b"From ")

# First line -> kind, as in cloud-init's "user data formats".
_BY_FIRST_LINE = (
    ("#cloud-config-archive", "archive"),
    ("#cloud-config", "cloud-config"),
    ("#!", "script"),
    ("#cloud-boothook", "boothook"),
    ("#include", "include"),
    ("#part-handler", "part-handler"),
    ("## template: jinja", "jinja"),
)
_BY_TYPE = {
    "text/cloud-config": "cloud-config",
    "text/x-shellscript": "script",
    "text/x-shellscript-per-boot": "script-per-boot",
    "text/x-shellscript-per-instance": "script-per-instance",
    "text/x-shellscript-per-once": "script-per-once",
    "text/cloud-boothook": "boothook",
    "text/x-include-url": "include",
    "text/part-handler": "part-handler",
    "text/cloud-config-archive": "archive",
    "text/jinja2": "jinja",
}
_GZIP_LIMIT = 64 << 20


class Part(NamedTuple):
    """One piece of user data. `kind` is "unknown" for what cloud-init would leave; `merge` its merge type, if any."""

    kind: str
    name: str
    text: str
    merge: str = ""


def unzip(data: bytes) -> bytes:
    """Undo gzip, where there is any. Raises ValueError when it is broken."""
    if data[:2] != b"\x1f\x8b":
        return data
    try:
        return gzip.decompress(data)[:_GZIP_LIMIT]
    except (OSError, EOFError, zlib.error) as error:
        raise ValueError(f"user data begins like gzip but is broken: {error}") from error


def kind_of(text: str) -> str:
    """The kind by the first line."""
    first = text.lstrip().split("\n", 1)[0].strip().lower()
    for start, kind in _BY_FIRST_LINE:
        if first.startswith(start):
            return kind
    return "unknown"


def split(data: bytes) -> list[Part]:
    """All parts in the order they are handled. Raises ValueError for broken gzip."""
    data = unzip(data)
    if not data.strip():
        return []
    if data.lstrip().startswith(MIME_STARTS):
        import email

        return _walk(email.message_from_bytes(data.lstrip()))
    text = data.decode(errors="replace")
    return [Part(kind_of(text), "part-001", text)]


def _walk(message: Any) -> list[Part]:
    parts: list[Part] = []
    for piece in message.walk():
        if piece.is_multipart():
            continue
        data = unzip(piece.get_payload(decode=True) or b"")
        declared = piece.get_content_type()
        text = data.decode(piece.get_content_charset() or "utf-8", errors="replace")
        if declared.startswith("multipart/") or data.startswith(MIME_STARTS):
            parts += split(data)
            continue
        # text/plain and unknown types are looked into, as cloud-init does.
        kind = _BY_TYPE.get(declared) or kind_of(text)
        merge = piece.get("Merge-Type") or piece.get("X-Merge-Type") or ""
        parts.append(Part(kind, piece.get_filename() or f"part-{len(parts) + 1:03}", text, merge))
    return parts
