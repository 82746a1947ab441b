"""What commands share: the configuration that the options choose, operations by name, signals, and the event loop.

asyncio is imported where it is used: ``send`` to one server does without it (``sending.blocking_submission``).
"""

from __future__ import annotations

import contextlib
import gc
import os
import signal
from collections.abc import Callable, Coroutine, Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any, TypeVar

import click

if TYPE_CHECKING:
    import asyncio

    from posthouse.service import Config, Operation

__all__ = [
    "DaemonOptions",
    "not_empty",
    "operate",
    "operate_here",
    "run",
    "signals",
    "unless",
    "with_daemon",
    "with_zone",
    "zone_text",
]

_ZONE_AT_MOST = 4_000_000  # octets
_T = TypeVar("_T")
_Command = TypeVar("_Command", bound=Callable[..., Any])

_CONFIG = click.option(
    "--config",
    "config_file",
    metavar="FILE",
    envvar="POSTHOUSE_CONFIG",
    callback=lambda ctx, option, value: not_empty(ctx, option, value),
    help="The configuration (TOML); else $POSTHOUSE_CONFIG; without one, all mail is caught.",
)
_DATA_DIR = click.option(
    "--data-dir",
    metavar="DIR",
    callback=lambda ctx, option, value: not_empty(ctx, option, value),
    help="Where the spool is; else as configured, else in your home directory.",
)


def not_empty(ctx: click.Context, option: click.Parameter, value: str | None) -> str | None:
    """Callback of an option that refuses "": a shell variable that is not set would choose another place."""
    if value == "":
        raise click.BadParameter("the value is empty; leave the option out, or check the variable that it comes from")
    return value


def with_daemon(command: _Command) -> _Command:
    """Give a command the options that choose a daemon: ``config_file`` and ``data_dir``."""
    return _CONFIG(_DATA_DIR(command))


def with_zone(command: _Command) -> _Command:
    """Give a command the option ``--zone``."""
    return click.option(
        "--zone",
        metavar="FILE",
        callback=not_empty,
        help='A file that answers in place of the DNS: {"name": {"TXT": ["…"]}}.',
    )(command)


def zone_text(path: str | None) -> str:
    """The text of the file of ``--zone``, "" without one.  Raises ``CommandFailed`` and ``SettingError``."""
    from posthouse.core.errors import SettingError

    if path is None:
        return ""
    try:
        with open(path, "rb") as file:
            octets = file.read(_ZONE_AT_MOST + 1)
    except OSError as error:
        from posthouse.cli.exit_codes import NOINPUT, CommandFailed

        sentence = f"{path}: it cannot be read ({error.strerror}); name a file with DNS records in JSON"
        raise CommandFailed(sentence, NOINPUT) from error
    if len(octets) > _ZONE_AT_MOST:
        raise SettingError("the zone is larger than 4 MB", where=path, remedy="leave only the names that matter")
    try:
        return octets.decode()
    except UnicodeDecodeError as error:
        raise SettingError("the zone is not UTF-8", where=path, remedy="store it in UTF-8") from error


def _directory(text: str) -> str:
    from posthouse.service.config.types import DIRECTORY, InvalidValue

    try:
        return str(DIRECTORY.read(text))
    except InvalidValue as wrong:
        raise click.UsageError(f"--data-dir: {wrong.cause}; {wrong.remedy}") from wrong


class DaemonOptions:
    """The options ``--config`` and ``--data-dir`` of a command; what they name is read once, when it is asked for."""

    def __init__(self, config_file: str | None, data_dir: str | None) -> None:
        self.config_file = config_file
        self.data_dir = None if data_dir is None else _directory(data_dir)

    @cached_property
    def config(self) -> Config:
        """The configuration that the options choose.  Raises ``ConfigError``."""
        from posthouse.service.config_file import default_config, load

        if self.config_file is None:
            return default_config(self.data_dir)
        config = load(self.config_file)
        if self.data_dir is None:
            return config
        from msgspec.structs import replace

        return replace(config, data_dir=self.data_dir)

    @cached_property
    def directory(self) -> str:
        """The data directory alone, which is all that is needed to ask a running daemon.  Raises ``ConfigError``."""
        if self.data_dir is not None:
            return self.data_dir
        if self.config_file is None:
            from posthouse.service.config.types import catcher_directory

            return catcher_directory()
        from posthouse.service.config_file import load_data_dir

        return load_data_dir(self.config_file)


