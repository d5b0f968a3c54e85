"""Turns the agent and a node's settings into user data, and says what the agent may do."""

from evernat.bundle.cloudconfig import LIMIT, UserDataTooLargeError, cloud_config_text, user_data
from evernat.bundle.node import NodeConfig, PortForward
from evernat.bundle.permissions import agent_policy

__all__ = [
    "LIMIT",
    "NodeConfig",
    "PortForward",
    "UserDataTooLargeError",
    "agent_policy",
    "cloud_config_text",
    "user_data",
]
