"""``posthouse run``: the daemon."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import click

from posthouse.cli import context
from posthouse.cli.output import say
from posthouse.core.errors import SettingError

if TYPE_CHECKING:
    from posthouse.service.config.model import Config
    from posthouse.service.daemon.reloading import ConfigSource
    from posthouse.service.daemon.supervisor import Opened

__all__ = ["run"]


@click.command(short_help="Run the daemon; without a configuration it catches all mail.")
@click.option(
    "--bind",
    multiple=True,
    metavar="HOST:PORT",
    callback=lambda ctx, option, value: tuple(context.not_empty(ctx, option, each) for each in value),
    help="Where to catch mail, without a configuration; may be repeated. [default: 127.0.0.1:1025]",
)
@click.option("--log", type=click.Choice(["text", "json"]), help="The form of log lines; else as configured.")
@context.with_daemon
def run(config_file: str | None, data_dir: str | None, bind: tuple[str, ...], log: str | None) -> None:
    """Run the daemon.

    Without a configuration, everything that is sent to 127.0.0.1:1025 (or to --bind) is delivered into local inboxes,
    whoever the recipient is, and nothing leaves this machine. SIGTERM (or Ctrl-C) stops the daemon in order: it accepts
    no new sessions, and open ones finish or get 421. A second signal ends it at once. Mail that was answered 250 is
    safe either way.
    """
    from posthouse.service.daemon import supervisor

    if bind and config_file is not None:
        raise click.UsageError("--bind is for running without a configuration; write it as bind of a [[listener]]")
    config = _logging(context.DaemonOptions(config_file, data_dir, bind).config, log)

    def ready(opened: Opened) -> None:
        _tell(opened, plain=config_file is None, data_dir=data_dir)

    try:
        supervisor.run(config, loop=context.run, ready=ready, source=_source(config_file, data_dir, log))
    except SettingError as error:
        binds = [str(each.bind) for each in config.listener]
        if config_file is None and isinstance(error.__cause__, OSError) and error.where in binds:
            remedy = f"{error.remedy}, with --bind HOST:PORT"
            raise SettingError(error.message, where=error.where, remedy=remedy) from error.__cause__
        raise


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


def _tell(opened: Opened, *, plain: bool, data_dir: str | None) -> None:
    """Print where it listens, how to send, and how to read."""
    for name, place in opened.endpoints.items():
        kind = next(each.kind for each in opened.config.listener if each.name == name)
        say(f"listening on {place} ({name})" if name == kind else f"listening on {place} ({kind}, {name})", "green")
    if plain:
        where = f" --data-dir {data_dir}" if data_dir else ""
        place = next(iter(opened.endpoints.values()))
        say("All mail sent here is caught, whoever the recipient is; nothing leaves this machine.")
        say(f"send:  posthouse send --server smtp://{place} --from you@sohu.com --to me@sina.com --text hello")
        say(f"read:  posthouse inbox list{where}")
    say(f"mail is kept in {opened.config.data_dir}; Ctrl-C stops the daemon")
