"""The inbox page: views with their counts, the messages of one, searches, and changes of many messages at once."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import StreamingResponse
from starlette.routing import Route

from posthouse.console.declarations import Done, NavEntry, Page, PageAction, Shown
from posthouse.console.mail_parts import attachment_header, octets_of
from posthouse.console.problems import RequestRefused
from posthouse.service.inbox.mbox import mbox_entry
from posthouse.service.operations.inboxes.indexed import kind_of_view, label_of_view
from posthouse.service.operations.inboxes.mail_answers import ViewEntry

if TYPE_CHECKING:
    from starlette.datastructures import FormData

    from posthouse.console.operating import OperationRunner
    from posthouse.console.page_request import PageRequest
    from posthouse.service.operations.inboxes.mail_answers import MailListing

__all__ = ["BODY_LIMITS", "NAV", "ROUTES", "TOPICS", "list_address", "listing_of"]

_PER_PAGE: Final = 50
#: Views of one kind in the list beside the messages, and of ``?views=all``: 200 of them cost 1/4 of the first paint.
_VIEWS, _MOST_VIEWS = 15, 2000
_MOST_CHOSEN: Final = 2000
_UNDO_SHOWN: Final = 120.0  # seconds for which the page offers to undo a deletion
_KINDS: Final = ("all", "box", "inbox", "domain", "tag", "login")


async def listing_of(page: PageRequest) -> MailListing:
    """The messages that the query of a page names."""
    listing: MailListing = await page.run(
        "inbox search",
        view=page.query.get("view", ""),
        query=page.query.get("q", ""),
        limit=page.number("limit", _PER_PAGE, 1, 500),
        before=page.number("before", 0, most=1 << 62),
        after=page.number("after", 0, most=1 << 62),
    )
    return listing


def list_address(page: PageRequest, **more: Any) -> str:
    """The address of the list that the page belongs to, with its view and its search."""
    kept = {name: page.query.get(name) or None for name in ("view", "q", "before")}
    return page.url("/inbox", **{**kept, **more})


async def _show(page: PageRequest) -> Shown:
    listing = await listing_of(page)
    if page.wants_json:
        return Shown("inbox_list.html", listing)
    most = _MOST_VIEWS if page.query.get("views") == "all" else _VIEWS
    views: list[ViewEntry] = await page.run("inbox views", of_each=most + 1)
    groups = {kind: [each for each in views if each.kind == kind] for kind in _KINDS}
    more = {kind for kind, found in groups.items() if len(found) > most}
    shown = {kind: found[:most] for kind, found in groups.items() if found and kind != "all"}
    if listing.view and all(each.name != listing.view for found in shown.values() for each in found):
        shown.setdefault(kind_of_view(listing.view), []).append(_entry_of(listing))
    deletions = await page.run("inbox deletions")
    return Shown(
        "inbox_list.html",
        listing,
        {
            "groups": shown,
            "more_views": more,
            "everything": next(iter(groups["all"]), None),
            "undo": deletions[0] if deletions and page.number("undo", 0) == deletions[0].number else None,
            "view_label": label_of_view(listing.view),
            "list_address": list_address,
            "open_number": 0,
            "can_release": bool(page.runner.config.inbox.release_via),
            "port": next((str(each.bind) for each in page.runner.config.listener), ""),
        },
    )


def _entry_of(listing: MailListing) -> ViewEntry:
    """The view that is shown, as an entry of the list of views."""
    return ViewEntry(
        name=listing.view,
        kind=kind_of_view(listing.view),
        label=label_of_view(listing.view),
        messages=listing.total,
        unread=listing.total_unread,
        octets=0,
    )


async def _unread(page: PageRequest) -> int:
    listing = await page.run("inbox search", limit=1)
    return int(listing.total_unread)


def _chosen(form: FormData) -> list[int]:
    numbers = []
    for each in form.getlist("number"):
        if not (isinstance(each, str) and each.isascii() and each.isdigit() and len(each) < 19):
            raise RequestRefused("a number of a message is wrong", 400)
        numbers.append(int(each))
    if len(numbers) > _MOST_CHOSEN:
        raise RequestRefused(f"more than {_MOST_CHOSEN:,} messages are chosen", 400)
    return numbers


def _field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


def _which(form: FormData) -> dict[str, Any]:
    """The parameters that say which messages a change is for: the chosen ones, or all that were shown."""
    if not _field(form, "everything"):
        numbers = _chosen(form)
        if not numbers:
            raise RequestRefused("no message is chosen", 400)
        return {"numbers": numbers}
    until = _field(form, "until")
    given = {"view": _field(form, "view"), "query": _field(form, "q")}
    wanted: dict[str, Any] = {name: value for name, value in given.items() if value} or {"all": True}
    if not (until.isascii() and until.isdigit() and len(until) < 19):
        raise RequestRefused("the place up to which all messages are meant is missing (until)", 400)
    return {**wanted, "until": int(until)}


async def _act(page: PageRequest) -> Done:
    form = await page.form()
    act, which = _field(form, "act"), _which(form)
    back = {"view": _field(form, "view") or None, "q": _field(form, "q") or None}
    answer: Any
    if act in ("read", "unread"):
        answer = await page.run("inbox mark", **which, unread=act == "unread")
        return Done(_path("/inbox", back), page.text(f"inbox.done.{act}", number=answer.messages), answer)
    if act in ("tag", "untag"):
        if "numbers" not in which:
            raise RequestRefused("tags are given to chosen messages", 400)
        answer = await page.run("inbox tag", **which, tags=_field(form, "tags"), remove=act == "untag")
        return Done(_path("/inbox", back), page.text("inbox.done.tag", number=answer.messages), answer)
    if act == "delete":
        whole = "numbers" in which and not _is_mailbox(_field(form, "view"))
        if "numbers" in which and not whole:
            which = {**which, "numbers": await _places(page, which["numbers"], _field(form, "view"))}
        answer = await page.run("inbox delete", **which, **({"whole": True} if whole else {}))
        back["undo"] = str(answer.undo) if answer.undo else None
        return Done(_path("/inbox", back), page.text("inbox.done.delete", number=answer.deleted), answer)
    raise RequestRefused(f'there is no act "{act[:40]}": read, unread, tag, untag, delete', 400)


def _is_mailbox(view: str) -> bool:
    return "@" in view and not view.startswith(("@", "tag:", "login:", "box:"))


async def _places(page: PageRequest, numbers: list[int], view: str) -> list[int]:
    """The places of messages in one mailbox: in others they stay."""
    found = []
    for number in numbers:
        entry = (await page.run("inbox read", number=number)).entry
        found += [place for place, inbox in zip(entry.places, entry.inboxes, strict=True) if inbox == view]
    return found or numbers


async def _undo(page: PageRequest) -> Done:
    number = _field(await page.form(), "deletion")
    answer = await page.run(
        "inbox undo", deletion=int(number) if number.isascii() and number.isdigit() and len(number) < 19 else 0
    )
    return Done("/inbox", page.text("inbox.done.undo", number=answer.restored), answer)


def _path(path: str, query: dict[str, str | None]) -> str:
    from urllib.parse import urlencode

    pairs = urlencode({name: value for name, value in query.items() if value})
    return f"{path}?{pairs}" if pairs else path


async def _export(request: Request) -> StreamingResponse:
    """The messages of a view and a search as an mbox, the newest first."""
    page = request.scope["posthouse.console"].page_request(request)

    async def entries() -> AsyncIterator[bytes]:
        before = 0
        while True:
            listing = await page.run(
                "inbox search",
                view=page.query.get("view", ""),
                query=page.query.get("q", ""),
                limit=100,
                before=before,
            )
            for each in listing.messages:
                octets = await octets_of(page, each.number)
                yield await asyncio.to_thread(mbox_entry, octets, each.sender, each.received)
            before = listing.before
            if not before:
                return

    await page.run("inbox count", view=page.query.get("view", ""), query=page.query.get("q", ""))  # judges both
    return StreamingResponse(
        entries(), media_type="application/mbox", headers={"content-disposition": attachment_header("inbox.mbox")}
    )


async def _topic(runner: OperationRunner) -> str:
    listing = await runner.run("inbox search", {"limit": 1}, "console")
    return f"{listing.last} {listing.total} {listing.total_unread}"


ROUTES: Final = (
    Page("/inbox", _show),
    PageAction("/inbox/act", _act),
    PageAction("/inbox/undo", _undo),
    Route("/inbox/export.mbox", _export),
)
NAV: Final = (NavEntry("/inbox", "inbox.title", "mail", 10, badge=_unread),)
BODY_LIMITS: Final = {"/inbox/": 1 << 20}
TOPICS: Final = {"inbox": _topic}
