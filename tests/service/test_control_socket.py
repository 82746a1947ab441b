"""The control socket: who is let in, what is answered, and what happens to those who misbehave."""

from __future__ import annotations

import asyncio
import errno
import getpass
import json
import os
import socket
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from posthouse.cli import exit_codes
from posthouse.core import (
    Envelope,
    PosthouseError,
    Recipient,
    SettingError,
    StorageBusy,
    StorageError,
    StorageFull,
)
from posthouse.service import OPERATIONS, ConfigError, Daemon, context, parse
from posthouse.service.control import client
from posthouse.service.control import server as control
from posthouse.service.control.client import NoDaemon, ask
from posthouse.service.control.server import ControlSocket
from posthouse.service.control.wire import CONTROL_SOCKET, error_of, kind_of
from posthouse.service.operations.results import QueueChange, QueueEntry

from .operation_harness import OperationHarness, address, run


def _caused(error: PosthouseError, cause: OSError) -> PosthouseError:
    error.__cause__ = cause
    return error


class Open:
    """A desk whose operations are offered in a directory."""

    def __init__(self, directory: Path) -> None:
        self.desk = OperationHarness()
        self.directory = str(directory)
        self.path = os.path.join(self.directory, CONTROL_SOCKET)
        self.socket = ControlSocket(self.path, self.desk.context, self.desk.daemon.log)

    async def __aenter__(self) -> Open:
        await self.desk
        await self.socket.open()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.socket.close()

    async def ask(self, name: str, **given: Any) -> Any:
        return await ask(self.directory, OPERATIONS[name], given)

    async def say(self, *lines: bytes) -> list[dict[str, Any]]:
        """Say lines as they are; the answers until the other side ends."""
        reader, writer = await asyncio.open_unix_connection(self.path, limit=1 << 20)
        writer.write(b"".join(lines))
        writer.write_eof()
        answers = [json.loads(line) for line in (await reader.read()).splitlines()]
        writer.close()
        return answers


def with_open(directory: Path, scenario: Callable[[Open], Awaitable[None]]) -> None:
    async def opened() -> None:
        async with Open(directory) as daemon:
            await scenario(daemon)

    run(opened)


def test_only_its_owner_is_let_in(tmp_path: Path) -> None:
    async def scenario(daemon: Open) -> None:
        status = os.stat(daemon.path)
        assert stat.S_ISSOCK(status.st_mode)
        assert stat.S_IMODE(status.st_mode) == 0o600

    with_open(tmp_path, scenario)
    assert not os.path.exists(str(tmp_path / CONTROL_SOCKET))


def test_what_is_asked_is_answered_in_its_type(tmp_path: Path) -> None:
    async def scenario(daemon: Open) -> None:
        queue_id = await daemon.desk.store("bob@far.test")
        (entry,) = await daemon.ask("queue list", filter="domain:far.test", limit=10)
        assert isinstance(entry, QueueEntry)
        assert entry.id == queue_id
        changed = await daemon.ask("queue hold", filter="domain:far.test")
        assert isinstance(changed, QueueChange)
        assert changed.recipients == 1
        assert changed.who == f"{getpass.getuser()} (uid {os.getuid()})"
        assert (await daemon.ask("explain", what=queue_id)).message.standing[0].state == "held"
        assert (await daemon.ask("explain code", code="550")).codes[0].code == "550"

    with_open(tmp_path, scenario)


def test_several_questions_on_one_connection(tmp_path: Path) -> None:
    async def scenario(daemon: Open) -> None:
        answers = await daemon.say(b'{"op": "queue list"}\n', b'{"op": "queue count", "args": {"act": "hold"}}\n')
        assert answers[0] == {"ok": []}
        assert answers[1]["ok"]["recipients"] == 0

    with_open(tmp_path, scenario)


def test_the_console_names_the_account_that_asks(tmp_path: Path) -> None:
    async def scenario(daemon: Open) -> None:
        await daemon.say(b'{"op": "queue hold", "args": {"filter": "state:waiting"}, "who": "ann (console)"}\n')
        (answer,) = await daemon.say(b'{"op": "queue audit"}\n')
        assert [each["who"] for each in answer["ok"]] == ["ann (console)"]

    with_open(tmp_path, scenario)


