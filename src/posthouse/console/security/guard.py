"""The guard before every route: host name, origin, size of the body; and the headers of every response.

A page of another site that a developer visits can make the browser send requests to 127.0.0.1, also under a name of its
own that resolves there (DNS rebinding).  So a request is answered only if

* its Host is a loopback literal, ``localhost`` or a configured name (421 otherwise), which defeats rebinding;
* it comes from no other origin, if it changes something or opens a stream: by ``Sec-Fetch-Site`` where the browser
  sends it, and by ``Origin``, compared with scheme, host and port (403 otherwise);
* a page of another site leads to it by a link, and does not load it as a picture, script, frame or by ``fetch``: what
  takes long or is an error would tell such a page which mail there is.

Programs send neither field, and pass.  The size of bodies is limited here, for every route, before anything reads them.

A page of another site that opens one of ours in a window keeps a handle of it, and could count its frames: there is one
where a search has found a message with HTML.  Cross-Origin-Opener-Policy takes the handle away, for good: the browser
shows our page in a new process, which costs about 30 ms of the first paint.  So it is left out where no page of another
site leads here: where the browser says that the user has typed the address, or that our own page leads here.
"""

from __future__ import annotations

import contextlib
import ipaddress
from collections.abc import Collection, Mapping
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from posthouse.console.problems import RequestRefused
from posthouse.service.config.console_settings import ConsoleSettings, is_loopback
from posthouse.service.config.model import is_within

__all__ = ["BODY_LIMIT", "CONTENT_POLICY", "Guard", "host_name", "is_loopback_name"]

#: Octets that the body of a request may have where a page module names no other limit.
BODY_LIMIT: Final = 1 << 20
#: Everything from this console only; no script in a page, no frame of another site around it.
CONTENT_POLICY: Final = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; font-src 'self'; "
    "connect-src 'self'; frame-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'"
)
_HEADERS: Final = (
    ("content-security-policy", CONTENT_POLICY),
    ("x-content-type-options", "nosniff"),
    # Without a referrer for ourselves, a browser sends a form's request with "Origin: null".
    ("referrer-policy", "same-origin"),
    ("cross-origin-resource-policy", "same-origin"),
    ("permissions-policy", "camera=(), geolocation=(), microphone=()"),
    ("cache-control", "no-store"),
)
_OPENER_POLICY: Final = ("cross-origin-opener-policy", "same-origin")
_SAFE: Final = ("GET", "HEAD", "OPTIONS")
#: Values of Sec-Fetch-Site of requests that no other site's page makes.
_OWN: Final = ("", "same-origin", "none")


class Guard:
    """ASGI middleware.

    Args:
        app: what is guarded.
        settings: ``[console]``: names, prefix, proxies.
        body_limits: path prefix → octets; the longest prefix decides, and ``BODY_LIMIT`` without one.
        streams: paths that no other origin may even read (GET): a stream of events.
    """

    def __init__(
        self,
        app: ASGIApp,
        *,
        settings: ConsoleSettings,
        body_limits: Mapping[str, int] | None = None,
        streams: Collection[str] = (),
    ) -> None:
        self._app = app
        self._hosts = frozenset(settings.hosts)
        self._base = settings.base_path
        self._proxies = settings.proxies
        self._only_proxies = bool(settings.proxies) and not is_loopback(settings.bind) and not settings.tls_cert
        self._limits = sorted((body_limits or {}).items(), key=lambda item: -len(item[0]))
        self._streams = frozenset(streams)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] not in ("http", "websocket"):
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        try:
            self._place(scope, headers)
            self._check(scope, headers)
        except RequestRefused as refused:
            await _refuse(refused, scope, receive, send)
            return
        if scope["type"] == "websocket":
            await self._app(scope, receive, send)
            return
        limit = self._limit(_path(scope))
        length = headers.get("content-length", "")
        if length.isascii() and length.isdigit() and (len(length) > 18 or int(length) > limit):
            await _refuse(_too_large(limit), scope, receive, send)
            return
        await self._app(scope, _limited(receive, limit), _with_headers(send, headers))

    def _place(self, scope: Scope, headers: Headers) -> None:
        """Put the request under the prefix, and believe a proxy what it says of the client."""
        client = scope["client"][0] if scope.get("client") else ""
        if is_within(self._proxies, client):
            host = scope["posthouse.host"] = _last(headers, "x-forwarded-host") or headers.get("host", "")
            # Also for Starlette, which makes the address of a redirect of it: one that was not checked is not used.
            others = [(name, value) for name, value in scope["headers"] if name != b"host"]
            scope["headers"] = [*others, (b"host", host.encode("latin-1"))]
            if (scheme := _last(headers, "x-forwarded-proto").lower()) in ("http", "https"):
                socket = scope["type"] == "websocket"
                scope["scheme"] = {"http": "ws", "https": "wss"}[scheme] if socket else scheme
            if forwarded := _last(headers, "x-forwarded-for"):
                scope["client"] = (_address(forwarded), 0)
        elif self._only_proxies:
            raise RequestRefused("this console is asked through its reverse proxy only")
        if self._base:
            path = scope["path"]
            below = path == self._base or path.startswith(f"{self._base}/")
            scope["path"] = path if below else f"{self._base}{path}"
            scope["root_path"] = self._base

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = scope.get("posthouse.host") or headers.get("host", "")
        name = host_name(host)
        if not (is_loopback_name(name) or name in self._hosts):
            raise RequestRefused(
                f'this console is not known as "{name[:200]}"; open it by 127.0.0.1 or localhost, or write the name '
                "into hosts of [console]",
                421,
            )
        stream = scope["type"] == "websocket" or _path(scope) in self._streams
        site = headers.get("sec-fetch-site", "")
        if not stream and scope["method"] in _SAFE:
            if site not in _OWN and headers.get("sec-fetch-dest", "document") != "document":
                raise RequestRefused("a page of another site may lead here, and load nothing of this console")
            return
        if site not in _OWN:
            raise RequestRefused("a page of another site may change nothing here and read no stream")
        origin = headers.get("origin", "")
        if origin and origin.lower() != f"{_scheme(scope)}://{host.lower()}":
            raise RequestRefused(f'the origin "{origin[:200]}" is another one than this console\'s')

    def _limit(self, path: str) -> int:
        return next((limit for prefix, limit in self._limits if path.startswith(prefix)), BODY_LIMIT)


