"""The message page: one message beside its list, in tabs; and its HTML, its parts and its source by themselves."""

from __future__ import annotations

import asyncio
import contextlib
import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, partial
from typing import TYPE_CHECKING, Any, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import Route

from posthouse.console.declarations import Done, Page, PageAction, Shown
from posthouse.console.html_bounds import exceeds_bounds
from posthouse.console.mail_html import HTML_POLICY, REMOTE_POLICY, is_remote, safe_document
from posthouse.console.mail_parts import attachment_header, octets_of, part_response, shown_as
from posthouse.console.pages.inbox_page import list_address, listing_of
from posthouse.console.problems import NotFound, RequestRefused
from posthouse.core import PosthouseError, SettingError
from posthouse.service.inbox.feature_titles_zh import chinese_feature, chinese_platform
from posthouse.service.mailauth.texts.verdict_text import verdict_sentence
from posthouse.service.monitor.message_source import client_of
from posthouse.service.operations.checks.lint_zh import chinese_defect, chinese_lint_remedy, chinese_lint_text
from posthouse.service.operations.inboxes.linking import link_text
from posthouse.service.operations.remarks import remark_sentence
from posthouse.service.operations.results import Explained

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest
    from posthouse.message.reading.read_part import ReadPart
    from posthouse.service.operations.inboxes.mail_answers import FindingEntry, MailRead

__all__ = ["BODY_LIMITS", "ROUTES", "segments"]

_TABS: Final = ("html", "text", "headers", "parts", "source", "links", "check")
_SLICE: Final = 256 << 10  # octets of source on one page
_LINK: Final = re.compile(r"https?://[^\s<>\"']{1,2000}")
_MOST_SEGMENTS: Final = 5000


#: Letters of a queue id; no number of a message is as long.
_QUEUE_ID: Final = 13


