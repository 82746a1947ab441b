"""Traces of OpenTelemetry: one for each message that is finished, made afterwards from its history.

The path of a message knows nothing of traces: the console's process reads in the journal of deliveries which messages
were tried, and makes the trace of each that has left the queue.  The trace has a span for the message, from its 250 to
its end, and within it one for each time that it waited, one for each attempt, and in this one for each phase of a
connection.  Ids follow from the queue id, so that a trace which is made twice, as a webhook's event may come twice, is
the same trace.  Addresses are not in it, only domains, hosts and reply codes.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from typing import TYPE_CHECKING, Any, Final

from posthouse.console.api.delivery_feed import DeliveryLine
from posthouse.core import PosthouseError, SettingError
from posthouse.service.operations.results import AttemptEntry, ConnectionEntry, MessageHistory

if TYPE_CHECKING:
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.trace import Span

__all__ = ["TraceFeed", "exporting", "ids_of", "provider_of", "traceparent"]

_QUEUE: Final = 1_000  # messages
_NANO: Final = 1_000_000_000
_PERIOD: Final = 0.5
_LOOKS: Final = 4
_ENDS: Final = frozenset(("delivered", "failed", "expired", "dropped"))
_History = Callable[[str], Awaitable[MessageHistory | None]]


def ids_of(queue_id: str) -> tuple[int, int]:
    """The numbers of a message's trace and of its first span; never 0 (W3C Trace Context §3.2.2.3, §3.2.2.4)."""
    digest = hashlib.sha256(f"posthouse {queue_id}".encode()).digest()
    return int.from_bytes(digest[:16]) or 1, int.from_bytes(digest[16:24]) or 1


def traceparent(queue_id: str) -> str:
    """The header field by which others add to the trace of a message (W3C Trace Context §3.2)."""
    trace, span = ids_of(queue_id)
    return f"00-{trace:032x}-{span:016x}-01"


def provider_of(*processors: Any) -> TracerProvider:
    """A tracer provider whose ids are those of the message under way, with these span processors."""
    from opentelemetry.sdk.resources import SERVICE_NAME, OTELResourceDetector, Resource
    from opentelemetry.sdk.trace import TracerProvider

    named = Resource({SERVICE_NAME: "posthouse"}).merge(OTELResourceDetector().detect())
    made = TracerProvider(resource=named, id_generator=_message_ids())
    for each in processors:
        made.add_span_processor(each)
    return made


def exporting() -> TracerProvider:
    """A provider that sends by OTLP over HTTP, as the environment's ``OTEL_…`` say.  Raises ``SettingError``."""
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingError(
            "traces need Python packages that are not installed",
            where="console.traces",
            remedy='install "posthouse[traces]", or take traces out',
        ) from error
    return provider_of(BatchSpanProcessor(OTLPSpanExporter()))


def _message_ids() -> Any:
    """The generator of ids: those of ``begin``'s message, and then numbers that follow from them."""
    from opentelemetry.sdk.trace.id_generator import IdGenerator

    class MessageIds(IdGenerator):
        def __init__(self) -> None:
            self.begin("")

        def begin(self, queue_id: str) -> None:
            self._queue_id, self._spans = queue_id, 0

        def generate_trace_id(self) -> int:
            return ids_of(self._queue_id)[0]

        def generate_span_id(self) -> int:
            self._spans += 1
            return ids_of(self._queue_id if self._spans == 1 else f"{self._queue_id} {self._spans}")[1]

    return MessageIds()


