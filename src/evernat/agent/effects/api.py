"""The AWS query API, and the calls that every identity makes. `bundle.permissions` allows what the agent calls."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from urllib.parse import urlencode
from xml.etree import ElementTree

from ..common import Host
from ..sigv4 import sign
from . import EffectError
from .imds import Metadata
from .web import UnansweredError, Web

VERSIONS = {"ec2": "2016-11-15", "autoscaling": "2011-01-01"}
THROTTLED = ("RequestLimitExceeded", "Throttling", "ThrottlingException", "EC2ThrottledException")
EXPIRED = ("ExpiredToken", "RequestExpired", "AuthFailure", "InvalidClientTokenId")
TRIES = 4


class RefusedError(EffectError):
    """AWS said no; nothing was done. `code` is AWS's."""

    def __init__(self, action: str, code: str, message: str):
        # The first line only: after a signature mismatch the rest quotes the request, session token and all.
        super().__init__(f"{action}: {code}: {message.strip().split(chr(10))[0][:200]}")
        self.code = code


class Api:
    """Signs, sends, reads. A refusal is RefusedError, no clear answer is UnansweredError."""

    def __init__(self, host: Host, metadata: Metadata):
        self._host = host
        self._metadata = metadata
        self._web = Web()

    def hang_up(self) -> None:
        """Use a new connection from here on."""
        self._web.close()

    def addresses(self, vpc: str, targets: Iterable[str]) -> dict[str, str]:
        """Private addresses of running instances by id or `name:TAG`; of several with one name, the youngest."""
        ids = [t for t in targets if t.startswith("i-")]
        names = [t[len("name:") :] for t in targets if not t.startswith("i-")]
        found = {}
        for kind, values in (("instance-id", ids), ("tag:Name", names)):
            if not values:
                continue
            here = {"vpc-id": [vpc], "instance-state-name": ["running"], kind: values}
            for item in sorted(self.instances(here), key=lambda i: text(i, "launchTime")):
                name = text(item, "tagSet/item[key='Name']/value")
                found[text(item, "instanceId") if values is ids else f"name:{name}"] = text(
                    item, "privateIpAddress"
                )
        return found

    def complete(self, group: str, hook: str, result: str) -> bool:
        """Answer the launch hook; False when there was none to answer."""
        asked = {
            "AutoScalingGroupName": group,
            "LifecycleHookName": hook,
            "InstanceId": self._host.instance,
            "LifecycleActionResult": result,
        }
        try:
            self.call("autoscaling", "CompleteLifecycleAction", asked)
        except RefusedError as error:
            if error.code != "ValidationError":
                raise
            return False
        return True

    def uncheck(self, interface: str) -> None:
        """Turn an interface's source/destination check off."""
        asked = {"NetworkInterfaceId": interface, "SourceDestCheck.Value": "false"}
        self.call("ec2", "ModifyNetworkInterfaceAttribute", asked)

    def instances(self, filters: dict[str, list[str]]) -> list[ElementTree.Element]:
        """The instances that match."""
        asked = {}
        for n, (name, values) in enumerate(filters.items(), 1):
            asked[f"Filter.{n}.Name"] = name
            asked.update({f"Filter.{n}.Value.{m}": value for m, value in enumerate(values, 1)})
        return self.call("ec2", "DescribeInstances", asked).findall("reservationSet/item/instancesSet/item")

    def call(self, service: str, action: str, asked: dict[str, str]) -> ElementTree.Element:
        """Repeat what was surely not done, and reads; a write without an answer is for the next look to settle."""
        renew = False
        for attempt in range(1, TRIES + 1):
            try:
                return self._once(service, action, asked, renew)
            except RefusedError as error:
                renew = error.code in EXPIRED and not renew
                if attempt == TRIES or not (renew or error.code in THROTTLED):
                    raise
            except UnansweredError:
                if attempt == TRIES or not action.startswith("Describe"):
                    raise
            time.sleep(random.uniform(0.05, 0.2 * 2**attempt))  # noqa: S311
        raise AssertionError

    def _once(self, service: str, action: str, asked: dict[str, str], renew: bool) -> ElementTree.Element:
        body = urlencode({"Action": action, "Version": VERSIONS[service], **asked})
        status, answer = self._post(service, action, body, renew=renew)
        found = parse(action, answer)
        if status != 200:
            raise RefusedError(action, text(found, ".//Code"), text(found, ".//Message"))
        return found

    def _post(
        self, service: str, action: str, body: str, target: str = "", renew: bool = False
    ) -> tuple[int, str]:
        url = self._host.endpoint(service)
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        keys = self._metadata.credentials(renew)
        headers = sign(service, self._host.region, url.split("/")[2], body, *keys, stamp, target)
        status, answer = self._web.request("POST", url, headers, body)
        if status >= 500:
            raise UnansweredError(f"{action}: HTTP {status}")
        return status, answer


def parse(action: str, body: str) -> ElementTree.Element:
    """The answer without its namespace. No document type, so no entities to expand."""
    try:
        if "<!" in body:
            raise ElementTree.ParseError("a document type or comment is not taken")
        return ElementTree.fromstring(re.sub(' xmlns="[^"]*"', "", body, count=1))
    except ElementTree.ParseError as error:
        raise UnansweredError(f"{action}: {error}") from error


def text(element: ElementTree.Element, path: str) -> str:
    """What stands at `path`, empty when nothing does."""
    return element.findtext(path) or ""
