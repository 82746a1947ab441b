"""The history of a message: a time line from acceptance to each recipient's fate, each attempt with its dialogue."""

from __future__ import annotations

import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final, NamedTuple

from posthouse.console.declarations import Page, Shown
from posthouse.console.dialogue_view import DiagramLine, diagram
from posthouse.console.problems import NotFound
from posthouse.service.monitor.message_source import client_of
from posthouse.service.operations.explain_text import Sentence, history_sentences
from posthouse.service.operations.results import AttemptEntry, ConnectionEntry, Explained, MessageHistory

if TYPE_CHECKING:
    from posthouse.console.page_request import PageRequest

__all__ = ["HistoryStep", "ROUTES"]


class HistoryStep(NamedTuple):
    """One event of the time line: its sentence, what belongs to it, and the dialogues of an attempt.  ``tone`` is that
    of its worst result: good, wait, bad or fact."""

    head: Sentence
    more: Sequence[Sentence]
    tone: str
    dialogues: Sequence[tuple[str, Sequence[DiagramLine]]] = ()


async def _show(page: PageRequest) -> Shown:
    queue_id = page.args["id"]
    found: Explained = await page.run("explain", what=queue_id)
    if found.message is None:
        raise NotFound(f"there is no message {queue_id[:60]}: it was never here, or its history is no longer kept")
    history = found.message
    sentences = list(history_sentences(history, page.language, _when))
    title, *rest = sentences
    first = next((at for at, each in enumerate(rest) if each.at is not None), len(rest))
    last = next((at for at, each in enumerate(rest) if each.tone == "title"), len(rest))
    return Shown(
        "history_show.html",
        history,
        {
            "summary": title.text,
            "facts": rest[:first],
            "steps": _steps(history, rest[first:last], page.language),
            "standing": rest[last + 1 :],
            "session": history.source if client_of(history.source) else "",
        },
        title=page.text("history.title", id=history.id),
    )


def _when(seconds: float) -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(seconds))


def _steps(history: MessageHistory, sentences: Sequence[Sentence], lang: str) -> list[HistoryStep]:
    """The events: a sentence with a time begins each, and the first is the acceptance."""
    groups: list[list[Sentence]] = []
    for each in sentences:
        if each.at is not None or not groups:
            groups.append([])
        groups[-1].append(each)
    events = [None, *history.events]
    steps = []
    for number, (head, *more) in enumerate(groups):
        event = events[number] if number < len(events) else None
        dialogues = []
        if isinstance(event, AttemptEntry):
            dialogues = [(_peer(each), _lines(each, lang)) for each in event.connections if each.lines]
        steps.append(HistoryStep(head, more, _tone([head, *more]), dialogues))
    return steps


def _peer(connection: ConnectionEntry) -> str:
    return connection.peer or connection.mx


def _lines(connection: ConnectionEntry, lang: str) -> Sequence[DiagramLine]:
    lines = [(None, *_side(line)) for line in connection.lines]
    return diagram(lines, lang, tls=connection.tls)


def _side(line: str) -> tuple[str, str]:
    return (line[0], line[3:]) if line[1:3] == ": " and line[0] in "SR" else ("N", line)


def _tone(sentences: Sequence[Sentence]) -> str:
    tones = {each.tone for each in sentences}
    return next((tone for tone in ("bad", "wait", "good") if tone in tones), "fact")


ROUTES: Final = (Page("/history/{id}", _show),)
