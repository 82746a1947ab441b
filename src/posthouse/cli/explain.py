"""``posthouse explain``: a message's history, where a message would go, what a reply code means."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING

import click

from posthouse.cli import language
from posthouse.cli.context import DaemonOptions, operate, with_daemon
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, coloured, paragraph, safe, say, table, with_json, with_lang
from posthouse.service.operations.spelling import as_written, text_as_written

if TYPE_CHECKING:
    from posthouse.service.operations.explain_text import Sentence
    from posthouse.service.operations.results import CodeEntry, CommandText, Explained, SettingText

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
_COMMAND = {
    "en": ("how it is written", "when it is legal", "usual replies", "older spelling", "note", "source"),
    "zh": ("写法", "何时可用", "常见应答码", "旧写法", "备注", "出处"),
}
_SETTING = {"en": ("type", "default"), "zh": ("类型", "默认值")}
_HEADINGS = {
    "en": ("ID", "RECEIVED", "FROM", "TO", "QUEUED", "yes", "no"),
    "zh": ("队列编号", "接收时间", "发件人", "收件人", "仍在队列", "是", "否"),
}
_OLDER = {"en": "… and older ones, which are not shown", "zh": "……还有更早的邮件，未列出"}
_MESSAGES = {"en": "Recent messages from it or to it:", "zh": "最近发自或发往该地址的邮件："}


@click.command(short_help="Explain a message, an address, a reply code, a command or a setting.")
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
    """Explain a message's history, where a message to an address would go, what a code, command or setting means.

    \b
    posthouse explain ID              a message: each attempt, its state, and why
    posthouse explain '<MESSAGE-ID>'  the same, by the message's Message-ID
    posthouse explain ADDRESS         a dry run: alias, route, hosts, limits
    posthouse explain CODE            550, 5.1.1, 4.7.x, or a line of a log
    posthouse explain COMMAND         MAIL, RCPT, HELLO: syntax, order, replies
    posthouse explain SETTING         relay.max_hops: what a setting does
    """
    from posthouse.service.operations.explain import what_is

    chosen = language(lang)
    wanted = " ".join(what)
    if what_is(wanted) in ("code", "command", "setting"):
        found = operate("explain code", code=wanted, lang=chosen)
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
    elif found.command is not None:
        _command(found.command, lang)
    elif found.kind == "setting":
        _settings(found.settings, lang)
    elif found.kind == "code":
        _codes(found.codes, lang)
    if found.messages:
        *headings, yes, no = _HEADINGS[lang]
        table(
            headings,
            (
                (
                    each.id,
                    aware(each.received),
                    as_written(each.sender) or "<>",
                    ", ".join(map(as_written, each.recipients[:3])) + (" …" if len(each.recipients) > 3 else ""),
                    yes if each.queued else no,
                )
                for each in found.messages
            ),
            styles="bold dim cyan green yellow",
        )
    if found.has_older:
        say(_OLDER[lang], "dim")


def _sentences(sentences: Iterable[Sentence]) -> None:
    """Print a paragraph each: an event behind its time, and what belongs to the event below it."""
    width = len(aware(0.0)) + 2
    margin = 0
    for each in sentences:
        if each.tone != "line":  # a line of a dialogue stays as it was
            each = each._replace(text=text_as_written(each.text))
        if each.at is not None:
            margin = width
            front = aware(each.at).ljust(width)
        else:
            margin = 0 if each.tone == "title" else margin
            front = " " * (margin + 2 * each.depth)
        text = safe(each.text.replace("\n", " / "))
        lines = [front + text] if each.tone == "line" else paragraph(text, front, " " * (len(front) + 2))
        for line in lines:
            say(line, _STYLES[each.tone])


def _command(found: CommandText, lang: str) -> None:
    say(f"{found.verb}  {found.title}", "bold cyan")
    for line in paragraph(found.meaning):
        click.echo(line)
    texts = (found.syntax, found.when, " ".join(map(str, found.replies)), found.older, found.note, found.source)
    for label, text in zip(_COMMAND[lang], texts, strict=True):
        if text:
            _fact(label, text, lang)


def _settings(found: Sequence[SettingText], lang: str) -> None:
    for number, each in enumerate(found):
        if number:
            click.echo()
        say(each.name, "bold cyan")
        for line in paragraph(each.text):
            click.echo(line)
        for label, text in zip(_SETTING[lang], (each.type, each.default), strict=True):
            if text:
                _fact(label, text, lang)


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
        for line in paragraph(entry.meaning):
            click.echo(line)
        facts = [(whose, entry.whose), (step, entry.next_step)]
        if "." not in entry.code and entry.registered:
            facts.append((occasion, entry.occasion or peers))
        facts += [(note, entry.note), (source, entry.source)]
        for label, text in facts:
            if text:
                _fact(label, text, lang)


def _fact(label: str, text: str, lang: str) -> None:
    label += "：" if lang == "zh" else ": "
    first, *rest = paragraph(label + text, "  ", "    ")
    mark = click.style(label, bold=True) if coloured() else label
    for line in (f"  {mark}{first.lstrip().removeprefix(label.rstrip()).lstrip()}", *rest):
        click.echo(line, color=coloured())