def _last(headers: Headers, name: str) -> str:
    """The last value of a field that proxies add to: what the nearest one has seen itself."""
    return ",".join(headers.getlist(name)).rpartition(",")[2].strip()


def _address(forwarded: str) -> str:
    """The address in a value of X-Forwarded-For, which may have a port; "unknown" where there is none."""
    bare = forwarded[1:].partition("]")[0] if forwarded.startswith("[") else forwarded
    for each in (bare, bare.rpartition(":")[0]):
        with contextlib.suppress(ValueError):
            return str(ipaddress.ip_address(each))
    return "unknown"


def host_name(host: str) -> str:
    """The name of a Host field (RFC 9110 §7.2) in lower case, without port and brackets; "" if wrong."""
    host = host.strip().lower()
    if host.startswith("["):
        name, closed, port = host[1:].partition("]")
        return name if closed and (not port or (port[0] == ":" and port[1:].isdigit())) else ""
    name, _, port = host.partition(":")
    return name.removesuffix(".") if not port or port.isdigit() else ""


def is_loopback_name(name: str) -> bool:
    """Whether a name can only be this machine: ``localhost``, one below it, or a loopback address."""
    if name == "localhost" or name.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return False


def _scheme(scope: Scope) -> str:
    scheme: str = scope.get("scheme", "http")
    return {"ws": "http", "wss": "https"}.get(scheme, scheme)


def _path(scope: Scope) -> str:
    path: str = scope["path"]
    return path.removeprefix(scope.get("root_path", "")) or "/"


def _too_large(limit: int) -> RequestRefused:
    return RequestRefused(f"the body is larger than the {limit:,} octets that are taken here", 413)


def _limited(receive: Receive, limit: int) -> Receive:
    """``receive`` that raises ``RequestRefused`` (413) when the body passes the limit."""
    taken = 0

    async def read() -> Message:
        nonlocal taken
        message = await receive()
        if message["type"] == "http.request":
            taken += len(message.get("body", b""))
            if taken > limit:
                raise _too_large(limit)
        return message

    return read


def _with_headers(send: Send, request: Headers) -> Send:
    """``send`` that adds the headers of ``_HEADERS`` where a response has none of its own, and the policy of openers
    where another site's page may lead here."""
    site = request.get("sec-fetch-site", "")
    added = _HEADERS if site and site in _OWN else (*_HEADERS, _OPENER_POLICY)

    async def write(message: Message) -> None:
        if message["type"] == "http.response.start":
            headers = MutableHeaders(scope=message)
            for name, value in added:
                headers.setdefault(name, value)
        await send(message)

    return write


async def _refuse(refused: RequestRefused, scope: Scope, receive: Receive, send: Send) -> None:
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.close", "code": 1008, "reason": str(refused)[:100]})
        return
    body = f"{refused}\n".encode()
    write = _with_headers(send, Headers(scope=scope))
    headers = [(b"content-type", b"text/plain; charset=utf-8"), (b"content-length", str(len(body)).encode())]
    await write({"type": "http.response.start", "status": refused.status, "headers": headers})
    await write({"type": "http.response.body", "body": b"" if scope["method"] == "HEAD" else body})
