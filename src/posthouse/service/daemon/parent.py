"""The link of a worker process to its parent (``daemon.supervisor``).

The worker writes to one pipe: ``ready`` once its listeners are open, ``draining`` when it closes them, and a beat every
second, by which the parent knows that its event loop runs.  It reads orders from a socket:

*  ``take 1``: accept the connections of worker 1, because it hangs, drains or has died; ``leave 1``: no longer.
*  ``prepare 3``: read what change 3 of the configuration needs, and answer ``prepared 3`` or ``refused 3`` with the
   reason.  The configuration comes as a file, and new listening sockets with it, as descriptors beside the order.
*  ``switch 3`` puts the change into force, ``abandon 3`` forgets it.
*  ``reloaded`` answers a ``reload`` that this worker has passed on from its control socket.

The socket ends when the parent has gone, and the worker then exits at once.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import pickle
import socket
import tempfile
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple, NoReturn

import msgspec
from msgspec.structs import replace

from posthouse.core import PosthouseError, StorageBusy
from posthouse.net import Endpoint
from posthouse.service.config.model import Config
from posthouse.service.control.wire import error_of, kind_of
from posthouse.service.daemon.reloading import prepared
from posthouse.service.operations.reload import ReloadReport
from posthouse.service.policy.shared_counts import SharedCounts
from posthouse.service.process import forks

if TYPE_CHECKING:
    from posthouse.service.daemon.daemon import Daemon

__all__ = ["BEAT", "ParentLink", "config_of", "decoded_outcome", "encoded_outcome", "send_change"]

#: Seconds between two beats.
BEAT: Final = 1.0

#: The listening sockets of one worker, by address.
_Sockets = dict[Endpoint, socket.socket]
#: Descriptors that one message carries; the system takes 253.
_AT_ONCE: Final = 200
#: Changed settings that an answer names.
_MOST_NAMED: Final = 300


class _Prepared(NamedTuple):
    """A change that is ready: its number, its configuration, the new sockets, and what the daemon has made of it."""

    number: int
    config: Config
    sockets: list[tuple[int, Endpoint, socket.socket]]
    generation: Any


def config_of(worker: int, config: Config) -> Config:
    """The configuration of one worker: unix sockets are worker 0's."""
    listeners = [each for each in config.listener if worker == 0 or not each.bind.is_path]
    return replace(config, listener=tuple(listeners))


def send_change(
    to: socket.socket, number: int, config: Config, sockets: Sequence[tuple[int, Endpoint, socket.socket]]
) -> None:
    """Order a worker to prepare a change.  Raises ``OSError``."""
    with tempfile.TemporaryFile() as file:
        pickle.dump((config, [(worker, at) for worker, at, _ in sockets]), file)
        file.flush()
        file.seek(0)
        descriptors = [file.fileno(), *(sock.fileno() for _, _, sock in sockets)]
        while len(descriptors) > _AT_ONCE:
            socket.send_fds(to, [b"more 0\n"], descriptors[:_AT_ONCE])
            descriptors = descriptors[_AT_ONCE:]
        socket.send_fds(to, [b"prepare %d\n" % number], descriptors)


def encoded_outcome(outcome: ReloadReport | PosthouseError) -> str:
    """The end of a reload as one line, for the worker that asked for it."""
    if isinstance(outcome, PosthouseError):
        return json.dumps({"kind": kind_of(outcome), "error": str(outcome)})
    cut = ReloadReport(outcome.file, outcome.changed[:_MOST_NAMED], outcome.waiting)
    if len(outcome.changed) > _MOST_NAMED:
        cut.changed.append(f"{len(outcome.changed) - _MOST_NAMED:,} more")
    return msgspec.json.encode({"report": cut}).decode()


def decoded_outcome(text: str) -> PosthouseError:
    """The error that a worker has written as ``encoded_outcome``."""
    found = json.loads(text)
    return error_of(found["kind"], found["error"])


