"""The compose page: a new message, a reply or a forwarded one, formed or raw, handed to this daemon."""

from __future__ import annotations

import asyncio
import base64
import re
from typing import TYPE_CHECKING, Any, Final

from starlette.datastructures import FormData, UploadFile

from posthouse.console.declarations import Done, NavEntry, Page, PageAction, Shown
from posthouse.console.mail_parts import octets_of
from posthouse.console.problem_sentences import problem_sentence
from posthouse.console.problems import RequestRefused

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest
    from posthouse.message import Attachment, Mailbox
    from posthouse.message.composing.message_changes import MessageOptions
    from posthouse.message.reading import ReadMessage

__all__ = ["BODY_LIMITS", "NAV", "ROUTES"]

#: Octets of a message that are read for a reply, whose quotation a person goes through.
_MOST_READ: Final = 1 << 20
_MOST: Final = 24 << 20  # octets of one message's files
_LINES: Final = re.compile(r"\r\n|\r|\n")
_SPECIAL: Final = re.compile(r'["\\()<>@,;:\[\]]')
_NUMBER: Final = re.compile(r"[0-9]{1,18}")
_WAYS: Final = ("reply", "all", "forward")


async def _show(page: PageRequest) -> Shown:
    values = {name: page.query.get(name, "")[:2000] for name in ("from", "to", "cc", "subject", "text")}
    way = next((each for each in _WAYS if page.query.get(each)), "")
    if way:
        values |= await _answer(page, page.number(way, 0, most=(1 << 63) - 1), way)
    elif not values["from"]:
        values["from"] = f"postmaster@{page.runner.config.postmaster.domain}"
    if way == "forward":
        values["carry"] = page.query[way]
        if page.query.get("plain") != "1" and await _has_html(page, _numbered(values["carry"])):
            values |= {"forward": page.query[way], "text": ""}
    raw = page.query.get("raw") == "1"
    return Shown("compose_form.html", values, {**await _context(page, values), "raw": raw, "error": ("", "")})


async def _context(page: PageRequest, values: dict[str, str]) -> dict[str, Any]:
    """The values of the form, and the names of the files that a forwarded message carries."""
    carried = []
    if values.get("carry") or values.get("forward"):
        read = await page.run("inbox read", number=_numbered(values.get("forward") or values["carry"]))
        carried = [each.name for each in read.parts if each.kind == "attachment"]
    return {"values": values, "carried": carried}


async def _has_html(page: PageRequest, number: int) -> bool:
    return bool((await page.run("inbox read", number=number)).html)


def _numbered(text: str) -> int:
    """The number of the message that is forwarded, as a form has it.  Raises ``RequestRefused`` (400)."""
    if not (text.isascii() and text.isdigit() and len(text) < 19):
        raise RequestRefused(f'"{text[:40]}" is no number of a message', 400)
    return int(text)


async def _answer(page: PageRequest, number: int, way: str) -> dict[str, str]:
    """The fields of a reply to a message, or of its forwarding."""
    from posthouse.core import LocalError
    from posthouse.message.authoring import forward, reply
    from posthouse.message.reading import read_octets

    shown = await page.run("inbox show", number=number)
    octets = (shown.raw if shown.raw is not None else shown.text.encode())[:_MOST_READ]
    me = shown.inbox

    def made() -> dict[str, str]:
        original = read_octets(octets)
        try:
            if way == "forward":
                message = forward(original, me, (), labels=_labels(page))
            else:
                message = reply(original, me, everyone=way == "all", attribution=_attribution(page, original))
        except LocalError as error:
            raise RequestRefused(f"this message cannot be answered: {error}", 400) from error
        return {
            "from": me,
            "to": ", ".join(map(_written, message.to)),
            "cc": ", ".join(map(_written, message.cc)),
            "subject": message.subject,
            "text": message.text or "",
            "in_reply_to": " ".join(message.in_reply_to),
            "references": " ".join(message.references),
        }

    return await asyncio.to_thread(made)


def _attribution(page: PageRequest, original: ReadMessage) -> str:
    """The line before what is quoted, in the language of the page."""
    name = "" if original.sender is None else " ".join((original.sender.name or str(original.sender)).split())
    name = name or page.text("compose.sender")
    if original.date is None:
        return page.text("compose.wrote_once", name=name)
    return page.text("compose.wrote", name=name, date=f"{original.date:%Y-%m-%d %H:%M %z}".strip())


