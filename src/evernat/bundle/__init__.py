"""Turns the agent and a node's settings into user data, and says what the agent may do."""

from evernat.bundle.beside import folder, parameters
from evernat.bundle.cloudconfig import LIMIT, UserDataTooLargeError, cloud_config_text, user_data
from evernat.bundle.node import ClusterConfig, GatewayConfig, NodeConfig, PortForward
from evernat.bundle.permissions import SESSION_MANAGER, agent_policy, cluster_policy

__all__ = [
    "LIMIT",
    "SESSION_MANAGER",
    "ClusterConfig",
    "GatewayConfig",
    "NodeConfig",
    "PortForward",
    "UserDataTooLargeError",
    "agent_policy",
    "cloud_config_text",
    "cluster_policy",
    "folder",
    "parameters",
    "user_data",
]
