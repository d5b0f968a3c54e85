"""Loads every module that registers handlers."""

from __future__ import annotations

from evernat.lab.cloud import (
    ec2_addresses,
    ec2_console,
    ec2_describe,
    ec2_instances,
    ec2_interfaces,
    ec2_nat,
    ec2_network,
    ec2_routes,
    ec2_rules,
    ec2_tags,
    ec2_targets,
    ec2_templates,
    iam_guards,
    images,
    ssm,
    sts,
)
from evernat.lab.cloud.autoscaling import api_groups, api_hooks, api_instances, api_refresh

LOADED = (
    ec2_addresses,
    ec2_console,
    ec2_describe,
    ec2_instances,
    ec2_interfaces,
    ec2_nat,
    ec2_network,
    ec2_routes,
    ec2_rules,
    ec2_tags,
    ec2_targets,
    ec2_templates,
    iam_guards,
    images,
    ssm,
    sts,
    api_groups,
    api_hooks,
    api_instances,
    api_refresh,
)
