"""The peer in a test: a receiving sink with faults on demand, and a load generator."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.sandbox.faults import FaultRule, parse_delay, parse_drop, parse_fail
    from posthouse.sandbox.load import Load, LoadPlan, LoadReport, measure
    from posthouse.sandbox.sink import Counts, Sink, open_sink

__all__ = [
    "Counts",
    "FaultRule",
    "Load",
    "LoadPlan",
    "LoadReport",
    "Sink",
    "measure",
    "open_sink",
    "parse_delay",
    "parse_drop",
    "parse_fail",
]

__getattr__ = lazily(
    __name__,
    {
        "faults": "FaultRule parse_delay parse_drop parse_fail",
        "load": "Load LoadPlan LoadReport measure",
        "sink": "Counts Sink open_sink",
    },
)
