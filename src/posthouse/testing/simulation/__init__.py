"""Simulation: daemons, clients and remote hosts in one process, on virtual time, with faults by seed (``world``)."""

from posthouse.testing.simulation.chaos import Chaos, NoChaos, RandomChaos
from posthouse.testing.simulation.ledger import DeliveredCopy, RecordedOutcome
from posthouse.testing.simulation.loop import VirtualClock, VirtualLoop, VirtualProcess
from posthouse.testing.simulation.network import CrashKind
from posthouse.testing.simulation.node import SimulatedNode
from posthouse.testing.simulation.remote_host import ReceivedMessage, RemoteHost, Step, parse_step
from posthouse.testing.simulation.world import SimulatedMessage, World

__all__ = [
    "Chaos",
    "CrashKind",
    "DeliveredCopy",
    "NoChaos",
    "RandomChaos",
    "ReceivedMessage",
    "RecordedOutcome",
    "RemoteHost",
    "SimulatedMessage",
    "SimulatedNode",
    "Step",
    "VirtualClock",
    "VirtualLoop",
    "VirtualProcess",
    "World",
    "parse_step",
]
