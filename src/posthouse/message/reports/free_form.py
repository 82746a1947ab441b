"""Bounces in words: the messages of hosts and providers that say without a delivery status that mail was not delivered.

A message is taken for one if its envelope or header section says that a mail system wrote it (null reverse-path,
MAILER-DAEMON or postmaster as author, X-Failed-Recipients) and its text names a recipient next to a reason.  The
recipients are looked for in front of the copy of the original message, in three ways: the field X-Failed-Recipients; an
address at the begin of a line, with the reason behind a colon or in the lines below it; an address in the sentence that
says that delivery failed.
"""

from __future__ import annotations

import re
from typing import Final, NamedTuple

__all__ = ["FreeFormRecipient", "before_the_copy", "find_recipients", "is_from_mail_system", "message_id_in"]

_LINES: Final = 2_000  # of a text that are looked at
_RECIPIENTS: Final = 1_000
_REASON_LINES: Final = 12  # below an address
_ADDRESS: Final = (
    r"[^\s<>\"'(),:;@\[\]]{1,64}@[A-Za-z0-9\u0080-\U0010ffff-]{1,63}(?:\.[A-Za-z0-9\u0080-\U0010ffff-]{1,63}){0,9}"
)
_AT_BEGIN: Final = re.compile(rf"\s{{0,8}}(?:[*•-] )?<?(?:mailto:)?({_ADDRESS})>?\s{{0,4}}(?:\.\.\.|:|-|\(|$)?(.*)")
_ANYWHERE: Final = re.compile(rf"(?<![\w.@+-]){_ADDRESS}")
_SYSTEM: Final = re.compile(
    r"(?i)^(?:mailer-?daemon|post-?master|mail-?system|mmdf|mailadm\w*|microsoftexchange\w*|bounces?|mdaemon"
    r"|autobounce|delivery-?(?:system|subsystem|status)|mailsystem|double-bounce)(?:[+.=-].*)?$"
)
_SUBJECT: Final = re.compile(
    r"(?i)undeliver|deliver\w* (?:\w+ ){0,3}(?:fail|status|problem|error|delay|has been|incomplete|unsuccess)|fail\w*"
    r" (?:\w+ ){0,2}(?:deliver|notice|mail)|return\w* (?:\w+ ){0,3}(?:mail|to sender|sender)|mail (?:\w+ ){0,2}"
    r"(?:fail|error|status|could not)|could ?n[o']t be delivered|non-?deliver|not delivered|unable to deliver"
    r"|退信|未送达|无法投递|投递失败|unzustellbar|non remis|no se puede entregar|配信不能"
)
_FAILED: Final = re.compile(
    r"(?i)(?:not|n't|unable to|impossible to|fail\w* to) (?:be )?(?:\w+ ){0,2}(?:deliver|reach|sen[dt]|transmit|accept)"
    r"|undeliver|deliver\w* (?:\w+ ){0,3}fail|fail\w* (?:\w+ ){0,5}(?:recipient|address|deliver)"
    r"|permanent error|fatal error|returned to sender|reject|user unknown|does not exist|no such user|bounced"
    r"|投递失败|无法投递|未能送达|退信"
)
_COPY: Final = re.compile(
    r"(?im)^[\s>]*(?:[-=_*]{2,}[^\n]{0,60}(?:original|copy|unsent|returned|undelivered|message header|message follows)"
    r"[^\n]{0,80}|(?:below this line|this) is (?:an? |the )?(?:exact )?copy of [^\n]{0,60}"
    r"|(?:the )?(?:original|first) (?:message|mail|lines)[^\n]{0,60}(?:follow|below|attached|was|:)[^\n]{0,40}"
    r"|original message headers?:?"
    r"|(?:return-path|received): [^\n]{1,200})[^\n]*$"
)
_MESSAGE_ID: Final = re.compile(r"(?im)^[>\s]{0,4}message-id:\s{0,4}<([^<>\s]{1,250})>")
_DELAYED: Final = re.compile(
    r"(?i)(?:delay|warning|still (?:be )?(?:try|retr|attempt)|will (?:be )?(?:keep |continue |be )?(?:re)?tr(?:y|ied)"
    r"|not yet been|do not need to (?:resend|do)|no action is required)"
)
_GIVEN_UP: Final = re.compile(
    r"(?i)giv(?:en|ing) up|permanent|has been returned|failed permanently|will not be retried"
)


