"""The relay: leases due mail from the spool, schedules its deliveries, and records their outcomes."""

from posthouse.delivery.model import NoRoute, Route, Router
from posthouse.relay.mailbox import DiscardDeliverer, Keeper, MailboxDeliverer
from posthouse.relay.recording.dsn import Bouncer
from posthouse.relay.recording.recorder import Log
from posthouse.relay.recording.retry import Plan, Schedule, ScheduleFor
from posthouse.relay.routes import Rule, Table
from posthouse.relay.scheduling.site_health import Sign, Standing
from posthouse.relay.worker import Worker

__all__ = [
    "Bouncer",
    "DiscardDeliverer",
    "Keeper",
    "Log",
    "MailboxDeliverer",
    "NoRoute",
    "Plan",
    "Route",
    "Router",
    "Rule",
    "Schedule",
    "ScheduleFor",
    "Sign",
    "Standing",
    "Table",
    "Worker",
]
