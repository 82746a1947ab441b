"""Post houses, clients and other people's hosts in one process on virtual time, with faults by seed; see ``world``."""

from posthouse.testing.simulation.chaos import Calm, Storm, Weather
from posthouse.testing.simulation.ledger import Arrival, End
from posthouse.testing.simulation.loop import Life, VirtualClock, VirtualLoop
from posthouse.testing.simulation.network import Death
from posthouse.testing.simulation.node import SimulatedHouse
from posthouse.testing.simulation.remote_host import Destination, Received, Step, parse_step
from posthouse.testing.simulation.world import Letter, World

__all__ = [
    "Arrival",
    "Calm",
    "Death",
    "Destination",
    "End",
    "Letter",
    "Life",
    "Received",
    "SimulatedHouse",
    "Step",
    "Storm",
    "VirtualClock",
    "VirtualLoop",
    "Weather",
    "World",
    "parse_step",
]
