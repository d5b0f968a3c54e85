"""The lab's packets: real namespaces, cables, routes and filters that behave like a VPC and the internet around it."""

from evernat.lab.fabric.fabric import Fabric
from evernat.lab.fabric.tools import FabricError

__all__ = ["Fabric", "FabricError"]
