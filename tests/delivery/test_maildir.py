"""Delivery into Maildirs, and paths that strangers cannot bend."""

from __future__ import annotations

import asyncio
import errno
import itertools
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import (
    Address,
    Bytes,
    Content,
    Envelope,
    LocalError,
    Outcome,
    Recipient,
    Result,
    SettingError,
    StorageCorrupt,
)
from posthouse.delivery import maildir
from posthouse.delivery.maildir import MaildirDeliverer, expand_path
from posthouse.delivery.model import Delivery
from posthouse.testing import ManualClock

MESSAGE = b"Received: x\r\nFrom: langrui@sohu.com\r\n\r\n.dot\r\n\xff\r\n"
PEOPLE = (Recipient(Address("renping", "sina.com")), Recipient(Address("postmaster", "sina.com")))


def deliver(target: Path | str, content: Content | None = None, sender: Address | None = None) -> Sequence[Outcome]:
    return deliver_many([target], content, sender)[0]


def deliver_many(
    targets: Sequence[Path | str], content: Content | None = None, sender: Address | None = None
) -> list[Sequence[Outcome]]:
    random = itertools.count(7)
    deliverer = MaildirDeliverer(ManualClock(), "mx/1:sina.com", pid=42, random=lambda: f"{next(random):x}")
    delivery = Delivery(Envelope(sender, PEOPLE), content if content is not None else Bytes(MESSAGE))

    async def run() -> list[Sequence[Outcome]]:
        async with asyncio.timeout(20):
            done = await asyncio.gather(*(deliverer.deliver(delivery, str(target)) for target in targets))
            await deliverer.close()
            return list(done)

    return asyncio.run(run())


def contents(directory: Path) -> list[bytes]:
    assert list((directory / "tmp").iterdir()) == []
    assert list((directory / "cur").iterdir()) == []
    return [path.read_bytes() for path in sorted((directory / "new").iterdir())]


def test_a_letter_arrives_byte_for_byte_behind_its_return_path(tmp_path: Path) -> None:
    target = tmp_path / "sina.com" / "renping"
    outcomes = deliver(target, sender=Address("langrui", "sohu.com"))
    assert contents(target) == [b"Return-Path: <langrui@sohu.com>\r\n" + MESSAGE]
    assert [one.recipient for one in outcomes] == list(PEOPLE)
    assert {one.result for one in outcomes} == {Result.DELIVERED}
    assert {one.peer for one in outcomes} == {str(target)}


def test_a_return_path_that_came_along_is_replaced(tmp_path: Path) -> None:
    body = b"\r\nReturn-Path: <in@the.body>\r\n"
    deliver(tmp_path, Bytes(b"Return-Path: <old@x.org>\r\nA: b\r\nRETURN-PATH:\r\n <two>\r\n" + body))
    assert contents(tmp_path) == [b"Return-Path: <>\r\nA: b\r\n" + body]


