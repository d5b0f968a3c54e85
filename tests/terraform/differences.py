"""Where the module and `evernat deploy` differ for the same inputs, and why. In the README, too; no row is idle."""

from __future__ import annotations

from typing import NamedTuple


class Difference(NamedTuple):
    """`part` and `argument` are patterns that match the whole; `what` says for people what they mean."""

    what: str
    part: str
    argument: str
    evernat: str
    module: str
    reason: str


DIFFERENCES = (
    Difference(
        "names of security group, template, role, profile",
        "security-group|template.*|role|profile",
        "(Group|LaunchTemplate|Role|InstanceProfile)Name",
        "`evernat-NAME`",
        "NAME and a unique ending",
        "workspaces with one name in one account do not collide",
    ),
    Difference(
        "name of the group",
        "group.*",
        "AutoScalingGroupName",
        "`evernat-NAME`",
        "the security group's name",
        "the nodes are told the name before the group exists, so it cannot be a prefix",
    ),
    Difference(
        "tag Name",
        ".*",
        r"(TagSpecifications\.[a-z-]+|Tags)\.Name",
        "`evernat-NAME`",
        "`nat-instance-NAME`",
        "as the article's module names things",
    ),
    Difference(
        "security group's description",
        "security-group",
        "Description",
        "`evernat gateway NAME`",
        "that of the article's module",
        "another text would replace the group of those who come from there",
    ),
    Difference(
        "interface's and role's description",
        "interface|role",
        "Description",
        "`evernat gateway STACK`",
        "`evernat gateway NAME`",
        "the stack's name has a unique ending, which is known late",
    ),
    Difference(
        "template: size of the disk",
        "template.*",
        r"BlockDeviceMappings\[0\]\.Ebs\.VolumeSize",
        "the image's size",
        "not set",
        "EC2 takes the image's; the module looks up no image, so that a new one is no change",
    ),
    Difference(
        "group: version of the template",
        "group.*",
        r"MixedInstancesPolicy\.LaunchTemplate\.LaunchTemplateSpecification\.Version",
        "`$Latest`",
        "the newest version's number",
        "so that a change of the template changes the group",
    ),
    Difference(
        "group: how nodes are replaced",
        "group.*",
        r"InstanceRefresh\[0\].*",
        "none: `deploy` replaces nodes itself",
        "instance refresh",
        "Terraform makes no calls of its own to replace nodes",
    ),
    Difference(
        "interface",
        "interface",
        ".*",
        "pair and ring: none",
        "pair and ring: one that routes lead to at first",
        "Terraform cannot make a route without a target",
    ),
    Difference(
        "default routes",
        "route .*",
        ".*",
        "pair and ring: the nodes make them",
        "pair and ring: made, then led by the nodes",
        "so that a foreign default route is not replaced without a word, and `destroy` removes them",
    ),
    Difference(
        "tags on route tables",
        "route-table .*",
        r"Tags\..*",
        "stack and gateway",
        "none",
        "tags on route tables of others are taken away by the Terraform that manages these",
    ),
    Difference(
        "role: LeadRoutes",
        "policy",
        r"LeadRoutes\.Condition\..*",
        "only tables with the gateway's tag",
        "only the tables named one by one",
        "follows from the missing tags; groups are destroyed before routes",
    ),
    Difference(
        "reports",
        "parameter .*/report/.*",
        ".*",
        "the nodes make them",
        "made empty, then written by the nodes",
        "so that `terraform destroy` removes them",
    ),
    Difference(
        "key",
        "parameter .*/key",
        "Value",
        "random, made by `deploy`, kept nowhere",
        "random, made at the first apply, kept in the state",
        "everything that Terraform makes is in its state",
    ),
)


def table() -> str:
    """The differences in Markdown."""
    rows = [f"| {d.what} | {d.evernat} | {d.module} | {d.reason} |" for d in DIFFERENCES]
    return "\n".join(["| what | `evernat deploy` | this module | why |", "|---|---|---|---|", *rows]) + "\n"
