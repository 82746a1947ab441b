"""The settings of the web console, and what they must not be together."""

from __future__ import annotations

import ipaddress
import re
from collections.abc import Iterator, Sequence
from typing import Annotated, Final, Literal
from urllib.parse import urlsplit

from msgspec import Meta, Struct

from posthouse.net.stream import Endpoint
from posthouse.service.config import security_types, types
from posthouse.service.config.types import InvalidValue, Network, SettingType, list_of, quoted, several, shown, text_of

__all__ = [
    "ConsoleSettings",
    "WEBHOOK_EVENTS",
    "WebhookSettings",
    "console_problems",
    "is_loopback",
    "journals_deliveries",
    "needs_login",
]


def _read_base_path(raw: object) -> str:
    text = text_of(raw).strip()
    if text in ("", "/"):
        return ""
    if not re.fullmatch(r"(/[A-Za-z0-9._~-]+)+/?", text) or "/./" in f"{text}/" or "/../" in f"{text}/":
        raise InvalidValue(f"{shown(raw)} is no prefix of paths", 'write one such as "/mail"')
    return text.rstrip("/")


def _read_url(raw: object) -> str:
    text = text_of(raw).strip()
    try:
        parts = urlsplit(text)
        right = parts.scheme in ("http", "https") and parts.hostname and parts.port != 0
    except ValueError:
        right = False
    if not right or not text.isascii() or not text.isprintable() or " " in text or "@" in urlsplit(text).netloc:
        raise InvalidValue(
            f"{shown(raw)} is no address of a web server", 'write one such as "https://example.org/mail"'
        )
    return text


def _read_host_name(raw: object) -> str:
    text = text_of(raw).strip().lower().removesuffix(".")
    try:
        return str(ipaddress.ip_address(text.strip("[]")))
    except ValueError:
        pass
    if len(text) > 253 or not re.fullmatch(r"[a-z0-9_]([a-z0-9_-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*", text):
        raise InvalidValue(f"{shown(raw)} is no host name", "write a name without port, or an IP address")
    return text


def _read_switch(raw: object) -> bool:
    if not isinstance(raw, bool):
        raise InvalidValue(f"{shown(raw)} is neither true nor false", "write true or false, without quotes")
    return raw


#: What a webhook can be told of.
WEBHOOK_EVENTS: Final = ("message", "delivered", "deferred", "failed", "expired", "ambiguous", "held", "dropped")

#: None where the presence of the table decides.
_SWITCH: Final = SettingType(
    "true or false", _read_switch, lambda value: "" if value is None else "true" if value else "false"
)
_BASE_PATH: Final = SettingType("prefix of paths", _read_base_path, quoted)
_URL: Final = SettingType("web address", _read_url, quoted)
_HOST_NAMES: Final = SettingType("list of host names", several(_read_host_name), list_of(quoted))


def _read_event(raw: object) -> str:
    text = text_of(raw).strip()
    if text not in WEBHOOK_EVENTS and text != "*":
        raise InvalidValue(f"{shown(raw)} is no event", f"there are {', '.join(WEBHOOK_EVENTS)}, and *")
    return text


def _read_events(raw: object) -> tuple[str, ...]:
    found: tuple[str, ...] = several(_read_event)(raw)
    if not found:
        raise InvalidValue("the list is empty, so that it would be told nothing", "name an event, or take it out")
    return WEBHOOK_EVENTS if "*" in found else found


def _read_pattern(raw: object) -> str:
    text = text_of(raw).strip().lower()
    if "@" not in text or " " in text:
        raise InvalidValue(f"{shown(raw)} is no address", 'write one such as "ann@example.org" or "*@example.org"')
    return text


_EVENTS: Final = SettingType("list of events", _read_events, list_of(quoted))
_PATTERNS: Final = SettingType("list of addresses", several(_read_pattern), list_of(quoted))


