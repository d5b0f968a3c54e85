"""Which code answers which action: the overlay's own handlers, guards before moto, and what moto may answer alone.

An action that is in neither list does not exist in the lab and is refused with AWS's `InvalidAction`: silence would
let a program believe that something happened.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from evernat.lab.cloud.state import Region

Params = dict[str, Any]
Handler = Callable[[Region, Params], Params]
Guard = Callable[[Region, Params], None]

HANDLERS: dict[tuple[str, str], Handler] = {}
"""(service, action) -> the overlay's whole answer."""

GUARDS: dict[tuple[str, str], Guard] = {}
"""(service, action) -> checks that moto leaves out, run before moto answers."""


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


MOTO: dict[str, frozenset[str]] = {
    "ec2": _names("""
        CreateVpc DeleteVpc DescribeVpcs DescribeVpcAttribute ModifyVpcAttribute
        AssociateVpcCidrBlock DisassociateVpcCidrBlock
        DeleteSubnet ModifySubnetAttribute
        CreateInternetGateway AttachInternetGateway DetachInternetGateway DeleteInternetGateway
        DescribeInternetGateways
        CreateRouteTable DeleteRouteTable AssociateRouteTable DisassociateRouteTable ReplaceRouteTableAssociation
        CreateSecurityGroup DeleteSecurityGroup DescribeSecurityGroups
        CreateKeyPair ImportKeyPair DescribeKeyPairs DeleteKeyPair
        DescribeRegions DescribeAvailabilityZones DescribeAccountAttributes
        DescribeInstanceTypes DescribeInstanceTypeOfferings
        DescribeNetworkAcls DescribeDhcpOptions
        CreateVpcEndpoint DeleteVpcEndpoints
        CreateVpcPeeringConnection AcceptVpcPeeringConnection DeleteVpcPeeringConnection
        CreateTransitGateway DeleteTransitGateway DescribeTransitGateways
        CreateTransitGatewayVpcAttachment DeleteTransitGatewayVpcAttachment DescribeTransitGatewayVpcAttachments
        CreateCarrierGateway DeleteCarrierGateway DescribeCarrierGateways
        CreateVpnGateway AttachVpnGateway DetachVpnGateway DeleteVpnGateway DescribeVpnGateways
        CreateEgressOnlyInternetGateway DeleteEgressOnlyInternetGateway DescribeEgressOnlyInternetGateways
    """),
    "iam": _names("""
        CreateRole GetRole DeleteRole ListRoles UpdateRole UpdateRoleDescription UpdateAssumeRolePolicy
        TagRole UntagRole ListRoleTags
        PutRolePolicy GetRolePolicy DeleteRolePolicy ListRolePolicies
        AttachRolePolicy DetachRolePolicy ListAttachedRolePolicies
        CreatePolicy GetPolicy GetPolicyVersion DeletePolicy ListPolicies ListPolicyVersions
        CreatePolicyVersion DeletePolicyVersion
        CreateInstanceProfile GetInstanceProfile DeleteInstanceProfile ListInstanceProfiles
        ListInstanceProfilesForRole AddRoleToInstanceProfile RemoveRoleFromInstanceProfile
        TagInstanceProfile UntagInstanceProfile ListInstanceProfileTags
        CreateServiceLinkedRole GetAccountSummary ListAccountAliases
    """),
    "ssm": _names("""
        PutParameter DeleteParameter DeleteParameters DescribeParameters
        AddTagsToResource RemoveTagsFromResource ListTagsForResource
    """),
    "sts": frozenset(),
    "autoscaling": frozenset(),
}
"""What moto answers alone (after its guard, if there is one)."""


def handles(service: str, *actions: str) -> Callable[[Handler], Handler]:
    """Register the overlay's answer to actions of a service."""

    def register(handler: Handler) -> Handler:
        for action in actions:
            HANDLERS[service, action] = handler
        return handler

    return register


def guards(service: str, *actions: str) -> Callable[[Guard], Guard]:
    """Register what must hold before moto may answer."""

    def register(guard: Guard) -> Guard:
        for action in actions:
            GUARDS[service, action] = guard
        return guard

    return register


def reads(action: str) -> bool:
    """Whether an action cannot change anything."""
    return action.startswith(("Describe", "Get", "List"))
