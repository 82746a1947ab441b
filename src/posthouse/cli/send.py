"""``posthouse send``: send one message, with an outcome for each recipient."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import not_empty
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import live, safe, say, with_json, with_lang
from posthouse.cli.server_options import chosen_server, with_login

if TYPE_CHECKING:
    from posthouse.codes import Said
    from posthouse.core import Content, Envelope, Outcome
    from posthouse.message.composing.attachment import Attachment
    from posthouse.sending import ServerAddress

__all__ = ["send"]

#: Where `posthouse run` without a configuration listens.
_DAEMON = "smtp://127.0.0.1:1025"
#: Octets from which progress is shown, on a terminal.
_BIG = 4_194_304
_COLOURS = {"accepted": "green", "deferred": "yellow", "failed": "red", "ambiguous": "magenta"}
_NO_TEXT = "say what to write: --text TEXT, --text-file FILE (- for standard input), or pipe the text into the command"


@click.command(short_help="Compose a message, or take a ready one, and send it.")
@click.option(
    "--from",
    "sender",
    metavar="ADDRESS",
    help="The author; with --raw, the envelope's sender (<> for the null sender).",
)
@click.option("--to", multiple=True, metavar="ADDRESS", help="A recipient; may be repeated, or hold several.")
@click.option("--cc", multiple=True, metavar="ADDRESS", help="A recipient of a copy.")
@click.option(
    "--bcc", multiple=True, metavar="ADDRESS", help="A recipient of a copy that the message does not mention."
)
@click.option("--subject", default="", help="The subject, in any script.")
@click.option("--text", help="The text; without it, --html, --attach and --raw, a pipe into the command is read.")
@click.option("--text-file", metavar="FILE", help="A file with the text, in UTF-8; - for standard input.")
@click.option("--html", help="The same text as HTML, or @FILE.")
@click.option("--attach", multiple=True, metavar="FILE", help="A file to attach; may be repeated.")
@click.option("--header", multiple=True, metavar="'NAME: VALUE'", help="A further header field; may be repeated.")
@click.option("--raw", metavar="FILE", help="Send this ready message instead; - for standard input.")
@click.option(
    "--server",
    metavar="URL",
    callback=not_empty,
    help=f"smtps://name@host, smtp+starttls://name@host, smtp://host:port or lmtp://host:port; else {_DAEMON}, the "
    "local daemon.",
)
@with_login
@click.option("--direct", is_flag=True, help="Deliver to the mail exchangers of each recipient's domain.")
@click.option("--transcript", is_flag=True, help="Show the dialogue, each line explained.")
@with_lang
@with_json
def send(**given: Any) -> int:
    """Compose a message, or take a ready one with --raw, and send it.

    The text may be piped in: echo hello | posthouse send --from a@b.org --to c@d.org. An empty message is refused.

    One line for each recipient has the outcome: accepted, deferred, failed, or ambiguous. Accepted means that the
    server is responsible for the message now: a mailbox server has delivered it, a relay has queued it. The exit code
    is 0 if all were accepted, 75 if some were deferred, 69 if some failed. Nothing is retried: for that, send the
    message to a daemon.
    """
    if given["server"] and given["direct"]:
        raise click.UsageError("give --server or --direct, not both")
    if given["direct"] and (given["user"] or given["password_file"] or given["ca"]):
        raise click.UsageError("--user, --password-file and --ca are for one server: with --server, not with --direct")
    if not given["sender"]:
        raise click.UsageError("the sender is missing: --from ADDRESS")
    if not (given["to"] or given["cc"] or given["bcc"]):
        raise click.UsageError("a recipient is missing: --to ADDRESS")
    server = None if given["direct"] else chosen_server(given["server"] or _DAEMON, given)
    envelope, content = _raw(given) if given["raw"] else _composed(given)
    said: list[Said] = []
    outcomes = _send(given, server, envelope, content, said)
    if given["as_json"]:
        print_json(_facts(outcomes, said if given["transcript"] else None))
    else:
        for outcome in outcomes:
            say(_sentence(outcome), _COLOURS[_result(outcome)])
    return _code(outcomes)


def _send(
    given: dict[str, Any], server: ServerAddress | None, envelope: Envelope, content: Content, said: list[Said]
) -> Sequence[Outcome]:
    from posthouse.core import Unreachable
    from posthouse.sending import check_addresses

    check_addresses(envelope)
    transcript = None
    if given["transcript"]:
        from posthouse.cli.transcript import listener

        transcript = listener(given["lang"], said, shows=not given["as_json"])
    with _progress(content) as watched:
        if server is None:
            import asyncio

            from posthouse.sending import deliver_direct  # imports the DNS resolver and the delivery package

            return asyncio.run(deliver_direct(envelope, watched, transcript=transcript))
        from posthouse.sending import submit_blocking

        try:
            return submit_blocking(server, envelope, watched, transcript=transcript)
        except Unreachable as error:
            if given["server"]:
                raise
            hint = "start the local daemon with `posthouse run`, or name a server with --server"
            raise exit_codes.CommandFailed(f"{error}; {hint}", exit_codes.UNAVAILABLE) from error


# What is sent --------------------------------------------------------------------------------------------------------


def _composed(given: dict[str, Any]) -> tuple[Envelope, Content]:
    from datetime import datetime

    from posthouse.message import parse_mailboxes
    from posthouse.message.compose import compose_streamed

    if given["text"] is not None and given["text_file"] is not None:
        raise click.UsageError("give --text or --text-file, not both")
    text, html = given["text"], given["html"]
    if given["text_file"] is not None:
        text = _decoded(given["text_file"])
    if html is not None and html.startswith("@"):
        html = _decoded(html[1:])
    elif text is None and html is None and not given["attach"]:
        text = _piped()
    if not (text or "").strip() and not (html or "").strip() and not given["attach"]:
        raise click.UsageError(f"the message is empty; {_NO_TEXT}")
    now = datetime.now().astimezone()
    writer = parse_mailboxes(given["sender"], "From")
    domain = writer[0].address.domain if writer else ""
    if not domain.isascii() or domain.startswith("["):
        domain = "posthouse.invalid"
    return compose_streamed(
        from_=given["sender"],
        to=given["to"],
        cc=given["cc"],
        bcc=given["bcc"],
        subject=given["subject"],
        text=text if text is not None or html is not None else "",
        html=html,
        attachments=[_attachment(path) for path in given["attach"]],
        headers=[_header(line) for line in given["header"]],
        date=now,
        message_id=f"{now:%Y%m%d%H%M%S}.{os.urandom(8).hex()}@{domain or 'posthouse.invalid'}",
        utf8=True,
    )


def _attachment(path: str) -> Attachment:
    """A file to attach, which is read while the message is sent; a pipe is read now."""
    from pathlib import Path

    from posthouse.message.composing.attachment import Attachment

    name = os.path.basename(path)
    if path == "-":
        return Attachment(sys.stdin.buffer, name)
    try:
        with open(path, "rb") as file:
            return Attachment(Path(path) if os.path.isfile(path) else file, name)
    except OSError as error:
        raise _unreadable(path, error) from error


def _piped() -> str:
    """The text from standard input, which must not be a terminal: there, people would wonder why nothing happens."""
    if sys.stdin is None or sys.stdin.closed or sys.stdin.isatty():
        raise click.UsageError(_NO_TEXT)
    return _decoded("-")


def _header(line: str) -> tuple[str, str]:
    name, colon, value = line.partition(":")
    if not colon:
        raise click.UsageError(f"--header {line!r} has no colon; write it like 'X-Note: hello'")
    return name.strip(), value.strip()


def _raw(given: dict[str, Any]) -> tuple[Envelope, Content]:
    """A ready message: its octets as they are, except for line ends, which must be CRLF on the wire."""
    from posthouse.core import Body, Envelope, Recipient
    from posthouse.message import parse_mailboxes
    from posthouse.sending.messages.ready_message import LONGEST_LINE, read_ready

    unwanted = [name for name in ("subject", "text", "text_file", "html", "attach", "header") if given[name]]
    if unwanted:
        raise click.UsageError(f"--raw is a ready message, so --{unwanted[0].replace('_', '-')} cannot change it")
    path = given["raw"]
    try:
        message = read_ready(sys.stdin.buffer if path == "-" else path)
    except OSError as error:
        raise _unreadable(path, error) from error
    if message.empty:
        place = "standard input" if path == "-" else path
        raise click.UsageError(f"the message is empty: {place} has no text; name a ready message with --raw FILE")
    if message.changed and not given["as_json"]:
        click.echo("line ends were changed to CRLF, as SMTP requires", err=True)
    if message.long_line is not None:
        number, octets = message.long_line
        click.echo(
            f"line {number} has {octets} octets, and a message may have {LONGEST_LINE} (RFC 5322, 2.1.1); "
            "a host with 8BITMIME gets it as it is, and some refuse it; any other gets it encoded: break the line",
            err=True,
        )
    sender = None
    if given["sender"].strip() != "<>":
        found = parse_mailboxes(given["sender"], "--from")
        if len(found) != 1:
            raise click.UsageError("--from must name one address, or <>")
        sender = found[0].address
    every = [each.address for group in ("to", "cc", "bcc") for each in parse_mailboxes(given[group], f"--{group}")]
    utf8 = message.utf8_headers or any(
        not address.local.isascii() for address in (sender, *every) if address is not None
    )
    # A line that is too long is sent as it is, like the daemon does.
    body = Body.BINARYMIME if message.binary else Body.EIGHTBITMIME if message.eightbit else Body.SEVENBIT
    recipients = tuple(map(Recipient, dict.fromkeys(every)))
    content = message.content
    return Envelope(sender, recipients, body=body, smtputf8=utf8, size=content.size), content


def _read(path: str) -> bytes:
    if path == "-":
        return sys.stdin.buffer.read()
    try:
        with open(path, "rb") as file:
            return file.read()
    except OSError as error:
        raise _unreadable(path, error) from error


def _unreadable(path: str, error: OSError) -> exit_codes.CommandFailed:
    return exit_codes.CommandFailed(f"{path} cannot be read: {error.strerror}; name another file", exit_codes.NOINPUT)


def _decoded(path: str) -> str:
    try:
        return _read(path).decode("utf-8")
    except UnicodeDecodeError as error:
        raise exit_codes.CommandFailed(
            f"{'standard input' if path == '-' else path} is not UTF-8 (octet {error.start}); convert it to UTF-8",
            exit_codes.DATAERR,
        ) from error


# Output --------------------------------------------------------------------------------------------------------------


class _Watched:
    """Content that reports how many octets have been read."""

    def __init__(self, content: Content, progress: Any) -> None:
        self._content = content
        self._report = progress

    @property
    def size(self) -> int:
        return self._content.size

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        for chunk in self._content.chunks(at_most):
            yield chunk
            self._report(len(chunk))


@contextlib.contextmanager
def _progress(content: Content) -> Iterator[Content]:
    """Show progress for a large message, on a terminal."""
    if content.size < _BIG or not live():
        yield content
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, Progress, TextColumn, TransferSpeedColumn

    columns = (TextColumn("sending"), BarColumn(), DownloadColumn(), TransferSpeedColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as drawn:
        task = drawn.add_task("sending", total=content.size)
        yield _Watched(content, lambda number: drawn.advance(task, number))


def _sentence(outcome: Outcome) -> str:
    said = str(outcome.reply) if outcome.reply is not None and outcome.peer else outcome.reason
    peer = f" [{outcome.peer}]" if outcome.peer and outcome.reply is not None else ""
    return safe(f"{outcome.recipient.address}: {_result(outcome)}: {said or outcome.reason}{peer}")


def _result(outcome: Outcome) -> str:
    """The outcome as this command says it: what a server has taken may lie in its queue, so it is not delivered yet."""
    return "accepted" if outcome.result.value == "delivered" else outcome.result.value


def _facts(outcomes: Sequence[Outcome], said: Sequence[Said] | None) -> dict[str, Any]:
    facts: dict[str, Any] = {
        "outcomes": [
            {
                "recipient": str(each.recipient.address),
                "result": _result(each),
                "code": each.reply.code if each.reply is not None else None,
                "enhanced": each.reply.enhanced if each.reply is not None else "",
                "reply": str(each.reply) if each.reply is not None else "",
                "reason": each.reason,
                "peer": each.peer,
            }
            for each in outcomes
        ]
    }
    if said is not None:
        facts["transcript"] = [{"who": s.who, "text": s.text, "explanation": s.explanation} for s in said]
    return facts


def _code(outcomes: Sequence[Outcome]) -> int:
    results = {_result(outcome) for outcome in outcomes}
    if "failed" in results:
        return exit_codes.UNAVAILABLE
    return exit_codes.OK if results <= {"accepted"} else exit_codes.TEMPFAIL
