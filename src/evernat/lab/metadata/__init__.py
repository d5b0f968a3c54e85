"""The instance metadata service, version 2 only, as each instance sees it at 169.254.169.254."""

from evernat.lab.metadata.app import Metadata
from evernat.lab.metadata.tree import Credentials

__all__ = ["Credentials", "Metadata"]
