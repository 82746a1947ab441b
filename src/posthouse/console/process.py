"""The program of the console's process: reads what it is started with, serves pages, ends with the daemon.

``service.process.console_process`` starts it.  SIGTERM ends it in order; so does the end of the pipe to the daemon, at
once.  Other signals of a terminal are the daemon's business.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pickle
import signal
import socket
import ssl
import sys
import tempfile
from collections.abc import AsyncIterator, Callable, Coroutine, Iterator

from posthouse.console.api.delivery_feed import DeliveryFeed, DeliveryTaker
from posthouse.console.api.traces import TraceFeed, exporting
from posthouse.console.api.webhooks import DeliveryWebhook, Webhook, WebhookFeed, secret_of
from posthouse.console.app import Console
from posthouse.console.http_server import HttpServer
from posthouse.console.operating import ContextRunner, DaemonRunner
from posthouse.core import PosthouseError, SettingError
from posthouse.service.config.console_settings import WebhookSettings, journals_deliveries
from posthouse.service.config.model import Config
from posthouse.service.daemon.event_log import EventLog
from posthouse.service.daemon.offline import KeptReader
from posthouse.service.monitor.delivery_journal import JOURNAL_FOLDER
from posthouse.service.operations.base import Context
from posthouse.service.operations.explain_message import history_of
from posthouse.service.process.console_process import ConsoleStart

__all__ = ["beside", "main"]

_PORTS = 20
_AGAIN = 0.5  # seconds


def main() -> None:
    """Serve until the daemon ends or SIGTERM comes.  Standard input has the ``ConsoleStart``, pickled."""
    start: ConsoleStart = pickle.load(sys.stdin.buffer)
    for number in (signal.SIGINT, signal.SIGHUP, signal.SIGQUIT):
        signal.signal(number, signal.SIG_IGN)
    runner: asyncio.Runner
    try:
        import uvloop

        runner = asyncio.Runner(loop_factory=uvloop.new_event_loop)
    except ImportError:
        runner = asyncio.Runner()
    with runner:
        runner.run(_serve(start))


async def _serve(start: ConsoleStart) -> None:
    loop = asyncio.get_running_loop()
    reader = KeptReader(start.config, start.config_file)
    log = EventLog(reader.clock, start.config.log.format)
    runner = DaemonRunner(reader)
    console = Console(runner, settings=start.config.console, log=log)
    server = HttpServer(console.guarded, tls=_tls(start))

    def stop() -> None:
        console.close()
        server.stop()

    loop.add_signal_handler(signal.SIGTERM, stop)
    loop.add_reader(start.parent, _end_with_daemon, start.parent)
    listening = socket.socket(fileno=start.listening)
    hooks = [asyncio.ensure_future(_watched(work(start, runner, log), log)) for work in (_webhooks, _deliveries)]
    try:
        await server.serve(listening)
    finally:
        for each in hooks:
            each.cancel()
        await asyncio.gather(*hooks, return_exceptions=True)
        log.flush()
        await console.logins.close()
        await reader.close()


async def _watched(work: Coroutine[object, object, None], log: EventLog) -> None:
    """Log a fault of ours, because nothing else would say why webhooks or traces have ended."""
    try:
        await work
    except Exception as error:
        log("fault", reason=f"webhooks or traces ended: {type(error).__name__}: {error}", error=error)


async def _webhooks(start: ConsoleStart, runner: DaemonRunner, log: EventLog) -> None:
    """Tell the configured programs of new messages, beginning with what comes now, or where the last process was."""
    if not any("message" in each.events for each in start.config.webhook):
        return
    path = os.path.join(start.config.data_dir, "webhooks.settled")
    settled = WebhookFeed.settled_in(path)
    while settled is None:
        try:
            newest = await runner.run("inbox list", {"limit": 1}, "console")
            settled = newest[-1].number if newest else 0
        except PosthouseError:  # the daemon is starting
            await asyncio.sleep(_AGAIN)
    hooks = [
        Webhook(each, secret, settled=settled, log=log)
        for each, secret in _secrets(start.config, log)
        if "message" in each.events
    ]
    if hooks:
        await WebhookFeed(runner, hooks, path).run()


def _secrets(config: Config, log: EventLog) -> Iterator[tuple[WebhookSettings, bytes]]:
    """The webhooks that can be used, each with its secret."""
    for each in config.webhook:
        try:
            yield each, secret_of(each)
        except SettingError as error:
            log("console", reason=f"the webhook {each.url} is not used: {error}")


async def _deliveries(start: ConsoleStart, runner: DaemonRunner, log: EventLog) -> None:
    """Tell webhooks what became of deliveries, and make traces, where the configuration asks for it."""
    config = start.config
    if not journals_deliveries(config.console, config.webhook):
        return
    hooks = [
        DeliveryWebhook(each, Webhook(each, secret, settled=0, log=log))
        for each, secret in _secrets(config, log)
        if set(each.events) - {"message"}
    ]
    takers: list[DeliveryTaker] = [*hooks]
    async with asyncio.TaskGroup() as group:
        if config.console.traces:
            tracing = TraceFeed(lambda queue_id: history_of(runner.reading("console"), queue_id), exporting())
            takers.append(tracing)
            group.create_task(tracing.run())
        for each in hooks:
            group.create_task(each.run())
        group.create_task(DeliveryFeed(os.path.join(config.data_dir, JOURNAL_FOLDER), takers).run())


@contextlib.asynccontextmanager
async def beside(context: Callable[[str], Context], data_dir: str, *, port: int = 8025) -> AsyncIterator[str]:
    """A console in this event loop, for a daemon of this process, while the context lasts; gives its address.

    It listens at ``port`` of 127.0.0.1, or the next free one of 20.  Raises ``SettingError`` if none is free.
    """
    listening = _next_free(port)
    console = Console(ContextRunner(context, data_dir))
    server = HttpServer(console.guarded)
    serving = asyncio.ensure_future(server.serve(listening))
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}/"
    finally:
        console.close()
        server.stop()
        await asyncio.gather(serving, return_exceptions=True)
        await console.logins.close()


def _next_free(port: int) -> socket.socket:
    for each in range(port, port + _PORTS):
        with contextlib.suppress(OSError):
            return socket.create_server(("127.0.0.1", each))
    raise SettingError(
        f"no port from {port} to {port + _PORTS - 1} is free for the console", remedy="stop a program there"
    )


def _end_with_daemon(descriptor: int) -> None:
    """End at once: the pipe is readable only when the daemon has gone."""
    if not os.read(descriptor, 1):
        os._exit(0)


def _tls(start: ConsoleStart) -> ssl.SSLContext | None:
    if not start.certificate:
        return None
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    with contextlib.ExitStack() as stack:  # OpenSSL reads files only; the daemon may have read these as root
        paths = []
        for content in (start.certificate, start.key or start.certificate):
            file = stack.enter_context(tempfile.NamedTemporaryFile(mode="wb"))
            file.write(content)
            file.flush()
            paths.append(file.name)
        context.load_cert_chain(*paths)
    return context
