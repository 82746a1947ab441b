"""What tests need: a sandbox that takes mail, fakes of network, clock and DNS, and conformance checks for both.

The names are imported at their first use: ``testing.pytest_plugin`` is loaded in each run of pytest, in projects that
have nothing to do with mail too, and importing it imports this package.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:  # ``typing`` and ``core`` are not imported, see above
    from typing import Any

    from posthouse.sandbox import CaughtMessage, Fault, NotSent, ProgramSettings, Sandbox, SandboxSession
    from posthouse.testing.dns_server import DnsServer
    from posthouse.testing.manual_clock import ManualClock
    from posthouse.testing.memory_network import MemoryNetwork
    from posthouse.testing.memory_stream import StreamFault
    from posthouse.testing.queue_listing import unfinished
    from posthouse.testing.recording_handler import RecordingHandler
    from posthouse.testing.static_resolver import StaticResolver, Zone
    from posthouse.testing.test_case import SandboxMixin

__all__ = [
    "CaughtMessage",
    "DnsServer",
    "Fault",
    "ManualClock",
    "MemoryNetwork",
    "NotSent",
    "ProgramSettings",
    "RecordingHandler",
    "Sandbox",
    "SandboxMixin",
    "SandboxSession",
    "StaticResolver",
    "StreamFault",
    "Zone",
    "unfinished",
]

_WHERE = {
    "CaughtMessage": "posthouse.sandbox",
    "DnsServer": "posthouse.testing.dns_server",
    "Fault": "posthouse.sandbox",
    "ManualClock": "posthouse.testing.manual_clock",
    "MemoryNetwork": "posthouse.testing.memory_network",
    "NotSent": "posthouse.sandbox",
    "ProgramSettings": "posthouse.sandbox",
    "RecordingHandler": "posthouse.testing.recording_handler",
    "Sandbox": "posthouse.sandbox",
    "SandboxMixin": "posthouse.testing.test_case",
    "SandboxSession": "posthouse.sandbox",
    "StaticResolver": "posthouse.testing.static_resolver",
    "StreamFault": "posthouse.testing.memory_stream",
    "Zone": "posthouse.testing.static_resolver",
    "unfinished": "posthouse.testing.queue_listing",
}


def __getattr__(name: str) -> Any:
    """A name of ``__all__``, imported from the module that defines it."""
    if name not in _WHERE:
        raise AttributeError(f"module 'posthouse.testing' has no attribute {name!r}")
    import importlib

    found = getattr(importlib.import_module(_WHERE[name]), name)
    globals()[name] = found
    return found


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
