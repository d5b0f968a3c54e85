"""The lab's cloud: the AWS API over moto, with the behaviour that moto leaves out."""

from evernat.lab.cloud.calls import Call
from evernat.lab.cloud.cloud import ACCOUNT, Cloud
from evernat.lab.cloud.faults import Faults
from evernat.lab.cloud.front import Front
from evernat.lab.cloud.network import Network, build_network
from evernat.lab.cloud.principals import Credentials

__all__ = ["ACCOUNT", "Call", "Cloud", "Credentials", "Faults", "Front", "Network", "build_network"]
