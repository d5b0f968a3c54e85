"""RunInstances: launch templates applied, everything checked before anything is made.

moto ignores a template's instance profile, metadata options and interfaces, and accepts whatever it is given. Rules:
EC2 API reference of RunInstances; user guide, launch templates ("parameters you specify override the template's").
"""

from __future__ import annotations

from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES

from evernat.lab.cloud import ec2_interfaces, ec2_public, ec2_state, ec2_tags, ec2_templates, images
from evernat.lab.cloud.errors import AwsError, invalid, missing
from evernat.lab.cloud.registry import Params
from evernat.lab.cloud.resources import Interface, Machine, Volume, new_id, utc_now
from evernat.lab.cloud.state import Region

HOST_TAG = "lab:host"
"""An instance launched with this tag is one of the lab's own hosts, and its value is the host's name."""


def merged(region: Region, params: Params) -> tuple[Params, tuple[str, str]]:
    """The parameters with those of the launch template under them, and (template id, version)."""
    spec = params.get("LaunchTemplate")
    if not spec:
        return params, ("", "")
    template = ec2_templates.find(region, spec)
    version = ec2_templates.resolve(template, spec.get("Version"))
    own = {k: v for k, v in params.items() if k not in ("LaunchTemplate", "TagSpecifications")}
    whole = {**version.data, **own}
    tags = [*(version.data.get("TagSpecifications") or []), *(params.get("TagSpecifications") or [])]
    whole["TagSpecifications"] = tags
    return whole, (template.id, str(version.number))


def launch(region: Region, params: Params) -> list[Machine]:
    """Launch what `params` (RunInstances) says; nothing is left behind when it is refused."""
    token = params.get("ClientToken", "")
    same = [m for m in region.machines.values() if token and m.client_token == token]
    if same:
        return same
    whole, template = merged(region, params)
    subnet = region.subnet(_subnet(whole))
    image = validate(region, whole)
    instance_type = whole.get("InstanceType", "m1.small")
    data = ec2_templates.decode_user_data(whole.get("UserData") or "")
    if region.faults.lacks_capacity(instance_type, subnet.availability_zone):
        raise AwsError(
            "InsufficientInstanceCapacity",
            f"We currently do not have sufficient {instance_type} capacity in {subnet.availability_zone}.",
            500,
        )
    reservation = new_id("r")
    made: list[Machine] = []
    created: list[Interface] = []
    try:
        for _ in range(int(params.get("MaxCount") or params.get("MinCount") or 1)):
            machine = _machine(region, whole, subnet, image, reservation, template, token, data)
            region.machines[machine.id] = machine
            made.append(machine)
            _interfaces(region, machine, whole, created)
    except AwsError:
        _undo(region, made, created)
        raise
    for machine in made:
        _volumes(region, machine, whole, image)
        _tag(region, machine, whole, template)
        ec2_state.boot(region, machine)
    for interface in created:
        region.tag(interface.id, tags_for(whole, "network-interface"))
    return made


KINDS = ("instance", "volume", "network-interface", "spot-instances-request")
"""What RunInstances can tag."""


def tags_for(params: Params, kind: str) -> dict[str, str]:
    """The tags a launch gives to what it makes of a kind."""
    return ec2_tags.specified(params, kind, *KINDS)


def validate(region: Region, whole: Params) -> images.Image:
    """Check what can be checked without launching: image, type, profile, key, interfaces. Gives the image."""
    _subnet(whole)
    if not whole.get("ImageId"):
        raise missing("ImageId")
    image = images.find(whole["ImageId"])
    _check_type(whole.get("InstanceType", "m1.small"), image.architecture)
    profile_arn(region, whole.get("IamInstanceProfile") or {})
    _check_key(region, whole)
    for group_id in whole.get("SecurityGroupIds") or []:
        region.security_group(group_id)
    tags_for(whole, "instance")
    return image


