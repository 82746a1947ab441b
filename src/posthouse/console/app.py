"""The ASGI application of the console: every page module's routes, their JSON twins, and the guard before them.

A request passes the guard, then the route, then its handler, which runs operations and says what is shown.  Errors of
operations become a page or problem details with the same sentence.
"""

from __future__ import annotations

import contextlib
import os
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from itertools import chain
from typing import Any, Final
from urllib.parse import quote, unquote

import msgspec
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import RedirectResponse, Response, StreamingResponse
from starlette.routing import BaseRoute, Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from posthouse.console.assets import Assets
from posthouse.console.change_feed import ChangeFeed, Topic
from posthouse.console.declarations import NavEntry, Page, PageAction, Shown, json_path, sorted_nav
from posthouse.console.operating import OperationRunner
from posthouse.console.page_request import THEMES, PageRequest, Visitor
from posthouse.console.pages import page_modules
from posthouse.console.problem_sentences import problem_sentence
from posthouse.console.problems import PROBLEM_JSON, NotFound, Problem, RequestRefused, problem_of
from posthouse.console.rendering import environment, page_context
from posthouse.console.security.console_logins import ConsoleLogins, LoginGate, is_of_inboxes, login_path
from posthouse.console.security.guard import CONTENT_POLICY, Guard
from posthouse.console.texts import LANGUAGES
from posthouse.core import PosthouseError, StorageError
from posthouse.service.config.console_settings import ConsoleSettings

__all__ = ["Console", "application"]

_FLASH: Final = "posthouse_flash"
_YEAR: Final = 31_536_000
_TOPICS: Final = 50
_STATUSES: Final = (400, 401, 403, 404, 405, 408, 413, 415, 421, 429, 500, 503, 507)
_Log = Callable[..., object]


def application(
    runner: OperationRunner, *, settings: ConsoleSettings | None = None, log: _Log | None = None
) -> ASGIApp:
    """The console as an ASGI application.

    Args:
        runner: runs the operations.
        settings: ``[console]``; without it, the defaults.
        log: called with the name of an event and its fields: ``fault`` with ``reason`` and ``error``.
    """
    return Console(runner, settings=settings, log=log).guarded


