"""``posthouse demo``: two daemons relay and deliver a message, and every line of both dialogues is explained."""

from __future__ import annotations

import asyncio
import contextlib
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes, language
from posthouse.cli.context import run, signals, unless
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import coloured, safe, say, with_json, with_lang
from posthouse.cli.transcript import show
from posthouse.codes import Live, Said, annotate

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from posthouse.service.daemon.transcripts import Dialogue
    from posthouse.service.demo import Demo, DemoArrival

__all__ = ["demo"]

#: Seconds within which a message on loopback must have arrived.
_PATIENCE = 30.0
#: What shows the console in this event loop.
_CONSOLE = "posthouse.console.process:beside"

_TEXT = {
    "en": {
        "opening": "Two mail servers run on this machine: sohu.com and sina.com.\n"
        "langrui@sohu.com writes to renping@sina.com. S: is the sending SMTP, R: the receiving SMTP.",
        "first": "langrui's mail program submits the message to the server of sohu.com",
        "second": "The server of sohu.com asks the DNS for sina.com's mail exchanger (mx.sina.com), and relays",
        "message": "The message in the mailbox of {mailbox}",
        "trace": "Each server has put a Received field on top; the last one has added Return-Path, because it "
        "delivered.",
        "reading": "What renping reads",
        "stay": "Both servers run until you press Ctrl-C. To send more messages, in another terminal:",
        "hand": "Or type the SMTP dialogue yourself (see docs/tutorial.md):",
        "read": "To read what has arrived:",
        "console": "The inbox of renping in the web console:",
        "end": "Delivered.",
        "closed": "Both servers have stopped, and their files are removed.",
    },
    "zh": {
        "opening": "本机上启动了两台邮件服务器：sohu.com 和 sina.com。\n"
        "langrui@sohu.com 写信给 renping@sina.com。S: 是发送SMTP，R: 是接收SMTP。",
        "first": "langrui 的邮件程序把信提交给 sohu.com 的服务器",
        "second": "sohu.com 的服务器向 DNS 查询 sina.com 的邮件交换主机（mx.sina.com），然后中转",
        "message": "{mailbox} 邮箱里的信",
        "trace": "每台服务器都在最上面加了一个 Received 字段；最后一台负责投递，所以还加了 Return-Path。",
        "reading": "任平读到的内容",
        "stay": "两台服务器会一直运行，按 Ctrl-C 结束。在另一个终端里可以再发几封信：",
        "hand": "或者自己动手输入 SMTP 命令（见 docs/tutorial.md）：",
        "read": "查看收到的信：",
        "console": "在网页控制台里看任平的邮箱：",
        "end": "已投递。",
        "closed": "两台服务器都已停止，它们的文件也已删除。",
    },
}


@click.command(short_help="Watch a message pass two mail servers, line by line.")
@click.option("--once", is_flag=True, help="End when the message is delivered.")
@click.option("--codes", is_flag=True, help="Bring about each of the classic reply codes, and explain it.")
@with_lang
@with_json
def demo(once: bool, codes: bool, lang: str | None, as_json: bool) -> None:
    """Watch a message pass two mail servers, line by line.

    Two mail servers, sohu.com and sina.com, start on this machine. A message from langrui@sohu.com is submitted to the
    first, which relays it to the second, which delivers it to renping@sina.com. Both dialogues are shown and every
    line explained, then the delivered message. Without --once both keep running, so that you can send more messages and
    read them in the web console, whose address is printed.

    With --codes, a server gives each of the reply codes that texts about SMTP list, from 211 to 554. Each dialogue is
    shown with the setting that it needs, and explained. Then the command ends.
    """
    if codes:
        from posthouse.cli.demo_codes import show_codes

        run(show_codes(language(lang), as_json))
        return
    if as_json and not once:
        raise click.UsageError("--json gives one value at the end, so it needs --once")
    chosen = language(lang)
    run(_once(chosen, as_json) if once else _stay(chosen))


async def _travel(demo: Demo) -> DemoArrival:
    """Send the message and wait until it is delivered."""
    outcomes = await demo.send(demo.compose())
    for outcome in outcomes:
        if outcome.result.value != "delivered":
            raise exit_codes.CommandFailed(
                f"the first server did not accept the message: {outcome.reason}", exit_codes.UNAVAILABLE
            )
    return await demo.arrival()


def _not_arrived(stop: asyncio.Event) -> exit_codes.CommandFailed:
    if stop.is_set():
        return exit_codes.CommandFailed(
            "posthouse demo was interrupted before the message was delivered", exit_codes.SIGNALLED
        )
    return exit_codes.CommandFailed(
        f"the message was not delivered within {_PATIENCE:g} seconds; is this machine very busy, or loopback filtered?",
        exit_codes.TEMPFAIL,
    )


async def _once(lang: str, as_json: bool) -> None:
    from posthouse.service.demo import Demo

    daemons = Demo()
    with signals(daemons.remove) as stop:  # before anything is on the disk
        async with daemons:
            arrival = await unless(stop, _travel(daemons), _PATIENCE)
            if arrival is None:
                raise _not_arrived(stop)
            await daemons.close()
    if as_json:
        print_json(_facts(daemons, arrival, lang))
        return
    text = _TEXT[lang]
    say(text["opening"])
    for dialogue in daemons.dialogues:
        _heading(_name(dialogue, lang))
        for said in annotate([(line.who, line.text) for line in dialogue.lines], lang):
            show(said)
    _show_message(arrival, text)
    say("")
    say(text["end"], "bold green")