class ConsoleSettings(Struct, frozen=True, kw_only=True):
    """The web console; it runs where this table is written, and without a configuration."""

    enabled: Annotated[bool | None, _SWITCH, Meta(description="Whether the console runs; without it, it does.")] = None
    bind: Annotated[
        Endpoint,
        types.ENDPOINT,
        Meta(
            description="Where the console listens. At an address of loopback it is open to the users of this machine; "
            "at any other it needs TLS and a login."
        ),
    ] = Endpoint("127.0.0.1", 8025)
    hosts: Annotated[
        tuple[str, ...],
        _HOST_NAMES,
        Meta(
            description="Names and addresses, beside those of loopback, by which browsers may ask for the console; "
            "under any other name it answers nothing, because a page of another site could be behind it."
        ),
    ] = ()
    tls_cert: Annotated[
        str, security_types.FILE, Meta(description="The certificate (PEM) with its chain; without it, there is no TLS.")
    ] = ""
    tls_key: Annotated[
        str, security_types.FILE, Meta(description="Its key (PEM); without it, the key is in the certificate's file.")
    ] = ""
    login: Annotated[
        Literal["auto", "required"],
        Meta(
            description="`required`: only accounts with the operator flag get in, and API tokens; `auto`: so too, but "
            "not where the console listens at loopback and has neither `hosts` nor `proxies`."
        ),
    ] = "auto"
    session: Annotated[float, types.DURATION, Meta(description="How long a login lasts.")] = 43_200.0
    base_path: Annotated[
        str,
        _BASE_PATH,
        Meta(description="The prefix of all paths behind a reverse proxy; requests without it are understood too."),
    ] = ""
    proxies: Annotated[
        tuple[Network, ...],
        types.NETWORKS,
        Meta(
            description="Reverse proxies whose `X-Forwarded-For`, `-Proto` and `-Host` are believed; without it, none."
        ),
    ] = ()
    traces: Annotated[
        bool,
        Meta(
            description="Whether each finished message becomes a trace of OpenTelemetry, sent as the environment "
            'variables `OTEL_…` say; it needs `pip install "posthouse[traces]"`.'
        ),
    ] = False


class WebhookSettings(Struct, frozen=True, kw_only=True):
    """A program that the console tells of mail, by HTTP POST: what arrives in an inbox, what became of deliveries."""

    url: Annotated[str, _URL, Meta(description="Where to; `https://` or `http://`.")]
    secret_file: Annotated[
        str,
        security_types.FILE,
        Meta(description="The file with the secret, in its first line, that signs the requests; without it, none."),
    ] = ""
    secret_env: Annotated[str, Meta(description="Or the environment variable that has the secret.")] = ""
    events: Annotated[
        tuple[str, ...],
        _EVENTS,
        Meta(
            description="What it is told of: `message` (one has arrived in an inbox), and of each recipient at each "
            "attempt `delivered`, `deferred`, `failed`, `expired` (too old), `ambiguous`, `held`; and of each "
            "recipient that a user gives up `dropped`; `*` is all of them."
        ),
    ] = ("message",)
    recipients: Annotated[
        tuple[str, ...],
        _PATTERNS,
        Meta(description='Only mail to these addresses, such as "*@example.org"; without it, all mail.'),
    ] = ()


def journals_deliveries(console: ConsoleSettings, webhooks: Sequence[WebhookSettings]) -> bool:
    """Whether the worker processes keep a journal of deliveries, for webhooks or traces."""
    wanted = any(set(each.events) - {"message"} for each in webhooks)
    return bool(console.enabled) and (wanted or console.traces)


def is_loopback(bind: Endpoint) -> bool:
    """Whether only this machine can connect to an address."""
    if bind.is_path:
        return True
    try:
        return ipaddress.ip_address(bind.host).is_loopback
    except ValueError:
        return False


def needs_login(console: ConsoleSettings) -> bool:
    """Whether the console asks for a login."""
    return console.login == "required" or not is_loopback(console.bind) or bool(console.hosts or console.proxies)


def console_problems(console: ConsoleSettings, accounts: str) -> Iterator[tuple[str, str, str]]:
    """Place, cause and remedy of each contradiction; ``accounts`` is the kind of the accounts."""
    if not console.enabled:
        return
    if console.bind.is_path:
        yield "console.bind", "the console listens at an IP address only", 'write one such as "127.0.0.1:8025"'
    if console.tls_key and not console.tls_cert:
        yield "console.tls_key", "there is a key without a certificate", "write tls_cert as well"
    if not is_loopback(console.bind) and not console.tls_cert and not console.proxies:
        yield (
            "console.bind",
            f"{console.bind} can be reached by other machines, and without TLS they could read passwords and mail",
            "write tls_cert, or name the reverse proxy in proxies that has TLS, or listen at 127.0.0.1",
        )
    if needs_login(console) and accounts == "any":
        yield (
            "console.login",
            'the console needs a login here, and accounts = "any" would let everybody in',
            'write accounts = "file", and make an operator with posthouse user operator',
        )
