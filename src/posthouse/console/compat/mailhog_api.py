"""MailHog's API: version 2 whole, version 1 where Mailpit has not the same path.

``GET /api/v1/messages`` is Mailpit's; clients of MailHog that list by version 1 get its shape there.  ``DELETE`` of
that path deletes all with both.  Releases go to the server of ``[inbox] release_via`` and not to one that the request
names, and to addresses that the configuration allows.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Any, Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import BaseRoute

from posthouse.console.compat.fault_names import jim_of, jim_off, jim_on
from posthouse.console.compat.mailhog_shapes import item_of, mime_parts
from posthouse.console.compat.plain_answers import OK, answered, as_json, body_of, route
from posthouse.console.compat.stored_mail import StoredMail
from posthouse.console.mail_parts import attachment_header
from posthouse.console.problems import NotFound
from posthouse.core import SettingError
from posthouse.message.reading.read_message import read_octets
from posthouse.service.operations.inboxes.mail_answers import MailEntry

__all__ = ["MAILHOG_ROUTES"]

_MOST: Final = 250
_KINDS: Final = {"from": "from~", "to": "to~", "containing": ""}


def _number(request: Request, name: str, default: int, most: int) -> int:
    text = request.query_params.get(name, "")
    return min(most, int(text)) if text.isascii() and text.isdigit() and len(text) <= 9 else default


async def _item(mail: StoredMail, entry: MailEntry) -> Mapping[str, Any]:
    octets = await mail.octets(entry)
    return await asyncio.to_thread(lambda: item_of(entry, read_octets(octets), octets))


async def _listing(request: Request, mail: StoredMail, query: str) -> Response:
    start, limit = _number(request, "start", 0, 10**9), _number(request, "limit", 50, _MOST)
    counts = await mail.page.run("inbox count", query=query)
    rows = await mail.rows(query, start=start, limit=limit) if limit else []
    items = [await _item(mail, each) for each in rows]
    return as_json({"total": counts.messages, "count": len(items), "start": start, "items": items})


async def _messages(request: Request, mail: StoredMail) -> Response:
    return await _listing(request, mail, "")


async def _search(request: Request, mail: StoredMail) -> Response:
    kind, query = request.query_params.get("kind", ""), request.query_params.get("query", "")
    if kind not in _KINDS or not query:
        raise SettingError("kind is from, to or containing, and query is not empty")
    return await _listing(request, mail, f'{_KINDS[kind]}"{query.replace(chr(34), " ")}"')


async def _message(request: Request, mail: StoredMail) -> Response:
    return as_json(await _item(mail, await mail.entry(request.path_params["id"])))


async def _delete(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    await mail.page.run("inbox delete", numbers=[entry.number], whole=True)
    return answered(OK)


async def _download(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    headers = {"content-disposition": attachment_header(f"{entry.queue_id}.eml")}
    return Response(await mail.octets(entry), headers=headers, media_type="message/rfc822")


async def _download_part(request: Request, mail: StoredMail) -> Response:
    message = await mail.read(await mail.entry(request.path_params["id"]))
    parts, text = mime_parts(message), request.path_params["part"]
    if not (text.isascii() and text.isdigit() and len(text) <= 4 and int(text) < len(parts)):
        raise NotFound(f'there is no part "{text[:20]}"')
    part = parts[int(text)]
    name = part.safe_name(text) if part.filename_raw else f"part-{text}"
    headers = {"content-disposition": attachment_header(name)}
    return Response(part.content, headers=headers, media_type="application/octet-stream")


async def _release(request: Request, mail: StoredMail) -> Response:
    entry = await mail.entry(request.path_params["id"])
    to = (await body_of(request)).get("Email")
    if not isinstance(to, str) or not to:
        raise SettingError("Email is no address", remedy='write {"Email": "ann@example.com"}')
    report = await mail.page.run("inbox release", number=entry.number, to=to)
    refused = [each for each in report.recipients if not each.accepted]
    if refused:
        raise SettingError("; ".join(f"{each.recipient}: {each.reply}" for each in refused[:10]))
    return answered(OK)


async def _jim(request: Request, mail: StoredMail) -> Response:
    return as_json(await jim_of(mail.page))


async def _jim_on(request: Request, mail: StoredMail) -> Response:
    await jim_on(mail.page, await body_of(request))
    return answered(OK, 201)


async def _jim_change(request: Request, mail: StoredMail) -> Response:
    await jim_on(mail.page, await body_of(request), change=True)
    return answered(OK)


async def _jim_off(request: Request, mail: StoredMail) -> Response:
    await jim_off(mail.page)
    return answered(OK)


async def _outgoing(request: Request, mail: StoredMail) -> Response:
    """The servers that a release may go to; none of them is chosen by the request."""
    return as_json({})


#: Every route of MailHog's interface that is served.
MAILHOG_ROUTES: Final[tuple[BaseRoute, ...]] = (
    route("/api/v2/messages", get=_messages),
    route("/api/v2/search", get=_search),
    route("/api/v2/jim", get=_jim, post=_jim_on, put=_jim_change, delete=_jim_off),
    route("/api/v2/outgoing-smtp", get=_outgoing),
    route("/api/v1/messages/{id}", get=_message, delete=_delete),
    route("/api/v1/messages/{id}/download", get=_download),
    route("/api/v1/messages/{id}/mime/part/{part}/download", get=_download_part),
    route("/api/v1/messages/{id}/release", post=_release),
)