async def _stay(lang: str) -> None:
    from posthouse.service.demo import Demo

    text = _TEXT[lang]
    say(text["opening"])
    watcher = _Watcher(lang)
    daemons = Demo(heard=watcher.heard)
    with signals(daemons.remove) as stop:  # before anything is on the disk
        async with daemons:
            arrival = await unless(stop, _travel(daemons), _PATIENCE)
            if arrival is None:
                raise _not_arrived(stop)
            watcher.flush()
            _show_message(arrival, text)
            _directions(daemons, text)
            async with _console(daemons) as address:
                if address:
                    say(f"{text['console']} {address}", "bold green")
                watcher.live = True
                await stop.wait()
            await daemons.close()
            watcher.flush()
    say(f"\n{text['closed']}")


@contextlib.asynccontextmanager
async def _console(daemons: Demo) -> AsyncIterator[str]:
    """The web console of sina.com's server while the context lasts: its address, "" where it cannot be shown."""
    import importlib

    from posthouse.service.process.console_process import missing_packages

    if missing_packages():
        yield ""
        return
    module, _, name = _CONSOLE.partition(":")
    beside = getattr(importlib.import_module(module), name)
    async with beside(daemons.daemons["sina.com"].context, daemons.directories["sina.com"]) as address:
        yield address


def _directions(daemons: Demo, text: dict[str, str]) -> None:
    from posthouse.service.demo import DEMO_DOMAINS

    say("")
    say(text["stay"], "bold")
    domains = list(DEMO_DOMAINS)
    for domain, other in (domains, domains[::-1]):
        sender, recipient = f"{DEMO_DOMAINS[domain][2]}@{domain}", f"{DEMO_DOMAINS[other][2]}@{other}"
        place = daemons.submission(domain)
        click.echo(
            f"  posthouse send --server smtp://{place} --from {sender} --to {recipient} --subject hello --text 'Hello!'"
        )
    say(text["hand"])
    place = daemons.submission(domains[0])
    click.echo(f"  nc -C {place.host} {place.port}")
    say(text["read"], "bold")
    for domain in domains:
        click.echo(f"  posthouse inbox list --data-dir {daemons.directories[domain]}")


class _Watcher:
    """Printer of dialogues while they happen: a session's lines are shown together when it waits for the other side."""

    _MOST = 200  # sessions remembered; when there are more, all are shown and forgotten

    def __init__(self, lang: str) -> None:
        self.live = False
        self._lang = lang
        self._sessions: dict[int, tuple[Dialogue, Live, list[Said]]] = {}
        self._shown = 0

    def heard(self, dialogue: Dialogue, who: str, text: str) -> None:
        """One more line."""
        if dialogue.number not in self._sessions and len(self._sessions) >= self._MOST:
            self.flush()
            self._sessions.clear()
        _, explain, held = self._sessions.setdefault(dialogue.number, (dialogue, Live(self._lang), []))
        held.append(explain(who, text))
        if (self.live and explain.resting) or len(held) >= self._MOST:
            self._show(dialogue.number)

    def flush(self) -> None:
        """Show all that was held back, session by session."""
        for number in self._sessions:
            self._show(number)

    def _show(self, number: int) -> None:
        dialogue, _, held = self._sessions[number]
        if held and number != self._shown:
            _heading(_name(dialogue, self._lang))
            self._shown = number
        for said in held:
            show(said)
        held.clear()


def _name(dialogue: Dialogue, lang: str) -> str:
    """The heading of a dialogue."""
    text = _TEXT[lang]
    if dialogue.number == 1:
        return text["first"]
    return text["second"] if dialogue.number == 2 else dialogue.where


def _heading(name: str) -> None:
    say("")
    say(f"── {name} ──", "bold yellow")


_MARKED = ("return-path", "received")


def _show_message(arrival: DemoArrival, text: dict[str, str]) -> None:
    """Show the message as it is stored in the mailbox, and as a mail program shows it."""
    _heading(text["message"].format(mailbox=arrival.mailbox))
    raw = safe(arrival.content.decode("utf-8", "replace").replace("\r\n", "\n"))
    head, _, body = raw.partition("\n\n")
    marked = False
    for line in head.split("\n"):
        if not line[:1].isspace():
            marked = line.partition(":")[0].lower() in _MARKED
        click.echo(click.style(line, fg="magenta") if marked and coloured() else line, color=coloured())
    click.echo(f"\n{body.rstrip()}\n")
    say(text["trace"], "dim")
    _heading(text["reading"])
    message = _parsed(arrival.content)
    for name in ("From", "To", "Subject"):
        click.echo(f"{name}: {safe(str(message[name]))}")
    click.echo(f"\n{safe(message.get_content().replace(chr(13), '').rstrip())}")


def _parsed(content: bytes) -> Any:
    from email import message_from_bytes
    from email.policy import default

    return message_from_bytes(content, policy=default)


def _facts(daemons: Demo, arrival: DemoArrival, lang: str) -> dict[str, Any]:
    """All of it as one JSON value."""
    from posthouse.message import fields, split, unfold

    headers = [
        {"name": field.name.decode("utf-8", "replace"), "value": unfold(field.value).decode("utf-8", "replace").strip()}
        for field in fields(split(arrival.content).headers)
    ]
    return {
        "delivered": True,
        "mailbox": arrival.mailbox,
        "dialogues": [
            {
                "name": dialogue.where,
                "lines": [
                    {name: value for name, value in said._asdict().items() if value}
                    for said in annotate([(line.who, line.text) for line in dialogue.lines], lang)
                ],
            }
            for dialogue in daemons.dialogues
        ],
        "message": {
            "queue_id": arrival.entry.queue_id,
            "sender": arrival.entry.sender,
            "size": arrival.entry.size,
            "headers": headers,
            "raw": arrival.content.decode("utf-8", "replace"),
        },
    }
