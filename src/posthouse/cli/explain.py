"""``posthouse explain``: a message's history, where a message would go, what a reply code means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from posthouse.cli import language
from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, coloured, safe, say, table, with_json, with_lang

if TYPE_CHECKING:
    from posthouse.service.operations.explain_text import Sentence
    from posthouse.service.operations.results import CodeEntry, Explained

__all__ = ["explain"]

_LABELS = {
    "en": ("who has to act", "next step", "when Posthouse gives it", "note", "source", "other systems only"),
    "zh": ("由谁处理", "下一步", "Posthouse 何时给出", "备注", "出处", "只有其他系统会给出"),
}
_STYLES = {
    "title": "bold",
    "fact": "",
    "good": "green",
    "bad": "bold red",
    "wait": "yellow",
    "quiet": "dim",
    "line": "cyan",
}
_MESSAGES = {"en": "Recent messages from it or to it:", "zh": "最近发自或发往该地址的邮件："}


@click.command(short_help="Explain a message's history, an address's route or a reply code.")
@click.argument("what", nargs=-1, required=True)
@click.option("--transcript", is_flag=True, help="Show the dialogue of each attempt of a message.")
@with_lang
@with_daemon
@with_json
def explain(
    what: tuple[str, ...],
    transcript: bool,
    lang: str | None,
    config_file: str | None,
    data_dir: str | None,
    as_json: bool,
) -> None:
    """Explain a message's history, where a message to an address would go, or what a reply code means.

    \b
    posthouse explain ID               a message: how it came, each attempt, its state now, and why
    posthouse explain '<MESSAGE-ID>'   the same, by the message's Message-ID
    posthouse explain ADDRESS          a dry run: alias, route, hosts, limits, result; nothing is sent
    posthouse explain CODE             550, 5.1.1, a family (4.7.x), or a line of a log
    """
    from posthouse.service.operations.explain import what_is

    chosen = language(lang)
    wanted = " ".join(what)
    if what_is(wanted) == "code":
        from posthouse.service.operations.results import Explained

        found = Explained(kind="code", codes=operate("explain code", code=wanted, lang=chosen))
    else:
        found = operate("explain", DaemonOptions(config_file, data_dir), what=wanted, lang=chosen)
    if as_json:
        print_json(found)
        return
    _show(found, chosen, transcript)


def _show(found: Explained, lang: str, transcript: bool) -> None:
    from posthouse.service.operations.explain_text import address_sentences, history_sentences

    if found.message is not None:
        _sentences(history_sentences(found.message, lang, aware, transcript=transcript))
    elif found.address is not None:
        _sentences(address_sentences(found.address, lang, aware))
        if found.messages:
            click.echo()
            say(_MESSAGES[lang], "bold")
    elif found.kind == "code":
        _codes(found.codes, lang)
    if found.messages:
        table(
            ("ID", "RECEIVED", "FROM", "TO", "QUEUED"),
            (
                (
                    each.id,
                    aware(each.received),
                    each.sender or "<>",
                    ", ".join(each.recipients[:3]) + (" …" if len(each.recipients) > 3 else ""),
                    "yes" if each.queued else "no",
                )
                for each in found.messages
            ),
            styles="bold dim cyan green yellow",
        )


def _sentences(sentences: Iterable[Sentence]) -> None:
    """Print one line each: an event behind its time, and what belongs to the event below it."""
    width = len(aware(0.0)) + 2
    margin = 0
    for each in sentences:
        if each.at is not None:
            margin = width
            text = aware(each.at).ljust(width) + each.text
        else:
            margin = 0 if each.tone == "title" else margin
            text = " " * (margin + 2 * each.depth) + each.text
        say(safe(text.replace("\n", " / ")), _STYLES[each.tone])


def _codes(found: Sequence[CodeEntry], lang: str) -> None:
    if len(found) > 3:
        width = max(len(entry.code) for entry in found)
        for entry in found:
            click.echo(f"{entry.code.ljust(width)}  {entry.title}")
        return
    whose, step, occasion, note, source, peers = _LABELS[lang]
    for number, entry in enumerate(found):
        if number:
            click.echo()
        say(f"{entry.code}  {entry.title}", "bold cyan")
        click.echo(entry.meaning)
        facts = [(whose, entry.whose), (step, entry.next_step)]
        if "." not in entry.code and entry.registered:
            facts.append((occasion, entry.occasion or peers))
        facts += [(note, entry.note), (source, entry.source)]
        for label, text in facts:
            if text:
                _fact(label, text)


def _fact(label: str, text: str) -> None:
    mark = click.style(f"{label}:", bold=True) if coloured() else f"{label}:"
    click.echo(f"  {mark} {text}", color=coloured())
