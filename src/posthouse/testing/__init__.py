"""Fakes of network, clock and DNS for tests, and the conformance checks that fakes and real implementations pass."""

from posthouse.testing.dns_server import DnsServer
from posthouse.testing.manual_clock import ManualClock
from posthouse.testing.memory_network import MemoryNetwork
from posthouse.testing.memory_stream import StreamFault
from posthouse.testing.queue_listing import unfinished
from posthouse.testing.recording_handler import RecordingHandler
from posthouse.testing.static_resolver import StaticResolver, Zone

__all__ = [
    "DnsServer",
    "ManualClock",
    "MemoryNetwork",
    "RecordingHandler",
    "StaticResolver",
    "StreamFault",
    "Zone",
    "unfinished",
]
