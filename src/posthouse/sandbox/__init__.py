"""The peer in a test: a sandbox that keeps what it is sent, a sink that counts, faults on demand, a load generator."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.sandbox.address_faults import AddressFaults
    from posthouse.sandbox.caught_message import CaughtMessage, SandboxSession
    from posthouse.sandbox.conditions import WantedMessage
    from posthouse.sandbox.faults import FaultRule, parse_delay, parse_drop, parse_fail
    from posthouse.sandbox.faulty_policy import FaultyPolicy
    from posthouse.sandbox.load import Load, LoadPlan, LoadReport, measure
    from posthouse.sandbox.program_settings import ProgramSettings
    from posthouse.sandbox.sandbox import NotSent, Sandbox
    from posthouse.sandbox.sink import Counts, Sink, open_sink
    from posthouse.sandbox.staged_faults import Fault

__all__ = [
    "AddressFaults",
    "CaughtMessage",
    "Counts",
    "Fault",
    "FaultRule",
    "FaultyPolicy",
    "Load",
    "LoadPlan",
    "LoadReport",
    "NotSent",
    "ProgramSettings",
    "Sandbox",
    "SandboxSession",
    "Sink",
    "WantedMessage",
    "measure",
    "open_sink",
    "parse_delay",
    "parse_drop",
    "parse_fail",
]

__getattr__ = lazily(
    __name__,
    {
        "address_faults": "AddressFaults",
        "caught_message": "CaughtMessage SandboxSession",
        "conditions": "WantedMessage",
        "faults": "FaultRule parse_delay parse_drop parse_fail",
        "faulty_policy": "FaultyPolicy",
        "load": "Load LoadPlan LoadReport measure",
        "program_settings": "ProgramSettings",
        "sandbox": "NotSent Sandbox",
        "sink": "Counts Sink open_sink",
        "staged_faults": "Fault",
    },
)
