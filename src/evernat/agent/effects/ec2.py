"""The AWS query API: the few calls the agent makes. `bundle.permissions` allows these and no others."""

from __future__ import annotations

import random
import re
import time
from collections.abc import Iterable
from urllib.parse import urlencode
from xml.etree import ElementTree

from ..model import Host, Interface
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


class Cloud:
    """Signs, sends, reads. A refusal is RefusedError, no clear answer is UnansweredError."""

    def __init__(self, host: Host, metadata: Metadata):
        self._host = host
        self._metadata = metadata
        self._web = Web()

    def interface(self, interface: str) -> Interface:
        """The interface by AWS's record, and the state of another instance that has it."""
        answer = self._call("ec2", "DescribeNetworkInterfaces", {"NetworkInterfaceId.1": interface})
        found = answer.find("networkInterfaceSet/item")
        if found is None:
            raise UnansweredError(f"DescribeNetworkInterfaces: {interface} is not in the answer")
        holder = _text(found, "attachment/instanceId")
        return Interface(
            interface,
            _text(found, "macAddress"),
            _text(found, "privateIpAddress"),
            _text(found, "association/publicIp"),
            _text(found, "sourceDestCheck") != "false",
            _text(found, "vpcId"),
            _text(found, "attachment/attachmentId"),
            holder,
            self._state(holder) if holder not in ("", self._host.instance) else "",
        )

    def addresses(self, vpc: str, targets: Iterable[str]) -> dict[str, str]:
        """Private addresses of running instances by id or `name:TAG`; of several with one name, the youngest."""
        ids = [t for t in targets if t.startswith("i-")]
        names = [t[len("name:") :] for t in targets if not t.startswith("i-")]
        found = {}
        for kind, values in (("instance-id", ids), ("tag:Name", names)):
            if not values:
                continue
            here = {"vpc-id": [vpc], "instance-state-name": ["running"], kind: values}
            for item in sorted(self._instances(here), key=lambda i: _text(i, "launchTime")):
                name = _text(item, "tagSet/item[key='Name']/value")
                found[_text(item, "instanceId") if values is ids else f"name:{name}"] = _text(
                    item, "privateIpAddress"
                )
        return found

    def attach(self, interface: str) -> None:
        """Ask for the interface as this instance's second."""
        self._call(
            "ec2",
            "AttachNetworkInterface",
            {"NetworkInterfaceId": interface, "InstanceId": self._host.instance, "DeviceIndex": "1"},
        )

    def detach(self, attachment: str, force: bool) -> None:
        """Ask for the interface to be taken from another instance."""
        self._call("ec2", "DetachNetworkInterface", {"AttachmentId": attachment, "Force": str(force).lower()})

    def complete(self, group: str, hook: str, result: str) -> bool:
        """Answer the launch hook; False when there was none to answer."""
        asked = {
            "AutoScalingGroupName": group,
            "LifecycleHookName": hook,
            "InstanceId": self._host.instance,
            "LifecycleActionResult": result,
        }
        try:
            self._call("autoscaling", "CompleteLifecycleAction", asked)
        except RefusedError as error:
            if error.code != "ValidationError":
                raise
            return False
        return True

    def _state(self, instance: str) -> str:
        found = self._instances({"instance-id": [instance]})
        return _text(found[0], "instanceState/name") if found else ""

    def _instances(self, filters: dict[str, list[str]]) -> list[ElementTree.Element]:
        asked = {}
        for n, (name, values) in enumerate(filters.items(), 1):
            asked[f"Filter.{n}.Name"] = name
            asked.update({f"Filter.{n}.Value.{m}": value for m, value in enumerate(values, 1)})
        return self._call("ec2", "DescribeInstances", asked).findall("reservationSet/item/instancesSet/item")

    def _call(self, service: str, action: str, asked: dict[str, str]) -> ElementTree.Element:
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
        url = self._host.endpoint(service)
        body = urlencode({"Action": action, "Version": VERSIONS[service], **asked})
        stamp = time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())
        keys = self._metadata.credentials(renew)
        headers = sign(service, self._host.region, url.split("/")[2], body, *keys, stamp)
        status, text = self._web.request("POST", url, headers, body)
        if status >= 500:
            raise UnansweredError(f"{action}: HTTP {status}")
        answer = parse(action, text)
        if status != 200:
            raise RefusedError(action, _text(answer, ".//Code"), _text(answer, ".//Message"))
        return answer


def parse(action: str, text: str) -> ElementTree.Element:
    """The answer without its namespace. No document type, so no entities to expand."""
    try:
        if "<!" in text:
            raise ElementTree.ParseError("a document type or comment is not taken")
        return ElementTree.fromstring(re.sub(' xmlns="[^"]*"', "", text, count=1))
    except ElementTree.ParseError as error:
        raise UnansweredError(f"{action}: {error}") from error


def _text(element: ElementTree.Element, path: str) -> str:
    return element.findtext(path) or ""
