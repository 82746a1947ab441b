"""Post houses, clients and other people's hosts in one process on virtual time, with faults by seed; see ``world``."""

from posthouse.testing.simulation.chaos import Calm, Storm, Weather
from posthouse.testing.simulation.ledger import CopyEnd, DeliveredCopy
from posthouse.testing.simulation.loop import Life, VirtualClock, VirtualLoop
from posthouse.testing.simulation.network import Death
from posthouse.testing.simulation.node import SimulatedNode
from posthouse.testing.simulation.remote_host import Received, RemoteHost, Step, parse_step
from posthouse.testing.simulation.world import SimulatedMessage, World

__all__ = [
    "Calm",
    "CopyEnd",
    "Death",
    "DeliveredCopy",
    "Life",
    "Received",
    "RemoteHost",
    "SimulatedMessage",
    "SimulatedNode",
    "Step",
    "Storm",
    "VirtualClock",
    "VirtualLoop",
    "Weather",
    "World",
    "parse_step",
]
