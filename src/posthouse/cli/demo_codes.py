"""``posthouse demo --codes``: each of the classic reply codes, brought about and explained."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import signals, unless
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import say
from posthouse.cli.transcript import show
from posthouse.codes import annotate

if TYPE_CHECKING:
    from posthouse.service.code_tour import CodeTour, CodeWay

__all__ = ["show_codes"]

_TEXT = {
    "en": {
        "opening": "A mail server runs on this machine and is brought to give each of the classic reply codes.\n"
        "S: is the sending SMTP, R: the receiving SMTP; a session per code.",
        "setting": "needs: {setting}",
        "closed": "All {number} codes were given. docs/reply-codes.md has the configuration, to do the same by hand.",
    },
    "zh": {
        "opening": "本机上启动了一台邮件服务器，逐一引出经典的应答码。\n"
        "S: 是发送SMTP，R: 是接收SMTP；每个应答码一个会话。",
        "setting": "所需设置：{setting}",
        "closed": "{number} 个应答码均已出现。所用的配置见 docs/reply-codes.md，可以自己动手重复。",
    },
}
#: Seconds within which all codes must have come.
_PATIENCE = 120.0


async def show_codes(lang: str, as_json: bool) -> None:
    """Bring about each code and show it; as one JSON value at the end with ``as_json``."""
    from posthouse.service.code_tour import CodeTour

    text = _TEXT[lang]
    if not as_json:
        say(text["opening"])
    async with CodeTour() as tour:
        with signals(tour.remove) as stop:
            facts = await unless(stop, _all(tour, lang, quiet=as_json), _PATIENCE)
    if facts is None:
        raise _ended(stop)
    if as_json:
        print_json(facts)
        return
    say("")
    say(text["closed"].format(number=len(facts)), "bold green")


def _ended(stop: asyncio.Event) -> exit_codes.CommandFailed:
    if stop.is_set():
        return exit_codes.CommandFailed("posthouse demo --codes was interrupted", exit_codes.SIGNALLED)
    return exit_codes.CommandFailed(
        f"the codes did not come within {_PATIENCE:g} seconds; is this machine very busy, or loopback filtered?",
        exit_codes.TEMPFAIL,
    )


async def _all(tour: CodeTour, lang: str, *, quiet: bool) -> list[dict[str, Any]]:
    from posthouse.codes.code_lookup import ALL_BASIC
    from posthouse.service.code_tour import CODE_WAYS

    facts = []
    for way in CODE_WAYS:
        lines = annotate(await tour.bring_about(way), lang)
        title = ALL_BASIC[way.code].title.said(lang)
        if not quiet:
            _heading(way, title, lang)
            for line in lines:
                show(line)
        facts.append(
            {
                "code": way.code,
                "title": title,
                "why": way.why.said(lang),
                "setting": way.setting,
                "lines": [{name: value for name, value in line._asdict().items() if value} for line in lines],
            }
        )
    return facts


def _heading(way: CodeWay, title: str, lang: str) -> None:
    click.echo()
    say(f"── {way.code}  {title} ──", "bold yellow")
    say(way.why.said(lang))
    if way.setting:
        say(_TEXT[lang]["setting"].format(setting=way.setting), "dim")
