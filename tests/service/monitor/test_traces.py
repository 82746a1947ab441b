"""Traces of OpenTelemetry, made of the histories of messages and exported into memory."""

from __future__ import annotations

import asyncio
import os
import threading
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import ClassVar

import msgspec
import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from opentelemetry.trace import StatusCode

from posthouse.console.api.delivery_feed import DeliveryLine
from posthouse.console.api.traces import TraceFeed, exporting, ids_of, provider_of, traceparent
from posthouse.service.operations.explain_message import history_of
from posthouse.service.operations.results import MessageHistory

from .test_sessions import Client, daemon, do, run

ROUTED = """
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "far.test"
via = "smtp://127.0.0.1:{}"
[[route]]
to = "dead.test"
via = "smtp://127.0.0.1:{}"
"""


def made_of(history: MessageHistory) -> Sequence[ReadableSpan]:
    exporter = InMemorySpanExporter()

    async def unused(queue_id: str) -> None:
        return None

    feed = TraceFeed(unused, provider_of(SimpleSpanProcessor(exporter)))
    feed.trace(history)
    return exporter.get_finished_spans()


def test_a_trace_has_the_message_its_waits_its_attempts_and_their_phases(tmp_path: Path) -> None:
    async def scenario() -> None:
        more = '[[domain]]\nname = "far.test"\ndeliver = "discard"\nmailboxes = ["bob"]'
        async with daemon(tmp_path / "there", more=more) as there:
            port = there.endpoints["mx"].port
            async with daemon(tmp_path / "us", more=ROUTED.format(port, port)) as us:
                client = await Client.to(us)
                await client.say("EHLO client.test")
                good = (await client.send("bob@far.test")).split()[-1]
                bad = (await client.send("nobody@far.test")).split()[-1]
                await client.quit()
                await us.wait_idle()
                while await do(us, "queue list"):
                    await asyncio.sleep(0.01)
                context = us.context("ann")
                delivered, failed = await history_of(context, good), await history_of(context, bad)
                assert delivered is not None
                assert failed is not None

                spans = made_of(delivered)
                assert made_of(delivered)[-1].context == spans[-1].context  # made twice, it is one trace
                whole = spans[-1]
                trace, first = ids_of(good)
                assert (whole.name, whole.context.trace_id, whole.context.span_id) == ("message", trace, first)
                assert traceparent(good) == f"00-{trace:032x}-{first:016x}-01"
                assert whole.attributes is not None
                assert whole.attributes["posthouse.queue_id"] == good
                assert whole.attributes["posthouse.destinations"] == ("far.test",)
                assert whole.status.status_code is StatusCode.UNSET
                attempt = next(each for each in spans if each.name == "attempt")
                phases = [each for each in spans if each.parent and each.parent.span_id == attempt.context.span_id]
                assert attempt.parent is not None
                assert attempt.parent.span_id == first
                assert "connect" in {each.name for each in phases}
                assert len({each.context.span_id for each in spans}) == len(spans)
                assert all(each.context.trace_id == trace for each in spans)
                for each in spans:
                    assert each.start_time is not None
                    assert each.end_time is not None
                    assert each.end_time >= each.start_time
                said = [{**(each.attributes or {}), "messaging.message.id": ""} for each in spans]
                assert "@" not in repr(said)

                spans = made_of(failed)
                assert spans[-1].status.status_code is StatusCode.ERROR
                attempt = next(each for each in spans if each.name == "attempt")
                assert attempt.attributes is not None
                assert attempt.attributes["posthouse.reply"] == "550 5.1.1"

    run(scenario)


def test_an_end_that_is_not_recorded_yet_is_looked_at_again() -> None:
    async def scenario() -> None:
        asked: list[str] = []
        waits = MessageHistory(
            id="a", now=1.0, queued=True, corrupt=False, received=0.0, source="", helo="", tls="", user="", sender="",
            recipients=(), size=1, message_id="", about="", events=[], standing=[],
        )  # fmt: skip

        async def history(queue_id: str) -> MessageHistory:
            asked.append(queue_id)
            return waits if len(asked) < 3 else msgspec.structs.replace(waits, queued=False)

        exporter = InMemorySpanExporter()
        feed = TraceFeed(history, provider_of(SimpleSpanProcessor(exporter)))
        feed.take(DeliveryLine(1, "x-1", "delivered", {"id": "a"}))
        feed.take(DeliveryLine(2, "x-2", "deferred", {"id": "b"}))
        await feed.look()
        assert asked == ["a", "b"]
        await feed.look()
        assert (asked, [each.name for each in exporter.get_finished_spans()]) == (["a", "b", "a"], ["message"])
        await feed.look()
        assert len(asked) == 3

    run(scenario)


def test_only_messages_that_are_finished_become_traces() -> None:
    async def scenario() -> None:
        asked: list[str] = []

        async def history(queue_id: str) -> None:
            asked.append(queue_id)

        feed = TraceFeed(history, provider_of())
        for number, queue_id in enumerate(("a", "b", "a", ""), 1):
            feed.take(DeliveryLine(number, f"x-{number}", "delivered", {"id": queue_id}))
        assert feed.has_room()
        assert feed.settled == 0
        await feed.look()
        assert (asked, feed.settled) == (["a", "b"], 4)

    run(scenario)


class Sink(BaseHTTPRequestHandler):
    """Takes OTLP over HTTP; what it got stands in ``got``."""

    got: ClassVar[list[tuple[str, str, bytes]]] = []

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers["content-length"]))
        self.got.append((self.path, self.headers["content-type"], body))
        self.send_response(200)
        self.send_header("content-type", "application/x-protobuf")
        self.send_header("content-length", "0")
        self.end_headers()

    def log_message(self, *told: object) -> None:
        return None


def test_traces_are_sent_by_otlp_over_http(monkeypatch: pytest.MonkeyPatch) -> None:
    history = MessageHistory(
        id="a", now=9.0, queued=False, corrupt=False, received=1.0, source="", helo="", tls="", user="", sender="",
        recipients=(), size=1, message_id="<7@x.test>", about="", events=[], standing=[],
    )  # fmt: skip

    async def asked(queue_id: str) -> MessageHistory:
        return history

    async def scenario() -> None:
        feed = TraceFeed(asked, exporting())
        running = asyncio.ensure_future(feed.run())
        feed.take(DeliveryLine(1, "x-1", "delivered", {"id": "a"}))
        while not feed.settled:
            await asyncio.sleep(0.01)
        running.cancel()  # what was made is sent before the end
        await asyncio.gather(running, return_exceptions=True)

    Sink.got = []
    for name in [each for each in os.environ if each.startswith("OTEL_") or each.lower().endswith("_proxy")]:
        monkeypatch.delenv(name)
    with ThreadingHTTPServer(("127.0.0.1", 0), Sink) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", f"http://127.0.0.1:{server.server_port}")
            run(scenario)
        finally:
            server.shutdown()
            thread.join(60)
    [(path, kind, body)] = Sink.got
    assert (path, kind) == ("/v1/traces", "application/x-protobuf")
    [spans] = ExportTraceServiceRequest.FromString(body).resource_spans
    assert {each.key: each.value.string_value for each in spans.resource.attributes}["service.name"] == "posthouse"
    [span] = spans.scope_spans[0].spans
    assert (span.name, span.trace_id) == ("message", ids_of("a")[0].to_bytes(16))
    assert (span.start_time_unix_nano, span.end_time_unix_nano) == (10**9, 10**9)