def _subnet(params: Params) -> str:
    nics = params.get("NetworkInterfaces") or []
    if nics and params.get("SubnetId"):
        raise AwsError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level subnet ID may not be specified on the same request",
        )
    if nics and (params.get("SecurityGroupIds") or params.get("PrivateIpAddress")):
        raise AwsError(
            "InvalidParameterCombination",
            "Network interfaces and an instance-level security groups may not be specified on the same request",
        )
    subnet_id = params.get("SubnetId") or next((n["SubnetId"] for n in nics if n.get("SubnetId")), None)
    if not subnet_id:
        raise AwsError("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
    return str(subnet_id)


def _check_type(instance_type: str, architecture: str) -> None:
    known = INSTANCE_TYPES.get(instance_type)
    if known is None:
        raise AwsError("InvalidParameterValue", f"Invalid value '{instance_type}' for InstanceType.")
    if architecture not in known["ProcessorInfo"]["SupportedArchitectures"]:
        raise AwsError(
            "InvalidParameterValue",
            f"The architecture '{','.join(known['ProcessorInfo']['SupportedArchitectures'])}' of the specified "
            f"instance type does not match the architecture '{architecture}' of the specified AMI.",
        )


def profile_arn(region: Region, spec: dict[str, str]) -> str:
    """The ARN of an instance profile named by Name or Arn; empty when none is named."""
    if not spec:
        return ""
    for profile in region.iam.instance_profiles.values():
        if profile.name == spec.get("Name") or profile.arn == spec.get("Arn"):
            return str(profile.arn)
    key = "name" if spec.get("Name") else "arn"
    raise AwsError(
        "InvalidParameterValue",
        f"Value ({spec.get('Name') or spec.get('Arn')}) for parameter iamInstanceProfile.{key} is invalid. "
        f"Invalid IAM Instance Profile {key}",
    )


def _check_key(region: Region, params: Params) -> None:
    name = params.get("KeyName")
    if name and name not in region.ec2.key_pairs:
        raise AwsError("InvalidKeyPair.NotFound", f"The key pair '{name}' does not exist")


def _machine(
    region: Region,
    params: Params,
    subnet: Any,
    image: images.Image,
    reservation: str,
    template: tuple[str, str],
    token: str,
    data: bytes,
) -> Machine:
    options = {
        "HttpTokens": "required" if image.owner_alias == "amazon" else "optional",
        "HttpPutResponseHopLimit": 2 if image.owner_alias == "amazon" else 1,
        "HttpEndpoint": "enabled",
        "HttpProtocolIpv6": "disabled",
        "InstanceMetadataTags": "disabled",
    }
    options |= params.get("MetadataOptions") or {}
    spot = (params.get("InstanceMarketOptions") or {}).get("MarketType") == "spot"
    instance_type = params.get("InstanceType", "m1.small")
    burstable = INSTANCE_TYPES[instance_type].get("BurstablePerformanceSupported", False)
    wanted_credits = (params.get("CreditSpecification") or {}).get("CpuCredits")
    if wanted_credits and not burstable:
        raise invalid("CreditSpecification", f"{wanted_credits} with {instance_type}")
    return Machine(
        id=new_id("i"),
        reservation_id=reservation,
        state="pending",
        image_id=image.id,
        instance_type=instance_type,
        architecture=image.architecture,
        vpc_id=subnet.vpc_id,
        subnet_id=subnet.id,
        zone=subnet.availability_zone,
        launched=utc_now(),
        user_data=data,
        key_name=params.get("KeyName", ""),
        client_token=token,
        profile_arn=profile_arn(region, params.get("IamInstanceProfile") or {}),
        profile_association=new_id("iip-assoc") if params.get("IamInstanceProfile") else "",
        metadata=options,
        shutdown_behavior=params.get("InstanceInitiatedShutdownBehavior", "stop"),
        spot=spot,
        spot_request_id="sir-" + new_id("x")[2:10] if spot else "",
        # T instances on spot begin as `unlimited` unless told otherwise (EC2 user guide, burstable instances).
        cpu_credits=(wanted_credits or "unlimited") if burstable else "",
        monitoring=bool((params.get("Monitoring") or {}).get("Enabled")),
        template=template,
        termination_protected=bool(params.get("DisableApiTermination")),
        root_device=image.root_device,
    )


def _interfaces(region: Region, machine: Machine, params: Params, created: list[Interface]) -> None:
    """Plug in the interfaces of a launch; those made for it are added to `created`."""
    nics = params.get("NetworkInterfaces") or [
        {
            "DeviceIndex": 0,
            "SubnetId": machine.subnet_id,
            "Groups": params.get("SecurityGroupIds"),
            "PrivateIpAddress": params.get("PrivateIpAddress"),
        }
    ]
    ordered = sorted(nics, key=lambda n: int(n.get("DeviceIndex", 0)))
    if int(ordered[0].get("DeviceIndex", 0)) != 0:
        raise missing("NetworkInterface with DeviceIndex 0")
    for nic in ordered:
        index = int(nic.get("DeviceIndex", 0))
        if nic.get("NetworkInterfaceId"):
            interface = region.interface(nic["NetworkInterfaceId"])
            ec2_interfaces.plug_in(region, interface, machine, index, delete_on_termination=False)
            continue
        interface = ec2_interfaces.new_interface(region, nic.get("SubnetId") or machine.subnet_id, nic)
        created.append(interface)
        kept = nic.get("DeleteOnTermination") is False
        ec2_interfaces.plug_in(region, interface, machine, index, delete_on_termination=not kept)
    machine.auto_public_wanted = _wants_public(region, machine, ordered)
    ec2_public.assign_auto(region, region.plugged(machine.id)[0])


def _wants_public(region: Region, machine: Machine, nics: list[dict[str, Any]]) -> bool:
    """What the first interface asks for, else what the subnet gives; only a single new interface can have one."""
    asked = nics[0].get("AssociatePublicIpAddress")
    if asked and len(nics) > 1:
        raise AwsError(
            "InvalidParameterCombination",
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple interfaces.",
        )
    if nics[0].get("NetworkInterfaceId"):
        return False
    return region.maps_public(region.subnet(machine.subnet_id)) if asked is None else bool(asked)


def _undo(region: Region, made: list[Machine], created: list[Interface]) -> None:
    for machine in made:
        for interface in region.plugged(machine.id):
            interface.plug = None
        del region.machines[machine.id]
    for interface in created:
        ec2_interfaces.delete(region, interface)


def _volumes(region: Region, machine: Machine, params: Params, image: images.Image) -> None:
    mappings: dict[str, dict[str, Any]] = {image.root_device: {}}
    for mapping in params.get("BlockDeviceMappings") or []:
        mappings.setdefault(mapping["DeviceName"], {}).update(mapping.get("Ebs") or {})
    for device, ebs in mappings.items():
        volume = Volume(
            id=new_id("vol"),
            zone=machine.zone,
            size=int(ebs.get("VolumeSize") or 8),
            type=ebs.get("VolumeType") or "gp3",
            encrypted=bool(ebs.get("Encrypted")),
            created=utc_now(),
            iops=int(ebs.get("Iops") or 3000),
            throughput=int(ebs.get("Throughput") or 125),
            instance_id=machine.id,
            device=device,
            delete_on_termination=ebs.get("DeleteOnTermination") is not False,
        )
        region.volumes[volume.id] = volume


def _tag(region: Region, machine: Machine, params: Params, template: tuple[str, str]) -> None:
    tags = tags_for(params, "instance")
    machine.host = tags.get(HOST_TAG, "")
    if template[0]:
        tags |= {"aws:ec2launchtemplate:id": template[0], "aws:ec2launchtemplate:version": template[1]}
    region.tag(machine.id, tags)
    for volume in region.volumes.values():
        if volume.instance_id == machine.id:
            region.tag(volume.id, tags_for(params, "volume"))
    if machine.spot_request_id:
        region.tag(machine.spot_request_id, tags_for(params, "spot-instances-request"))
