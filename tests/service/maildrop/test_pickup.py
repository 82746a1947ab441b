"""The maildrop and a daemon: left while it runs and while it is down, taken once, and refused with a report."""

from __future__ import annotations

import asyncio
import os
import stat
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Address, Envelope, LocalError, Recipient, StorageError
from posthouse.service import Daemon, parse
from posthouse.service.maildrop import maildrop as writing
from posthouse.service.maildrop.form import DROP_ID
from posthouse.service.maildrop.maildrop import Left, Maildrop, Terms
from posthouse.service.maildrop.pickup import KEYS
from posthouse.service.maildrop.whereabouts import find_maildrop, maildrop_at, maildrop_of

ANN, BOB, NONE = (Recipient(Address(name, "here.test")) for name in ("ann", "bob", "nobody"))
CONFIG = """
hostname = "mail.here.test"
data_dir = "{}"
[[listener]]
bind = "127.0.0.1:0"
max_message_size = "100K"
[[domain]]
name = "here.test"
mailboxes = ["ann", "bob"]
aliases = {{ both = ["ann", "bob"] }}
"""
TEXT = b"Message-ID: <1@here.test>\r\nSubject: x\r\n\r\nhello\r\n"


class Running:
    """A daemon in a directory, and the maildrop beside it."""

    def __init__(self, directory: Path, more: str = "") -> None:
        self.directory = directory
        self.events: list[tuple[str, dict[str, Any]]] = []
        self.changed = asyncio.Event()
        self.daemon = Daemon(parse(more + CONFIG.format(directory)), log=self._heard, control=True)
        self.maildrop = maildrop_at(str(directory))

    def _heard(self, event: str, /, **facts: Any) -> None:
        self.events.append((event, facts))
        self.changed.set()

    async def heard(self, event: str, times: int = 1) -> list[dict[str, Any]]:
        """The facts of an event that is logged, as soon as it has been logged so many times."""
        while len(found := [facts for name, facts in self.events if name == event]) < times:
            self.changed.clear()
            await self.changed.wait()
        return found

    async def leave(self, *recipients: Recipient, text: bytes = TEXT, **more: Any) -> Left:
        return await asyncio.to_thread(leave, self.maildrop, *recipients, text=text, **more)

    async def inbox(self, name: str = "ann") -> list[bytes]:
        """What was delivered into an inbox, when the relay has nothing to do."""
        await self.daemon.wait_idle()
        queries = self.daemon.spool.queries
        found = []
        for each in await queries.inbox(f"{name}@here.test"):
            kept = await queries.kept(each.number)
            assert kept is not None
            found.append(b"".join(kept[1].chunks()))
        return found

    def names(self) -> list[str]:
        return [each for each in os.listdir(self.maildrop.path) if DROP_ID.fullmatch(each)]


def leave(
    maildrop: Maildrop,
    *recipients: Recipient,
    text: bytes = TEXT,
    sender: Address | None = ANN.address,
    message_id: str = "<1@here.test>",
    key: str = "",
) -> Left:
    envelope = Envelope(sender, recipients or (ANN,))
    return maildrop.leave(envelope, [text], message_id=message_id, key=key, patience=30.0)


@asynccontextmanager
async def running(directory: Path, more: str = "") -> AsyncIterator[Running]:
    made = Running(directory, more)
    async with asyncio.timeout(60):
        await made.daemon.start()
        try:
            yield made
        finally:
            await made.daemon.drain(5.0)


def run(scenario: Callable[[], Awaitable[None]]) -> None:
    asyncio.run(scenario())  # type: ignore[arg-type]


