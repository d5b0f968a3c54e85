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
    count = int(params.get("MaxCount") or params.get("MinCount") or 1)
    reservation = new_id("r")
    made = []
    for _ in range(count):
        machine = _machine(region, whole, subnet, image, reservation, template, token, data)
        region.machines[machine.id] = machine
        try:
            _interfaces(region, machine, whole)
        except AwsError:
            _undo(region, machine)
            raise
        _volumes(region, machine, whole, image)
        _tag(region, machine, whole, template)
        made.append(machine)
    for machine in made:
        ec2_state.boot(region, machine)
    return made


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


def _interfaces(region: Region, machine: Machine, params: Params) -> None:
    nics = params.get("NetworkInterfaces") or [
        {
            "DeviceIndex": 0,
            "SubnetId": machine.subnet_id,
            "Groups": params.get("SecurityGroupIds"),
            "PrivateIpAddress": params.get("PrivateIpAddress"),
        }
    ]
    if not any(n.get("DeviceIndex", 0) == 0 for n in nics):
        raise missing("NetworkInterface with DeviceIndex 0")
    for nic in sorted(nics, key=lambda n: int(n.get("DeviceIndex", 0))):
        index = int(nic.get("DeviceIndex", 0))
        if nic.get("NetworkInterfaceId"):
            interface = region.interface(nic["NetworkInterfaceId"])
            ec2_interfaces.plug_in(region, interface, machine, index, delete_on_termination=False)
            continue
        subnet_id = nic.get("SubnetId") or machine.subnet_id
        interface = ec2_interfaces.new_interface(region, subnet_id, nic)
        kept = nic.get("DeleteOnTermination") is False
        ec2_interfaces.plug_in(region, interface, machine, index, delete_on_termination=not kept)
    primary = next(n for n in nics if int(n.get("DeviceIndex", 0)) == 0)
    wanted = primary.get("AssociatePublicIpAddress")
    if wanted is None:
        wanted = region.maps_public(region.subnet(machine.subnet_id))
    if wanted and len(nics) > 1:
        raise AwsError(
            "InvalidParameterCombination",
            "The associatePublicIPAddress parameter cannot be specified when launching with multiple interfaces.",
        )
    machine.auto_public_wanted = bool(wanted) and not primary.get("NetworkInterfaceId")
    ec2_public.assign_auto(region, region.plugged(machine.id)[0])


def _undo(region: Region, machine: Machine) -> None:
    for interface in region.plugged(machine.id):
        made_here = interface.plug and interface.plug.delete_on_termination
        interface.plug = None
        if made_here:
            ec2_interfaces.delete(region, interface)
    del region.machines[machine.id]


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
    tags = ec2_tags.specified(params, "instance")
    if template[0]:
        tags |= {"aws:ec2launchtemplate:id": template[0], "aws:ec2launchtemplate:version": template[1]}
    region.tag(machine.id, tags)
    machine.host = tags.get(HOST_TAG, "")
    for volume in region.volumes.values():
        if volume.instance_id == machine.id:
            region.tag(volume.id, ec2_tags.specified(params, "volume"))
    for interface in region.plugged(machine.id):
        if _made_for(interface):
            region.tag(interface.id, ec2_tags.specified(params, "network-interface"))
    if machine.spot_request_id:
        region.tag(machine.spot_request_id, ec2_tags.specified(params, "spot-instances-request"))


def _made_for(interface: Interface) -> bool:
    return interface.plug is not None and interface.plug.delete_on_termination