def operate_here(name: str, options: DaemonOptions, **given: Any) -> Any:
    """Run one operation in this process, whether a daemon runs or not, and return its answer: for what is too large for
    the control socket."""
    import asyncio

    from posthouse.service import OPERATIONS
    from posthouse.service.daemon.offline import context

    return asyncio.run(OPERATIONS[name].run(context(options.config), **given))


def operate(name: str, options: DaemonOptions | None = None, **given: Any) -> Any:
    """Run one operation by name, and return its answer.

    A ``live`` operation is run by the daemon, if one runs, and so is one that judges by a configuration where none is
    named; every other one here, on the spool itself.
    """
    import asyncio

    from posthouse.service import OPERATIONS

    operation = OPERATIONS[name]
    if not operation.needs_context:
        return asyncio.run(operation.run(None, **given))
    assert options is not None
    return asyncio.run(_operate(operation, options, given))


async def _operate(operation: Operation, options: DaemonOptions, given: dict[str, Any]) -> Any:
    from posthouse.service.control.client import NoDaemon, ask

    if operation.live or options.config_file is None:
        with contextlib.suppress(NoDaemon):
            return await ask(options.directory, operation, given, slow=_tell_slow)
    from posthouse.service.daemon.offline import context

    return await operation.run(context(options.config, options.config_file or ""), **given)


def _tell_slow() -> None:
    click.echo("posthouse: the daemon is still working on it; Ctrl-C stops waiting", err=True)


@contextlib.contextmanager
def signals(last_act: Callable[[], object] | None = None) -> Iterator[asyncio.Event]:
    """An event that SIGTERM, SIGINT, SIGHUP and SIGQUIT set; a second one calls ``last_act`` and ends the process at
    once.  SIGHUP stays ignored where it was (``nohup``)."""
    import asyncio

    loop = asyncio.get_running_loop()
    stop = asyncio.Event()

    def asked(number: int) -> None:
        if stop.is_set():
            if last_act is not None:
                last_act()
            os._exit(128 + number)
        stop.set()

    numbers = [signal.SIGTERM, signal.SIGINT]
    numbers += [each for each in (signal.SIGHUP, signal.SIGQUIT) if signal.getsignal(each) != signal.SIG_IGN]
    for number in numbers:
        loop.add_signal_handler(number, asked, number)
    try:
        yield stop
    finally:
        for number in numbers:
            loop.remove_signal_handler(number)


async def unless(stop: asyncio.Event, work: Coroutine[Any, Any, _T], seconds: float | None = None) -> _T | None:
    """The result of ``work``; None if ``stop`` was set or ``seconds`` passed first, and ``work`` is then cancelled."""
    import asyncio

    task = asyncio.ensure_future(work)
    asked = asyncio.ensure_future(stop.wait())
    try:
        await asyncio.wait({task, asked}, timeout=seconds, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            return task.result()
        return None
    finally:
        for each in (task, asked):
            each.cancel()
        await asyncio.gather(task, asked, return_exceptions=True)


def run(main: Coroutine[Any, Any, _T]) -> _T:
    """Run ``main`` on an event loop of its own; on uvloop, where that is installed.

    For commands that run long or send many messages: one request is done before uvloop would have been imported.
    """
    import asyncio

    gc.set_threshold(700)  # CPython's own, which ``__main__`` raised for the start: garbage may hold big buffers
    try:
        import uvloop
    except ImportError:
        return asyncio.run(main)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(main)
