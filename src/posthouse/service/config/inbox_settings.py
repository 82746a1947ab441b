"""The settings of the inboxes: what is kept and for how long, rules, and where a message may be released to.

They are part of ``config.model``; ``config.inbox_zh`` has their texts in Chinese.
"""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct

from posthouse.core import SettingError
from posthouse.service.config import types
from posthouse.service.config.types import InvalidValue, SettingType, list_of, quoted, several, shown, text_of
from posthouse.service.inbox.inbox_rules import InboxRule, proper_tag
from posthouse.service.inbox.mail_query import read_query

__all__ = ["InboxRuleSettings", "InboxSettings", "rules_of"]

_LONGEST = 100


def _read_search(raw: object) -> str:
    text = text_of(raw).strip()
    try:
        terms = read_query(text, 0.0)
    except SettingError as error:
        raise InvalidValue(error.message, error.remedy) from None
    if not terms:
        raise InvalidValue("the search is empty", 'write one such as "from:*@shop.example"')
    if any(each.field == "received" for each in terms):
        raise InvalidValue(
            "a rule is applied as a message arrives, when its age is 0", "leave age, before and after out"
        )
    return text


def _read_name(raw: object) -> str:
    name = proper_tag(text_of(raw))
    if not name or len(name) >= _LONGEST or '"' in name:
        raise InvalidValue(f"{shown(raw)} cannot be such a name", "write a short name without quotation marks")
    return name


def _read_pattern(raw: object) -> str:
    text = text_of(raw).strip().lower()
    if "@" not in text or " " in text:
        raise InvalidValue(f"{quoted(text)} is no address", 'write one such as "ann@example.org" or "*@example.org"')
    return text


def _read_server(raw: object) -> str:
    from posthouse.client.server_url import parse_server  # hardly any configuration has it

    text = text_of(raw).strip()
    if not text:
        return ""
    if "@" in text:
        raise InvalidValue("the URL has a login in it", "name a server that takes mail of this machine without one")
    try:
        parse_server(text)
    except SettingError as error:
        raise InvalidValue(error.message, error.remedy) from None
    return text


def _read_time(raw: object) -> float:
    return 0.0 if raw in (0, "0") and not isinstance(raw, bool) else float(types.DURATION.read(raw))


_TIME = SettingType("duration", _read_time, lambda seconds: types.DURATION.write(seconds) if seconds else "0")
_SEARCH = SettingType("search", _read_search, quoted)
_NAME = SettingType("name", _read_name, quoted)
_PATTERNS = SettingType("list of addresses", several(_read_pattern), list_of(quoted))
_SERVER = SettingType("server", _read_server, quoted)


class InboxSettings(Struct, frozen=True, kw_only=True):
    """The local inboxes: what is kept in them, and for how long."""

    keep_for: Annotated[
        float,
        _TIME,
        Meta(description="How long a message stays in an inbox; older ones are deleted. 0: without end."),
    ] = 0.0
    keep_messages: Annotated[
        int,
        types.at_least(0, 1_000_000_000),
        Meta(description="The most messages that all inboxes hold; the oldest are deleted. 0: any number."),
    ] = 0
    keep_size: Annotated[
        int,
        types.SIZE,
        Meta(description="The most that all inboxes hold; the oldest messages are deleted. 0: any size."),
    ] = 0
    undo_for: Annotated[
        float,
        _TIME,
        Meta(
            description="How long a message that a user deleted can be had back; then it is removed. 0: it is removed "
            "at once."
        ),
    ] = 600.0
    release_via: Annotated[
        str,
        _SERVER,
        Meta(
            description="The server by which a message is released to a real address, as the URL that `posthouse send "
            '--server` takes ("smtp://mail.example.org:587"); without it, nothing can be released.'
        ),
    ] = ""
    release_to: Annotated[
        tuple[str, ...],
        _PATTERNS,
        Meta(description='The addresses that a message may be released to: `["me@example.org", "*@example.net"]`.'),
    ] = ()
    link_networks: Annotated[
        tuple[types.Network, ...],
        types.NETWORKS,
        Meta(
            description="Networks whose hosts the check of links asks although their addresses are not public: "
            '`["127.0.0.0/8"]` for a program on this machine.'
        ),
    ] = ()


class InboxRuleSettings(Struct, frozen=True, kw_only=True):
    """A rule: messages that a search finds get a tag, or stand in an inbox of their own as well."""

    search: Annotated[
        str,
        _SEARCH,
        Meta(description="Which messages, in the language of searches: `from:*@shop.example subject:order`."),
    ]
    tag: Annotated[str, _NAME, Meta(description="The tag that they get.")] = ""
    inbox: Annotated[str, _NAME, Meta(description="The inbox that they stand in as well; it is made by its name.")] = ""


def rules_of(settings: tuple[InboxRuleSettings, ...]) -> tuple[InboxRule, ...]:
    """The rules, as they are applied to messages."""
    return tuple(
        InboxRule(
            read_query(each.search, 0.0),
            (*((f"tag:{each.tag}",) if each.tag else ()), *((f"box:{each.inbox}",) if each.inbox else ())),
        )
        for each in settings
    )
