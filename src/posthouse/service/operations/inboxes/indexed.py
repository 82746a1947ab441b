"""The index of the inboxes as operations use it: brought up to date before it is asked."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final

from posthouse.core import SettingError
from posthouse.spool.mail_index import ALL_MAIL, Digest, IndexState

if TYPE_CHECKING:
    from posthouse.service.config.inbox_settings import InboxRuleSettings
    from posthouse.service.operations.base import Context
    from posthouse.spool.interface import Spool

__all__ = ["KINDS", "LAST_NUMBER", "digest_for", "followed", "kind_of_view", "label_of_view", "view_named"]

#: The greatest number of a message.
LAST_NUMBER: Final = (1 << 63) - 1
#: Places that a question has indexed first, at most; the rest follows in the background.
_AT_ONCE: Final = 1000
#: Kinds of views, and how their names begin.
KINDS: Final = {"tag": "tag:", "login": "login:", "box": "box:", "domain": "@"}


@lru_cache(maxsize=4)
def digest_for(rules: tuple[InboxRuleSettings, ...]) -> Digest:
    """The function that makes digests by the rules of the configuration."""
    from posthouse.service.config.inbox_settings import rules_of  # these read messages: only the index needs them
    from posthouse.service.inbox.mail_digest import digest_of

    return digest_of(rules_of(rules))


async def followed(context: Context, spool: Spool) -> IndexState:
    """Index what has arrived, up to a bound; returns how far the index has come."""
    return await spool.index.follow(digest_for(context.config.inbox_rule), limit=_AT_ONCE)


def kind_of_view(name: str) -> str:
    """The kind of a view: all, inbox, domain, tag, login or box."""
    if name == ALL_MAIL:
        return "all"
    return next((kind for kind, prefix in KINDS.items() if name.startswith(prefix)), "inbox")


def label_of_view(name: str) -> str:
    """The name of a view for people, with U-labels in the place of A-labels."""
    from posthouse.service.operations.spelling import as_written

    kind = kind_of_view(name)
    return as_written(name) if kind in ("inbox", "domain") else name.removeprefix(KINDS.get(kind, ""))


def view_named(text: str) -> str:
    """The view that a text names: an address, ``@domain``, ``tag:NAME``, ``login:NAME``, ``box:NAME``, or "" for all.

    Raises ``SettingError`` for a text that names none.
    """
    from posthouse.service.operations.spelling import inbox_name

    text = text.strip()
    if not text or text.startswith(("login:", "box:")):
        return text
    if text.startswith("tag:"):
        return text.casefold()
    if "@" not in text:
        raise SettingError(
            f'"{text[:100]}" is no view of the inboxes',
            remedy="write an address, @domain, tag:NAME, login:NAME or box:NAME; see `posthouse inbox summary`",
        )
    return inbox_name(text)