def test_names_and_modes(tmp_path: Path) -> None:
    target = tmp_path / "a" / "b"
    deliver(target)
    (path,) = (target / "new").iterdir()
    clock = ManualClock().time()
    assert path.name == f"{int(clock)}.M{int(clock % 1 * 1e6):06d}P42Q1R7.mx\\0571\\072sina.com"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    for directory in (target.parent, target, target / "tmp", target / "new", target / "cur"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o700


def test_many_deliveries_at_once_have_many_names(tmp_path: Path) -> None:
    outcomes = deliver_many([tmp_path / "box"] * 30)
    assert {one.result for each in outcomes for one in each} == {Result.DELIVERED}
    assert len(contents(tmp_path / "box")) == 30


def test_two_deliverers_with_the_same_number_never_overwrite(tmp_path: Path) -> None:
    first = deliver(tmp_path)
    second = deliver(tmp_path)
    assert first[0].result is Result.DELIVERED
    assert second[0].result is Result.DEFERRED
    assert len(contents(tmp_path)) == 1


class Pieces:
    """Large content that is made as it is read, and remembers how much was wanted at once."""

    size = 3_000_000

    def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
        assert at_most <= 262_144
        yield b"A: b\r\n\r\n"
        rest = self.size - 8
        while rest:
            piece = b"x" * min(rest, 100_000)
            rest -= len(piece)
            yield piece


def test_large_content_is_streamed(tmp_path: Path) -> None:
    deliver(tmp_path, Pieces())
    (octets,) = contents(tmp_path)
    assert len(octets) == Pieces.size + len(b"Return-Path: <>\r\n")


def test_content_is_safe_before_it_is_visible(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    deliver(tmp_path)  # the directories exist
    happened: list[str] = []
    fsync, link = os.fsync, os.link

    def watched_fsync(descriptor: int) -> None:
        directory = stat.S_ISDIR(os.fstat(descriptor).st_mode)
        happened.append("sync directory" if directory else "sync file")
        fsync(descriptor)

    def watched_link(old: str, new: str, **options: bool) -> None:
        happened.append("link")
        link(old, new, **options)

    monkeypatch.setattr(os, "fsync", watched_fsync)
    monkeypatch.setattr(os, "link", watched_link)
    (tmp_path / "new").joinpath(next((tmp_path / "new").iterdir()).name).unlink()
    assert deliver(tmp_path)[0].result is Result.DELIVERED
    assert happened == ["sync file", "link", "sync directory"]


def test_where_there_are_no_links_it_renames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_links(*_: object, **__: object) -> None:
        raise OSError(errno.EPERM, "no links here")

    monkeypatch.setattr(os, "link", no_links)
    assert deliver(tmp_path)[0].result is Result.DELIVERED
    assert contents(tmp_path) == [b"Return-Path: <>\r\n" + MESSAGE]


@pytest.mark.parametrize(
    ("number", "code", "enhanced"),
    [
        (errno.ENOSPC, 452, "4.3.1"),
        (errno.EDQUOT, 452, "4.2.2"),
        (errno.EACCES, 451, "4.3.0"),
        (errno.EROFS, 451, "4.3.0"),
        (errno.EIO, 451, "4.3.0"),
    ],
)
def test_troubles_of_the_file_system_defer(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int, code: int, enhanced: str
) -> None:
    def fail(descriptor: int, data: bytes) -> None:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(maildir, "_write", fail)
    for outcome in deliver(tmp_path):
        assert outcome.result is Result.DEFERRED
        assert outcome.reply is not None
        assert (outcome.reply.code, outcome.reply.enhanced) == (code, enhanced)
        assert str(tmp_path) in outcome.reason
        assert str(tmp_path) not in outcome.reply.text
    assert contents(tmp_path) == []


def test_a_path_that_is_no_directory_defers_with_its_name(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    for outcome in deliver(tmp_path / "file" / "box"):
        assert outcome.result is Result.DEFERRED
        assert str(tmp_path / "file") in outcome.reason


def test_a_fault_of_the_spool_is_not_hidden(tmp_path: Path) -> None:
    class Gone:
        size = 10

        def chunks(self, at_most: int = 262_144) -> Iterator[bytes]:
            raise StorageCorrupt("content is gone")
            yield b""

    with pytest.raises(StorageCorrupt):
        deliver(tmp_path, Gone())
    assert contents(tmp_path) == []


# Paths ---------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("local", "domain", "path"),
    [
        ("renping", "sina.com", "/m/sina.com/renping"),
        ("RenPing", "SINA.com", "/m/sina.com/renping"),
        ("a.b+c-d_e=f", "sina.com", "/m/sina.com/a.b+c-d_e=f"),
        ("..", "sina.com", "/m/sina.com/%2E."),
        (".", "sina.com", "/m/sina.com/%2E"),
        ("../../etc/passwd", "sina.com", "/m/sina.com/%2E.%2F..%2Fetc%2Fpasswd"),
        ("/etc/passwd", "sina.com", "/m/sina.com/%2Fetc%2Fpasswd"),
        (".hidden", "sina.com", "/m/sina.com/%2Ehidden"),
        ("a\x00b", "sina.com", "/m/sina.com/a%00b"),
        ("%2f", "sina.com", "/m/sina.com/%252f"),
        ("a b", "sina.com", "/m/sina.com/a%20b"),
        ("任", "sina.com", "/m/sina.com/%E4%BB%BB"),
        ("{domain}", "sina.com", "/m/sina.com/%7Bdomain%7D"),
        ("root", "[IPv6:2001:db8::1]", "/m/%5Bipv6%3A2001%3Adb8%3A%3A1%5D/root"),
        ("root", "..", "/m/%2E./root"),
    ],
)
def test_an_address_as_a_path(local: str, domain: str, path: str) -> None:
    assert expand_path("/m/{domain}/{local}", Address(local, domain)) == Path(path)


def test_templates() -> None:
    address = Address("renping", "sina.com")
    assert expand_path("/one/box", address) == Path("/one/box")
    assert expand_path("/m/{local}@{domain}/Maildir", address) == Path("/m/renping@sina.com/Maildir")
    for template in ("", "/m/\0", "/m/{user}", "/m/{}", "/m/{local.x}"):
        with pytest.raises(SettingError):
            expand_path(template, address)


@pytest.mark.parametrize(
    "address", [Address("postmaster", ""), Address("", "sina.com"), Address("x" * 256, "a"), Address("\ud800", "a")]
)
def test_what_cannot_be_represented_is_refused(address: Address) -> None:
    with pytest.raises(LocalError):
        expand_path("/m/{domain}/{local}", address)


hostile = st.one_of(
    st.text(max_size=40),
    st.lists(st.sampled_from(["..", ".", "/", "\\", "\x00", "~", "%", "%2e", "a", "{local}", "\n"])).map("".join),
)


@given(hostile, hostile)
@settings(deadline=None)
def test_a_path_never_leaves_its_root(local: str, domain: str) -> None:
    try:
        path = PurePosixPath(expand_path("/root/of/all/{domain}/{local}", Address(local, domain)))
    except LocalError:
        return
    assert path.parts[:4] == ("/", "root", "of", "all")
    assert len(path.parts) == 6
    assert os.path.normpath(path) == str(path)
    for part in path.parts[4:]:
        assert part.isascii()
        assert part.isprintable()
        assert not part.startswith((".", "~"))
        assert 0 < len(part) <= 255


@given(hostile, hostile)
@settings(deadline=None)
def test_different_mailboxes_have_different_paths(one: str, two: str) -> None:
    try:
        first, second = (expand_path("/m/{local}", Address(each, "a")) for each in (one, two))
    except LocalError:
        return
    assert (first == second) == (Address(one, "a").key == Address(two, "a").key)


def test_a_message_whose_lease_was_lost_is_not_published(tmp_path: Path) -> None:
    deliverer = MaildirDeliverer(ManualClock(), "mx", pid=42, random=lambda: "7")
    delivery = Delivery(Envelope(None, PEOPLE), Bytes(MESSAGE), holds=lambda: False)
    outcomes = asyncio.run(deliverer.deliver(delivery, str(tmp_path)))
    assert {one.result for one in outcomes} == {Result.DEFERRED}
    assert {one.reason for one in outcomes} == {
        "the lease was lost before the message was complete; nothing was delivered by this attempt"
    }
    assert contents(tmp_path) == []
