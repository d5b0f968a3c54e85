"""Instances, their status, credits, volumes and spot requests, as the Describe calls show them."""

from __future__ import annotations

import itertools
from typing import Any

from evernat.lab.cloud import ec2_interfaces
from evernat.lab.cloud.filters import apply, page, select
from evernat.lab.cloud.registry import Params, handles
from evernat.lab.cloud.resources import STATE_CODES, Interface, Machine, Volume
from evernat.lab.cloud.state import Region

FILTERS = {
    "instance-id": "InstanceId",
    "instance-state-name": "State.Name",
    "instance-state-code": "State.Code",
    "instance-type": "InstanceType",
    "image-id": "ImageId",
    "vpc-id": "VpcId",
    "subnet-id": "SubnetId",
    "availability-zone": "Placement.AvailabilityZone",
    "private-ip-address": "PrivateIpAddress",
    "ip-address": "PublicIpAddress",
    "private-dns-name": "PrivateDnsName",
    "dns-name": "PublicDnsName",
    "architecture": "Architecture",
    "key-name": "KeyName",
    "client-token": "ClientToken",
    "instance-lifecycle": "InstanceLifecycle",
    "spot-instance-request-id": "SpotInstanceRequestId",
    "source-dest-check": "SourceDestCheck",
    "iam-instance-profile.arn": "IamInstanceProfile.Arn",
    "instance.group-id": "SecurityGroups.GroupId",
    "instance.group-name": "SecurityGroups.GroupName",
    "network-interface.network-interface-id": "NetworkInterfaces.NetworkInterfaceId",
    "network-interface.addresses.private-ip-address": "NetworkInterfaces.PrivateIpAddresses.PrivateIpAddress",
    "network-interface.addresses.association.public-ip": "NetworkInterfaces.PrivateIpAddresses.Association.PublicIp",
    "network-interface.attachment.device-index": "NetworkInterfaces.Attachment.DeviceIndex",
    "block-device-mapping.volume-id": "BlockDeviceMappings.Ebs.VolumeId",
    "root-device-name": "RootDeviceName",
    "reservation-id": "_ReservationId",
}

STATUS_FILTERS = {
    "instance-state-name": "InstanceState.Name",
    "instance-state-code": "InstanceState.Code",
    "instance-status.status": "InstanceStatus.Status",
    "system-status.status": "SystemStatus.Status",
    "availability-zone": "AvailabilityZone",
}

VOLUME_FILTERS = {
    "volume-id": "VolumeId",
    "status": "State",
    "encrypted": "Encrypted",
    "size": "Size",
    "volume-type": "VolumeType",
    "availability-zone": "AvailabilityZone",
    "attachment.instance-id": "Attachments.InstanceId",
    "attachment.device": "Attachments.Device",
    "attachment.delete-on-termination": "Attachments.DeleteOnTermination",
}


@handles("ec2", "DescribeInstances")
def describe(region: Region, params: Params) -> Params:
    """All instances, terminated ones for a while too."""
    machines = [region.machine(i) for i in params.get("InstanceIds") or region.machines]
    shown = apply((described(region, m) for m in machines), params.get("Filters"), FILTERS)
    kept = [region.machines[s["InstanceId"]] for s in shown]
    return page(described_reservations(region, kept), params, "Reservations")


def described_reservations(region: Region, machines: list[Machine]) -> list[dict[str, Any]]:
    """Instances grouped by the call that launched them."""
    ordered = sorted(machines, key=lambda m: m.reservation_id)
    return [
        {
            "ReservationId": reservation,
            "OwnerId": region.account,
            "RequesterId": "amazon" if any(m.owner for m in group) else None,
            "Groups": [],
            "Instances": [described(region, m) for m in group],
        }
        for reservation, found in itertools.groupby(ordered, key=lambda m: m.reservation_id)
        for group in [list(found)]
    ]


def described(region: Region, machine: Machine) -> dict[str, Any]:
    """An instance as DescribeInstances shows it."""
    plugged = region.plugged(machine.id) if machine.state != "terminated" else []
    nics = [_nic(region, i) for i in plugged]
    code, message = machine.reason
    shown: dict[str, Any] = {
        "InstanceId": machine.id,
        "ImageId": machine.image_id,
        "InstanceType": machine.instance_type,
        "Architecture": machine.architecture,
        "State": {"Name": machine.state, "Code": STATE_CODES[machine.state]},
        "StateTransitionReason": message,
        "StateReason": {"Code": code, "Message": message} if code else None,
        "LaunchTime": machine.launched,
        "AmiLaunchIndex": 0,
        "ClientToken": machine.client_token,
        "KeyName": machine.key_name or None,
        "Placement": {"AvailabilityZone": machine.zone, "Tenancy": "default", "GroupName": ""},
        "Monitoring": {"State": "enabled" if machine.monitoring else "disabled"},
        "MetadataOptions": {"State": "applied", **machine.metadata},
        "IamInstanceProfile": {"Arn": machine.profile_arn, "Id": "AIPA" + machine.id[2:18].upper()}
        if machine.profile_arn
        else None,
        "InstanceLifecycle": "spot" if machine.spot else None,
        "SpotInstanceRequestId": machine.spot_request_id or None,
        "NetworkInterfaces": nics,
        "RootDeviceName": machine.root_device,
        "RootDeviceType": "ebs",
        "BlockDeviceMappings": _disks(region, machine),
        "VirtualizationType": "hvm",
        "Hypervisor": "xen",
        "EbsOptimized": False,
        "EnaSupport": True,
        "PlatformDetails": "Linux/UNIX",
        "ProductCodes": [],
        "Tags": region.tag_list(machine.id),
        "_ReservationId": machine.reservation_id,
    }
    if plugged:
        shown |= _primary(region, machine, plugged[0], nics[0])
    return shown


