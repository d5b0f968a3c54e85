"""The API of instances: run, start, stop, reboot, terminate, attributes."""

from __future__ import annotations

import base64
from typing import Any

from evernat.lab.cloud import ec2_run, ec2_state, ec2_templates
from evernat.lab.cloud.ec2_describe import described, described_reservations
from evernat.lab.cloud.errors import AwsError, invalid, missing
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import STATE_CODES, Machine, new_id
from evernat.lab.cloud.state import Region

TERMINATED_BY_USER = ("Client.UserInitiatedShutdown", "Client.UserInitiatedShutdown: User initiated shutdown")


@handles("ec2", "RunInstances")
def run(region: Region, params: Params) -> Params:
    """Launch instances; the answer shows them pending."""
    return described_reservations(region, ec2_run.launch(region, params))[0]


def _machines(region: Region, params: Params) -> list[Machine]:
    ids = params.get("InstanceIds")
    if not ids:
        raise missing("InstanceIds")
    return [region.machine(i) for i in ids]


def _changes(machines: list[Machine], before: list[str]) -> list[dict[str, Any]]:
    return [
        {
            "InstanceId": m.id,
            "CurrentState": {"Name": m.state, "Code": STATE_CODES[m.state]},
            "PreviousState": {"Name": b, "Code": STATE_CODES[b]},
        }
        for m, b in zip(machines, before, strict=True)
    ]


@handles("ec2", "TerminateInstances")
def terminate(region: Region, params: Params) -> Params:
    """Terminating what is terminated succeeds and changes nothing."""
    machines = _machines(region, params)
    before: list[str] = [m.state for m in machines]
    for machine in machines:
        ec2_state.terminate(region, machine, *TERMINATED_BY_USER)
    return {"TerminatingInstances": _changes(machines, before)}


@handles("ec2", "StopInstances")
def stop(region: Region, params: Params) -> Params:
    """Spot instances of a one-time request cannot be stopped."""
    machines = _machines(region, params)
    before: list[str] = [m.state for m in machines]
    for machine in machines:
        ec2_state.stop(region, machine)
        machine.reason = TERMINATED_BY_USER
    return {"StoppingInstances": _changes(machines, before)}


@handles("ec2", "StartInstances")
def start(region: Region, params: Params) -> Params:
    """Only stopped instances start."""
    machines = _machines(region, params)
    before: list[str] = [m.state for m in machines]
    for machine in machines:
        ec2_state.start(region, machine)
    return {"StartingInstances": _changes(machines, before)}


@handles("ec2", "RebootInstances")
def reboot(region: Region, params: Params) -> Params:
    """Same machine, same addresses, a new boot."""
    for machine in _machines(region, params):
        ec2_state.reboot(region, machine)
    return {}


@handles("ec2", "ModifyInstanceMetadataOptions")
def modify_metadata(region: Region, params: Params) -> Params:
    """Change who may read the metadata and how."""
    machine = region.machine(params.get("InstanceId", ""))
    keys = (
        "HttpTokens",
        "HttpPutResponseHopLimit",
        "HttpEndpoint",
        "HttpProtocolIpv6",
        "InstanceMetadataTags",
    )
    machine.metadata |= {k: params[k] for k in keys if k in params}
    return {"InstanceId": machine.id, "InstanceMetadataOptions": {"State": "pending", **machine.metadata}}


