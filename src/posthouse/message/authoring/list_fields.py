"""Header fields that programs write: mailing lists (RFC 2369, RFC 2919), one-click unsubscribing (RFC 8058), priority
(RFC 2156), automatic messages (RFC 3834)."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import NamedTuple

from posthouse.core import LocalError
from posthouse.message.mailboxes import check_text

__all__ = ["ListFields", "automatic_fields", "checked_urls", "list_id_fields", "priority_fields", "unsubscribe_fields"]

_URL = re.compile(r"(?i)(?:https?://[!-;=?-~]+|mailto:[!-;=?-~]+)")
_LIST_ID = re.compile(r"[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+(?:\.[A-Za-z0-9!#$%&'*+/=?^_`{|}~-]+)+")
_PRIORITIES = {"high": "1", "low": "5"}
_AUTOMATIC = re.compile(r"(?i)(?:no|auto-generated|auto-replied|auto-notified|[a-z][a-z0-9-]{1,60})(?:;.*)?")


class ListFields(NamedTuple):
    """What a mailing list says of itself; each URL is ``https://…`` or ``mailto:…``.

    Args:
        id: The list's identifier, in the form of a host name under a domain of its owner: ``news.example.org``
            (RFC 2919 §2).
        name: What people call it, in any script.
        help: Where instructions are; likewise ``subscribe``, ``owner`` and ``archive`` (RFC 2369 §3).
        post: Where members write to, or "NO" if they may not.
    """

    id: str
    name: str = ""
    help: str = ""
    subscribe: str = ""
    post: str = ""
    owner: str = ""
    archive: str = ""


def checked_urls(given: str | Iterable[str], what: str) -> tuple[str, ...]:
    """The URLs, each once.  Raises ``LocalError`` for what is no http, https or mailto URL in ASCII."""
    listed = [given] if isinstance(given, str) or not isinstance(given, Iterable) else list(given)
    odd = next((each for each in listed if not isinstance(each, str)), None)
    if odd is not None:
        raise LocalError(f"{what} has a {type(odd).__name__} in the place of a URL; write it as a str")
    found = tuple(dict.fromkeys(listed))
    for url in found:
        check_text(what, url)
        if _URL.fullmatch(url) is None:
            raise LocalError(
                f"{what} has {url!r}, which is not a URL that a mail program opens; write https://… or mailto:… in "
                "ASCII, other characters percent-encoded"
            )
        if len(url) > 900:
            raise LocalError(f"{what} has a URL of {len(url)} characters; 900 are the most that fit into a line")
    return found


def unsubscribe_fields(urls: tuple[str, ...], one_click: bool) -> list[tuple[str, str]]:
    """List-Unsubscribe, and List-Unsubscribe-Post if one of the URLs is https and takes one-click requests."""
    if not urls:
        return []
    found = [("List-Unsubscribe", ", ".join(f"<{url}>" for url in urls))]
    if one_click and any(url.lower().startswith("https:") for url in urls):
        found.append(("List-Unsubscribe-Post", "List-Unsubscribe=One-Click"))
    return found


def list_id_fields(given: ListFields) -> list[tuple[str, str]]:
    """The List-… fields of a mailing list but List-Unsubscribe."""
    if not isinstance(given, ListFields):
        raise LocalError(f"mailing_list is ListFields('news.example.org') and not {type(given).__name__}")
    if _LIST_ID.fullmatch(given.id) is None:
        raise LocalError(f"{given.id!r} is not the id of a mailing list; write it like a host name: news.example.org")
    name = check_text("List-Id", given.name)
    quoted = re.sub(r'(["\\])', r"\\\1", name)
    found = [("List-Id", f'"{quoted}" <{given.id}>' if name else f"<{given.id}>")]
    for what in ("help", "subscribe", "post", "owner", "archive"):
        value = getattr(given, what)
        if value == "NO" and what == "post":
            found.append(("List-Post", "NO"))
        elif value:
            field = f"List-{what.title()}"
            found.append((field, f"<{checked_urls(value, field)[0]}>"))
    return found


def priority_fields(priority: str) -> list[tuple[str, str]]:
    """Importance and X-Priority of "high" and "low", which mail programs show; none for "" and "normal".

    Raises ``LocalError`` for every other text.
    """
    if priority in ("", "normal"):
        return []
    if not isinstance(priority, str) or priority not in _PRIORITIES:
        raise LocalError(f"the priority {priority!r} is unknown; write 'high', 'normal' or 'low'")
    return [("Importance", priority), ("X-Priority", _PRIORITIES[priority])]


def automatic_fields(auto_submitted: str) -> list[tuple[str, str]]:
    """Auto-Submitted: other programs then send no automatic reply (RFC 3834 §5)."""
    if not auto_submitted:
        return []
    if not isinstance(auto_submitted, str) or _AUTOMATIC.fullmatch(auto_submitted) is None:
        raise LocalError(f"{auto_submitted!r} is no value of Auto-Submitted; write 'auto-generated' or 'auto-replied'")
    return [("Auto-Submitted", auto_submitted)]
