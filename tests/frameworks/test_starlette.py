"""The mail of a Starlette application, with Starlette itself."""

from __future__ import annotations

import asyncio
import logging
from pathlib import Path

import pytest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.testclient import TestClient

import posthouse
from posthouse.core import Content, Envelope, LocalError, Outcome, Result
from posthouse.sandbox import Sandbox
from posthouse.sending import SendResult
from posthouse.starlette import Mail

MESSAGE = posthouse.Message("shop@here.test", "ann@here.test", subject="x", text="hi")


def application(mail: Mail) -> Starlette:
    async def now(request: Request) -> Response:
        return JSONResponse({"ok": (await mail.send(MESSAGE)).ok})

    async def later(request: Request) -> Response:
        return PlainTextResponse((await mail.enqueue(MESSAGE, key="order 7")).queue_id)

    async def background(request: Request) -> Response:
        return PlainTextResponse("accepted", background=mail.background(MESSAGE))

    routes = [Route("/now", now), Route("/later", later), Route("/background", background)]
    return Starlette(routes=routes, lifespan=mail.lifespan)


def test_handlers_send_over_connections_of_the_application(server: Sandbox, tmp_path: Path) -> None:
    mail = Mail(lambda: server.url, spool=f"spool:{tmp_path}")
    with TestClient(application(mail)) as client:
        assert [client.get("/now").json() for _ in range(3)] == [{"ok": True}] * 3
        assert client.get("/background").text == "accepted"
        names = {client.get("/later").text for _ in range(2)}
    assert (len(server.messages), len(server.sessions)) == (4, 1)
    (name,) = names
    assert (tmp_path / "maildrop" / name).is_file()
    assert mail() is mail


class Refusing:
    async def deliver(self, envelope: Envelope, content: Content) -> SendResult:
        return SendResult(Outcome(each, Result.FAILED, reason="not today") for each in envelope.recipients)


def test_a_failure_in_the_background_is_logged(caplog: pytest.LogCaptureFixture) -> None:
    with TestClient(application(Mail(Refusing()))) as client:
        assert client.get("/background").status_code == 200
    (record,) = [each for each in caplog.records if each.levelno == logging.ERROR]
    assert "not sent after the response" in record.getMessage()
    assert "not today" in caplog.text


def test_sending_outside_of_the_lifespan_is_refused() -> None:
    with pytest.raises(LocalError, match="async with"):
        asyncio.run(Mail("memory:x").send(MESSAGE))


def test_the_two_lifes_of_one_object(server: Sandbox) -> None:
    """Two event loops, one after the other, as tests of an application make them."""
    mail = Mail(server.url)

    async def life() -> bool:
        async with mail:
            return (await mail.send(MESSAGE)).ok

    assert asyncio.run(life())
    assert asyncio.run(life())