def _primary(region: Region, machine: Machine, interface: Interface, nic: dict[str, Any]) -> dict[str, Any]:
    association = nic.get("Association") or {}
    return {
        "VpcId": machine.vpc_id,
        "SubnetId": machine.subnet_id,
        "PrivateIpAddress": interface.addresses[0],
        "PrivateDnsName": ec2_interfaces.dns_name(region, interface.addresses[0]),
        "PublicIpAddress": association.get("PublicIp"),
        "PublicDnsName": association.get("PublicDnsName", ""),
        "SourceDestCheck": interface.source_dest_check,
        "SecurityGroups": nic["Groups"],
    }


def _nic(region: Region, interface: Interface) -> dict[str, Any]:
    shown = ec2_interfaces.described(region, interface)
    return {k: v for k, v in shown.items() if k not in ("TagSet", "RequesterManaged", "AvailabilityZone")}


def _disks(region: Region, machine: Machine) -> list[dict[str, Any]]:
    return [
        {
            "DeviceName": v.device,
            "Ebs": {
                "VolumeId": v.id,
                "Status": "attached",
                "AttachTime": v.created,
                "DeleteOnTermination": v.delete_on_termination,
            },
        }
        for v in region.volumes.values()
        if v.instance_id == machine.id
    ]


@handles("ec2", "DescribeInstanceStatus")
def describe_status(region: Region, params: Params) -> Params:
    """Running instances only, unless IncludeAllInstances."""
    machines = [region.machine(i) for i in params.get("InstanceIds") or region.machines]
    if not params.get("IncludeAllInstances"):
        machines = [m for m in machines if m.state == "running"]
    shown = apply([_status(m) for m in machines], params.get("Filters"), STATUS_FILTERS)
    return page(shown, params, "InstanceStatuses")


def _status(machine: Machine) -> dict[str, Any]:
    if machine.state != "running":
        check: dict[str, Any] = {"Status": "not-applicable"}
        system = check
    else:
        passed = "passed" if machine.healthy else "failed"
        check = {
            "Status": "ok" if machine.healthy else "impaired",
            "Details": [{"Name": "reachability", "Status": passed}],
        }
        system = {"Status": "ok", "Details": [{"Name": "reachability", "Status": "passed"}]}
    return {
        "InstanceId": machine.id,
        "AvailabilityZone": machine.zone,
        "InstanceState": {"Name": machine.state, "Code": STATE_CODES[machine.state]},
        "InstanceStatus": check,
        "SystemStatus": system,
    }


@handles("ec2", "DescribeInstanceCreditSpecifications")
def describe_credits(region: Region, params: Params) -> Params:
    """CPU credits of burstable instances."""
    machines = [region.machine(i) for i in params.get("InstanceIds") or region.machines]
    shown = [{"InstanceId": m.id, "CpuCredits": m.cpu_credits} for m in machines if m.cpu_credits]
    return {"InstanceCreditSpecifications": shown}


@handles("ec2", "DescribeSpotInstanceRequests")
def describe_spot_requests(region: Region, params: Params) -> Params:
    """The requests behind spot instances."""
    shown = [
        {
            "SpotInstanceRequestId": m.spot_request_id,
            "InstanceId": m.id,
            "State": "active" if m.alive else "closed",
            "Status": {"Code": "fulfilled" if m.alive else "instance-terminated-by-user"},
            "Type": "one-time",
            "CreateTime": m.launched,
            "LaunchedAvailabilityZone": m.zone,
            "Tags": region.tag_list(m.spot_request_id),
        }
        for m in region.machines.values()
        if m.spot
    ]
    names = {
        "instance-id": "InstanceId",
        "state": "State",
        "spot-instance-request-id": "SpotInstanceRequestId",
    }
    wanted = params.get("SpotInstanceRequestIds")
    shown = select(
        shown, "SpotInstanceRequestId", wanted, "InvalidSpotInstanceRequestID.NotFound", "spot request"
    )
    return page(apply(shown, params.get("Filters"), names), params, "SpotInstanceRequests")


@handles("ec2", "DescribeVolumes")
def describe_volumes(region: Region, params: Params) -> Params:
    """The disks of instances."""
    shown = [_volume(region, v) for v in region.volumes.values()]
    shown = select(shown, "VolumeId", params.get("VolumeIds"), "InvalidVolume.NotFound", "volume")
    return page(apply(shown, params.get("Filters"), VOLUME_FILTERS), params, "Volumes")


def _volume(region: Region, volume: Volume) -> dict[str, Any]:
    attachment = {
        "VolumeId": volume.id,
        "InstanceId": volume.instance_id,
        "Device": volume.device,
        "State": "attached",
        "AttachTime": volume.created,
        "DeleteOnTermination": volume.delete_on_termination,
    }
    return {
        "VolumeId": volume.id,
        "AvailabilityZone": volume.zone,
        "Size": volume.size,
        "VolumeType": volume.type,
        "Encrypted": volume.encrypted,
        "Iops": volume.iops,
        "Throughput": volume.throughput,
        "CreateTime": volume.created,
        "State": "in-use" if volume.instance_id else "available",
        "Attachments": [attachment] if volume.instance_id else [],
        "Tags": region.tag_list(volume.id),
    }
