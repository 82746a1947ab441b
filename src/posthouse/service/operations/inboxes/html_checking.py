"""The operation that says what mail programs make of the HTML of a message (``service.inbox.html_support``)."""

from __future__ import annotations

import asyncio
from typing import Final

from msgspec import Struct

from posthouse.core import SettingError
from posthouse.service.operations.base import Context, Operation, Parameter
from posthouse.service.operations.inboxes.reading import read_octets_of

__all__ = ["HTML_CHECKING_OPERATIONS", "HtmlNote", "HtmlReport", "ProgramSupport"]

_MOST: Final = 1 << 19  # characters of HTML that are looked at


class ProgramSupport(Struct, frozen=True, kw_only=True):
    """A mail program on a platform, in the version that was tested last: ``support`` is yes, partly, no or unknown, and
    ``note`` says what is missing."""

    program: str
    platform: str
    version: str
    support: str
    note: str


class HtmlNote(Struct, frozen=True, kw_only=True):
    """A feature that a message uses so many times and that not every program supports, with all programs."""

    slug: str
    title: str
    category: str
    url: str
    times: int
    programs: list[ProgramSupport]


class HtmlReport(Struct, frozen=True, kw_only=True):
    """The notes on the HTML of a message, those first that concern the most programs.

    ``looked_for`` of ``features`` of the data were looked for; the data was last changed at ``data_of``.  ``elements``
    is the number of elements; ``cut`` says that only the beginning of the HTML was looked at.
    """

    number: int
    notes: list[HtmlNote]
    looked_for: int
    features: int
    data_of: str
    elements: int
    cut: bool


async def _check(context: Context, number: int) -> HtmlReport:
    path = context.config.inbox.html_support
    if not path:
        raise SettingError(
            "no data about mail programs is named",
            remedy='write html_support = "…/caniemail.json" into [inbox]; docs/console.md says where it comes from',
        )
    async with context.spool() as spool:
        message, octets = await read_octets_of(spool, context, number)
    return await asyncio.to_thread(_report, message.number, octets, path)


def _report(number: int, octets: bytes, path: str) -> HtmlReport:
    from posthouse.message.reading.read_message import read_octets
    from posthouse.service.inbox.html_features import features_in
    from posthouse.service.inbox.html_support import load_support, notes_on

    data = load_support(path)
    html = read_octets(octets).html or ""
    used = features_in(html[:_MOST])
    return HtmlReport(
        number=number,
        notes=[
            HtmlNote(
                slug=note.feature.slug,
                title=note.feature.title,
                category=note.feature.category,
                url=note.feature.url,
                times=note.times,
                programs=[
                    ProgramSupport(
                        program=each.name,
                        platform=each.platform,
                        version=each.version,
                        support=each.support,
                        note=each.note,
                    )
                    for each in note.feature.programs
                ],
            )
            for note in notes_on(used, data)
        ],
        looked_for=sum(1 for each in data.features if each.keys),
        features=len(data.features),
        data_of=data.changed,
        elements=sum(times for key, times in used.items() if key.startswith("<")),
        cut=len(html) > _MOST,
    )


#: The operation of this module.
HTML_CHECKING_OPERATIONS: Final = (
    Operation(
        "inbox html-check",
        "Say which mail programs do not show what the HTML of a message uses.",
        _check,
        HtmlReport,
        (Parameter("number", "Its number, as in `inbox list`.", int),),
        reads=True,
        narrowed=True,
    ),
)
