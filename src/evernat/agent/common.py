"""Values that every identity thinks in. All are frozen; ids and addresses are text as AWS writes them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

Targets = Mapping[str, str]
"""Of port forwards: what has to be looked up -> its private address."""


class Forward(NamedTuple):
    """A port forward. `target` is an address, an instance id, or `name:` and a Name tag."""

    protocol: str
    ports: tuple[int, int]
    target: str
    target_port: int
    sources: tuple[str, ...]

    @property
    def dynamic(self) -> bool:
        """Whether the target has to be looked up."""
        return self.target.startswith(("i-", "name:"))


class Host(NamedTuple):
    """Where the agent runs. `domain` ends the services' host names.

    The lab's is two URLs separated by a blank instead: of all services, and of the one that tells addresses.
    """

    instance: str
    region: str
    subnet: str
    domain: str

    def endpoint(self, service: str) -> str:
        """The service's URL. Only the lab's may be without TLS."""
        if "//" in self.domain:
            return self.domain.split()[0] + "/"
        return f"https://{service}.{self.region}.{self.domain}/"

    def probe(self) -> str:
        """The URL that answers the caller's address."""
        return self.domain.split()[-1] + "/" if "//" in self.domain else f"https://checkip.{self.domain}/"
