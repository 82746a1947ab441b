"""The answers to VRFY, EXPN and HELP (RFC 5321 §3.5, §4.1.1.6 to §4.1.1.8).

VRFY and EXPN tell any client which mailboxes exist, so both are off unless a listener switches them on.  While they are
off, VRFY answers 252 (RFC 5321 §3.5.3) and EXPN 502.  VRFY of a list answers for the list's own address, which accepts
mail.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from posthouse.core import Reply, Verdict
from posthouse.service.directory.directory import Directory, Expanded, Foreign, Moved, Resolution, Unknown

__all__ = ["EXPN_OFF", "VRFY_OFF", "expand", "help_on", "moved", "verify"]

VRFY_OFF: Final = Verdict(
    Reply(252, "2.5.0", "Cannot VRFY user, but will accept message and attempt delivery"), "vrfy is off"
)
EXPN_OFF: Final = Verdict(Reply(502, "5.5.1", "EXPN is not offered here"), "expn is off")

#: Members shown at most: a reply has at most 256 lines for careful readers.
_MOST_SHOWN: Final = 200

_UNKNOWN = Verdict(Reply(550, "5.1.1", "No mailbox or list of that name"), "no such name")
_FOREIGN = Verdict(Reply(252, "2.5.0", "Not in a domain of ours; mail may be relayed"), "a domain of others")
_FORWARDED = Verdict(Reply(250, "2.1.5", "User not local; will forward"), "moved, forwarded; the address needs UTF-8")
_GONE = Verdict(Reply(550, "5.1.6", "User not local, and the new address needs SMTPUTF8"), "moved; needs UTF-8")
_NOT_A_LIST = Verdict(Reply(550, "5.1.0", "That is not a mailing list"), "not a list")


def verify(directory: Directory, text: str) -> Verdict:
    """VRFY, where it is switched on."""
    found = directory.named(text)
    if not found:
        return _UNKNOWN
    return _ambiguous(found) if len(found) > 1 else _verified(found[0])


def _verified(found: Resolution) -> Verdict:
    if isinstance(found, Moved):
        return moved(found)
    if isinstance(found, Unknown):
        return _UNKNOWN
    if isinstance(found, Foreign):
        return _FOREIGN
    return Verdict(Reply(250, "2.1.5", f"<{found.address}>"), "known")


def moved(found: Moved, *, utf8: bool = True) -> Verdict:
    """What a moved mailbox answers: 251 with forwarding, 551 without (RFC 5321 §3.4).

    If the client does not take UTF-8, a non-ASCII address is left out, and the codes that promise an address become
    250 and 550 (RFC 6531 §3.7.4.1).
    """
    if not utf8 and not found.to.is_ascii:
        return _FORWARDED if found.action == "forward" else _GONE
    if found.action == "forward":
        return Verdict(Reply(251, "2.1.5", f"User not local; will forward to <{found.to}>"), "moved, forwarded")
    return Verdict(Reply(551, "5.1.6", f"User not local; please try <{found.to}>"), "moved, with the new address")


def _ambiguous(found: Iterable[Resolution]) -> Verdict:
    lines = ["Ambiguous; possibilities are", *(f"<{each.address}>" for each in found)][: _MOST_SHOWN + 1]
    return Verdict(Reply(553, "5.1.4", "\n".join(lines)), "ambiguous")


def expand(directory: Directory, text: str) -> Verdict:
    """EXPN, where it is switched on."""
    found = directory.named(text)
    lists = [each for each in found if isinstance(each, Expanded) and each.owner is not None]
    if len(lists) > 1:
        return _ambiguous(lists)
    if not lists:
        unknown = not found or isinstance(found[0], Unknown)
        return _UNKNOWN if unknown else _NOT_A_LIST
    members = lists[0].targets
    if len(members) > _MOST_SHOWN:
        return Verdict(Reply(252, "2.5.0", f"The list has {len(members)} members, too many to show"), "list too long")
    return Verdict(Reply(250, "2.1.5", "\n".join(f"<{each.address}>" for each in members)), "expanded")


_HELP: Mapping[str, str] = MappingProxyType(
    {
        "HELO": "HELO domain\nBegins a session without extensions. Give your own host name.",
        "EHLO": "EHLO domain\nBegins a session; the reply lists the extensions offered here.",
        "LHLO": "LHLO domain\nBegins an LMTP session (RFC 2033); only on LMTP listeners.",
        "MAIL": "MAIL FROM:<sender> [SIZE=n] [BODY=7BIT|8BITMIME|BINARYMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=id]\n"
        "Begins a message. <> is the sender of reports.",
        "RCPT": "RCPT TO:<recipient> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=rfc822;address]\n"
        "Adds a recipient; once for each.",
        "DATA": "DATA\nAfter the reply 354 send the message, then a dot on a line of its own.",
        "BDAT": "BDAT size [LAST]\nSends size octets of the message without dots (RFC 3030).",
        "RSET": "RSET\nForgets the message that was begun.",
        "NOOP": "NOOP [text]\nDoes nothing and says so.",
        "QUIT": "QUIT\nEnds the session.",
        "VRFY": "VRFY name\nAsks whether a mailbox exists. May be switched off.",
        "EXPN": "EXPN list\nAsks who is on a list. May be switched off.",
        "HELP": "HELP [command]\nExplains a command.",
    }
)
_SUMMARY: Final = Verdict(
    Reply(211, "2.0.0", "Commands: " + " ".join(_HELP) + "\nSay HELP and a command for more; RFC 5321 has it all"),
    "help",
)
_TOPICS: Mapping[str, Verdict] = MappingProxyType(
    {topic: Verdict(Reply(214, "2.0.0", text), "help") for topic, text in _HELP.items()}
)
_NO_TOPIC: Final = Verdict(Reply(504, "5.5.4", "No help on that; say HELP alone for what there is"), "help: no topic")


def help_on(topic: str) -> Verdict:
    """HELP: the summary for "", or what there is to say about a command."""
    topic = topic.strip().upper()
    return _TOPICS.get(topic, _NO_TOPIC) if topic else _SUMMARY