class FreeFormRecipient(NamedTuple):
    """A recipient that a text names, with what the text says of it."""

    address: str
    reason: str
    delayed: bool = False


def is_from_mail_system(local_parts: list[str], return_path: str | None, subject: str) -> bool:
    """Whether a mail system wrote a message.

    Args:
        local_parts: Those of From, Sender and Return-Path.
        return_path: The value of Return-Path, None without the field.
        subject: The subject, decoded.
    """
    if any(_SYSTEM.match(each) for each in local_parts):
        return True
    return return_path == "<>" and _SUBJECT.search(subject[:500]) is not None


def before_the_copy(text: str) -> str:
    """The text in front of the copy of the original message."""
    found = _COPY.search(text)
    return text if found is None or not text[: found.start()].strip() else text[: found.start()]


def message_id_in(text: str) -> str:
    """The Message-ID of the copy of the original message in a text, without angle brackets; "" without one."""
    found = _MESSAGE_ID.search(text)
    return found[1] if found is not None else ""


def find_recipients(text: str, named: list[str], not_these: set[str]) -> list[FreeFormRecipient]:
    """The recipients to whom delivery failed, as a text tells.

    Args:
        text: The text in front of the copy of the original message, with LF line ends.
        named: Addresses that a header field names (X-Failed-Recipients).
        not_these: Addresses in lower case that are none: the author and the reader of the bounce.
    """
    lines = text.split("\n")[:_LINES]
    delayed = bool(_DELAYED.search(text)) and not _GIVEN_UP.search(text)
    found: dict[str, FreeFormRecipient] = {}
    for at, line in enumerate(lines):
        match = _AT_BEGIN.match(line)
        if match is None or match[1].lower() in not_these:
            continue
        reason = _reason(match[2], lines, at)
        if reason and match[1].lower() not in found:
            found[match[1].lower()] = FreeFormRecipient(match[1], reason, delayed)
        if len(found) >= _RECIPIENTS:
            break
    for address in named:
        found.setdefault(address.lower(), FreeFormRecipient(address, _near(address, text), delayed))
    if not found:
        for address in _in_sentences(text, not_these):
            found.setdefault(address.lower(), FreeFormRecipient(address, _near(address, text), delayed))
    return list(found.values()) if found and (named or _FAILED.search(text) or delayed) else []


def _reason(behind: str, lines: list[str], at: int) -> str:
    """What stands behind an address on its line, and in the lines of its paragraph below it."""
    words = [behind.strip(" :.-)(")]
    for line in lines[at + 1 : at + 1 + _REASON_LINES]:
        stripped = line.strip()
        if not stripped and words[-1]:
            break
        if _AT_BEGIN.match(line) is not None and not line[:1].isspace():
            break
        words.append(stripped)
    return " ".join(filter(None, words))[:2_000]


def _near(address: str, text: str) -> str:
    """The paragraph that names an address, else the first that says that delivery failed."""
    paragraphs = re.split(r"\n[ \t]*\n", text[:200_000])
    lowered = address.lower()
    for number, each in enumerate(paragraphs):
        if lowered in each.lower():
            several = each if _FAILED.search(each.replace(address, "")) else "\n".join(paragraphs[number : number + 3])
            return " ".join(several.split())[:2_000]
    return next((" ".join(each.split())[:2_000] for each in paragraphs if _FAILED.search(each)), "")


def _in_sentences(text: str, not_these: set[str]) -> list[str]:
    """The addresses in paragraphs that say that delivery failed, and in the paragraph below each."""
    paragraphs = re.split(r"\n[ \t]*\n", text[:200_000])
    found: dict[str, str] = {}
    for number, each in enumerate(paragraphs):
        if not _FAILED.search(each):
            continue
        for place in paragraphs[number : number + 2]:
            for match in _ANYWHERE.finditer(place[:20_000]):
                address = match[0].rstrip(".")
                if address.lower() not in not_these and len(found) < _RECIPIENTS:
                    found.setdefault(address.lower(), address)
        if found:
            break
    return list(found.values())
