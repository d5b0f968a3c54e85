"""The metadata service's HTTP side: sessions (IMDSv2), and who is asking.

"Use the Instance Metadata Service to access instance metadata" in the EC2 user guide: a token by PUT with its life in
seconds (1 to 21600), 400 for a bad one, 401 without or with an expired token, 403 for forwarded requests, 404 for
what is not there.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import secrets
import time
from collections.abc import Callable, Iterable
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from evernat.lab.addresses import API_HOST, CHECKIP_HOST
from evernat.lab.metadata import tree
from evernat.lab.world import Instance, World

if TYPE_CHECKING:
    from wsgiref.types import StartResponse, WSGIEnvironment

_LONGEST = 21600
_TTL = "X-Aws-Ec2-Metadata-Token-Ttl-Seconds"
_REASONS = {
    200: "OK", 400: "Bad Request", 401: "Unauthorized", 403: "Forbidden", 404: "Not Found", 405: "Method Not Allowed",
}  # fmt: skip


class Metadata:
    """A WSGI application that answers each instance about itself; it knows it by the address it asks from."""

    def __init__(
        self,
        world: Callable[[], World],
        credentials: Callable[[str], tree.Credentials | None],
        domain: str = f"http://{API_HOST} http://{CHECKIP_HOST}",
        clock: Callable[[], float] = time.time,
    ) -> None:
        """`clock` is seconds since the epoch; `domain` is what `services/domain` answers.

        On AWS that is a domain name. Here it is two URLs separated by a blank: of all AWS services, and of checkip.
        """
        self._world, self._credentials, self._domain, self._clock = world, credentials, domain, clock
        self._key = secrets.token_bytes(32)
        self._first_seen: dict[str, str] = {}

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Answer one request."""
        status, body, headers = self._answer(environ)
        start_response(
            f"{status} {_REASONS[status]}",
            [
                ("Content-Type", "text/plain"),
                ("Content-Length", str(len(body))),
                ("Server", "EC2ws"),
                *headers,
            ],
        )
        return [b"" if environ["REQUEST_METHOD"] == "HEAD" else body]

    def _answer(self, environ: WSGIEnvironment) -> tuple[int, bytes, list[tuple[str, str]]]:
        method, path = environ["REQUEST_METHOD"], environ.get("PATH_INFO", "/")
        world = self._world()
        instance = _caller(world, environ.get("REMOTE_ADDR", ""))
        if instance is None:
            return 404, b"", []
        if method == "PUT" and path == "/latest/api/token":
            return self._issue(environ, instance)
        if method not in ("GET", "HEAD"):
            return 405, b"", [("Allow", "GET, HEAD")]
        left = self._left(environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN", ""), instance.id)
        if left <= 0:
            return 401, b"", []
        found = self._find(world, instance, path)
        if found is None:
            return 404, b"", []
        return 200, found if isinstance(found, bytes) else found.encode(), [(_TTL, str(left))]

    def _issue(
        self, environ: WSGIEnvironment, instance: Instance
    ) -> tuple[int, bytes, list[tuple[str, str]]]:
        if "HTTP_X_FORWARDED_FOR" in environ:
            return 403, b"", []
        wanted = environ.get("HTTP_X_AWS_EC2_METADATA_TOKEN_TTL_SECONDS", "")
        if not wanted.isdigit() or not 1 <= int(wanted) <= _LONGEST:
            return 400, b"", []
        token = self._token(instance.id, int(self._clock()) + int(wanted))
        return 200, token.encode(), [(_TTL, wanted)]

    def _token(self, instance_id: str, expires: int) -> str:
        """A token is its expiry and a seal over that and the instance: nothing to remember, and of no use elsewhere."""
        seal = hmac.digest(self._key, f"{instance_id} {expires}".encode(), hashlib.sha256)
        return base64.urlsafe_b64encode(expires.to_bytes(8, "big") + seal).decode()

    def _left(self, token: str, instance_id: str) -> int:
        """Seconds this token is good for; none for a token of another instance or a made-up one."""
        try:
            expires = int.from_bytes(base64.urlsafe_b64decode(token)[:8], "big")
        except ValueError:
            return 0
        genuine = hmac.compare_digest(self._token(instance_id, expires), token)
        return expires - int(self._clock()) if genuine else 0

    def _find(self, world: World, instance: Instance, path: str) -> str | bytes | None:
        now = datetime.fromtimestamp(self._clock(), UTC)
        launched = self._first_seen.setdefault(instance.id, f"{now:%Y-%m-%dT%H:%M:%SZ}")
        latest = tree.build(world, instance, lambda: self._credentials(instance.id), self._domain, launched)
        # Every published version of the interface answers the same here.
        return tree.find({"latest": latest}, path)


def _caller(world: World, address: str) -> Instance | None:
    """The powered instance that has an address on one of its interfaces."""
    owners = {e.attachment.instance_id for e in world.enis if e.attachment and address in e.addresses}
    return next((each for each in world.instances if each.id in owners and each.powered), None)