class TraceFeed:
    """The taker of the journal's lines that makes traces.

    Args:
        history: gives the history of a message, None where it is not kept; raises ``PosthouseError``.
        provider: what spans are made with (``provider_of``).
    """

    def __init__(self, history: _History, provider: TracerProvider) -> None:
        self._history = history
        self._provider = provider
        self._tracer = provider.get_tracer("posthouse")
        self._lines: deque[DeliveryLine] = deque()
        self._again: dict[str, int] = {}  # messages whose end was told and is not recorded yet, and how often looked at
        self._filled = asyncio.Event()
        self.settled = 0

    def has_room(self) -> bool:
        """Whether a line can be taken."""
        return len(self._lines) < _QUEUE

    def take(self, line: DeliveryLine) -> None:
        """Take a line: its message may be finished."""
        self._lines.append(line)
        self._filled.set()

    async def run(self) -> None:
        """Make traces until cancelled; what was made is sent before this ends."""
        try:
            while True:
                await self._filled.wait()
                self._filled.clear()
                await asyncio.sleep(_PERIOD)  # the outcomes of a moment are recorded, and asked for together
                await self.look()
        finally:
            await asyncio.to_thread(self._provider.shutdown)

    async def look(self) -> None:
        """Make the traces of the messages whose lines have come."""
        lines, self._lines = self._lines, deque()
        looked, self._again = self._again, {}
        ends = {str(each.facts.get("id", "")) for each in lines if each.event in _ENDS}
        for queue_id in dict.fromkeys([*looked, *(str(each.facts.get("id", "")) for each in lines)]):
            if not queue_id:
                continue
            try:
                found = await self._history(queue_id)
            except PosthouseError:  # the spool is out of order, which the daemon says
                continue
            if found is None:
                continue
            if not found.queued:
                self.trace(found)
            elif queue_id in ends or queue_id in looked:  # the journal has it before the disk
                times = looked.get(queue_id, 0) + 1
                if times < _LOOKS:
                    self._again[queue_id] = times
        if lines:
            self.settled = lines[-1].number
        if self._again:
            self._filled.set()

    def trace(self, history: MessageHistory) -> None:
        """Make the trace of one message."""
        from opentelemetry.trace import set_span_in_context

        attempts = [each for each in history.events if isinstance(each, AttemptEntry)]
        ended = max((each.at for each in history.events), default=history.received)
        self._provider.id_generator.begin(history.id)  # type: ignore[attr-defined]
        whole = self._tracer.start_span(
            "message",
            start_time=_nano(history.received),
            attributes={
                "messaging.system": "smtp",
                "messaging.message.id": history.message_id,
                "messaging.message.body.size": history.size,
                "posthouse.queue_id": history.id,
                "posthouse.source": history.source,
                "posthouse.recipients": len(history.standing),
                "posthouse.destinations": sorted({each.destination for each in attempts})[:20],
            },
        )
        whole.add_event("accepted", {"posthouse.tls": history.tls}, _nano(history.received))
        inside = set_span_in_context(whole)
        since = history.received
        for each in attempts:
            began = since if each.began is None else max(history.received, each.began)
            if began > since:
                waited = self._tracer.start_span("queue", inside, start_time=_nano(since))
                waited.end(_nano(began))
            self._attempt(each, began, inside)
            since = max(since, each.at)
        failed = sum(each.state != "delivered" for each in history.standing)
        whole.set_attribute("posthouse.recipients.failed", failed)
        if failed:
            _fail(whole, f"{failed} of {len(history.standing)} recipients were not delivered")
        whole.end(_nano(ended))

    def _attempt(self, entry: AttemptEntry, began: float, inside: Any) -> None:
        from opentelemetry.trace import set_span_in_context

        span = self._tracer.start_span(
            "attempt",
            inside,
            start_time=_nano(began),
            attributes={
                "server.address": entry.site or entry.target,
                "posthouse.destination": entry.destination,
                "posthouse.attempt": entry.numbers[:1][0] if entry.numbers else 0,
                "posthouse.rule": entry.rule,
            },
        )
        at = began
        for connection in entry.connections:
            at = self._connection(connection, at, set_span_in_context(span))
        for result in sorted({each.result for each in entry.ends}):
            span.set_attribute(f"posthouse.{result}", sum(each.result == result for each in entry.ends))
        wrong = next((each for each in entry.ends if each.result != "delivered"), None)
        if wrong is not None:
            span.set_attribute("posthouse.reply", _code(wrong.reply))
            _fail(span, wrong.result)
        span.end(_nano(max(entry.at, began)))

    def _connection(self, connection: ConnectionEntry, at: float, inside: Any) -> float:
        facts = {
            "network.peer.address": connection.peer,
            "server.address": connection.mx,
            "posthouse.tls": connection.tls,
        }
        for phase, seconds in connection.timings.items():
            span = self._tracer.start_span(phase, inside, start_time=_nano(at), attributes=facts)
            at += seconds
            span.end(_nano(at))
        return at


def _fail(span: Span, why: str) -> None:
    from opentelemetry.trace import Status, StatusCode

    span.set_status(Status(StatusCode.ERROR, why))


def _code(reply: str) -> str:
    """The codes of a reply, without its text, which may name people."""
    words: Sequence[str] = reply.split(" ")[:2]
    return " ".join(each for each in words if each.replace(".", "").isdigit())


def _nano(seconds: float) -> int:
    return int(seconds * _NANO)
