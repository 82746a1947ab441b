"""``posthouse run``: the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final

import click

from posthouse.cli import context
from posthouse.cli.output import say
from posthouse.core.errors import SettingError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from posthouse.service.config.model import Config
    from posthouse.service.daemon.reloading import ConfigSource
    from posthouse.service.daemon.supervisor import Opened

__all__ = ["run"]

#: The function that the console's process runs.
_CONSOLE: Final = "posthouse.console.process:main"
#: How many ports behind 8025 the console of the catcher tries.
_SPARE_PORTS: Final = 20
_APP_BIND: Final = "127.0.0.1:1025"
#: Those of ``protocol.sasl``, which this command does not import to be described.
_MECHANISMS: Final = (
    "EXTERNAL",
    "SCRAM-SHA-256-PLUS",
    "SCRAM-SHA-256",
    "SCRAM-SHA-1-PLUS",
    "SCRAM-SHA-1",
    "OAUTHBEARER",
    "XOAUTH2",
    "CRAM-MD5",
    "PLAIN",
    "LOGIN",
)
_TLS: Final = {"off": "no TLS", "starttls": "STARTTLS", "implicit": "TLS"}


@click.command(short_help="Run the daemon; without a configuration it catches all mail.")
@click.option(
    "--bind",
    multiple=True,
    metavar="HOST:PORT",
    callback=lambda ctx, option, value: tuple(context.not_empty(ctx, option, each) for each in value),
    help="Where to catch mail, without a configuration; may be repeated. "
    "[default: 127.0.0.1:1025, and 127.0.0.1:1026 without TLS]",
)
@click.option(
    "--tls",
    type=click.Choice(["starttls", "required", "implicit", "off"]),
    help="TLS of the catcher: STARTTLS is offered, or required before mail and logins; TLS from the first octet; none. "
    "[default: starttls]",
)
@click.option(
    "--auth",
    type=click.Choice(["offered", "required", "off"]),
    help="Whether programs may, must or cannot log in to the catcher; it takes any name and password. "
    "[default: offered]",
)
@click.option(
    "--mechanism",
    "mechanisms",
    metavar="NAME",
    multiple=True,
    type=click.Choice(_MECHANISMS, case_sensitive=False),
    help="A mechanism of AUTH that the catcher offers, in place of all that take any name and password; may be "
    "repeated. EXTERNAL takes any name under TLS, without a certificate.",
)
@click.option(
    "--logins",
    metavar="FILE",
    callback=context.not_empty,
    help="Names that need their passwords at the catcher, each in a line name:password; SCRAM is offered for them.",
)
@click.option(
    "--app",
    metavar="MODULE:OBJECT",
    callback=context.not_empty,
    help="Run an application of your own, an App of posthouse, in place of the catcher.",
)
@click.option("--lmtp", is_flag=True, help="The application speaks LMTP; for --app, mostly with --bind unix:/path.")
@click.option(
    "--fault-addresses/--no-fault-addresses",
    default=None,
    help="Whether recipients of the catcher such as tempfail+3@… fail on demand (tempfail, permfail, greylist, "
    "mailbox-full, reply-CODE, slow, drop; see the page about testing). [default: they do]",
)
@click.option(
    "--console",
    metavar="HOST:PORT",
    callback=context.not_empty,
    help="Where the web console of the catcher listens; off for none. [default: 127.0.0.1:8025, or the next free port]",
)
@click.option("--log", type=click.Choice(["text", "json"]), help="The form of log lines; else as configured.")
@context.with_daemon
def run(
    config_file: str | None,
    data_dir: str | None,
    bind: tuple[str, ...],
    tls: str | None,
    auth: str | None,
    mechanisms: tuple[str, ...],
    logins: str | None,
    app: str | None,
    lmtp: bool,
    fault_addresses: bool | None,
    console: str | None,
    log: str | None,
) -> None:
    """Run the daemon.

    Without a configuration, everything that is sent to 127.0.0.1:1025 (or to --bind) is delivered into local inboxes,
    whoever the recipient is, and nothing leaves this machine. STARTTLS is offered with a self-signed certificate, and
    any name and password may log in. Some programs use STARTTLS unasked and refuse that certificate; they may send to
    127.0.0.1:1026, where there is no TLS, or trust the certificate's file.

    With --app the handlers of a program of your own get the messages. Its module is looked for in the current directory
    and where Python finds modules. TLS, logins and limits are those of the App.

    SIGTERM (or Ctrl-C) stops the daemon in order: it accepts no new sessions, and open ones finish or get 421. A second
    signal ends it at once. Mail that was answered 250 is safe either way.
    """
    if app is not None:
        others = {"config": config_file, "data-dir": data_dir, "auth": auth, "logins": logins, "log": log}
        others["mechanism"] = next(iter(mechanisms), None)
        _run_app(app, bind, tls, others, lmtp=lmtp)
        return
    if lmtp:
        raise click.UsageError('--lmtp is for an application (--app); of a [[listener]] write kind = "lmtp"')
    from posthouse.service.daemon import supervisor

    options = context.DaemonOptions(config_file, data_dir)
    if config_file is not None:
        given = {"bind": bind, "tls": tls, "auth": auth, "fault-addresses": fault_addresses, "console": console}
        _refuse_catcher_options({**given, "mechanism": mechanisms, "logins": logins})
        config = options.config
    else:
        faults = fault_addresses is not False
        config = _catcher(options.data_dir, bind, tls, auth, faults, console, mechanisms, logins or "")
    config = _logging(config, log)

    def ready(opened: Opened) -> None:
        if _takes_output():
            _tell(opened, plain=config_file is None, data_dir=data_dir)

    try:
        program = supervisor.ConsoleProgram(_CONSOLE, 0 if console or config_file is not None else _SPARE_PORTS)
        source = _source(config_file, data_dir, log)
        supervisor.run(config, loop=context.run, ready=ready, source=source, console=program)
    except SettingError as error:
        binds = [str(each.bind) for each in config.listener]
        if config_file is None and isinstance(error.__cause__, OSError) and error.where in binds:
            remedy = f"{error.remedy}, with --bind HOST:PORT"
            raise SettingError(error.message, where=error.where, remedy=remedy) from error.__cause__
        raise


def _refuse_catcher_options(options: dict[str, Any]) -> None:
    """Refuse the options of the catcher, by name, beside a configuration."""
    elsewhere = {"console": "bind of [console]", "logins": "accounts", "mechanism": "mechanisms of a [[listener]]"}
    for option, given in options.items():
        if given not in (None, ()):
            setting = elsewhere.get(option) or f"{option.replace('-', '_')} of a [[listener]]"
            raise click.UsageError(f"--{option} is for running without a configuration; write it as {setting}")


def _run_app(
    target: str, binds: tuple[str, ...], tls: str | None, others: dict[str, str | None], *, lmtp: bool
) -> None:
    """Run an application until a signal asks to stop."""
    import logging
    import sys

    for option, given in others.items():
        if given is not None:
            raise click.UsageError(f"--{option} is for the daemon, and --app runs an application without one")
    if tls not in (None, "implicit"):
        raise click.UsageError("--tls of an application is implicit or left out; write App(tls=…, tls_required=…)")
    from posthouse.app import load_app, serve_app

    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    if "" not in sys.path:
        sys.path.insert(0, os.getcwd())
    app = load_app(target)

    def ready(places: Sequence[str]) -> None:
        if _takes_output():
            for place in places:
                say(f"listening on {place} ({target})", "green")

    async def main() -> None:
        with context.signals() as stop:
            places = binds or (_APP_BIND,)
            await serve_app(app, places, stop, lmtp=lmtp, implicit_tls=tls == "implicit", ready=ready)

    context.run(main())


def _source(config_file: str | None, data_dir: str | None, log: str | None) -> ConfigSource | None:
    """Where the daemon reads its configuration again; the options that were given hold then too."""
    if config_file is None:
        return None
    from posthouse.service.daemon.reloading import ConfigSource

    path = os.path.abspath(config_file)
    return ConfigSource(path, lambda: _logging(context.DaemonOptions(path, data_dir).config, log))


def _logging(config: Config, log: str | None) -> Config:
    if log is None:
        return config
    from msgspec.structs import replace

    return replace(config, log=replace(config.log, format=log))


def _catcher(
    data_dir: str | None,
    binds: tuple[str, ...],
    tls: Any,
    auth: Any,
    faults: bool,
    console: str | None = None,
    mechanisms: tuple[str, ...] = (),
    logins: str = "",
) -> Config:
    """The configuration of the catcher.

    Without an address or ``--tls`` there is one more listener, without TLS, if its port is free: for programs that
    refuse a self-signed certificate.
    """
    from posthouse.service.config_file import CATCHER_WITHOUT_TLS, default_config

    plain = CATCHER_WITHOUT_TLS if not binds and tls is None and _is_free(CATCHER_WITHOUT_TLS) else ""
    return default_config(
        data_dir,
        binds,
        tls=tls or "starttls",
        auth=auth or "offered",
        plain=plain,
        fault_addresses=faults,
        console=console,
        mechanisms=mechanisms,
        logins=logins,
    )


def _is_free(place: str) -> bool:
    """Whether a port of this machine can be listened on."""
    import socket

    host, _, port = place.rpartition(":")
    try:
        socket.create_server((host, int(port))).close()
    except OSError:
        return False
    return True


def _takes_output() -> bool:
    """Whether standard output takes some lines without waiting: a pipe that nobody reads would stop the daemon."""
    import select
    import sys

    try:
        descriptor = sys.stdout.fileno()
    except (AttributeError, OSError, ValueError):  # closed, or no file
        return True
    poll = select.poll()
    poll.register(descriptor, select.POLLOUT)
    return bool(poll.poll(0))


def _tell_of_tls(opened: Opened) -> None:
    """Print whose logins are taken, and what helps a program that refuses the certificate."""
    from posthouse.service.daemon.protection import self_signed_file

    listeners = opened.config.listener
    if any(each.auth != "off" for each in listeners):
        known = opened.config.accounts.target
        say(f"Any name with any password may log in{f', but for those in {known}' if known else ''}.")
    if any(each.tls != "off" for each in listeners):
        clear = next((opened.endpoints[each.name] for each in listeners if each.tls == "off"), None)
        say("A program that refuses a self-signed certificate:")
        say(f"  trusts it:         {self_signed_file(opened.config)}")
        say(f"  sends without TLS: {f'to {clear}' if clear else 'to a catcher that was started with --tls off'}")


def _tell(opened: Opened, *, plain: bool, data_dir: str | None) -> None:
    """Print where it listens, how to send, and how to read."""
    for name, place in opened.endpoints.items():
        listener = next(each for each in opened.config.listener if each.name == name)
        words = [listener.kind, *([name] if name != listener.kind else ()), *([_TLS[listener.tls]] if plain else ())]
        say(f"listening on {place} ({', '.join(words)})", "green")
    if opened.console:
        say(f"console at {opened.console}", "green")
    if plain:
        where = f" --data-dir {data_dir}" if data_dir else ""
        place = next(iter(opened.endpoints.values()))
        _tell_of_tls(opened)
        say("All mail sent here is caught, whoever the recipient is; nothing leaves this machine.")
        say(f"send:  posthouse send --server smtp://{place} --from you@sohu.com --to me@sina.com --text hello")
        say(f"read:  posthouse inbox list{where}")
    say(f"mail is kept in {opened.config.data_dir}; Ctrl-C stops the daemon")
