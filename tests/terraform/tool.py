"""Runs the real terraform on the module, with the stand-in provider or with that of a registry."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[2]
MODULE = ROOT / "terraform"
HERE = Path(__file__).parent
SCHEMAS = ("5.99", "6.69")
PROVIDERS = (*SCHEMAS, *(["registry"] if os.environ.get("EVERNAT_TERRAFORM_PROVIDERS") == "registry" else []))
"""The real provider only when asked for: where there is no registry the attempt takes minutes to fail."""


class TerraformError(Exception):
    """It failed; the text is all that it said."""


class Terraform:
    """One working directory."""

    def __init__(self, folder: Path, home: Path, schema: str, module: Path) -> None:
        self.folder, self.home, self.schema, self.module = folder, home, schema, module
        self.provider = "provider"
        self.env = {
            **{k: v for k, v in os.environ.items() if not k.startswith(("TF_", "AWS_"))},
            "CHECKPOINT_DISABLE": "1",
            "TF_IN_AUTOMATION": "1",
            "TF_DATA_DIR": str(home / "data"),
            "TF_CLI_CONFIG_FILE": str(home / "none.tfrc"),
            "AWS_REGION": "us-west-2",
        }
        home.mkdir(parents=True, exist_ok=True)
        (home / "none.tfrc").touch()

    def rewrite(self, **files: str) -> None:
        """Write files (MODULE stands for the module's folder), then install providers and modules."""
        for name, text in files.items():
            (self.folder / f"{name}.tf").write_text(
                text.replace("MODULE", str(self.module)), encoding="utf-8"
            )
        (self.folder / ".terraform.lock.hcl").unlink(missing_ok=True)
        mirror = [] if self.schema == "registry" else [f"-plugin-dir={self._mirror()}"]
        self("init", "-backend=false", "-input=false", *mirror)

    def __call__(self, *arguments: str, folder: Path | None = None) -> str:
        """Run it; what it printed."""
        done = subprocess.run(
            ["terraform", *arguments, *([] if "-json" in arguments else ["-no-color"])],
            cwd=folder or self.folder, env=self.env, capture_output=True, text=True, check=False,
        )  # fmt: skip
        if done.returncode:
            said = " ".join(re.sub(r"[│╷╵\s]+", " ", done.stdout + done.stderr).split())
            raise TerraformError(said[max(said.find("Error: "), 0) :])
        return done.stdout

    def plan(self) -> dict[str, Any]:
        """The plan, as JSON."""
        file = str(self.home / "plan")
        self("plan", "-input=false", f"-out={file}")
        return dict(json.loads(self("show", "-json", file)))

    def apply(self) -> dict[str, Any]:
        """The state after an apply, by address."""
        self("apply", "-input=false", "-auto-approve")
        return self.state()

    def state(self) -> dict[str, Any]:
        """Address -> values of all resources."""
        shown = json.loads(self("show", "-json"))
        return dict(_resources(shown.get("values", {}).get("root_module", {})))

    def _mirror(self) -> Path:
        """A filesystem mirror with the stand-in, laid out as Terraform wants it."""
        self.env["PYTHONPATH"] = str(ROOT)
        self.env["HOME"] = str(self.home)  # the stand-in's library keeps a certificate there
        host = re.search(r"provider\[([^/]+)/hashicorp/aws\]", self("providers", folder=MODULE))
        assert host, "the module requires hashicorp/aws"
        version = f"{self.schema}.0"
        place = self.home / "mirror" / host[1] / "hashicorp/aws" / version / self._platform()
        place.mkdir(parents=True, exist_ok=True)
        program = place / f"terraform-provider-aws_v{version}"
        schema = HERE / "standin" / f"aws-{self.schema}.json"
        program.write_text(
            f'#!/bin/sh\nexec "{sys.executable}" -m tests.terraform.standin.{self.provider} "{schema}"\n'
        )
        program.chmod(0o755)
        return self.home / "mirror"

    def _platform(self) -> str:
        return str(json.loads(self("version", "-json"))["platform"])


def _resources(module: dict[str, Any]) -> list[tuple[str, Any]]:
    own = [(r["address"], r["values"]) for r in module.get("resources", []) if r["mode"] == "managed"]
    return [*own, *(pair for child in module.get("child_modules", []) for pair in _resources(child))]
