"""The machines behind the lab's instances: how one boots, is taken down, and loses power."""

from evernat.lab.computer.computers import Computers
from evernat.lab.computer.machine import How, Machine

__all__ = ["Computers", "How", "Machine"]
