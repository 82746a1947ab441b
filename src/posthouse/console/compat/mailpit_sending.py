"""Mailpit's /send: a message described in JSON, composed and handed to the daemon."""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Any, Final

from posthouse.console.compat.plain_answers import NamedValues
from posthouse.core import LocalError, SettingError
from posthouse.message import Attachment, Mailbox, Message, parse_mailboxes

__all__ = ["described_message"]

#: Fields that the description has a place of its own for.
_OWN: Final = frozenset({"to", "from", "cc", "bcc", "reply-to", "date", "subject", "content-type", "mime-version"})
_DATA_URL: Final = re.compile(r"data:[^,]{0,200},")
_MOST_ATTACHED: Final = 500


def described_message(body: NamedValues) -> Message:
    """The message that a body describes.  Raises ``SettingError``, which names the part that is wrong."""
    sender = _mailbox(body.get("From"), "From")
    files = body.get("Attachments") or []
    if not isinstance(files, list) or len(files) > _MOST_ATTACHED:
        raise SettingError("Attachments is no list, or too long", remedy=f"give at most {_MOST_ATTACHED}")
    attached = [_attachment(each) for each in files]
    headers = body.get("Headers") or {}
    if not isinstance(headers, dict) or not all(isinstance(each, str) for each in headers.values()):
        raise SettingError("Headers is no object of texts", remedy='write {"Headers": {"X-Name": "value"}}')
    taken = next((name for name in headers if name.lower() in _OWN), None)
    if taken is not None:
        raise SettingError(f"the field {taken} cannot be among Headers", remedy="give it in its own place")
    tags = body.get("Tags") or []
    if tags:
        if not isinstance(tags, list) or not all(isinstance(each, str) for each in tags):
            raise SettingError("Tags is no list of texts", remedy='write {"Tags": ["name"]}')
        headers = {**headers, "X-Tags": ", ".join(tags)}
    html = _text(body, "HTML") or None
    try:
        return Message(
            sender,
            _mailboxes(body, "To"),
            cc=_mailboxes(body, "Cc"),
            bcc=[_address(each, "Bcc") for each in _list(body, "Bcc")],
            reply_to=_mailboxes(body, "ReplyTo"),
            subject=_text(body, "Subject"),
            text=_text(body, "Text") or (None if html else ""),
            html=html,
            headers=headers,
            attachments=[each for each in attached if not each.content_id],
            inline=[each for each in attached if each.content_id],
            check_inline=False,
        )
    except LocalError as error:
        raise SettingError(str(error)) from error


def _text(body: Mapping[str, Any], name: str) -> str:
    found = body.get(name) or ""
    if not isinstance(found, str):
        raise SettingError(f"{name} is no text", remedy="write it in quotation marks")
    return found


def _list(body: Mapping[str, Any], name: str) -> list[Any]:
    found = body.get(name) or []
    if not isinstance(found, list) or len(found) > 1_000:
        raise SettingError(f"{name} is no list, or too long", remedy="write [ … ] with at most 1,000 entries")
    return found


def _mailboxes(body: Mapping[str, Any], name: str) -> list[Mailbox]:
    return [_mailbox(each, name) for each in _list(body, name)]


def _mailbox(given: Any, where: str) -> Mailbox:
    if not isinstance(given, dict):
        raise SettingError(f"{where} has no address", remedy='write {"Name": "Ann", "Email": "ann@example.com"}')
    named = NamedValues(given)
    name = named.get("Name") or ""
    address = _address(named.get("Email"), where)
    return Mailbox(name if isinstance(name, str) else "", address.address)


def _address(given: Any, where: str) -> Mailbox:
    try:
        [found] = parse_mailboxes(given if isinstance(given, str) else "", where)
    except (LocalError, ValueError) as error:
        raise SettingError(f"{where} has no address: {str(given)[:100]!r}", remedy="write user@domain") from error
    return found


def _attachment(given: Any) -> Attachment:
    if not isinstance(given, dict):
        raise SettingError("an attachment is no object", remedy='write {"Filename": "a.txt", "Content": "base64"}')
    given = NamedValues(given)
    content = _text(given, "Content")
    try:
        octets = base64.b64decode("".join(_DATA_URL.sub("", content, count=1).split()), validate=True)
    except (binascii.Error, ValueError) as error:
        raise SettingError("the content of an attachment is not base64", where="Attachments") from error
    try:
        return Attachment(
            octets,
            _text(given, "Filename") or "attachment",
            _text(given, "ContentType"),
            content_id=_text(given, "ContentID"),
        )
    except LocalError as error:
        raise SettingError(str(error), where="Attachments") from error
