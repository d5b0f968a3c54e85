"""What the tests of the Terraform module share. Without a terraform program they are skipped; `make test` says so."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.terraform.tool import HERE, MODULE, Terraform

NEEDS_TERRAFORM = pytest.mark.skipif(
    shutil.which("terraform") is None, reason="there is no terraform program"
)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if item.path.parent == HERE and "terraform" in getattr(item, "fixturenames", ()):
            item.add_marker(NEEDS_TERRAFORM)


Starter = Callable[..., Terraform]
"""(schema, folder of the checkout or texts of files, environment of a lab to apply to) -> Terraform, initialized."""


@pytest.fixture(scope="session")
def checkout(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A copy of the module with its examples; the VPC module, which a registry has, is replaced by one of the tests."""
    copy = tmp_path_factory.mktemp("checkout")
    shutil.copytree(MODULE, copy / "terraform", ignore=shutil.ignore_patterns(".terraform*"))
    shutil.copytree(HERE / "vpc", copy / "vpc")
    for example in (copy / "terraform/examples").glob("*/main.tf"):
        text = example.read_text(encoding="utf-8")
        example.write_text(
            text.replace('"terraform-aws-modules/vpc/aws"', '"../../../vpc"'), encoding="utf-8"
        )
    return copy


@pytest.fixture(scope="session")
def terraform(checkout: Path, tmp_path_factory: pytest.TempPathFactory) -> Starter:
    def start(schema: str, folder: str = "", lab: dict[str, str] | None = None, **files: str) -> Terraform:
        home = tmp_path_factory.mktemp("terraform")
        place = checkout / folder if folder else home / "configuration"
        place.mkdir(exist_ok=True)
        made = Terraform(place, home, schema, checkout / "terraform")
        if lab:
            made.provider = "lab"
            made.env |= lab
        made.rewrite(**files)
        return made

    return start
