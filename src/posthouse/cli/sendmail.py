"""``posthouse sendmail``: the interface of sendmail(8), over the maildrop.

Programs call it as ``sendmail``, ``mailq`` or ``newaliases`` too: ``__main__`` sees by which name it was started.  The
exit code is 0 exactly when the message is on stable storage, whether or not a daemon runs; a note on standard error
says when none does.
"""

from __future__ import annotations

import os
import sys
import time
from typing import TYPE_CHECKING

import click

from posthouse.cli import exit_codes
from posthouse.core.escapes import escaped_lines
from posthouse.service.maildrop.sendmail_options import SendmailOptions, WrongUsage, read_options

if TYPE_CHECKING:
    from posthouse.core import Envelope
    from posthouse.service.maildrop.maildrop import Left, Maildrop

__all__ = ["mailq", "newaliases", "run_sendmail", "sendmail"]

_RAW = {"ignore_unknown_options": True, "allow_extra_args": True, "help_option_names": ["--help"]}


@click.command(short_help="Take a message as sendmail does: -t, -i, -f, -bs …", context_settings=_RAW)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def sendmail(arguments: tuple[str, ...]) -> int:
    """Take a message from standard input, as sendmail does, and leave it to the daemon.

    \b
    posthouse sendmail ann@example.org       to the recipients that are named
    posthouse sendmail -t                    to those of To, Cc and Bcc as well
    posthouse sendmail -bs                   speak SMTP on stdin and stdout
    posthouse sendmail -bp                   show the queue (mailq)
    posthouse sendmail -q                    try now what waits

    \b
    -i, -oi          a line with nothing but a dot is text, and not the end
    -f, -r ADDRESS   the envelope's sender; <> for none
    -F NAME          the author's full name, where the message has no From
    -N success,failure,delay    -R full|hdrs    -V ID    reports for the sender
    -G               a message that was submitted elsewhere: nothing is added
    -v               say the queue id
    -C, --config FILE    --data-dir DIR    --maildrop DIR    where the daemon is

    Other options of sendmail have no effect. The message is on stable storage when the exit code is 0, also while no
    daemon runs; 75 means that it is not stored and may be sent again. Bcc is taken out; From, Date and Message-ID are
    added where they are missing; names without a domain get the daemon's.
    """
    return run_sendmail(arguments, "sendmail")


def run_sendmail(arguments: tuple[str, ...], name: str) -> int:
    """Run the command as the program ``name``."""
    try:
        options = read_options(arguments, name)
    except WrongUsage as error:
        raise click.UsageError(str(error)) from error
    for each in options.ignored:
        _note(f"the option {each} has no effect here")
    if options.mode == "aliases":
        return exit_codes.OK  # aliases are in the configuration; `posthouse reload` reads it
    if options.mode in ("list", "run"):
        return _queue(options)
    maildrop = _maildrop(options)
    if options.mode == "smtp":
        from posthouse.service.maildrop.stdio_session import speak

        return speak(maildrop)
    return _send(options, maildrop)


def _maildrop(options: SendmailOptions) -> Maildrop:
    from posthouse.core import SettingError
    from posthouse.service.maildrop import whereabouts
    from posthouse.service.maildrop.maildrop import Maildrop

    if options.maildrop:
        return Maildrop(options.maildrop)
    try:
        if options.data_dir:
            return whereabouts.maildrop_named(options.data_dir)
        return whereabouts.maildrop_of(options.config_file) if options.config_file else whereabouts.find_maildrop()
    except SettingError as error:
        raise exit_codes.CommandFailed(str(error), exit_codes.CONFIG) from error


