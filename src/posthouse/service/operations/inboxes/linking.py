"""The operation that asks for the links of a message, once, on demand."""

from __future__ import annotations

from typing import Final
from weakref import WeakKeyDictionary

from msgspec import Struct

from posthouse.service.inbox.link_check import LinkChecker, LinkVerdict
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.inboxes.reading import links_of
from posthouse.spool.mail_index import MailIndex

__all__ = ["LINKING_OPERATIONS", "LinkEntry", "LinkReport", "link_text"]

#: The checker of each index: its bounds are for all who ask of one process.
_CHECKERS: Final[WeakKeyDictionary[MailIndex, LinkChecker]] = WeakKeyDictionary()


class LinkEntry(Struct, frozen=True, kw_only=True):
    """What was found of one link.

    ``result`` is works, broken, open (unclear) or skipped (not asked for); ``status`` that of the server's answer, 0
    without one; ``place`` where redirects led to, "" without any; ``text`` the finding in English, and ``kind`` and
    ``detail`` what it is made of.
    """

    url: str
    result: str
    status: int
    place: str
    kind: str
    detail: str
    text: str


class LinkReport(Struct, frozen=True, kw_only=True):
    """The links and pictures of one message, and how many of them work, are broken, or could not be judged."""

    number: int
    works: int
    broken: int
    unclear: int
    links: list[LinkEntry]


async def _check(context: Context, number: int) -> LinkReport:
    async with context.spool() as spool:
        found, links = await links_of(context, spool, number)
        checker = _CHECKERS.setdefault(spool.index, LinkChecker(context.clock))
    verdicts = await checker.check(links, context.config.inbox.link_networks)
    counts = [each.result for each in verdicts]
    return LinkReport(
        number=found,
        works=counts.count("works"),
        broken=counts.count("broken"),
        unclear=counts.count("open") + counts.count("skipped"),
        links=[
            LinkEntry(
                url=each.url,
                result=each.result,
                status=each.status,
                place=each.place,
                kind=each.kind,
                detail=each.detail,
                text=each.sentence(),
            )
            for each in verdicts
        ],
    )


def link_text(entry: LinkEntry, lang: str) -> str:
    """What was found of a link, as a sentence in ``lang``."""
    return LinkVerdict(entry.url, entry.kind, entry.status, entry.detail, entry.place).sentence(lang)


#: The operation of this module.
LINKING_OPERATIONS: Final = (
    Operation(
        "inbox links",
        "Ask for the links and pictures of a message, each once, and say which are broken.",
        _check,
        LinkReport,
        (Parameter("number", "Its number, as in `inbox list`.", int),),
        outward=True,
        narrowed=True,
    ),
)
