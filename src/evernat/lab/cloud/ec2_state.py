"""How instances change state: pending -> running, stopping -> stopped, shutting-down -> terminated, and reboots.

EC2 user guide, "Amazon EC2 instance state changes". Where AWS takes time the profile says how much; with no time at
all the intermediate state is still what the answer shows and what the world sees first.
"""

from __future__ import annotations

from evernat.lab.cloud import ec2_interfaces, ec2_public
from evernat.lab.cloud.errors import AwsError
from evernat.lab.cloud.resources import Interface, Machine
from evernat.lab.cloud.state import Region

POSTED = 60.0
"""Seconds after a start until the console is kept ("shortly after", AWS names no figure)."""

REMEMBERED = 3600.0
"""Seconds a terminated instance stays visible ("a short interval", about an hour in practice)."""


def boot(region: Region, machine: Machine) -> None:
    """pending, and running when the profile's time is up."""
    machine.state = "pending"
    machine.plugged_in = machine.connected = machine.healthy = True
    machine.trouble += 1

    def up() -> None:
        if machine.state == "pending":
            machine.state = "running"
            machine.boots += 1
            _post(region, machine)

    region.later(region.profile.pending, up)


def reboot(region: Region, machine: Machine) -> None:
    """The operating system starts anew; a machine whose plug was pulled comes back."""
    if machine.state not in ("running", "pending"):
        raise AwsError(
            "IncorrectState", f"The instance '{machine.id}' is not in a state from which it can reboot."
        )
    machine.boots += 1
    machine.plugged_in = machine.healthy = True
    machine.trouble += 1
    _post(region, machine)


def start(region: Region, machine: Machine) -> None:
    """Only from stopped; a running one stays as it is."""
    if machine.state in ("running", "pending"):
        return
    if machine.state != "stopped":
        raise _wrong_state(machine)
    boot(region, machine)
    primary = region.plugged(machine.id)[0]
    ec2_public.assign_auto(region, primary)


def stop(region: Region, machine: Machine) -> None:
    """stopping, then stopped; the auto-assigned public address goes, an Elastic IP stays."""
    if machine.state in ("stopping", "stopped"):
        return
    if machine.state not in ("running", "pending"):
        raise _wrong_state(machine)
    if machine.spot:
        raise AwsError(
            "UnsupportedOperation",
            f"You can't stop the Spot Instance '{machine.id}' because it is associated with a one-time Spot "
            "Instance request. You can only stop Spot Instances associated with persistent Spot Instance requests.",
        )
    machine.state = "stopping"

    def down() -> None:
        if machine.state == "stopping":
            machine.state = "stopped"
            for interface in region.plugged(machine.id):
                ec2_public.release_auto(region, interface)

    region.later(region.profile.shutting_down, down)


def terminate(region: Region, machine: Machine, code: str, message: str) -> None:
    """shutting-down, then terminated; then its persistent interfaces are released, which takes a while longer."""
    if not machine.alive:
        return
    if machine.termination_protected and code == "Client.UserInitiatedShutdown":
        raise AwsError(
            "OperationNotPermitted",
            f"The instance '{machine.id}' may not be terminated. Modify its 'disableApiTermination' instance "
            "attribute and try again.",
        )
    machine.state = "shutting-down"
    machine.reason = (code, message)
    region.later(region.profile.shutting_down, lambda: _terminated(region, machine))


def _terminated(region: Region, machine: Machine) -> None:
    if machine.state != "shutting-down":
        return
    machine.state = "terminated"
    stuck = region.faults.stuck_interface
    delay = region.profile.interface_release if stuck is None else stuck
    for interface in region.plugged(machine.id):
        if interface.plug and interface.plug.delete_on_termination:
            interface.plug = None
            ec2_interfaces.delete(region, interface)
        else:
            _release_later(region, interface, machine, delay)
    for volume in [v for v in region.volumes.values() if v.instance_id == machine.id]:
        if volume.delete_on_termination:
            del region.volumes[volume.id]
            region.untag(volume.id)
        else:
            volume.instance_id = volume.device = ""
    if machine.spot_request_id:
        region.untag(machine.spot_request_id)
    region.later(REMEMBERED, lambda: _forget(region, machine))


def _release_later(region: Region, interface: Interface, machine: Machine, delay: float) -> None:
    """AWS releases the persistent interface of a terminated instance after a delay it does not document."""

    def release() -> None:
        if interface.plug and interface.plug.instance_id == machine.id:
            interface.plug = None

    region.later(delay, release)


def _post(region: Region, machine: Machine) -> None:
    """Keep what is on the console in a while."""

    def post() -> None:
        machine.posted = region.console(machine.id)

    region.later(POSTED, post)


def _forget(region: Region, machine: Machine) -> None:
    region.machines.pop(machine.id, None)
    region.untag(machine.id)


def trouble(region: Region, machine: Machine) -> None:
    """The machine died or is cut off, or is well again: status checks follow after the profile's time."""
    machine.trouble += 1
    event = machine.trouble

    def checked() -> None:
        if machine.trouble == event:
            machine.healthy = machine.plugged_in and machine.connected

    region.later(region.profile.health, checked)


def guest_shutdown(region: Region, machine: Machine) -> None:
    """The operating system powered itself off; what follows is the instance's own shutdown behaviour.

    A one-time spot instance cannot be stopped, so it is terminated.
    """
    if machine.state not in ("running", "pending"):
        return
    message = "Client.InstanceInitiatedShutdown: Instance initiated shutdown"
    if machine.shutdown_behavior == "terminate" or machine.spot:
        terminate(region, machine, "Client.InstanceInitiatedShutdown", message)
        return
    machine.reason = ("Client.InstanceInitiatedShutdown", message)
    stop(region, machine)


def _wrong_state(machine: Machine) -> AwsError:
    return AwsError(
        "IncorrectInstanceState",
        f"The instance '{machine.id}' is not in a state from which it can be changed: {machine.state}",
    )