def _send(options: SendmailOptions, maildrop: Maildrop) -> int:
    from posthouse.core import Address, StorageError
    from posthouse.service.maildrop import held_message
    from posthouse.service.maildrop.address_spans import read_address, spans
    from posthouse.service.maildrop.completion import Author, complete, read_lines

    terms = maildrop.terms()
    domain = held_message.local_domain(terms.hostname)
    user, now = held_message.local_user(), time.time()
    sender = Address(user.name, domain)
    author = sender if options.sender is None else read_address(options.sender, domain) if options.sender else None
    full_name = options.full_name
    if full_name is None:
        full_name = user.full_name if author is not None else ""
    named = [
        read_address(span.text, domain)
        for each in options.recipients
        for span in spans(each.encode("utf-8", "replace"))
    ]
    with held_message.HeldMessage() as content:
        completed = complete(
            read_lines(sys.stdin.buffer, dot_ends=options.dots),
            Author(full_name, author),
            domain,
            date=held_message.fresh_date(now),
            message_id=held_message.fresh_message_id(now, domain),
            gathers=options.gathers,
            gateway=options.gateway,
        )
        recipients = dict.fromkeys([*named, *completed.recipients])
        if not recipients:
            _drain(completed.body)
            remedy = "name one, or write To, Cc or Bcc" if options.gathers else "name one, or read them with -t"
            raise click.UsageError(f"the message has no recipient; {remedy}")
        try:
            content.fill([completed.headers])
            content.fill(completed.body, terms.max_message_size)
            envelope = _envelope(options, author, list(recipients))
            left = held_message.submit(maildrop, envelope, content, message_id=completed.message_id)
        except held_message.TooLarge as error:
            raise exit_codes.CommandFailed(str(error), exit_codes.UNAVAILABLE) from error
        except StorageError as error:
            raise exit_codes.CommandFailed(f"{error}; nothing is stored", exit_codes.TEMPFAIL) from error
    _tell(left, maildrop, verbose=options.verbose)
    return exit_codes.OK


def _envelope(options: SendmailOptions, author: object, recipients: list[object]) -> Envelope:
    from posthouse.core import Address, Envelope, Recipient

    assert author is None or isinstance(author, Address)
    people = [Recipient(each, options.notify) for each in recipients if isinstance(each, Address)]
    return Envelope(author, tuple(people), ret=options.ret, envid=options.envid)


def _drain(body: object) -> None:
    """Read the rest, so that the program that writes it sees an exit code and no broken pipe."""
    for _ in iter(lambda: sys.stdin.buffer.read(65_536), b""):
        pass


def _tell(left: Left, maildrop: Maildrop, *, verbose: bool) -> None:
    if not left.running:
        _note(f"no daemon runs; the message waits as {left.drop_id} in {maildrop.path} and is sent when one is started")
    elif verbose:
        click.echo(f"queued as {left.id}")


def _note(text: str) -> None:
    click.echo(escaped_lines(f"posthouse: {text}"), err=True)


def _queue(options: SendmailOptions) -> int:
    """Show the queue, or try now what waits in it, by the operations of ``posthouse queue``."""
    from posthouse.cli.queue import queue

    if options.queue_filter == "-":
        _note("the daemon tries what waits by itself; -q without an interval tries it now")
        return exit_codes.OK
    words = ["list"] if options.mode == "list" else ["retry", options.queue_filter or "all"]
    if options.maildrop:
        raise click.UsageError("--maildrop names no queue; name the daemon with --config or --data-dir")
    words += ["--config", options.config_file] if options.config_file else []
    words += ["--data-dir", options.data_dir] if options.data_dir else []
    if not options.config_file and not options.data_dir and "POSTHOUSE_CONFIG" not in os.environ:
        from posthouse.service.maildrop.whereabouts import CONFIGURATION

        words += ["--config", CONFIGURATION] if os.access(CONFIGURATION, os.R_OK) else []
    code = queue.main(words, prog_name="posthouse queue", standalone_mode=False)
    if options.mode == "list":
        _show_waiting(options)
    return code if isinstance(code, int) else exit_codes.OK


def _show_waiting(options: SendmailOptions) -> None:
    """Say what waits in the maildrop, which is no part of the queue yet."""
    from posthouse.core import PosthouseError

    try:
        maildrop = _maildrop(options)
        count = maildrop.waiting()
    except (OSError, PosthouseError):
        return
    if count:
        click.echo(f"{count} more in {maildrop.path}, for the daemon to take")


@click.command(context_settings=_RAW)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def mailq(arguments: tuple[str, ...]) -> int:
    """Show the queue, as `posthouse sendmail -bp` does."""
    return run_sendmail(arguments, "mailq")


@click.command(context_settings=_RAW)
@click.argument("arguments", nargs=-1, type=click.UNPROCESSED)
def newaliases(arguments: tuple[str, ...]) -> int:
    """Has no effect: aliases are in the configuration, and `posthouse reload` reads it."""
    return run_sendmail(arguments, "newaliases")