class Console:
    """The application and its parts; ``guarded`` is what a server serves.

    ``modules`` are page modules in place of all there are; the other arguments are those of ``application``.
    """

    def __init__(
        self,
        runner: OperationRunner,
        *,
        settings: ConsoleSettings | None = None,
        log: _Log | None = None,
        modules: Sequence[object] | None = None,
    ) -> None:
        self.runner = runner
        self.settings = ConsoleSettings() if settings is None else settings
        self.assets = Assets()
        self._policy = CONTENT_POLICY.replace("style-src", f"style-src {self.assets.style_source}")
        self._log = log
        self._key = os.urandom(32)
        modules = page_modules() if modules is None else modules
        nav: list[NavEntry] = list(chain.from_iterable(getattr(each, "NAV", ()) for each in modules))
        self._nav = sorted_nav(nav)
        self._notices = list(chain.from_iterable(getattr(each, "NOTICES", ()) for each in modules))
        limits: dict[str, int] = {}
        for each in modules:
            limits |= getattr(each, "BODY_LIMITS", {})
        declared = list(chain.from_iterable(getattr(each, "ROUTES", ()) for each in modules))
        topics: dict[str, Topic] = {}
        for each in modules:
            topics |= getattr(each, "TOPICS", {})
        self.feed = ChangeFeed(runner, runner.token, topics)
        routes = [
            Route("/events", self._events),
            Route("/static/{name}", self.assets.serve),
            *chain.from_iterable(map(self._routes, declared)),
        ]
        if not any(isinstance(each, Page) and each.path == "/" for each in declared):
            routes += [Route("/", self._first), Route(json_path("/"), self._first)]
        self._router = Router(routes, redirect_slashes=True, default=self._no_route)
        self.logins = ConsoleLogins(runner.config, self.settings)
        self.guarded = Guard(
            LoginGate(self._serve, self.logins),
            settings=self.settings,
            body_limits=limits,
            streams=["/events", "/api/v1/events"],
        )

    def page_request(self, request: Request) -> PageRequest:
        """What handlers of pages get for a request; for routes of Starlette that want the same."""
        return PageRequest(request, self.runner, self._key)

    def _routes(self, declared: Page | PageAction | BaseRoute) -> list[BaseRoute]:
        if isinstance(declared, Page):
            answer = self._endpoint(self._page(declared))
            twin = Route(json_path(declared.path), answer, methods=["GET"])
            return [twin, Route(declared.path, answer, methods=["GET"])]
        if isinstance(declared, PageAction):
            answer = self._endpoint(self._action(declared))
            return [Route(json_path(declared.path), answer, methods=["POST"]),
                    Route(declared.path, answer, methods=["POST"])]  # fmt: skip
        return [declared]

    def close(self) -> None:
        """End the streams that are open."""
        self.feed.close()

    async def _events(self, request: Request) -> Response:
        """The stream of changes: ``?topics=inbox,spool`` chooses, and Last-Event-ID goes on."""
        topics = [each for each in request.query_params.get("topics", "").split(",") if each and each != "*"]
        page = self.page_request(request)
        own = page.visitor.views is not None
        if own:  # is told of changes in its inboxes alone
            topics = ["inbox"]
        if request.method == "HEAD":
            return Response(media_type="text/event-stream")
        events = self.feed.events(topics[:_TOPICS], request.headers.get("last-event-id", "")[:100])
        first = await anext(events)  # raises where too many listen
        before = await _state_of_inboxes(page) if own else ""

        async def body() -> AsyncIterator[bytes]:
            nonlocal before
            yield first
            async with contextlib.aclosing(events):
                async for each in events:
                    if own and b"event: change" in each:
                        state = await _state_of_inboxes(page)
                        if state == before:
                            continue
                        before = state
                    yield each

        headers = {"cache-control": "no-store", "x-accel-buffering": "no"}
        return StreamingResponse(body(), headers=headers, media_type="text/event-stream")

    # -- one request -----------------------------------------------------------------------------------------------

    async def _serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] in ("http", "websocket"):
            scope["app"] = scope["posthouse.console"] = self  # with "app", Starlette raises 405 for us to answer
        if refused := scope.get("posthouse.refused"):
            await self._refuse(refused, scope, receive, send)
            return
        started = False

        async def sending(message: Any) -> None:
            nonlocal started
            started = True
            await send(message)

        try:
            await self._router(scope, receive, sending)
        except ClientDisconnect:  # in the middle of a body: there is nobody to answer
            return
        except (HTTPException, PosthouseError) as error:
            if started or scope["type"] != "http":
                raise
            response = await self._problem(Request(scope, receive), error)
            await response(scope, receive, send)
        except Exception as error:
            if started or scope["type"] != "http":
                raise
            self._tell(f"{scope['method']} {scope['path']}: {type(error).__name__}: {error}", error)
            response = await self._problem(Request(scope, receive), error)
            await response(scope, receive, send)

    async def _refuse(self, refused: RequestRefused | StorageError, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request that the gate let not pass: a browser is led to the login."""
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008, "reason": str(refused)[:100]})
            return
        request = Request(scope, receive)
        page = self.page_request(request)
        response: Response
        browser = "text/html" in request.headers.get("accept", "")
        asks = isinstance(refused, RequestRefused) and refused.status == 401
        if asks and request.method in ("GET", "HEAD") and browser and not page.wants_json:
            response = RedirectResponse(login_path(scope), 303)
        else:
            response = await self._problem(request, refused)
            if asks and "sec-fetch-mode" not in request.headers:  # a browser would ask by itself
                response.headers["www-authenticate"] = 'Basic realm="Posthouse", charset="UTF-8"'
        await response(scope, receive, send)

    def _tell(self, reason: str, error: BaseException) -> None:
        if self._log is not None:
            self._log("fault", reason=reason, error=error)

    def _endpoint(
        self, answer: Callable[[PageRequest], Awaitable[Response]]
    ) -> Callable[[Request], Awaitable[Response]]:
        async def endpoint(request: Request) -> Response:
            page = self.page_request(request)
            try:
                return await answer(page)
            finally:
                await page.close()

        return endpoint

    def _page(self, declared: Page) -> Callable[[PageRequest], Awaitable[Response]]:
        async def answer(page: PageRequest) -> Response:
            return await self.respond(page, await declared.handler(page))

        return answer

    def _action(self, declared: PageAction) -> Callable[[PageRequest], Awaitable[Response]]:
        async def answer(page: PageRequest) -> Response:
            if not page.visitor.may_change:
                raise RequestRefused("this login may read and change nothing")
            await page.form()
            done = await declared.handler(page)
            if isinstance(done, Shown):
                return await self.respond(page, done)
            response: Response
            if page.wants_json:
                response = _json(done.data if done.data is not None else {"message": done.message})
            else:
                response = RedirectResponse(page.url(done.to), 303)
            if done.cookie is not None:
                _set_cookie(response, page, *done.cookie)
            if done.message and not page.wants_json:
                _set_cookie(response, page, _FLASH, quote(done.message[:1000]), 60)
            return response

        return answer

    async def respond(self, page: PageRequest, shown: Shown) -> Response:
        """The response that shows something, as a page or as JSON."""
        if page.wants_json:
            return _json(shown.data, shown.status)
        flash = unquote(page.request.cookies.get(_FLASH, ""))
        content = await self._html(page, shown, flash=flash, asks=bool(page.visitor.name))
        response = self._html_response(content, shown.status)
        response.headers["vary"] = "accept, accept-language, cookie"
        if flash:
            response.delete_cookie(_FLASH, page.base or "/")
        if page.request.headers.get("sec-fetch-site", "none") in ("none", "same-origin"):
            if page.query.get("lang") in LANGUAGES:
                _set_cookie(response, page, "posthouse_lang", page.language, _YEAR)
            if page.query.get("theme") in THEMES:
                _set_cookie(response, page, "posthouse_theme", page.theme, _YEAR)
        return response

    async def _html(self, page: PageRequest, shown: Shown, *, flash: str = "", asks: bool = True) -> str:
        """The page; without ``asks``, no operation is run for notices and numbers."""
        config = self.runner.config
        current = self._current(page.path)
        notices = []
        if asks:
            for each in self._notices:
                with contextlib.suppress(PosthouseError):  # the page itself says what is wrong with the daemon
                    notices += await each(page)
        return (
            environment()
            .get_template(shown.template)
            .render(
                {
                    **page_context(page, self.assets),
                    "data": shown.data,
                    "title": shown.title or (page.text(current.text) if current is not None else ""),
                    "nav": self._nav_for(page.visitor),
                    "current": current,
                    "badges": await self._badges(page) if asks else {},
                    "notices": notices,
                    "flash": flash,
                    "hostname": config.hostname,
                    "is_catcher": _is_catcher(config),
                    **shown.context,
                }
            )
        )

    def _nav_for(self, visitor: Visitor) -> Mapping[str, Sequence[NavEntry]]:
        """The navigation: nothing without a login, and for one who sees some inboxes only what is of these."""
        if not visitor.name or visitor.views is None:
            return self._nav if visitor.name else {}
        found = {group: [each for each in entries if is_of_inboxes(each.path)] for group, entries in self._nav.items()}
        return {group: entries for group, entries in found.items() if entries}

    async def _badges(self, page: PageRequest) -> Mapping[str, int]:
        shown = self._nav_for(page.visitor).values()
        entries = [each for group in shown for each in group if each.badge is not None]
        found = {}
        for each in entries:
            with contextlib.suppress(PosthouseError):
                found[each.path] = await each.badge(page) if each.badge is not None else 0
        return found

    def _current(self, path: str) -> NavEntry | None:
        """The entry of the navigation that a path belongs to."""
        found = [
            each
            for group in self._nav.values()
            for each in group
            if path == each.path or (each.path != "/" and path.startswith(f"{each.path}/"))
        ]
        return max(found, key=lambda each: len(each.path), default=None)

    async def _first(self, request: Request) -> Response:
        """The first page where no page module has one: the first of the navigation."""
        page = self.page_request(request)
        for group in self._nav.values():
            path = group[0].path
            return RedirectResponse(page.url(json_path(path) if page.wants_json else path), 302)
        raise NotFound("there is no page")

    async def _no_route(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1000})
            return
        raise HTTPException(404)

    async def _problem(self, request: Request, error: Exception) -> Response:
        page = self.page_request(request)
        titles = {status: page.text(f"error.{status}") for status in _STATUSES}
        if isinstance(error, PosthouseError):
            problem = problem_of(error, titles)
        elif isinstance(error, HTTPException):
            detail = page.text("error.path", path=page.path) if error.status_code == 404 else str(error.detail)
            problem = Problem(titles.get(error.status_code, titles[500]), error.status_code, detail)
        else:
            problem = Problem(titles[500], 500, "the console met an error of its own; the daemon's log has it")
        headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
        if "Allow" in headers:  # Starlette joins a set
            headers["Allow"] = ", ".join(sorted(headers["Allow"].split(", ")))
        if page.wants_json or page.path.startswith("/api"):
            return Response(msgspec.json.encode(problem), problem.status, headers, PROBLEM_JSON)
        detail, spoken = problem_sentence(problem.detail, page.language)
        if problem.detail == page.text("error.path", path=page.path):
            spoken = page.language
        shown = Shown("error.html", problem, {"detail": detail, "spoken": spoken}, title=problem.title)
        try:
            content = await self._html(page, shown, asks=problem.status < 500 and bool(page.visitor.name))
        except PosthouseError:  # the daemon has gone meanwhile
            content = await self._html(page, shown, asks=False)
        return self._html_response(content, problem.status, headers)

    def _html_response(self, content: str, status: int, headers: Mapping[str, str] | None = None) -> Response:
        """A page, whose policy has the source of the style sheet in it."""
        return Response(content, status, {"content-security-policy": self._policy, **(headers or {})}, "text/html")


def _is_catcher(config: Any) -> bool:
    return any(each.name == "*" for each in config.domain)


async def _state_of_inboxes(page: PageRequest) -> str:
    """A text that differs when something has changed in the inboxes that this visitor sees."""
    with contextlib.suppress(PosthouseError):  # the daemon is busy, or starts
        listing = await page.run("inbox search", limit=1)
        newest = listing.messages[0].number if listing.messages else 0
        return f"{newest} {listing.total} {listing.total_unread}"
    return ""


def _json(data: Any, status: int = 200) -> Response:
    return Response(msgspec.json.encode(data), status, media_type="application/json")


def _set_cookie(response: Response, page: PageRequest, name: str, value: str, seconds: int) -> None:
    response.set_cookie(
        name,
        value,
        max_age=seconds,
        path=page.base or "/",
        httponly=True,
        samesite="lax",
        secure=page.request.url.scheme == "https",
    )
