"""The shape of Mailpit's HTML check: warnings by feature, scores in percent, and the platforms of the data."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from posthouse.service.operations.inboxes.html_checking import HtmlNote, HtmlReport, ProgramSupport

__all__ = ["html_check_of"]

_WORDS = {"yes": "yes", "partly": "partial", "no": "no"}


def _shares(programs: Sequence[ProgramSupport]) -> dict[str, float]:
    """Percent of the programs whose support is known."""
    known = [each.support for each in programs if each.support in _WORDS]
    whole = max(1, len(known))
    return {
        "Supported": 100 * known.count("yes") / whole,
        "Partial": 100 * known.count("partly") / whole,
        "Unsupported": 100 * known.count("no") / whole,
    }


def _warning(note: HtmlNote) -> Mapping[str, Any]:
    texts = dict.fromkeys(each.note for each in note.programs if each.note)
    numbers = {text: str(number) for number, text in enumerate(texts, 1)}
    return {
        "Slug": note.slug,
        "Title": note.title,
        "Description": "",
        "URL": note.url,
        "Category": note.category,
        "Tags": [],
        "Keywords": "",
        "Results": [
            {
                "Name": f"{each.program} {each.platform} ({each.version})",
                "Platform": each.platform,
                "Family": each.program,
                "Version": each.version,
                "Support": _WORDS[each.support],
                "NoteNumber": numbers.get(each.note, ""),
            }
            for each in note.programs
            if each.support in _WORDS
        ],
        "NotesByNumber": {number: text for text, number in numbers.items()},
        "Score": {"Found": note.times, **_shares(note.programs)},
    }


def html_check_of(report: HtmlReport) -> Mapping[str, Any]:
    """The answer for a report."""
    platforms: dict[str, set[str]] = {}
    for note in report.notes:
        for each in note.programs:
            platforms.setdefault(each.platform, set()).add(each.program)
    everything = [each for note in report.notes for each in note.programs]
    return {
        "Warnings": [_warning(each) for each in report.notes],
        "Platforms": {name: sorted(programs) for name, programs in sorted(platforms.items())},
        "Total": {"Tests": report.looked_for, "Nodes": report.elements, **_shares(everything)},
    }
