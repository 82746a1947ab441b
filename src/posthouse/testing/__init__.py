"""Fakes to hand in instead of the world, and the checks that fakes and real things pass alike; for users' tests too."""

from posthouse.testing.dns_server import DnsServer
from posthouse.testing.manual_clock import JumpingClock
from posthouse.testing.memory_network import MemoryNetwork
from posthouse.testing.memory_stream import Fault
from posthouse.testing.recording_handler import Recorder
from posthouse.testing.static_resolver import DictResolver, Zone

__all__ = ["DictResolver", "DnsServer", "Fault", "JumpingClock", "MemoryNetwork", "Recorder", "Zone"]
