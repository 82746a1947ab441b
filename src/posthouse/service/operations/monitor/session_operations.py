"""The operations on sessions: which are open, which have ended, and the dialogue of each.

Each worker process has books of its own (``service.monitor``), so each is asked.  Asking makes every worker record the
dialogues of all sessions for a minute.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from posthouse.core import SettingError
from posthouse.service.monitor.message_source import client_of
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.monitor.monitor_answers import (
    DialogueLine,
    SessionDialogue,
    SessionEntry,
    SessionsReport,
)
from posthouse.service.operations.no_daemon import no_daemon
from posthouse.service.operations.results import filled

if TYPE_CHECKING:
    from posthouse.service.monitor.attempt_book import AttemptRecord
    from posthouse.service.monitor.monitor import Monitor
    from posthouse.service.monitor.session_book import SessionRecord

__all__ = ["SESSION_OPERATIONS", "monitor_of"]

_MOST: Final = 1_000
_ID: Final = re.compile(r"(in|out)([0-9]{1,4})\.([0-9]{1,12})(?:-([0-9a-z]{1,20}))?")
_NO_SESSION: Final = (
    "it has ended long ago, or another daemon had it; `posthouse monitor sessions` has those that are kept"
)


def monitor_of(context: Context) -> Monitor:
    """What the daemon notes.  Raises ``SettingError`` without a daemon."""
    if context.monitor is None:
        raise no_daemon(context.config.data_dir, "start one with `posthouse run`")
    return context.monitor


async def _list(
    context: Context,
    direction: str = "",
    failures: bool = False,
    live: bool = False,
    source: str = "",
    limit: int = 100,
    watch: bool = True,
    peers: bool = True,
) -> SessionsReport:
    monitor = monitor_of(context)
    if direction not in ("", "in", "out"):
        raise SettingError(f'there is no direction "{direction}"', remedy="in is from clients, out to other hosts")
    most = max(1, min(limit, _MOST))
    given = {"direction": direction, "failures": failures, "live": live, "source": source, "limit": most}
    if watch:
        monitor.sessions.watch()
    sending = monitor.attempts.live(_MOST)
    found = (
        _of_source(monitor, source)
        if source
        else _found(monitor, sending, direction, most, failures=failures, live=live)
    )
    reports = [
        SessionsReport(now=context.clock.time(), open=monitor.sessions.open, sending=len(sending), sessions=found)
    ]
    if peers and context.peers is not None:
        reports += await context.peers(_LIST, {**given, "watch": watch, "peers": False})
    everything = [entry for report in reports for entry in report.sessions]
    everything.sort(key=lambda each: (each.ended is not None, -(each.ended or each.began), each.id))
    shown = everything[:most]
    shown.sort(key=lambda each: (each.ended is not None, each.ended is not None and not each.problem))
    return SessionsReport(
        now=context.clock.time(),
        open=sum(report.open for report in reports),
        sending=sum(report.sending for report in reports),
        sessions=shown,
    )


def _of_source(monitor: Monitor, source: str) -> list[SessionEntry]:
    """The sessions of the client that a message came from."""
    client = client_of(source)
    if client is None:
        raise SettingError(
            f'"{source[:60]}" names no client', remedy="write it as messages have it: mx 192.0.2.1:40000"
        )
    return [_incoming(monitor, each) for each in monitor.sessions.of_client(client)]


def _found(
    monitor: Monitor, sending: list[AttemptRecord], direction: str, most: int, *, failures: bool, live: bool
) -> list[SessionEntry]:
    """The sessions of this worker process that are asked for."""
    found: list[SessionEntry] = []
    if direction != "out":
        if not failures:
            found += [_incoming(monitor, each) for each in monitor.sessions.live(most)]
        if not live:
            found += [_incoming(monitor, each) for each in monitor.sessions.recent(most, failures=True)]
            if not failures:
                found += [_incoming(monitor, each) for each in monitor.sessions.recent(most)]
    if direction != "in":
        if not failures:
            found += [_outgoing(monitor, each) for each in sending[:most]]
        if not live:
            found += [_outgoing(monitor, each) for each in monitor.attempts.recent(most, failures=True)]
            if not failures:
                found += [_outgoing(monitor, each) for each in monitor.attempts.recent(most)]
    return found


def _incoming(monitor: Monitor, record: SessionRecord) -> SessionEntry:
    return SessionEntry(
        id=f"in{monitor.number}.{record.number}",
        direction="in",
        place=record.where,
        peer=str(record.peer) if record.peer.host else "unix socket",
        began=record.began,
        ended=record.ended,
        tls=record.tls,
        lines=record.kept,
        messages=record.messages,
        problem=record.problem,
        worker=monitor.number,
    )


def _outgoing(monitor: Monitor, record: AttemptRecord) -> SessionEntry:
    connections = record.tracer.connections
    last = connections[-1] if connections else None
    live = f"-{record.queue_id}" if record.ended is None else ""
    return SessionEntry(
        id=f"out{monitor.number}.{record.number}{live}",
        direction="out",
        place=record.destination,
        peer=(last.peer or last.mx) if last is not None else record.site,
        began=record.began,
        ended=record.ended,
        tls=last.tls if last is not None else "",
        lines=sum(len(each.steps) for each in connections),
        messages=int(record.ended is not None and not record.problem),
        problem=record.problem,
        worker=monitor.number,
        queue_id=record.queue_id,
        security=last.security if last is not None else "",
    )


async def _show(context: Context, id: str, peers: bool = True) -> SessionDialogue:  # noqa: A002 - its public name
    monitor = monitor_of(context)
    named = _ID.fullmatch(id)
    if named is None:
        raise SettingError(
            f'"{id[:60]}" is no session', remedy="`posthouse monitor sessions` names them, such as in0.17"
        )
    direction, worker, number, queue_id = named.groups()
    found: SessionDialogue | None = None
    if int(worker) != monitor.number:
        others = await context.peers(_SHOW, {"id": id, "peers": False}) if peers and context.peers is not None else []
        found = others[0] if others else None
    elif direction == "in":
        monitor.sessions.watch()
        record = monitor.sessions.find(int(number))
        if record is not None:
            lines = [filled(DialogueLine, line) for line in record.lines]
            found = SessionDialogue(session=_incoming(monitor, record), dialogue=lines, partial=record.partial)
    else:
        attempt = monitor.attempts.find(int(number), queue_id or "")
        if attempt is not None:
            found = _dialogue(context, monitor, attempt)
    if found is None:
        raise SettingError(f"there is no session {id} any more", remedy=_NO_SESSION)
    return found


def _dialogue(context: Context, monitor: Monitor, attempt: AttemptRecord) -> SessionDialogue:
    from posthouse.service.monitor.attempt_book import lines_of  # imports the relay, which runs already

    offset = context.clock.time() - context.clock.monotonic()
    lines = [filled(DialogueLine, line) for line in lines_of(attempt, offset)]
    return SessionDialogue(session=_outgoing(monitor, attempt), dialogue=lines, partial=False)


_OWN: Final = Parameter("peers", "Whether the other worker processes are asked too.", bool, True)

_LIST: Final = Operation(
    "monitor sessions",
    "Show the sessions with clients and with other hosts: those that are open, and recent ones.",
    _list,
    SessionsReport,
    (
        Parameter("direction", "in: from clients; out: to other hosts; empty: both.", str, ""),
        Parameter("failures", "Only sessions in which something went wrong.", bool, False),
        Parameter("live", "Only sessions that are open.", bool, False),
        Parameter(
            "source", "Only the session that a message came by, whose source this is: mx 192.0.2.1:40000.", str, ""
        ),
        Parameter("limit", "How many at most.", int, 100),
        Parameter("watch", "Whether every dialogue is recorded for a minute from now on.", bool, True),
        _OWN,
    ),
    live=True,
    reads=True,
)
_SHOW: Final = Operation(
    "monitor session",
    "Show the dialogue of one session.",
    _show,
    SessionDialogue,
    (Parameter("id", "The session, as `monitor sessions` names it."), _OWN),
    live=True,
    reads=True,
)

#: The operations of this module.
SESSION_OPERATIONS: Final = (_LIST, _SHOW)