@pytest.mark.parametrize(
    ("line", "error"),
    [
        (b"hello\n", "this is no request"),
        (b"[]\n", "this is no request"),
        (b"\xff\xfe\n", "this is no request"),
        (b'{"op": "queue list", "args": {"fil\xffter": "x"}}\n', "is not UTF-8"),
        (b'{"op": "queue list", "args": {"filter": "to:b\xffcher@x.test"}}\n', "is not UTF-8"),
        (b'{"op": "queue\xff list"}\n', "is not UTF-8"),
        (b'{"op": "queue \\udcfc"}\n', "this is no request"),
        (b'{"op": "queue list", "args": ' + b"[" * 30_000 + b"\n", "this is no request"),
        (b'{"op": "queue list", "whom": "root"}\n', "this is no request"),
        (b'{"op": "queue burn"}\n', 'no operation "queue burn"'),
        (b'{"op": "queue list", "args": {"limits": 1}}\n', 'no parameter "limits"'),
        (b'{"op": "queue list", "args": {"limit": "1"}}\n', "is not a int"),
        (b'{"op": "queue list", "args": {"limit": true}}\n', "is not a int"),
        (b'{"op": "queue hold"}\n', "no filter says what to hold"),
        (b'{"op": "inbox delete", "args": {"numbers": 1}}\n', "is not a list"),
        (b'{"op": "inbox delete", "args": {"numbers": ["1"]}}\n', "this is no request"),
        (b'{"op": "queue hold", "args": {"filter": "sate:held"}}\n', 'did you mean "state"'),
    ],
)
def test_what_cannot_be_meant_is_said_in_a_sentence(tmp_path: Path, line: bytes, error: str) -> None:
    async def scenario(daemon: Open) -> None:
        for answer in await daemon.say(line, line):
            assert (set(answer), answer["kind"]) == ({"error", "kind"}, "setting")
            assert error in answer["error"]
            assert "\n" not in answer["error"]

    with_open(tmp_path, scenario)


def test_a_question_without_end_is_cut(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("posthouse.service.control.server.MOST_ASKED", 65_536)

    async def scenario(daemon: Open) -> None:
        (answer,) = await daemon.say(b"x" * 70_000 + b"\n")
        assert "longer than 65536 octets" in answer["error"]
        assert await daemon.say(b'{"op": "queue list"}') == []  # no end of line: not a question

    with_open(tmp_path, scenario)


def test_who_says_nothing_is_sent_away(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "PATIENCE", 0.01)

    async def scenario(daemon: Open) -> None:
        reader, writer = await asyncio.open_unix_connection(daemon.path)
        assert await reader.read() == b""
        writer.close()

    with_open(tmp_path, scenario)


def test_too_many_at_one_time(tmp_path: Path) -> None:
    async def scenario(daemon: Open) -> None:
        talks = [await asyncio.open_unix_connection(daemon.path) for _ in range(control._CONNECTIONS)]
        for reader, writer in talks:
            writer.write(b'{"op": "queue list"}\n')
            await reader.readline()
        with pytest.raises(StorageBusy, match="too many ask"):
            await daemon.ask("queue list")
        for _, writer in talks:
            writer.close()

    with_open(tmp_path, scenario)


@pytest.mark.parametrize(
    ("raised", "kind"),
    [
        (StorageFull("the disk is full"), StorageFull),
        (StorageBusy("behind"), StorageBusy),
        (StorageError("the disk failed"), StorageError),
        (SettingError("no such thing", remedy="see elsewhere"), SettingError),
    ],
)
def test_faults_keep_their_kind_and_their_words(tmp_path: Path, raised: PosthouseError, kind: type) -> None:
    async def scenario(daemon: Open) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise raised

        daemon.desk.queue.queries.select = broken  # type: ignore[method-assign,assignment]
        with pytest.raises(kind) as reported:
            await daemon.ask("queue list")
        assert type(reported.value) is kind
        assert str(reported.value) == str(raised)

    with_open(tmp_path, scenario)


def test_a_mistake_of_ours_goes_to_the_log_and_not_to_strangers(tmp_path: Path) -> None:
    async def scenario(daemon: Open) -> None:
        async def broken(*_: object, **__: object) -> None:
            raise ZeroDivisionError("a secret")

        daemon.desk.queue.queries.select = broken  # type: ignore[method-assign,assignment]
        with pytest.raises(PosthouseError, match="an error in Posthouse") as reported:
            await daemon.ask("queue list")
        assert "secret" not in str(reported.value)
        ((event, fields),) = daemon.desk.reported
        assert event == "fault"
        assert "ZeroDivisionError: a secret" in fields["reason"]

    with_open(tmp_path, scenario)


def test_an_operation_that_takes_too_long_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control, "LONGEST_OPERATION", 0.01)

    async def scenario(daemon: Open) -> None:
        async def never(*_: object, **__: object) -> None:
            await asyncio.Event().wait()

        daemon.desk.queue.queries.select = never  # type: ignore[method-assign,assignment]
        with pytest.raises(StorageBusy, match="took longer than"):
            await daemon.ask("queue list")

    with_open(tmp_path, scenario)


