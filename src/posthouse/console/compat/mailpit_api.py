"""Mailpit's API, version 1: list, read, search, delete, mark, tag, send, release, chaos, and what clients ask first.

Departures, each for a reason: a body of DELETE that is neither JSON nor a form is refused (400) in place of deleting
all; ``limit=0`` gives at most 1,000 rows; parts that a browser could run are downloads; tags are in small letters; a
GET that another site's page makes marks nothing as read.  What is not served answers 400 or 404 with a sentence.
"""

from __future__ import annotations

import base64
import http
import re
from typing import TYPE_CHECKING, Final

from starlette.requests import Request
from starlette.responses import RedirectResponse, Response
from starlette.routing import BaseRoute

from posthouse import __version__
from posthouse.console.compat.fault_names import chaos_of, set_chaos
from posthouse.console.compat.mailpit_html_check import html_check_of
from posthouse.console.compat.mailpit_query import in_our_language
from posthouse.console.compat.mailpit_sending import described_message
from posthouse.console.compat.mailpit_shapes import headers_of, message_of, summary_of
from posthouse.console.compat.plain_answers import (
    OK,
    answered,
    as_json,
    body_of,
    changing,
    of_another_site,
    route,
    words,
)
from posthouse.console.compat.stored_mail import MOST_LISTED, StoredMail
from posthouse.console.mail_parts import attachment_header, part_response
from posthouse.console.problems import NotFound, RequestRefused
from posthouse.core import LocalError, SettingError

if TYPE_CHECKING:
    from posthouse.service.operations.monitor.monitor_answers import OverviewReport

__all__ = ["MAILPIT_ROUTES"]

_VIEWED: Final = re.compile(r"[A-Za-z0-9]{1,64}\.(?:html|txt)")


def _number(request: Request, name: str, default: int) -> int:
    """A number of the query; what is none counts as the default, as with Mailpit."""
    text = request.query_params.get(name, "")
    return int(text) if text.isascii() and text.isdigit() and len(text) <= 9 else default


async def _listing(request: Request, mail: StoredMail, query: str) -> Response:
    start, limit = _number(request, "start", 0), _number(request, "limit", 50)
    rows = await mail.rows(query, start=start, limit=limit or MOST_LISTED)
    everything = await mail.page.run("inbox count")
    counts = await mail.page.run("inbox count", query=query) if query else everything
    tags = await mail.page.run("inbox views", prefix="tag:")
    return as_json(
        {
            "total": everything.messages,
            "unread": everything.unread,
            "count": len(rows),
            "messages_count": counts.messages,
            "messages_unread": counts.unread,
            "start": start,
            "tags": [each.label for each in tags if each.messages],
            "messages": [summary_of(each, await mail.people(each)) for each in rows],
        }
    )


async def _messages(request: Request, mail: StoredMail) -> Response:
    before = request.query_params.get("before", "")
    return await _listing(request, mail, in_our_language(f'before:"{before}"') if before else "")


def _searched(request: Request, *, needed: bool = True) -> str:
    """The search of a request in our language.  Raises ``SettingError`` if there is none."""
    given = request.query_params.get("query", "")
    before = request.query_params.get("before", "")
    if needed and not given.strip():
        raise SettingError("no search query", remedy="write ?query=…")
    return in_our_language(f'{given} before:"{before}"' if before else given, request.query_params.get("tz", ""))


async def _search(request: Request, mail: StoredMail) -> Response:
    return await _listing(request, mail, _searched(request))


async def _delete_found(request: Request, mail: StoredMail) -> Response:
    query = _searched(request)
    if not query:
        raise SettingError("nothing of this search is understood, and it would delete everything")
    await mail.page.run("inbox delete", query=query)
    return answered(OK)


async def _delete(request: Request, mail: StoredMail) -> Response:
    names = words(await body_of(request, "IDs", only=True), "IDs")
    if not names:
        await mail.page.run("inbox delete", all=True)
    elif found := [each.number for each in await mail.entries(names)]:
        await mail.page.run("inbox delete", numbers=found, whole=True)
    return answered(OK)


async def _mark(request: Request, mail: StoredMail) -> Response:
    body = await body_of(request, "IDs", "Read", "Search", only=True)
    names, search, read = words(body, "IDs"), body.get("Search") or "", body.get("Read", False)
    if isinstance(search, list):  # of a form
        search = " ".join(map(str, search))
    if isinstance(read, list):
        read = [each.lower() for each in read] == ["true"]
    if not isinstance(read, bool):
        raise SettingError("Read is neither true nor false", remedy='write {"IDs": ["…"], "Read": true}')
    if names and search:
        raise SettingError("either IDs or Search, and not both")
    if names:
        found = [each.number for each in await mail.entries(names)]
        if found:
            await mail.page.run("inbox mark", numbers=found, unread=not read)
    elif search:
        query = in_our_language(str(search), request.query_params.get("tz", ""))
        if not query:
            raise SettingError("nothing of this search is understood")
        await mail.page.run("inbox mark", query=query, unread=not read)
    else:
        await mail.page.run("inbox mark", all=True, unread=not read)
    return answered(OK)


