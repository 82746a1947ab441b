"""Fakes to hand in instead of the world, and the checks that fakes and real things pass alike; for users' tests too."""

from posthouse.testing.channel import Fault
from posthouse.testing.clock import JumpingClock
from posthouse.testing.dnsserver import DnsServer
from posthouse.testing.network import MemoryNetwork
from posthouse.testing.recorder import Recorder
from posthouse.testing.resolver import DictResolver, Zone

__all__ = ["DictResolver", "DnsServer", "Fault", "JumpingClock", "MemoryNetwork", "Recorder", "Zone"]