@handles("ec2", "ModifyInstanceAttribute")
def modify(region: Region, params: Params) -> Params:
    """The attributes the lab knows; SourceDestCheck reaches the primary interface, which moto forgets."""
    machine = region.machine(params.get("InstanceId", ""))
    if "SourceDestCheck" in params:
        plugged = region.plugged(machine.id)
        if len(plugged) > 1:
            raise AwsError(
                "InvalidInstanceID",
                f"There are multiple interfaces attached to instance '{machine.id}'. "
                "Please specify an interface ID for the operation instead.",
            )
        plugged[0].source_dest_check = bool(params["SourceDestCheck"].get("Value"))
    elif "DisableApiTermination" in params:
        machine.termination_protected = bool(params["DisableApiTermination"].get("Value"))
    elif "InstanceInitiatedShutdownBehavior" in params:
        machine.shutdown_behavior = params["InstanceInitiatedShutdownBehavior"].get("Value", "stop")
    elif params.get("Groups"):
        for group_id in params["Groups"]:
            region.security_group(group_id)
        region.plugged(machine.id)[0].groups = list(params["Groups"])
    elif "InstanceType" in params or "UserData" in params:
        _modify_stopped(region, machine, params)
    else:
        raise invalid("Attribute", ", ".join(sorted(set(params) - {"InstanceId"})))
    return {}


def _modify_stopped(region: Region, machine: Machine, params: Params) -> None:
    if machine.state != "stopped":
        raise AwsError(
            "IncorrectInstanceState", f"The instance '{machine.id}' is not in the 'stopped' state."
        )
    if "InstanceType" in params:
        machine.instance_type = params["InstanceType"].get("Value", machine.instance_type)
    if "UserData" in params:
        raw = params["UserData"].get("Value", b"")
        text = base64.b64encode(raw).decode() if isinstance(raw, bytes) else str(raw)
        machine.user_data = ec2_templates.decode_user_data(text)


@handles("ec2", "DescribeInstanceAttribute")
def describe_attribute(region: Region, params: Params) -> Params:
    """One attribute of an instance."""
    machine = region.machine(params.get("InstanceId", ""))
    primary = region.plugged(machine.id)[0]
    known: dict[str, tuple[str, Any]] = {
        "userData": ("UserData", {"Value": base64.b64encode(machine.user_data).decode()}),
        "instanceType": ("InstanceType", {"Value": machine.instance_type}),
        "sourceDestCheck": ("SourceDestCheck", {"Value": primary.source_dest_check}),
        "disableApiTermination": ("DisableApiTermination", {"Value": machine.termination_protected}),
        "instanceInitiatedShutdownBehavior": (
            "InstanceInitiatedShutdownBehavior",
            {"Value": machine.shutdown_behavior},
        ),
        "groupSet": ("Groups", described(region, machine)["SecurityGroups"]),
        "rootDeviceName": ("RootDeviceName", {"Value": machine.root_device}),
    }
    attribute = params.get("Attribute", "")
    if attribute not in known:
        raise invalid("attribute", attribute)
    key, value = known[attribute]
    return {"InstanceId": machine.id, key: value}


@handles("ec2", "AssociateIamInstanceProfile")
def associate_profile(region: Region, params: Params) -> Params:
    """An instance has one profile at most."""
    machine = region.machine(params.get("InstanceId", ""))
    if machine.profile_arn:
        raise AwsError("IncorrectState", f"There is an existing association for instance {machine.id}")
    machine.profile_arn = ec2_run.profile_arn(region, params.get("IamInstanceProfile") or {})
    machine.profile_association = new_id("iip-assoc")
    return {"IamInstanceProfileAssociation": _association(machine, "associating")}


@handles("ec2", "DescribeIamInstanceProfileAssociations")
def describe_profiles(region: Region, params: Params) -> Params:
    """Which instance has which profile."""
    wanted = params.get("AssociationIds")
    shown = [
        _association(m, "associated")
        for m in region.machines.values()
        if m.alive and m.profile_arn and (not wanted or m.profile_association in wanted)
    ]
    for item in params.get("Filters") or []:
        if item.get("Name") == "instance-id":
            shown = [s for s in shown if s["InstanceId"] in item.get("Values", [])]
    return {"IamInstanceProfileAssociations": shown}


def _association(machine: Machine, state: str) -> dict[str, Any]:
    return {
        "AssociationId": machine.profile_association,
        "InstanceId": machine.id,
        "IamInstanceProfile": {"Arn": machine.profile_arn, "Id": "AIPA" + machine.id[2:18].upper()},
        "State": state,
    }
