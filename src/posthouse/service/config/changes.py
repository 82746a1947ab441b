"""What a configuration that is read again changes: settings that take effect, and settings that wait for a restart.

The second kind is what a process is made of at its start: its place, its number of workers, its user, the spool and the
relay's counters.  Names are told and values are not, because some are secret.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import msgspec
from msgspec.structs import fields, replace

from posthouse.service.config.console_settings import journals_deliveries
from posthouse.service.config.model import Config

__all__ = ["RESTART", "changed_settings", "in_force"]

#: Settings that are read at the start only.
RESTART: Final = (
    "hostname",
    "data_dir",
    "maildrop",
    "workers",
    "user",
    "group",
    "relay.retry_max",
    "relay.concurrency",
    "relay.concurrency_per_destination",
    "console",
    "spool",
    "log",
    "dns",
    "mailauth.dns_questions",
    "mailauth.failure_reports",
    "mailauth.reports",
    "mailauth.report_sender",
)
#: The setting that names an entry of a table, where entries have names.
_NAMES: Final = {"listener": "name", "domain": "name", "route": "to", "certificate": "cert", "webhook": "url"}


def in_force(running: Config, written: Config) -> tuple[Config, tuple[str, ...]]:
    """``written`` with the settings of ``running`` that cannot change, and the names of those that should."""
    waiting = []
    for name in RESTART:
        table, _, key = name.partition(".")
        if key:
            before, now = getattr(running, table), getattr(written, table)
            if getattr(before, key) != getattr(now, key):
                waiting.append(name)
                written = replace(written, **{table: replace(now, **{key: getattr(before, key)})})
            continue
        before, now = getattr(running, name), getattr(written, name)
        if before != now:
            waiting += [f"{name}.{each}" for each in _differing(before, now)] or [name]
            written = replace(written, **{name: before})
    if journals_deliveries(written.console, written.webhook) and not journals_deliveries(
        running.console, running.webhook
    ):
        waiting.append("webhook")  # the worker processes begin a journal of deliveries at their start only
    return written, tuple(waiting)


def changed_settings(before: Config, after: Config) -> tuple[str, ...]:
    """The settings in which two configurations differ: ``relay.source``, ``listener mx: max_errors``."""
    changed = []
    for each in fields(Config):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if old == new:
            continue
        if each.name in _NAMES:
            changed += _entries(each.name, old, new)
        else:
            changed += [f"{each.name}.{key}" for key in _differing(old, new)] or [each.name]
    return tuple(changed)


def _differing(old: Any, new: Any) -> list[str]:
    """The names of the fields in which two tables differ; none where they are no tables."""
    if not isinstance(old, msgspec.Struct):
        return []
    return [each.name for each in fields(type(old)) if getattr(old, each.name) != getattr(new, each.name)]


def _entries(table: str, old: tuple[Any, ...], new: tuple[Any, ...]) -> list[str]:
    name = _NAMES[table]
    before: Mapping[str, Any] = {getattr(each, name): each for each in old}
    after: Mapping[str, Any] = {getattr(each, name): each for each in new}
    changed = [f"{table} {each} removed" for each in before if each not in after]
    for each, entry in after.items():
        if each not in before:
            changed.append(f"{table} {each} added")
        elif differing := _differing(before[each], entry):
            changed.append(f"{table} {each}: {', '.join(differing)}")
    return changed or [f"order of {table}"]
