"""The relay: leases due mail from the spool, schedules its deliveries, and records their outcomes."""

from posthouse.relay.mailbox import MailboxDeliverer, MailboxStore
from posthouse.relay.recording.dsn import DsnWriter
from posthouse.relay.recording.retry import RetryPlan, RetrySchedule, ScheduleFor
from posthouse.relay.routes import NoRoute, Route, Router, RouteRule, RouteTable
from posthouse.relay.scheduling.site_health import SiteStatus
from posthouse.relay.worker import Worker

__all__ = [
    "DsnWriter",
    "MailboxDeliverer",
    "MailboxStore",
    "NoRoute",
    "RetryPlan",
    "RetrySchedule",
    "Route",
    "RouteRule",
    "RouteTable",
    "Router",
    "ScheduleFor",
    "SiteStatus",
    "Worker",
]
