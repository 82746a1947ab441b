"""``posthouse explain``: what a reply code means, whose fault it is, and what happens next."""

from __future__ import annotations

import re

import click

from posthouse.cli import language
from posthouse.cli.house import operate
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import coloured, say, with_json, with_lang

__all__ = ["explain"]

_ADDRESS = re.compile(r"<?\S+@\S+>?")
_LABELS = {
    "en": ("who has to act", "what comes next", "when Posthouse says it", "note", "source", "only other systems do"),
    "zh": ("由谁处理", "下一步", "Posthouse 何时给出", "备注", "出处", "只有其他系统会给出"),
}


@click.command(short_help="Explain a reply code, in English or Chinese.")
@click.argument("code", nargs=-1, required=True)
@with_lang
@with_json
def explain(code: tuple[str, ...], lang: str | None, as_json: bool) -> None:
    """Explain a reply code (550), an enhanced code (5.1.1), a family of them (4.7.x), or a line of a log.

    A message's story by its queue id, and the way of an address, are not explained in this version; see `posthouse
    queue show` and `posthouse check address`.
    """
    chosen = language(lang)
    wanted = " ".join(code)
    if _ADDRESS.fullmatch(wanted):
        raise click.UsageError(f"addresses are not explained in this version; see `posthouse check address {wanted}`")
    found = operate("explain code", code=wanted, lang=chosen)
    if as_json:
        print_json(found)
        return
    if len(found) > 3:
        width = max(len(entry.code) for entry in found)
        for entry in found:
            click.echo(f"{entry.code.ljust(width)}  {entry.title}")
        return
    whose, step, occasion, note, source, peers = _LABELS[chosen]
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