def _number(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise NotFound(f'"{text[:40]}" is no number of a message')
    return int(text)


def segments(text: str) -> list[tuple[str, str]]:
    """A text in pieces: each with the address that it links to, or ""."""
    found: list[tuple[str, str]] = []
    at = 0
    for match in _LINK.finditer(text):
        if len(found) > _MOST_SEGMENTS:
            break
        url = match[0].rstrip(".,;:!?)'")
        found += [(text[at : match.start()], ""), (url, url)]
        at = match.start() + len(url)
    return [each for each in [*found, (text[at:], "")] if each[0]]


async def _show(page: PageRequest) -> Shown:
    number = _number(page.args["number"])
    read: MailRead = await page.run("inbox read", number=number)
    if page.wants_json:
        return Shown("message_show.html", read)
    by_a_reader = not page.is_led_here or page.request.headers.get("sec-fetch-user") == "?1"
    if read.entry.unread and page.visitor.may_change and page.query.get("keep") != "1" and by_a_reader:
        await page.run("inbox mark", numbers=[read.entry.number])
    tab = page.query.get("tab", "")
    if tab not in _TABS or (tab == "html" and not read.html):
        tab = "html" if read.html else "text"
    listing = await listing_of(page)
    numbers = [each.number for each in listing.messages]
    at = numbers.index(read.entry.number) if read.entry.number in numbers else -1
    findings: list[FindingEntry] = await page.run("inbox check", number=number) if tab == "check" else []
    context: dict[str, Any] = {
        "tab": tab,
        "tabs": [each for each in _TABS if each != "html" or read.html],
        "listing": listing,
        "open_number": read.entry.number,
        "list_address": list_address,
        "newer": numbers[at - 1] if at > 0 else 0,
        "older": numbers[at + 1] if 0 <= at < len(numbers) - 1 else 0,
        "attachments": [each for each in read.parts if each.kind == "attachment"],
        "shown_as": shown_as,
        "cut": read.cut or exceeds_bounds(read.html),
        "remote": bool(read.html) and is_remote(read.html),
        "segments": segments(read.text) if tab == "text" else (),
        "remarks": [remark_sentence(each, page.language) for each in read.remarks],
        "findings": findings,
        "defects": _defects(page.language, read.defects, findings) if tab == "check" else (),
        **(await _programs(page, read) if tab == "check" else {}),
        "lint": partial(_lint_text, page.language),
        "feature": chinese_feature if page.language == "zh" else str,
        "platform": chinese_platform if page.language == "zh" else str,
        "verdicts": await _verdicts(page, read.entry.queue_id) if tab == "check" else (),
        "width": page.query.get("width") if page.query.get("width") in ("phone", "tablet") else "full",
        "session": read.entry.source if page.visitor.views is None and client_of(read.entry.source) else "",
        "can_release": bool(page.runner.config.inbox.release_via),
        **(await _source_context(page, number) if tab == "source" else {}),
    }
    return Shown("message_show.html", read, context, title=read.entry.subject or page.text("message.no_subject"))


def _lint_text(lang: str, finding: FindingEntry) -> str:
    """A finding and its remedy in the reader's language."""
    if lang != "zh":
        return f"{finding.text} {finding.remedy}"
    return chinese_lint_text(finding.rule, finding.text) + chinese_lint_remedy(finding.remedy)


def _defects(lang: str, defects: Sequence[str], findings: Sequence[FindingEntry]) -> list[str]:
    """What the reader of the message noted and no finding says, in the reader's language."""
    said = "\n".join(each.text for each in findings).casefold()
    left = [each for each in defects if each.rpartition(" (")[0].casefold() not in said]
    return [chinese_defect(each) if lang == "zh" else each for each in left]


async def _programs(page: PageRequest, read: MailRead) -> dict[str, Any]:
    """What mail programs make of the HTML; why that cannot be said, if so."""
    if not (read.html and page.runner.config.inbox.html_support):
        return {"programs": None, "programs_problem": ""}
    try:
        return {"programs": await page.run("inbox html-check", number=read.entry.number), "programs_problem": ""}
    except SettingError as error:
        return {"programs": None, "programs_problem": str(error)}


async def _verdicts(page: PageRequest, queue_id: str) -> list[tuple[str, str]]:
    """What message authentication said when the message came in: the result and a sentence of each method."""
    with contextlib.suppress(PosthouseError):  # its history is not kept any more
        found: Explained = await page.run("explain", what=queue_id)
        if found.message is not None:
            return [(each.result, verdict_sentence(each, page.language)) for each in found.message.verdicts]
    return []


async def _source_context(page: PageRequest, number: int) -> dict[str, Any]:
    start = page.number("start", 0, most=1 << 40)
    found = await page.run("inbox source", number=number, start=start, octets=_SLICE)
    content = found.content
    if start + len(content) < found.total:  # to the end of a line, unless one line is longer than all of this
        content = content[: content.rfind(b"\n") + 1] or content
    return {
        "source": content.decode("utf-8", "replace").splitlines(),
        "source_line": found.line,
        "source_start": start,
        "source_next": start + len(content),
        "total": found.total,
    }


# What the page is made of ---------------------------------------------------------------------------------------------


def _page(request: Request) -> PageRequest:
    made: PageRequest = request.scope["posthouse.console"].page_request(request)
    return made


async def _frame(request: Request) -> Response:
    """The HTML of a message, for the frame of its page."""
    page = _page(request)
    number = await _wanted(page)
    read: MailRead = await page.run("inbox read", number=number)
    if not read.html:
        raise NotFound(f"message {number} has no HTML")
    named = {each.content_id.lower(): (each.type, each.number) for each in read.parts if each.content_id}
    octets = await octets_of(page, number) if named else b""
    dark = page.query.get("dark") == "1"
    document = await asyncio.to_thread(lambda: safe_document(read.html, _pictures(octets, named), dark=dark))
    remote = page.query.get("remote") == "1" and not page.is_led_here  # the reader asks, and no message or other site
    return Response(
        document, media_type="text/html", headers={"content-security-policy": REMOTE_POLICY if remote else HTML_POLICY}
    )


def _pictures(octets: bytes, named: Mapping[str, tuple[str, str]]) -> dict[str, tuple[str, Callable[[], bytes]]]:
    """Content-ID → type and content; ``named`` has type and number of each part.

    The message is read once, in the thread that writes the document: a thread that waited for other threads could wait
    for ever, since there are few.
    """
    from posthouse.message.reading import read_octets

    @cache
    def parts() -> dict[str, ReadPart]:
        found, waiting = {}, [read_octets(octets).root]
        while waiting:
            part = waiting.pop()
            found[part.number] = part
            waiting += part.parts
        return found

    def content(number: str) -> bytes:
        part = parts().get(number)
        return b"" if part is None else part.content

    return {cid: (kind, partial(content, number)) for cid, (kind, number) in named.items()}


async def _wanted(page: PageRequest) -> int:
    """The number in the address, or that of a queue id, which programs know; ``latest`` is the newest message, of a
    view and a search if they are given."""
    given = page.args["number"]
    by_id = len(given) == _QUEUE_ID and given.isascii() and given.isalnum()
    if given != "latest" and not by_id:
        return _number(given)
    query = f"id:{given}" if by_id else page.query.get("query", "")
    listing = await page.run("inbox search", view=page.query.get("view", ""), query=query, limit=1)
    if not listing.messages:
        raise NotFound("no message is there yet that the search finds")
    return int(listing.messages[0].number)


async def _text(request: Request) -> Response:
    page = _page(request)
    read: MailRead = await page.run("inbox read", number=await _wanted(page))
    return Response(read.text, media_type="text/plain", headers={"content-security-policy": "sandbox"})


async def _latest(request: Request) -> Response:
    """The page of a message, for those who know ``latest`` only."""
    page = _page(request)
    number = await _wanted(page)
    return RedirectResponse(page.url(f"/message/{number}"), 302)


async def _part(request: Request) -> Response:
    page = _page(request)
    found = await page.run("inbox part", number=_number(page.args["number"]), part=page.args["part"])
    return part_response(found.type, found.name, found.content, download=page.query.get("download") == "1")


async def _source(request: Request) -> Response:
    page = _page(request)
    number = _number(page.args["number"])
    octets = await octets_of(page, number)
    headers = {"content-disposition": attachment_header(f"{number}.eml"), "content-security-policy": "sandbox"}
    return Response(octets, media_type="message/rfc822", headers=headers)


# Changes --------------------------------------------------------------------------------------------------------------


async def _again(page: PageRequest) -> Done:
    number = _number(page.args["number"])
    answer = await page.run("inbox again", number=number)
    key = "message.done.refused" if answer.refused else "message.done.again"
    return Done(f"/message/{number}", page.text(key), answer)


async def _release(page: PageRequest) -> Done:
    number = _number(page.args["number"])
    to = (await page.form()).get("to", "")
    if not isinstance(to, str) or not to.strip():
        raise RequestRefused("no address is named", 400)
    answer = await page.run("inbox release", number=number, to=to)
    replies = "; ".join(f"{each.recipient}: {each.reply}" for each in answer.recipients)
    return Done(f"/message/{number}", replies, answer)


async def _links(page: PageRequest) -> Shown:
    number = _number(page.args["number"])
    report = await page.run("inbox links", number=number)
    return Shown("message_links.html", report, {"link_text": link_text}, title=page.text("message.links.title"))


ROUTES: Final = (
    Route("/view/{number}.html", _frame),
    Route("/view/{number}.txt", _text),
    Route("/view/{number}", _latest),
    Route("/message/{number}/part/{part}", _part),
    Route("/message/{number}/source.eml", _source),
    Page("/message/{number}", _show),
    PageAction("/message/{number}/again", _again),
    PageAction("/message/{number}/links", _links),
    PageAction("/message/{number}/release", _release),
)
BODY_LIMITS: Final = {"/message/": 1 << 16}
