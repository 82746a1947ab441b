"""The answers to VRFY, EXPN and HELP (RFC 5321 §3.5, §4.1.1.6 to §4.1.1.8).

VRFY and EXPN tell any client which mailboxes exist, so both are off unless a listener switches them on.  While they are
off, both answer 252: RFC 5321 §7.3 demands that code of a server that has switched them off, because it neither
confirms nor denies anything.  (§3.5.3 allows 502 for a command that is not *implemented*, which EXPN is.)  VRFY of a
list answers for the list's own address, which accepts mail.

HELP lists the commands that this listener has on: LHLO only where LMTP is spoken, VRFY and EXPN where they are on.  A
topic may also be a command that is off, and the older spellings HELLO and REST, which the receiver understands.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final

from posthouse.core import Reply, Verdict
from posthouse.service.config.model import ListenerSettings
from posthouse.service.directory.directory import Directory, Expanded, Foreign, Moved, Resolution, Unknown

__all__ = ["EXPN_OFF", "HelpPages", "VRFY_OFF", "expand", "help_pages", "moved", "verify"]

VRFY_OFF: Final = Verdict(
    Reply(252, "2.5.0", "Cannot VRFY user, but will accept message and attempt delivery"), "vrfy is off"
)
EXPN_OFF: Final = Verdict(
    Reply(252, "2.5.0", "Cannot EXPN list, but will accept message and attempt delivery"), "expn is off"
)

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


_HELP: Final[Mapping[str, str]] = MappingProxyType(
    {
        "HELO": "HELO domain\nBegins a session without extensions. Give your own host name. HELLO is understood too.",
        "EHLO": "EHLO domain\nBegins a session; the reply lists the extensions offered here.",
        "LHLO": "LHLO domain\nBegins an LMTP session (RFC 2033); the reply lists the extensions offered here.",
        "MAIL": "MAIL FROM:<sender> [SIZE=n] [BODY=7BIT|8BITMIME|BINARYMIME] [SMTPUTF8] [RET=FULL|HDRS] [ENVID=id]\n"
        "Begins a message. <> is the sender of reports.",
        "RCPT": "RCPT TO:<recipient> [NOTIFY=NEVER|SUCCESS,FAILURE,DELAY] [ORCPT=rfc822;address]\n"
        "Adds a recipient; once for each.",
        "DATA": "DATA\nAfter the reply 354 send the message, then a dot on a line of its own.",
        "BDAT": "BDAT size [LAST]\nSends size octets of the message without dots (RFC 3030).",
        "RSET": "RSET\nForgets the message that was begun. REST is understood too.",
        "NOOP": "NOOP [text]\nDoes nothing and says so.",
        "QUIT": "QUIT\nEnds the session.",
        "STARTTLS": "STARTTLS\nEncrypts the connection; say EHLO again afterwards.",
        "AUTH": "AUTH mechanism [initial-response]\nLogs in; the reply to EHLO lists the mechanisms.",
        "VRFY": "VRFY name\nAsks whether a mailbox exists.",
        "EXPN": "EXPN list\nAsks who is on a list.",
        "HELP": "HELP [command]\nExplains a command.",
    }
)
#: Older spellings of verbs, which the receiver reads as the RFC's.
_OLDER: Final = MappingProxyType({"HELLO": "HELO", "REST": "RSET"})
_NO_TOPIC: Final = Verdict(Reply(504, "5.5.4", "No help on that; say HELP alone for what there is"), "help: no topic")


class HelpPages:
    """The replies to HELP of one listener: 211 with the commands that are on, and 214 for each command."""

    __slots__ = ("_summary", "_topics")

    def __init__(
        self, *, lmtp: bool, vrfy: bool = False, expn: bool = False, starttls: bool = False, auth: bool = False
    ) -> None:
        off = {
            "LHLO": "" if lmtp else "Not here: this is SMTP; say EHLO.",
            "EHLO": "Not here: this is LMTP; say LHLO." if lmtp else "",
            "HELO": "Not here: this is LMTP; say LHLO." if lmtp else "",
            "STARTTLS": "" if starttls else "Not offered here.",
            "AUTH": "" if auth else "Not offered here.",
            "VRFY": "" if vrfy else "Switched off here.",
            "EXPN": "" if expn else "Switched off here.",
        }
        names = " ".join(name for name in _HELP if not off.get(name))
        text = f"Commands: {names}\nSay HELP and a command for more; RFC 5321 has it all"
        self._summary = Verdict(Reply(211, "2.0.0", text), "help")
        self._topics: dict[str, Verdict] = {}
        for name, page in _HELP.items():
            page = f"{page}\n{off[name]}" if off.get(name) else page
            self._topics[name] = Verdict(Reply(214, "2.0.0", page), "help")
        for older, name in _OLDER.items():
            self._topics[older] = self._topics[name]

    def on(self, topic: str) -> Verdict:
        """The summary for "", or the page on a command, named by the first word of ``topic``."""
        words = topic.upper().split()
        return self._topics.get(words[0], _NO_TOPIC) if words else self._summary


def help_pages(listener: ListenerSettings, *, logins: bool) -> HelpPages:
    """The pages of a listener; ``logins`` if clients can log in."""
    return HelpPages(
        lmtp=listener.kind == "lmtp",
        vrfy=listener.vrfy,
        expn=listener.expn,
        starttls=listener.tls == "starttls",
        auth=logins,
    )
