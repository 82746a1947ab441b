"""Form of a file in the maildrop: one line of JSON, the envelope, and behind it the content to the end of the file.

    {"sender":"ann@example.org","to":[["bob@example.com"]],"message_id":"<…>"}\\n
    From: ann@example.org\\r\\n…

A file has its lasting name, the *drop id*, only when it is complete and on stable storage.  Any user may write such a
file where the operator has opened the directory to all (docs/sendmail.md), so the reader believes nothing in it: every
value is parsed as if a client had sent it, and lengths are bounded.
"""

from __future__ import annotations

import hashlib
import json
import re
import secrets
from typing import Any, Final, NamedTuple

from posthouse.core import Address, Body, Envelope, LocalError, Notify, OriginalRecipient, Recipient, Ret, path_text
from posthouse.protocol.grammar import GrammarError, parse_mailbox

__all__ = [
    "ARRIVING",
    "DROP_ID",
    "DroppedEnvelope",
    "LONGEST_HEAD",
    "MOST_RECIPIENTS",
    "Malformed",
    "SOCKET",
    "TERMS",
    "new_drop_id",
    "read_head",
    "write_head",
]

#: Recipients of one message.
MOST_RECIPIENTS: Final = 10_000
#: Octets of the first line: the longest addresses, with their DSN parameters.
LONGEST_HEAD: Final = 16 << 20
#: The name of a complete file: a random number, or the digest of the sender's key.
DROP_ID: Final = re.compile(r"[0-9a-f]{26}|k[0-9a-f]{40}")
#: What stands before the name of a file that is being written.
ARRIVING: Final = "arriving."
#: The socket by which the daemon is told of a file, and the file in which it says what it is called.
SOCKET: Final = "pickup.sock"
TERMS: Final = "terms.json"

_ENVID: Final = re.compile(r"[\x21-\x7e]{1,100}")
_MESSAGE_ID: Final = re.compile(r"<[^<>\x00-\x20\x7f]{1,250}>")


class Malformed(ValueError):
    """A file that no program of ours has written."""


class DroppedEnvelope(NamedTuple):
    """The first line of a file: the envelope, and the content's Message-ID, "" if it is not known."""

    envelope: Envelope
    message_id: str = ""


def new_drop_id(key: str = "", uid: int = 0) -> str:
    """A new drop id; with a ``key``, the one that this key of this user always gives."""
    if not key:
        return secrets.token_hex(13)
    return "k" + hashlib.sha256(f"{uid}:{key}".encode()).hexdigest()[:40]


def write_head(dropped: DroppedEnvelope) -> bytes:
    """The first line.  Raises ``LocalError`` for an envelope without recipients or with too many."""
    envelope = dropped.envelope
    if not envelope.recipients:
        raise LocalError("the message has no recipient; name one")
    if len(envelope.recipients) > MOST_RECIPIENTS:
        raise LocalError(
            f"the message has {len(envelope.recipients)} recipients, and one message may have {MOST_RECIPIENTS}; "
            "send it in parts, or to a mailing list"
        )
    facts: dict[str, Any] = {
        "sender": path_text(envelope.sender),
        "to": [_packed(each) for each in envelope.recipients],
    }
    facts |= {"body": envelope.body.value} if envelope.body is not Body.SEVENBIT else {}
    facts |= {"utf8": True} if envelope.smtputf8 else {}
    facts |= {"ret": envelope.ret.value} if envelope.ret is not None else {}
    facts |= {"envid": envelope.envid} if envelope.envid is not None else {}
    facts |= {"message_id": dropped.message_id} if dropped.message_id else {}
    return json.dumps(facts, ensure_ascii=True, separators=(",", ":")).encode() + b"\n"


def _packed(recipient: Recipient) -> list[Any]:
    packed: list[Any] = [str(recipient.address)]
    if recipient.notify is not None or recipient.orcpt is not None:
        packed.append(None if recipient.notify is None else recipient.notify.value)
    if recipient.orcpt is not None:
        packed.append([recipient.orcpt.kind, recipient.orcpt.address])
    return packed


def read_head(line: bytes) -> DroppedEnvelope:
    """The inverse of ``write_head``.  Raises ``Malformed`` for everything that it does not write."""
    try:
        facts = json.loads(line)
        if not isinstance(facts, dict):
            raise Malformed("the first line is no object")
        sender = _text(facts.get("sender"))
        people = facts.get("to")
        if not isinstance(people, list) or not 1 <= len(people) <= MOST_RECIPIENTS:
            raise Malformed(f"it has no recipients, or more than {MOST_RECIPIENTS}")
        envid, ret = facts.get("envid"), facts.get("ret")
        if envid is not None and _ENVID.fullmatch(_text(envid)) is None:
            raise Malformed("its envelope id is no word")
        message_id = facts.get("message_id", "")
        envelope = Envelope(
            _address(sender) if sender else None,
            tuple(map(_recipient, people)),
            body=Body(facts.get("body", "7BIT")),
            smtputf8=facts.get("utf8") is True,
            ret=None if ret is None else Ret(ret),
            envid=envid,
        )
        known = message_id if isinstance(message_id, str) and _MESSAGE_ID.fullmatch(message_id) else ""
        return DroppedEnvelope(envelope, known)
    except (ValueError, RecursionError) as error:
        raise Malformed(str(error)) from error


def _text(value: object) -> str:
    if not isinstance(value, str):
        raise Malformed("a text is missing")
    return value


def _address(text: str) -> Address:
    try:
        return parse_mailbox(text)
    except GrammarError as error:
        raise Malformed(f"{text[:60]!r} is no address: {error}") from error


def _recipient(packed: object) -> Recipient:
    if not isinstance(packed, list) or not 1 <= len(packed) <= 3:
        raise Malformed("a recipient is no list")
    notify, orcpt = (*packed[1:], None, None)[:2]
    if notify is not None and not (type(notify) is int and 0 <= notify <= 7):
        raise Malformed("a recipient's NOTIFY is no number of Posthouse")
    original = None
    if orcpt is not None:
        if not isinstance(orcpt, list) or len(orcpt) != 2:
            raise Malformed("a recipient's ORCPT is no pair")
        kind, address = map(_text, orcpt)
        if _ENVID.fullmatch(kind) is None or len(address) > 500 or not address.isprintable():
            raise Malformed("a recipient's ORCPT has characters that it may not have")
        original = OriginalRecipient(kind, address)
    return Recipient(_address(_text(packed[0])), None if notify is None else Notify(notify), original)
