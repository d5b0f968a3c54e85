"""The JSON Schema of `evernat.toml`; `python -m evernat.stack.schema` prints it."""

from __future__ import annotations

import json
import sys

from evernat.stack.spec import Gateway


def schema() -> str:
    """The schema's text as it is published in docs."""
    made = Gateway.model_json_schema()
    return json.dumps({"$schema": "https://json-schema.org/draft/2020-12/schema", **made}, indent=2) + "\n"


if __name__ == "__main__":
    sys.stdout.write(schema())
