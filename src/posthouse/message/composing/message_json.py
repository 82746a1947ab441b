"""A ``Message`` as JSON and back: the form of a message in a task queue.

The object has the fields of ``Message`` that are not empty, and ``"posthouse": 1``, the version of this form.
"""

from __future__ import annotations

import binascii
import json
from collections.abc import Callable, Collection
from datetime import datetime
from pathlib import Path
from typing import Any, Final

from posthouse.core import LocalError
from posthouse.message.authoring.list_fields import ListFields
from posthouse.message.composing.attachment import Attachment
from posthouse.message.composing.sources import StreamCopy
from posthouse.message.mailboxes import Mailbox

__all__ = ["arguments_of", "json_of"]

_VERSION: Final = 1


def json_of(state: dict[str, object]) -> str:
    """The fields of a message as a JSON object."""
    kept = {name: value for name, value in state.items() if value is not None and value != () and value != ""}
    if state["text"] == "":
        kept["text"] = ""
    return json.dumps({"posthouse": _VERSION, **{name: _plain(value) for name, value in kept.items()}})


def _plain(value: object) -> object:
    if isinstance(value, Mailbox):
        return {"name": value.name, "address": str(value.address)}
    if isinstance(value, Attachment):
        return _plain_attachment(value)
    if isinstance(value, ListFields):
        return value._asdict()
    if isinstance(value, datetime):
        return value.isoformat()
    if isinstance(value, tuple):
        return [_plain(each) for each in value]
    return value


def _plain_attachment(one: Attachment) -> dict[str, str]:
    made = {name: value for name in ("name", "content_type", "content_id") if (value := getattr(one, name))}
    content = one.content
    if isinstance(content, StreamCopy):
        content = content.whole()
    if isinstance(content, bytes):
        return {**made, "base64": binascii.b2a_base64(content, newline=False).decode("ascii")}
    return {**made, "path": str(content)}


def arguments_of(text: str | bytes, known: Collection[str], *, paths: bool) -> dict[str, Any]:
    """The arguments of ``Message`` that a JSON object of ``json_of`` holds, of those that are ``known``.

    Raises ``LocalError`` if it is none.
    """
    try:
        found = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise LocalError(f"the message is no JSON: {error}; give what to_json() returned") from error
    if not isinstance(found, dict) or found.pop("posthouse", None) != _VERSION:
        raise LocalError('the JSON is no message: it has no "posthouse": 1; give what to_json() returned')
    if "sender" not in found:
        raise LocalError("the JSON message has no sender; give what to_json() returned")
    unknown = sorted(found.keys() - set(known))
    if unknown:
        raise LocalError(f"the JSON message has the unknown field {unknown[0]!r}; a newer version may have written it")
    try:
        return {name: _READERS.get(name, _as_it_is)(value, paths) for name, value in found.items()}
    except (TypeError, KeyError, AttributeError, ValueError) as error:
        raise LocalError(f"the JSON message has a field of a wrong form: {error!r}") from error


def _as_it_is(value: Any, _: bool) -> Any:
    return value


def _mailbox(value: Any, _: bool) -> Any:
    return (str(value["name"]), str(value["address"]))


def _mailboxes(value: Any, paths: bool) -> Any:
    return [_mailbox(each, paths) for each in value]


def _attachments(value: Any, paths: bool) -> list[Attachment]:
    return [_attachment(each, paths) for each in value]


def _attachment(value: Any, paths: bool) -> Attachment:
    labels = {name: str(value[name]) for name in ("name", "content_type", "content_id") if name in value}
    if "path" not in value:
        return Attachment(binascii.a2b_base64(value["base64"], strict_mode=True), **labels)
    if not paths:
        raise LocalError("the JSON message attaches a file by its path, which paths=False forbids; attach its content")
    return Attachment(Path(value["path"]), **labels)


def _pairs(value: Any, _: bool) -> list[tuple[str, str]]:
    return [(name, text) for name, text in value]


_READERS: Final[dict[str, Callable[[Any, bool], Any]]] = {
    "sender": _mailbox,
    "to": _mailboxes,
    "cc": _mailboxes,
    "bcc": _mailboxes,
    "reply_to": _mailboxes,
    "attachments": _attachments,
    "inline": _attachments,
    "headers": _pairs,
    "date": lambda value, _: datetime.fromisoformat(value),
    "mailing_list": lambda value, _: ListFields(**value),
}
