"""The index of the inboxes as operations use it: brought up to date before it is asked."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING, Final
from weakref import WeakKeyDictionary

from posthouse.core import SettingError
from posthouse.spool.mail_index import ALL_MAIL, Digest, IndexState, MailIndex

if TYPE_CHECKING:
    from posthouse.service.config.inbox_settings import InboxRuleSettings
    from posthouse.service.operations.base import Context
    from posthouse.spool.interface import Spool

__all__ = ["AT_ONCE", "KINDS", "LAST_NUMBER", "digest_for", "followed", "kind_of_view", "label_of_view", "view_named"]

#: The greatest number of a message.
LAST_NUMBER: Final = (1 << 63) - 1
#: Messages that questions have indexed at once, and then each second.
AT_ONCE: Final = 2000
_A_SECOND: Final = 100.0
_ALLOWANCES: Final[WeakKeyDictionary[MailIndex, tuple[float, float]]] = WeakKeyDictionary()
#: Kinds of views, and how their names begin.
KINDS: Final = {"tag": "tag:", "login": "login:", "box": "box:", "domain": "@"}


@lru_cache(maxsize=4)
def digest_for(rules: tuple[InboxRuleSettings, ...]) -> Digest:
    """The function that makes digests by the rules of the configuration."""
    from posthouse.service.config.inbox_settings import rules_of  # these read messages: only the index needs them
    from posthouse.service.inbox.mail_digest import digest_of

    return digest_of(rules_of(rules))


async def followed(context: Context, spool: Spool, *, at_once: bool = False) -> IndexState:
    """Index what has arrived; returns how far the index has come.

    Questions of all pages of a process together have 2,000 messages indexed at once and then 100 a second, so that
    pages that are open take little from the mail of a busy daemon; the rest follows in the background.  ``at_once``
    does without that limit, for one who waits for a message.
    """
    index, now = spool.index, context.clock.monotonic()
    left, at = _ALLOWANCES.get(index, (float(AT_ONCE), now))
    left = min(float(AT_ONCE), left + (now - at) * _A_SECOND)
    before = await index.follow(digest_for(context.config.inbox_rule), limit=0)
    if not before.waiting:
        return before
    limit = AT_ONCE if at_once else int(left)
    state = await index.follow(digest_for(context.config.inbox_rule), limit=limit) if limit else before
    _ALLOWANCES[index] = (max(0.0, left - (before.waiting - state.waiting)), now)
    return state


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