class ParentLink:
    """The link of worker ``number``.

    Args:
        sockets: the listening sockets of every worker, by its number.
        status: the pipe to write to.
        orders: the socket to read from.
        counts: the counts of limits that all workers share.
    """

    def __init__(
        self, number: int, sockets: Sequence[_Sockets], status: int, orders: socket.socket, counts: SharedCounts
    ) -> None:
        self.number = number
        self.counts = counts.seen_by(number)
        self.sockets = sockets[number]
        self._all = sockets
        self._status = status
        self._orders = orders
        self._input = b""
        self.stopping = False
        self._daemon: Daemon | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._taking: asyncio.Task[None] | None = None
        self._wanted: list[tuple[str, str]] = []
        self._descriptors: list[int] = []  # that came with orders
        self._came_with: dict[int, list[int]] = {}  # by the number of a change that is to be prepared
        self._prepared: _Prepared | None = None
        self._answers: dict[int, asyncio.Future[ReloadReport]] = {}
        self._asked = 0
        os.set_blocking(status, False)
        orders.setblocking(False)
        forks.private.update((status, orders.fileno()))

    def watch(self, daemon: Daemon) -> None:
        """Begin to beat, and to do what the parent orders."""
        self._daemon = daemon
        asyncio.get_running_loop().add_reader(self._orders, self._read)
        self._beat()

    def ready(self) -> None:
        """Tell that the listeners are open."""
        self._write(b"ready\n")

    def draining(self) -> None:
        """Tell that the worker accepts no more connections, and close its copies of all sockets.

        A copy that stays open would keep connections waiting after the last worker has closed its listeners.
        """
        self.stopping = True
        self._write(b"draining\n")
        for sockets in self._all:
            for sock in sockets.values():
                sock.close()

    def failed(self, text: str) -> None:
        """Tell why the worker cannot start."""
        self._write(text.encode("utf-8", "replace")[:4000])

    def close(self) -> None:
        """Stop beating and reading; the pipes stay open until the process ends."""
        if self._timer is not None:
            self._timer.cancel()
        if self._daemon is not None:
            asyncio.get_running_loop().remove_reader(self._orders)
        self._abandon()
        for each in self._answers.values():
            if not each.done():
                each.set_exception(StorageBusy("the daemon is stopping; start it again when it has ended"))

    def _beat(self) -> None:
        self._write(b".\n")
        self._timer = asyncio.get_running_loop().call_later(BEAT, self._beat)

    def _write(self, text: bytes) -> None:
        with contextlib.suppress(BlockingIOError, BrokenPipeError):  # the parent is stopped, or has gone
            os.write(self._status, text)

    def _read(self) -> None:
        try:
            data, descriptors, _, _ = socket.recv_fds(self._orders, 4096, _AT_ONCE + 1)
        except BlockingIOError:
            return
        except ConnectionResetError:
            data, descriptors = b"", []
        if not data:
            self._end_now()
        self._descriptors += descriptors
        *lines, self._input = (self._input + data).split(b"\n")
        for line in lines:
            verb, _, what = line.decode("utf-8").partition(" ")
            if verb == "prepare":  # all that has come is its own; the order before it may take long
                self._came_with[int(what)], self._descriptors = self._descriptors, []
            self._wanted.append((verb, what))
        if self._wanted and self._taking is None:
            self._taking = asyncio.get_running_loop().create_task(self._obey())

    def _end_now(self) -> NoReturn:
        """End the process at once; first the log is written, because other mail was accepted a moment ago."""
        if self._daemon is not None:
            self._daemon.log.flush()
        os._exit(1)

    async def _obey(self) -> None:
        daemon = self._daemon
        assert daemon is not None
        try:
            while self._wanted:
                verb, what = self._wanted.pop(0)
                if verb == "leave":
                    daemon.leave(int(what))
                elif verb == "take" and int(what) != self.number:
                    await daemon.take(int(what), self._all[int(what)])
                elif verb == "prepare":
                    await self._prepare(daemon, int(what))
                elif verb == "switch":
                    await self._switch(daemon, int(what))
                elif verb == "abandon":
                    self._abandon()
                elif verb == "reloaded":
                    self._answer(what)
        finally:
            self._taking = None

    # -- changes of the configuration --

    async def _prepare(self, daemon: Daemon, number: int) -> None:
        descriptors = self._came_with.pop(number)
        self._abandon()
        with open(descriptors[0], "rb") as file:
            config, places = pickle.load(file)
        made = [(*place, socket.socket(fileno=each)) for place, each in zip(places, descriptors[1:], strict=True)]
        try:
            generation = await prepared(daemon, config_of(self.number, config))
        except PosthouseError as error:
            for _, _, sock in made:
                sock.close()
            self._write(f"refused {number} {encoded_outcome(error)}\n".encode())
            return
        self._prepared = _Prepared(number, config, made, generation)
        self._write(b"prepared %d\n" % number)

    async def _switch(self, daemon: Daemon, number: int) -> None:
        change, self._prepared = self._prepared, None
        assert change is not None
        assert change.number == number
        for worker, at, sock in change.sockets:
            self._all[worker][at] = sock
        try:
            await daemon.switch(change.generation)
        except PosthouseError as error:
            if self.stopping:
                return
            # The others have switched: a new process takes this one's place, with the new configuration.
            self.failed(f"failed {kind_of(error)} {error}\n")
            self._end_now()
        kept = {each.bind for each in change.config.listener}
        for sockets in self._all:
            for at in [each for each in sockets if each not in kept]:
                sockets.pop(at).close()

    def _abandon(self) -> None:
        change, self._prepared = self._prepared, None
        if change is not None:
            for _, _, sock in change.sockets:
                sock.close()
        descriptors, self._descriptors = self._descriptors, []
        for each in descriptors:  # of an order that did not come to its end
            os.close(each)

    async def reload(self, who: str) -> ReloadReport:
        """Have the parent read the configuration again, for ``who``; raises what is wrong with it."""
        answer: asyncio.Future[ReloadReport] = asyncio.get_running_loop().create_future()
        self._asked += 1
        number = self._asked
        self._answers[number] = answer
        self._write(f"reload {number} {who}\n".encode("utf-8", "replace"))
        try:
            return await answer
        finally:
            del self._answers[number]

    def _answer(self, text: str) -> None:
        number, _, text = text.partition(" ")
        answer, found = self._answers.get(int(number)), json.loads(text)
        if answer is None or answer.done():
            return
        if "report" in found:
            answer.set_result(ReloadReport(**found["report"]))
        else:
            answer.set_exception(error_of(found["kind"], found["error"]))
