"""The instance metadata service, version 2."""

from __future__ import annotations

import time
from socket import inet_aton
from typing import NamedTuple

from ..common import Host
from .web import UnansweredError, Web, pick

URL = "http://169.254.169.254/latest/"
KEEP = 240.0  # seconds; new role credentials appear at least five minutes before the old ones end


class Credentials(NamedTuple):
    """Of the instance's role."""

    key: str
    secret: str
    token: str


class Metadata:
    """Reads the metadata; renews its session token when that was refused."""

    def __init__(self, url: str = URL):
        self._url = url
        self._web = Web()
        self._token = ""
        self._credentials: tuple[float, Credentials] | None = None

    def get(self, path: str) -> str:
        """One value's text, or UnansweredError."""
        for _ in range(2):
            if not self._token:
                self._token = self._ask(
                    "PUT", "api/token", {"X-aws-ec2-metadata-token-ttl-seconds": "21600"}
                )[1]
            status, text = self._ask("GET", path, {"X-aws-ec2-metadata-token": self._token})
            if status == 200:
                return text
            self._token = ""
            if status != 401:
                break
        raise UnansweredError(f"metadata: {path}: HTTP {status}")

    def host(self) -> Host:
        """What does not change while the instance runs."""
        instance, region = self._fields("dynamic/instance-identity/document", "instanceId", "region")
        subnet = f"meta-data/network/interfaces/macs/{self.get('meta-data/mac')}/subnet-ipv4-cidr-block"
        return Host(instance, region, self.get(subnet), self.get("meta-data/services/domain"))

    def addresses(self) -> tuple[str, ...]:
        """The private addresses of the primary interface: the primary one first, the others in numeric order.

        In which order `local-ipv4s` lists them is not documented, and a gateway's place must not depend on it.
        """
        primary = self.get("meta-data/local-ipv4")
        listed = self.get(
            f"meta-data/network/interfaces/macs/{self.get('meta-data/mac')}/local-ipv4s"
        ).split()
        return primary, *sorted({*listed} - {primary}, key=inet_aton)

    def credentials(self, renew: bool = False) -> Credentials:
        """The role's credentials, read anew every KEEP seconds or when they were refused."""
        if renew or not self._credentials or time.monotonic() - self._credentials[0] > KEEP:
            roles = "meta-data/iam/security-credentials/"
            role = self.get(roles).split("\n")[0]
            keys = Credentials(*self._fields(roles + role, "AccessKeyId", "SecretAccessKey", "Token"))
            self._credentials = (time.monotonic(), keys)
        return self._credentials[1]

    def _fields(self, path: str, *names: str) -> list[str]:
        return pick(f"metadata: {path}", self.get(path), *names)

    def _ask(self, method: str, path: str, headers: dict[str, str]) -> tuple[int, str]:
        return self._web.request(method, self._url + path, headers, timeout=2.0)