def test_a_daemon_that_hangs_is_waited_for_no_longer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The kernel accepts the connection of a process that is stopped; nothing answers on it."""
    monkeypatch.setattr(client, "_LOOK", 0.05)

    async def scenario() -> None:
        with socket.socket(socket.AF_UNIX) as hung:
            hung.bind(str(tmp_path / CONTROL_SOCKET))
            hung.listen(16)
            with pytest.raises(StorageBusy, match="does not answer: it is stopped, or waits for its disk"):
                await ask(str(tmp_path), OPERATIONS["queue summary"], {})

    run(scenario)


def test_an_operation_that_takes_long_is_waited_for_while_the_daemon_lives(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(client, "_LOOK", 0.05)

    async def scenario(daemon: Open) -> None:
        told: list[str] = []
        goes_on = asyncio.Event()
        select = daemon.desk.queue.queries.select

        async def slow(*given: object, **named: object) -> object:
            await goes_on.wait()
            return await select(*given, **named)  # type: ignore[arg-type]

        def tell() -> None:
            told.append("slow")
            asyncio.get_running_loop().call_later(0.2, goes_on.set)  # several looks later

        daemon.desk.queue.queries.select = slow  # type: ignore[method-assign,assignment]
        assert await ask(daemon.directory, OPERATIONS["queue list"], {}, slow=tell) == []
        assert told == ["slow"]
        (answer,) = await daemon.say(b'{"op": "ping"}\n')
        assert answer == {"ok": os.getpid()}

    with_open(tmp_path, scenario)


def test_nobody_listens(tmp_path: Path) -> None:
    async def scenario() -> None:
        operation = OPERATIONS["queue list"]
        with pytest.raises(NoDaemon):
            await ask(str(tmp_path / "none"), operation, {})
        dead = socket.socket(socket.AF_UNIX)
        dead.bind(str(tmp_path / CONTROL_SOCKET))
        dead.close()
        with pytest.raises(NoDaemon):
            await ask(str(tmp_path), operation, {})
        async with Open(tmp_path) as daemon:  # what a dead process left is replaced
            assert await daemon.ask("queue list") == []
            second = ControlSocket(daemon.path, daemon.desk.context, daemon.desk.daemon.log)
            with pytest.raises(OSError, match="in use"):
                await second.open()
            await second.close()
            assert await daemon.ask("queue list") == []

    run(scenario)


def test_a_file_that_is_no_socket_is_let_be(tmp_path: Path) -> None:
    async def scenario() -> None:
        path = tmp_path / CONTROL_SOCKET
        path.write_text("mine")
        with pytest.raises(OSError, match="in use"):
            await Open(tmp_path).socket.open()
        assert path.read_text() == "mine"

    run(scenario)


def test_a_running_daemon_offers_its_operations_and_wakes_its_relay(tmp_path: Path) -> None:
    """Held mail that is released by the socket is delivered at once; nobody waits for a due time."""
    text = f'data_dir = "{tmp_path}"\n[[listener]]\nbind = "127.0.0.1:0"\n'
    text += '[[domain]]\nname = "here.test"\nmailboxes = "any"'

    def quiet(event: str, /, **fields: object) -> None:
        """A log that nobody reads."""

    async def store(daemon: Daemon) -> str:
        receipt = daemon.spool.receive()
        receipt.write(b"Subject: x\r\n\r\nhello\r\n")
        now = daemon.clock.time()
        envelope = Envelope(address("me@far.test"), (Recipient(address("bob@here.test")),))
        await receipt.commit(envelope, ["here.test"], received=now, due=now + 3600)
        return receipt.id

    async def scenario() -> None:
        config = parse(text)
        daemon = Daemon(config, log=quiet, control=True)
        await daemon.start()
        try:
            queue_id = await store(daemon)
            directory = config.data_dir
            (entry,) = await ask(directory, OPERATIONS["queue list"], {})
            assert (entry.id, entry.waiting) == (queue_id, 1)
            changed = await ask(directory, OPERATIONS["queue retry"], {"filter": "domain:here.test"})
            assert changed.recipients == 1
            await daemon.wait_idle()
            assert await ask(directory, OPERATIONS["queue list"], {}) == []
            found = await ask(directory, OPERATIONS["explain"], {"what": queue_id})
            assert [each.state for each in found.message.standing] == ["delivered"]
            (listed,) = await OPERATIONS["inbox list"].run(context(config))
            deleted = await ask(directory, OPERATIONS["inbox delete"], {"numbers": [listed.number, 999]})
            assert (deleted.deleted, deleted.missing) == (1, 1)
            assert await OPERATIONS["inbox list"].run(context(config)) == []
        finally:
            await daemon.drain(5.0)
        with pytest.raises(NoDaemon):
            await ask(directory, OPERATIONS["queue list"], {})
        # The stopped spool is read directly, and changed as by one more process on it.
        stopped = context(config)
        assert (await OPERATIONS["explain"].run(stopped, what=queue_id)).message.id == queue_id
        assert (await OPERATIONS["queue hold"].run(stopped, filter="age>=0")).recipients == 0
        assert (await OPERATIONS["inbox delete"].run(stopped, numbers=[listed.number])).missing == 1
        audit = await OPERATIONS["queue audit"].run(stopped)
        assert [(each.act, each.recipients) for each in audit] == [
            ("delete", 0),
            ("hold", 0),
            ("delete", 1),
            ("retry", 1),
        ]
        assert all(each.who == f"{getpass.getuser()} (uid {os.getuid()})" for each in audit)

    run(scenario)


def test_a_daemon_that_cannot_offer_them_says_so_and_runs(tmp_path: Path) -> None:
    directory = tmp_path / ("long" * 40)
    reported: list[tuple[str, dict[str, Any]]] = []

    async def scenario() -> None:
        text = f'data_dir = "{directory}"\n[[listener]]\nbind = "127.0.0.1:0"'
        daemon = Daemon(parse(text), log=lambda event, /, **fields: reported.append((event, fields)), control=True)
        await daemon.start()
        await daemon.drain(5.0)
        with pytest.raises(NoDaemon):
            await ask(str(directory), OPERATIONS["queue list"], {})

    run(scenario)
    assert any(event == "control" and "cannot be opened" in fields["reason"] for event, fields in reported)


@pytest.mark.parametrize(
    "error",
    [
        SettingError("wrong"),
        _caused(SettingError("taken"), OSError(errno.EADDRINUSE, "in use")),
        _caused(SettingError("closed"), PermissionError(errno.EACCES, "denied", "/key.pem")),
        ConfigError([SettingError("wrong", where="a.toml: x"), SettingError("wrong", where="a.toml: y")]),
        _caused(ConfigError([SettingError("gone")]), FileNotFoundError(errno.ENOENT, "no such file")),
        StorageError("broken"),
        StorageBusy("busy"),
        StorageFull("full"),
    ],
)
def test_a_command_ends_alike_whichever_process_found_the_error(error: PosthouseError) -> None:
    travelled = error_of(kind_of(error), str(error))
    assert str(travelled) == str(error)
    assert type(travelled) is type(error)
    assert exit_codes.of(travelled) == exit_codes.of(error)
    assert kind_of(travelled) == kind_of(error)
