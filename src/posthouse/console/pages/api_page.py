"""The API, its description and the page that shows it; and whether the console and the daemon are well."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

import msgspec
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from posthouse.console.api.openapi import description
from posthouse.console.api.operation_helps_zh import CHINESE_HELPS
from posthouse.console.api.operation_routes import answer_operation, api_path, offered
from posthouse.console.declarations import NavEntry, Page, Shown
from posthouse.core import PosthouseError
from posthouse.service.operations.base import Operation
from posthouse.service.operations.results import SitesReport

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest

__all__ = ["NAV", "ROUTES"]


def _page_request(request: Request) -> PageRequest:
    console: Any = request.scope["posthouse.console"]
    found: PageRequest = console.page_request(request)
    return found


async def _show(page: PageRequest) -> Shown:
    operations = [
        {
            "name": each.name,
            "path": api_path(each),
            "method": "GET" if each.reads else "POST",
            "help": each.help,
            "parameters": [
                {
                    "name": one.name,
                    "kind": one.kind.__name__,
                    "required": one.default is None,
                    "default": one.default,
                    "help": one.help,
                }
                for one in each.parameters
            ],
        }
        for each in sorted(offered(), key=lambda operation: operation.name)
    ]
    return Shown("api_show.html", operations, {"help": partial(_help, page.language)})


def _help(language: str, text: str) -> str:
    """What an operation or a parameter does, in the reader's language."""
    return CHINESE_HELPS.get(text, text) if language == "zh" else text


async def _openapi(request: Request) -> Response:
    document = description()
    base = request.scope.get("root_path", "")
    return Response(msgspec.json.encode({**document, "servers": [{"url": base or "/"}]}), media_type="application/json")


def _endpoint(operation: Operation) -> Callable[[Request], Awaitable[Response]]:
    async def answer(request: Request) -> Response:
        return await answer_operation(_page_request(request), operation)

    return answer


async def _health(request: Request) -> Response:
    """The console's process lives."""
    return PlainTextResponse("ok\n")


async def _ready(request: Request) -> Response:
    """The daemon answers, and each of its workers can store mail."""
    try:
        report: SitesReport = await _page_request(request).run("queue sites")
    except PosthouseError as error:
        return PlainTextResponse(f"{error}\n", 503)
    return PlainTextResponse(f"{report.fault}\n", 503) if report.fault else PlainTextResponse("ready\n")


ROUTES: Final = (
    Page("/api", _show),
    Route("/api/openapi.json", _openapi),
    Route("/healthz", _health),
    Route("/readyz", _ready),
    *(
        Route(api_path(each), _endpoint(each), methods=["GET", "POST"] if each.reads else ["POST"])
        for each in offered()
    ),
)
NAV: Final = (NavEntry("/api", "api.title", "system", 60),)
