"""Options of sending: the URL of a server with everything that may stand in it, and the same as arguments.

Only the scheme decides about TLS: ``smtp`` is in clear, ``smtps`` is TLS from the first octet, ``smtp+starttls`` is
STARTTLS or no session; the last two verify the certificate.  An argument wins over the parameter of that name in the
URL.

    smtps://name:password@mail.example.org?timeout=30s&proxy=socks5h://127.0.0.1:1080
    lmtp+unix:///run/dovecot/lmtp
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, Final, NamedTuple, TypedDict

from posthouse.client.model import INTERACTIVE_TIMEOUTS, Timeouts
from posthouse.client.server_url import URL_PARAMETERS, ServerAddress, parse_server
from posthouse.core import SettingError
from posthouse.core.units import read_duration
from posthouse.sending.connection.proxies import ProxyAddress, parse_proxy

if TYPE_CHECKING:
    from posthouse.sending.connection.credentials import CredentialsLike

__all__ = ["SENDING_TIMEOUTS", "SendOptions", "ServerTarget", "limit_of", "target_of"]

#: The time limits of one message that a program waits for: connecting to all addresses of the server together 20 s, a
#: reply 60 s, the reply to the end of the message 600 s.
SENDING_TIMEOUTS: Final = INTERACTIVE_TIMEOUTS._replace(connect=20.0, data=60.0, block=60.0, quit=1.0)

_DURATIONS: Final = ("timeout", "connect_timeout", "reply_timeout", "final_timeout")
_TEXTS: Final = ("source", "local_name", "proxy")
_LONGEST: Final = 86_400.0


class SendOptions(TypedDict, total=False):
    """The options that ``send``, ``asend``, ``Client`` and ``Pool`` share; each is also a parameter of the URL.

    ``tls``, ``ca``, ``name``, ``mechanisms``, ``allow_plain_text``: as ``ServerAddress`` has them.
    ``source``: the local IP address to send from.  ``local_name``: the argument of EHLO; without it, the name of this
    machine if it is qualified, else the address literal of the connection's own end.
    ``proxy``: the URL of a SOCKS5 or HTTP proxy (``socks5h://``, ``socks5://``, ``http://``).
    ``connect_timeout``, ``reply_timeout``, ``final_timeout``: seconds, or a text such as ``"2m"``, for connecting to
    all addresses of the server together (20 s), for one reply (60 s), and for the reply to the end of the message (600
    s).
    ``key``: for ``spool:`` alone: a message with a key that was used within the last 7 days is not sent again.
    """

    tls: str
    ca: str | os.PathLike[str]
    name: str
    mechanisms: Iterable[str]
    allow_plain_text: bool
    source: str
    local_name: str
    proxy: str
    connect_timeout: float | str
    reply_timeout: float | str
    final_timeout: float | str
    key: str


class ServerTarget(NamedTuple):
    """A server, and how it is reached.  No text of it has a password.

    ``timeout``: the time limit of a whole call in seconds, None for none.
    """

    server: ServerAddress
    timeouts: Timeouts = SENDING_TIMEOUTS
    timeout: float | None = None
    source: str = ""
    local_name: str = ""
    proxy: ProxyAddress | None = None
    credentials: CredentialsLike | None = None

    def __str__(self) -> str:
        return str(self.server)

    def __repr__(self) -> str:
        return f"ServerTarget({str(self)!r})"  # logs show repr


def target_of(
    url: str | ServerAddress,
    *,
    timeout: float | str | None = None,
    credentials: CredentialsLike | None = None,
    options: SendOptions | None = None,
) -> ServerTarget:
    """Read a URL and the arguments beside it.  Raises ``SettingError``, whose text has no password."""
    options = options or {}
    taken: dict[str, Any] = {}
    if isinstance(url, str):
        url, taken = _without_ours(url.strip())
    server = parse_server(_lmtp_by_path(url)) if isinstance(url, str) else url
    taken.update({key: value for key, value in options.items() if key in (*_DURATIONS, *_TEXTS) and value is not None})
    if timeout is not None:
        taken["timeout"] = timeout
    target = ServerTarget(_with_arguments(server, options), credentials=credentials)
    for key in _DURATIONS:
        if key in taken:
            target = _with_duration(target, key, taken[key])
    source, local_name, proxy = (str(taken.get(key, "")) for key in _TEXTS)
    if server.is_path and proxy:
        raise SettingError("a socket of this machine needs no proxy", where=str(server), remedy="leave proxy out")
    return target._replace(source=source, local_name=local_name, proxy=parse_proxy(proxy) if proxy else None)


def _lmtp_by_path(url: str) -> str:
    """``lmtp+unix:///path`` as ``parse_server`` writes it."""
    scheme, colon, rest = url.partition(":")
    if colon and scheme.lower() == "lmtp+unix":
        path = "/" + rest.lstrip("/")
        return f"lmtp:{path}"
    return url


def _without_ours(url: str) -> tuple[str, dict[str, str]]:
    """The URL without the parameters of this module, and these.  What stands in a password is not touched."""
    place, question, query = url.rpartition("?")
    if not question or "@" in query.partition("=")[0]:
        return url, {}
    from urllib.parse import unquote

    taken: dict[str, str] = {}
    kept: list[str] = []
    for each in query.split("&"):
        key, _, value = each.partition("=")
        if key in _DURATIONS or key in _TEXTS:
            if not value:
                raise SettingError(f"{key} has no value", remedy=f"write {key}=… or leave it out")
            taken[key] = unquote(value)
        else:
            if key not in URL_PARAMETERS and "@" not in query:  # else it may be a part of a password
                known = ", ".join(sorted((*URL_PARAMETERS, *_DURATIONS, *_TEXTS)))
                raise SettingError(f"{key!r} is not a parameter of a server's URL", remedy=f"there are {known}")
            kept.append(each)
    return (place + ("?" + "&".join(kept) if kept else "")) if taken else url, taken


def limit_of(key: str, value: float | str) -> float:
    """A time limit in seconds.  Raises ``SettingError``, which names ``key``."""
    try:
        if isinstance(value, str):
            seconds = read_duration(value.strip().replace("min", "m"))  # as the times of a pool are written
        else:
            seconds = -1.0 if value is True else float(value)
    except (ValueError, TypeError):
        seconds = -1.0
    if not 0 < seconds <= _LONGEST:
        raise SettingError(f"{key} cannot be {value!r}", remedy='give seconds, or a text such as "30s" or "2m"')
    return seconds


def _with_duration(target: ServerTarget, key: str, value: float | str) -> ServerTarget:
    seconds = limit_of(key, value)
    if key == "timeout":
        return target._replace(timeout=seconds)
    timeouts = target.timeouts
    if key == "connect_timeout":
        timeouts = timeouts._replace(connect=seconds, tls=min(timeouts.tls, seconds))
    elif key == "reply_timeout":
        timeouts = timeouts._replace(greeting=seconds, command=seconds, data=seconds, block=seconds)
    else:
        timeouts = timeouts._replace(final=seconds)
    return target._replace(timeouts=timeouts)


def _with_arguments(server: ServerAddress, options: SendOptions) -> ServerAddress:
    """The server with the arguments that are parameters of its URL as well."""
    query = [f"{key}={_quoted(options[key])}" for key in ("tls", "ca", "name") if options.get(key)]
    if query and not server.is_path:  # checked where the parameters of a URL are
        asked = parse_server(f"{server.scheme}://host?{'&'.join(query)}")
        server = server._replace(tls=asked.tls or server.tls, ca=asked.ca or server.ca, name=asked.name or server.name)
    if options.get("mechanisms"):
        server = server._replace(mechanisms=tuple(options["mechanisms"]))
    if "allow_plain_text" in options:
        server = server._replace(allow_plain_text=options["allow_plain_text"])
    return server


def _quoted(value: object) -> str:
    from urllib.parse import quote

    return quote(os.fspath(value) if isinstance(value, os.PathLike) else str(value), safe="")