def _labels(page: PageRequest) -> dict[str, str]:
    """The words before a forwarded message, in the language of the page."""
    keys = {"Forwarded message": "forwarded_message", "From": "from", "Date": "date", "Subject": "subject"}
    keys |= {"To": "to", "Cc": "cc"}
    return {word: page.text(f"compose.{key}") for word, key in keys.items()}


def _written(mailbox: Mailbox) -> str:
    """A mailbox as a person writes it into the form, and as ``Message`` reads it there."""
    name = " ".join("".join(sign if sign.isprintable() else " " for sign in mailbox.name).split())
    if not name:
        return str(mailbox.address)
    if _SPECIAL.search(name):
        name = '"' + re.sub(r'(["\\])', r"\\\1", name) + '"'
    return f"{name} <{mailbox.address}>"


def _field(form: FormData, name: str) -> str:
    value = form.get(name, "")
    return value if isinstance(value, str) else ""


async def _send(page: PageRequest) -> Done | Shown:
    from posthouse.core import PosthouseError

    form = await page.form()
    raw = _field(form, "raw") == "1"
    names = ("from", "to", "cc", "subject", "text", "html", "source", "in_reply_to", "references", "carry", "forward")
    values = {name: _field(form, name) for name in names}
    try:
        original = await _original(page, values) if not raw else None
        sender, recipients, octets = await _message(form, values, original, _labels(page), raw=raw)
        content = base64.b64encode(octets).decode()
        sent = await page.run("inbox send", sender=sender, to=", ".join(recipients), content=content)
    except PosthouseError as error:
        if page.wants_json:
            raise
        values |= {name: values[name] if _NUMBER.fullmatch(values[name]) else "" for name in ("carry", "forward")}
        context = {**await _context(page, values), "raw": raw, "error": problem_sentence(str(error), page.language)}
        return Shown("compose_form.html", values, context, status=400)
    key = "compose.refused" if sent.refused else "compose.sent"
    return Done("/inbox", page.text(key, id=sent.queue_id), sent)


async def _original(page: PageRequest, values: dict[str, str]) -> ReadMessage | None:
    """The message that is forwarded, as HTML (``forward``) or with its files only (``carry``); None without one."""
    from posthouse.message.reading import read_octets

    given = values["forward"] or values["carry"]
    if not given:
        return None
    octets = await octets_of(page, _numbered(given))
    if len(octets) > _MOST * 3 // 2:  # in base64
        raise RequestRefused(f"the files have more than {_MOST >> 20} MiB together", 413)
    return await asyncio.to_thread(read_octets, octets)


async def _message(
    form: FormData, values: dict[str, str], original: ReadMessage | None, labels: dict[str, str], *, raw: bool
) -> tuple[str, list[str], bytes]:
    """Sender, recipients and octets of what was written."""
    from posthouse.message import Attachment

    if raw:
        recipients = [each.strip() for each in values["to"].split(",") if each.strip()]
        return values["from"].strip(), recipients, _LINES.sub("\r\n", values["source"]).encode()
    files, size = [], 0
    for each in form.getlist("file"):
        if isinstance(each, UploadFile) and each.filename:
            content = await each.read()
            size += len(content)
            if size > _MOST:
                raise RequestRefused(f"the files have more than {_MOST >> 20} MiB together", 413)
            files.append(Attachment(content, name=each.filename))
    return await asyncio.to_thread(_formed, values, original, files, labels)


def _formed(
    values: dict[str, str], original: ReadMessage | None, files: list[Attachment], labels: dict[str, str]
) -> tuple[str, list[str], bytes]:
    """Sender, recipients and octets of a message of the form, with the original that it forwards."""
    from posthouse.message import Message
    from posthouse.message.authoring import forward

    sender, to, html = values["from"], values["to"] or (), values["html"] or None
    text = _LINES.sub("\n", values["text"])
    carried = forward(original, sender, ()).attachments if original is not None and values["carry"] else ()
    written: MessageOptions = {
        "cc": values["cc"] or (),
        "subject": values["subject"],
        "attachments": [*carried, *files],
        "in_reply_to": values["in_reply_to"].split(),
        "references": values["references"].split(),
    }
    if original is not None and values["forward"]:
        message = forward(original, sender, to, text=text, html=html, labels=labels, **written)
    else:
        message = Message(sender, to, text=text, html=html, **written)
    envelope = message.envelope
    octets = message.as_bytes()
    return str(envelope.sender or ""), [str(each.address) for each in envelope.recipients], octets


ROUTES: Final = (Page("/compose", _show), PageAction("/compose", _send))
NAV: Final = (NavEntry("/compose", "compose.title", "mail", 20),)
BODY_LIMITS: Final = {"/compose": 34 << 20}