async def _message(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    message = await mail.read(entry)
    shown = message_of(entry, await mail.people(entry), message)
    if entry.unread and mail.page.visitor.may_change and not of_another_site(request):
        await mail.page.run("inbox mark", numbers=[entry.number])
    return as_json(shown)


async def _headers(request: Request, mail: StoredMail) -> Response:
    return as_json(headers_of(await mail.read(await mail.entry(request.path_params["id"]))))


async def _raw(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    answer = answered(await mail.octets(entry))
    if request.query_params.get("dl") == "1":
        answer.headers["content-disposition"] = attachment_header(f"{entry.queue_id}.eml")
    answer.headers["content-security-policy"] = "sandbox; default-src 'none'"
    return answer


async def _part(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    part = await mail.page.run("inbox part", number=entry.number, part=request.path_params["part"])
    return part_response(part.type, part.name, part.content, download=False)


async def _search_page(request: Request, mail: StoredMail) -> Response:
    """The page of a search, whose address clients print for people."""
    query = in_our_language(request.query_params.get("q", ""), request.query_params.get("tz", ""))
    return RedirectResponse(mail.page.url("/inbox", q=query or None), 302)


async def _release(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    report = await mail.page.run(
        "inbox release", number=entry.number, to=",".join(words(await body_of(request, "To"), "To"))
    )
    refused = [each for each in report.recipients if not each.accepted]
    if refused:
        raise SettingError("; ".join(f"{each.recipient}: {each.reply}" for each in refused[:10]))
    return answered(OK)


async def _send(request: Request, mail: StoredMail) -> Response:
    try:
        message = described_message(await body_of(request))
        envelope = message.envelope
        sent = await mail.page.run(
            "inbox send",
            sender=str(envelope.sender or ""),
            to=",".join(str(each.address) for each in envelope.recipients),
            content=base64.b64encode(message.as_bytes()).decode(),
        )
    except (LocalError, RequestRefused, SettingError) as error:
        return as_json({"Error": str(error)}, 400)
    if sent.refused:
        return as_json({"Error": "no recipient was accepted"}, 400)
    return as_json({"ID": sent.queue_id})


async def _tags(request: Request, mail: StoredMail) -> Response:
    return as_json([each.label for each in await mail.page.run("inbox views", prefix="tag:") if each.messages])


async def _set_tags(request: Request, mail: StoredMail) -> Response:
    body = await body_of(request, "IDs", "Tags")
    tags = [each.strip().lower() for each in words(body, "Tags") if each.strip()]
    if any("," in each for each in tags):
        raise SettingError("a tag has a comma", remedy="write several tags, one text each")
    for entry in await mail.entries(words(body, "IDs")):
        gone = [each for each in entry.tags if each not in tags]
        new = [each for each in tags if each not in entry.tags]
        if gone:
            await mail.page.run("inbox tag", numbers=[entry.number], tags=",".join(gone), remove=True)
        if new:
            await mail.page.run("inbox tag", numbers=[entry.number], tags=",".join(new))
    return answered(OK)


async def _rename_tag(request: Request, mail: StoredMail) -> Response:
    name = (await body_of(request)).get("Name")
    if not isinstance(name, str) or not name.strip() or "," in name:
        raise SettingError("Name is no tag", remedy='write {"Name": "new"}')
    numbers = await _tagged(request, mail)
    if numbers:
        await mail.page.run("inbox tag", numbers=numbers, tags=name)
        if name.strip().lower() != request.path_params["name"].strip().lower():
            await mail.page.run("inbox tag", numbers=numbers, tags=request.path_params["name"], remove=True)
    return answered(OK)


async def _delete_tag(request: Request, mail: StoredMail) -> Response:
    numbers = await _tagged(request, mail)
    if numbers:
        await mail.page.run("inbox tag", numbers=numbers, tags=request.path_params["name"], remove=True)
    return answered(OK)


async def _tagged(request: Request, mail: StoredMail) -> list[int]:
    name = request.path_params["name"].strip().lower()
    if not name or '"' in name or "," in name:
        raise SettingError("this is no name of a tag")
    return await mail.numbers(f'tag:"{name}"')


async def _chaos(request: Request, mail: StoredMail) -> Response:
    return as_json(await chaos_of(mail.page))


async def _set_chaos(request: Request, mail: StoredMail) -> Response:
    return as_json(await set_chaos(mail.page, await body_of(request)))


async def _info(request: Request, mail: StoredMail) -> Response:
    counts = await mail.page.run("inbox count")
    tags = await mail.page.run("inbox views", prefix="tag:")
    limited = mail.page.visitor.views is not None
    return as_json(
        {
            "Version": f"posthouse {__version__}",
            "LatestVersion": "",
            "Database": "",
            "DatabaseSize": counts.octets,
            "Messages": counts.messages,
            "Unread": counts.unread,
            "Tags": {each.label: each.messages for each in tags if each.messages},
            "RuntimeStats": {} if limited else _runtime(await mail.page.run("monitor overview")),
        }
    )


def _runtime(overview: OverviewReport) -> dict[str, int]:
    """Counts since the daemon was started; memory, deletions and ignored duplicates are not counted."""
    return {
        "Uptime": int(max(0.0, overview.now - overview.began)),
        "Memory": 0,
        "MessagesDeleted": 0,
        "SMTPAccepted": overview.counts.get("accepted", 0),
        "SMTPAcceptedSize": overview.counts.get("octets", 0),
        "SMTPRejected": overview.counts.get("refused", 0),
        "SMTPIgnored": 0,
    }


async def _webui(request: Request, mail: StoredMail) -> Response:
    config = mail.page.runner.config
    chaos = mail.page.visitor.views is None and (await mail.page.run("fault list")).possible
    return as_json(
        {
            "Label": config.hostname,
            "MessageRelay": {
                "Enabled": bool(config.inbox.release_via),
                "SMTPServer": config.inbox.release_via,
                "ReturnPath": "",
                "AllowedRecipients": "|".join(config.inbox.release_to),
                "BlockedRecipients": "",
                "OverrideFrom": "",
                "PreserveMessageIDs": True,
            },
            "SpamAssassin": False,
            "ChaosEnabled": chaos,
            "DuplicatesIgnored": False,
            "HideDeleteAllButton": False,
        }
    )


async def _one_slash(request: Request, mail: StoredMail) -> Response:
    """The address that cypress-mailpit makes with one slash too many; Mailpit leads to the proper one too."""
    name = request.path_params["name"]
    if _VIEWED.fullmatch(name) is None:
        raise NotFound("there is no such page")
    return RedirectResponse(mail.page.url(f"/view/{name}"), 301)


async def _alive(request: Request, mail: StoredMail) -> Response:
    return answered(OK)


async def _link_check(request: Request, mail: StoredMail) -> Response:
    """The links of a message, asked for; only for those who may change something, because a link may act."""
    if of_another_site(request):
        raise RequestRefused("a page of another site may not have links asked for")
    changing(mail)
    entry = await mail.entry(request.path_params["id"])
    report = await mail.page.run("inbox links", number=entry.number)
    links = [
        {"URL": each.url, "StatusCode": each.status, "Status": _phrase(each.status) or each.text}
        for each in report.links
        if each.kind != "scheme"
    ]
    return as_json(
        {"Errors": sum(not 0 < each.status < 400 for each in report.links if each.kind != "scheme"), "Links": links}
    )


async def _html_check(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    return as_json(html_check_of(await mail.page.run("inbox html-check", number=entry.number)))


def _phrase(status: int) -> str:
    try:
        return http.HTTPStatus(status).phrase
    except ValueError:
        return ""


async def _not_served(request: Request, mail: StoredMail) -> Response:
    await mail.entry(request.path_params["id"])
    return answered("this check is not served here; see /api-map for what is", 404)


#: Every route of Mailpit's interface that is served.
MAILPIT_ROUTES: Final[tuple[BaseRoute, ...]] = (
    route("/api/v1/messages", get=_messages, put=_mark, delete=_delete),
    route("/api/v1/search", get=_search, delete=_delete_found),
    route("/api/v1/message/{id}", get=_message),
    route("/api/v1/message/{id}/headers", get=_headers),
    route("/api/v1/message/{id}/raw", get=_raw),
    route("/api/v1/message/{id}/part/{part}", get=_part),
    route("/api/v1/message/{id}/part/{part}/thumb", get=_part),
    route("/api/v1/message/{id}/release", post=_release),
    route("/api/v1/message/{id}/html-check", get=_html_check),
    route("/api/v1/message/{id}/link-check", get=_link_check),
    route("/api/v1/message/{id}/sa-check", get=_not_served),
    route("/api/v1/send", post=_send),
    route("/api/v1/tags", get=_tags, put=_set_tags),
    route("/api/v1/tags/{name:path}", put=_rename_tag, delete=_delete_tag),
    route("/api/v1/chaos", get=_chaos, put=_set_chaos),
    route("/api/v1/info", get=_info),
    route("/api/v1/webui", get=_webui),
    route("/search", get=_search_page),
    route("//view/{name}", get=_one_slash),
    route("/livez", get=_alive),
)
