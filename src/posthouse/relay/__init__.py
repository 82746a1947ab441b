"""Moves mail on: where it goes, when it is tried again, who delivers it, and what is recorded of it."""

from posthouse.relay.bounce import Bouncer
from posthouse.relay.handler import HandlerDeliverer
from posthouse.relay.job import (
    Deliverer,
    InstantDeliverer,
    Job,
    LocalDeliverer,
    NoRoute,
    Route,
    Router,
    SitedDeliverer,
)
from posthouse.relay.local import DiscardDeliverer, Keeper, MailboxDeliverer
from posthouse.relay.maildir import MaildirDeliverer, expand_path
from posthouse.relay.nexthop import Exchange, Hops, IsSelf, NoHops, Ourselves, next_hops
from posthouse.relay.notes import Notes
from posthouse.relay.recorder import Log
from posthouse.relay.router import Rule, Table
from posthouse.relay.schedule import Plan, Schedule, ScheduleFor
from posthouse.relay.sites import Sign, Standing
from posthouse.relay.smtp import LmtpDeliverer, SmtpDeliverer
from posthouse.relay.worker import Worker

__all__ = [
    "Bouncer",
    "Deliverer",
    "DiscardDeliverer",
    "Exchange",
    "HandlerDeliverer",
    "Hops",
    "InstantDeliverer",
    "IsSelf",
    "Job",
    "Keeper",
    "LmtpDeliverer",
    "LocalDeliverer",
    "Log",
    "MailboxDeliverer",
    "MaildirDeliverer",
    "NoHops",
    "NoRoute",
    "Notes",
    "Ourselves",
    "Plan",
    "Route",
    "Router",
    "Rule",
    "Schedule",
    "ScheduleFor",
    "Sign",
    "SitedDeliverer",
    "SmtpDeliverer",
    "Standing",
    "Table",
    "Worker",
    "expand_path",
    "next_hops",
]