def test_a_running_daemon_answers_with_the_queue_id(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            left = await here.leave(ANN, text=b"Bcc: x@y.example\nSubject: x\n\none\n.\ntwo")
            assert left.running
            (accepted,) = await here.heard("accepted")
            assert accepted["id"] == left.queue_id == left.id
            assert accepted["source"].endswith(f"userid {os.getuid()} {left.drop_id}")
            (content,) = await here.inbox()
            assert content.endswith(b"Subject: x\r\n\r\none\r\n.\r\ntwo\r\n")
            assert b"Bcc" not in content
            assert b"by mail.here.test with local (" in content
            assert b"\r\nDate: " in content
            assert here.names() == []
            assert here.maildrop.terms() == Terms("mail.here.test", 100_000)

    run(scenario)


def test_what_is_left_while_no_daemon_runs_is_taken_at_its_start(tmp_path: Path) -> None:
    async def scenario() -> None:
        maildrop = maildrop_at(str(tmp_path))
        left = [leave(maildrop, message_id=f"<{number}@x>") for number in range(20)]
        assert not any(each.running or each.queue_id for each in left)
        assert maildrop.waiting() == 20
        assert stat.S_IMODE(os.stat(maildrop.path).st_mode) == 0o700
        async with running(tmp_path) as here:
            await here.heard("accepted", 20)
            assert len(await here.inbox()) == 20
            assert here.names() == []

    run(scenario)


def test_unknown_recipients_are_reported_and_the_others_get_it(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            left = await here.leave(NONE, BOB)
            assert left.queue_id
            await here.heard("accepted", 2)
            assert len(await here.inbox("bob")) == 1
            (report,) = await here.inbox("ann")
            assert b"nobody@here.test" in report
            assert b"550 5.1.1" in report
            assert b"Subject: x" in report
            left = await here.leave(NONE)
            assert left.queue_id == ""
            assert len(await here.inbox("ann")) == 2
            await here.leave(NONE, sender=None)
            assert len(await here.inbox("ann")) == 2, "the null sender gets no report"
            assert here.names() == []

    run(scenario)


def test_a_file_that_was_found_before_it_was_told_has_its_queue_id(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            left = await here.leave()
            assert here.names() == []
            answer = await asyncio.to_thread(here.maildrop._answer_to, left.drop_id, 30.0)
            assert answer == left
            unknown = await asyncio.to_thread(here.maildrop._answer_to, "0" * 26, 30.0)
            assert (unknown.running, unknown.queue_id) == (True, "")

    run(scenario)


def test_aliases_lead_where_they_lead(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            await here.leave(Recipient(Address("both", "here.test")))
            assert len(await here.inbox("ann")) == len(await here.inbox("bob")) == 1

    run(scenario)


def test_a_message_that_is_too_large_is_reported(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            left = await here.leave(text=TEXT + b"x" * 70 + b"\r\n" * 60_000)
            assert left.queue_id == ""
            (report,) = await here.inbox()
            assert b"552 5.3.4" in report
            assert here.names() == []

    run(scenario)


def test_a_key_is_taken_once(tmp_path: Path) -> None:
    async def scenario() -> None:
        first = leave(maildrop_at(str(tmp_path)), key="invoice 7")
        again = leave(maildrop_at(str(tmp_path)), key="invoice 7")
        assert first == again
        async with running(tmp_path) as here:
            (accepted,) = await here.heard("accepted")
            later = await here.leave(key="invoice 7", message_id="<2@x>")
            assert later.queue_id == accepted["id"]
            other = await here.leave(key="invoice 8")
            assert other.queue_id not in ("", later.queue_id)
            assert len(await here.inbox()) == 2
        async with running(tmp_path) as here:
            assert (await here.leave(key="invoice 7")).queue_id == later.queue_id
            assert len(await here.inbox()) == 2
            os.utime(tmp_path / KEYS / first.drop_id, (0, 0))
            assert (await here.leave(key="invoice 7")).queue_id != later.queue_id

    run(scenario)


def test_what_was_stored_before_a_crash_is_not_taken_again(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            left = await here.leave(message_id="<once@here.test>", text=TEXT.replace(b"<1@", b"<once@"))
            same = await here.leave(message_id="<once@here.test>", text=TEXT.replace(b"<1@", b"<once@"))
            assert len(await here.inbox()) == 2, "Message-ID alone does not make two messages one"
        # The crash: the file is still there although its message is stored.
        maildrop = maildrop_at(str(tmp_path))
        fresh = leave(maildrop, message_id="<once@here.test>")
        os.rename(os.path.join(maildrop.path, fresh.drop_id), os.path.join(maildrop.path, same.drop_id))
        async with running(tmp_path) as here:
            while here.names():
                await asyncio.sleep(0)
            assert len(await here.inbox()) == 2
            assert not [name for name, _ in here.events if name == "accepted"]
        assert left.queue_id != same.queue_id

    run(scenario)


def test_a_file_that_is_no_message_is_put_aside(tmp_path: Path) -> None:
    async def scenario() -> None:
        maildrop = maildrop_at(str(tmp_path))
        leave(maildrop)
        bad = "0" * 26
        (Path(maildrop.path) / bad).write_bytes(b'{"sender":"","to":[["a@b.example> X"]]}\nhi')
        old = Path(maildrop.path) / "arriving.abandoned"
        old.touch()
        os.utime(old, (0, 0))
        async with running(tmp_path) as here:
            (said,) = await here.heard("maildrop")
            assert "is no message of Posthouse" in said["reason"]
            await here.heard("accepted")
            assert (Path(maildrop.path) / f"bad.{bad}").exists()
            assert not old.exists()

    run(scenario)


def test_what_cannot_be_stored_now_stays_and_is_taken_later(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            policy = here.daemon._generation.local_policy
            assert policy is not None
            policy.draining = True
            left = await here.leave()
            assert (left.running, left.queue_id) == (True, "")
            assert here.names() == [left.drop_id]
            (said,) = await here.heard("maildrop")
            assert "cannot be taken now, and stays: 421" in said["reason"]
            policy.draining = False
            pickup = here.daemon._pickup
            assert pickup is not None
            pickup._wake.set()
            assert len(await here.heard("accepted")) == 1

    run(scenario)


def test_a_maildrop_from_which_others_may_remove_mail_is_not_used(tmp_path: Path) -> None:
    async def scenario() -> None:
        (tmp_path / "maildrop").mkdir()
        os.chmod(tmp_path / "maildrop", 0o777)
        async with running(tmp_path) as here:
            (said,) = await here.heard("maildrop")
            assert "set the sticky bit" in said["reason"]

    run(scenario)


def test_two_daemons_do_not_share_a_maildrop(tmp_path: Path) -> None:
    async def scenario() -> None:
        shared = f'maildrop = "{tmp_path}/shared"\n'
        async with running(tmp_path / "one", shared) as one, running(tmp_path / "two", shared) as two:
            (said,) = await two.heard("maildrop")
            assert "another daemon takes from it" in said["reason"]
            one.maildrop = maildrop_at(str(tmp_path / "shared"))
            assert (await one.leave()).queue_id
            await one.daemon.drain(5.0)
            pickup = two.daemon._pickup
            assert pickup is not None
            pickup._wake.set()  # as the clock does it after a while
            two.maildrop = one.maildrop
            while pickup._server is None:
                await asyncio.sleep(0)
            left = await two.leave()
            assert [each["id"] for each in await two.heard("accepted")] == [left.queue_id]

    run(scenario)


def test_what_programs_are_told_follows_the_configuration(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with running(tmp_path) as here:
            changed = parse(CONFIG.format(tmp_path).replace('"100K"', '"7M"'))
            await here.daemon.switch(await here.daemon.prepare(changed))
            assert here.maildrop.terms() == Terms("mail.here.test", 7_000_000)

    run(scenario)


def test_a_path_too_long_for_a_socket(tmp_path: Path) -> None:
    async def scenario() -> None:
        long = tmp_path / ("d" * 100)
        async with running(long) as here:
            assert (await here.leave()).queue_id

    run(scenario)


# The writing side ----------------------------------------------------------------------------------------------------


def test_nothing_is_left_where_storing_fails(tmp_path: Path) -> None:
    maildrop = maildrop_at(str(tmp_path))

    def broken() -> Iterable[bytes]:
        yield b"beginning"
        raise OSError(28, "No space left on device")

    with pytest.raises(StorageError, match="make room"):
        maildrop.leave(Envelope(None, (ANN,)), broken())
    assert os.listdir(maildrop.path) == []
    with pytest.raises(StorageError, match="start the daemon once"):
        leave(Maildrop(str(tmp_path / "missing")))
    with pytest.raises(LocalError, match="no recipient"):
        maildrop.leave(Envelope(None), [b"x"])


def test_a_silent_daemon_is_not_waited_for_long(tmp_path: Path) -> None:
    """The message is durable before the daemon is told."""
    import socket

    maildrop = maildrop_at(str(tmp_path))
    writing.own_directory(maildrop.path)
    with socket.socket(socket.AF_UNIX) as silent, writing.socket_path(maildrop.path) as path:
        silent.bind(path)
        silent.listen()
        left = maildrop.leave(Envelope(None, (ANN,)), [TEXT], patience=0.1)
    assert (left.running, left.queue_id) == (True, "")
    assert maildrop.waiting() == 1


def test_terms_of_another_user_are_not_believed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    maildrop = Maildrop(str(tmp_path), hostname="known.test")
    (tmp_path / "terms.json").write_text('{"hostname": "evil.test", "max_message_size": 5}')
    assert maildrop.terms() == Terms("evil.test", 5)
    (tmp_path / "terms.json").write_text("[]")
    assert maildrop.terms() == Terms("known.test")
    (tmp_path / "terms.json").unlink()
    (tmp_path / "terms.json").symlink_to("/etc/hostname")
    assert maildrop.terms() == Terms("known.test")


# Where it is ----------------------------------------------------------------------------------------------------------


def test_where_the_maildrop_is(tmp_path: Path) -> None:
    config = tmp_path / "p.toml"
    config.write_text(CONFIG.format(tmp_path / "house"))
    found = maildrop_of(str(config))
    assert found.path == str(tmp_path / "house" / "maildrop")
    assert found.terms() == Terms("mail.here.test")
    config.write_text(f'maildrop = "{tmp_path}/shared"\n' + CONFIG.format(tmp_path / "house"))
    assert find_maildrop({"POSTHOUSE_CONFIG": str(config)}).path == str(tmp_path / "shared")
    shared = tmp_path / "shared"
    shared.mkdir()
    assert maildrop_at(str(shared)).path == str(shared / "maildrop")
    os.chmod(shared, 0o3733)
    assert maildrop_at(str(shared)).path == str(shared)
    os.chmod(shared, 0o700)
    (shared / "terms.json").touch()
    assert maildrop_at(str(shared)).path == str(shared)
    (shared / "maildrop").mkdir()
    assert maildrop_at(str(shared)).path == str(shared / "maildrop")
    assert maildrop_at(str(tmp_path / "new")).path == str(tmp_path / "new" / "maildrop")
