"""Delivery into Maildirs, and paths that strangers cannot bend."""

from __future__ import annotations

import asyncio
import errno
import itertools
import mailbox
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.core import (
    Address,
    Bytes,
    Content,
    Envelope,
    LocalError,
    OriginalRecipient,
    Outcome,
    Recipient,
    Result,
    SettingError,
    StorageCorrupt,
)
from posthouse.delivery import MaildirFiles, maildir_files
from posthouse.delivery.maildir import MaildirDeliverer, expand_path
from posthouse.delivery.maildir_files import with_lf
from posthouse.delivery.model import Delivery
from posthouse.testing import ManualClock

MESSAGE = b"Received: x\r\nFrom: langrui@sohu.com\r\n\r\n.dot\r\n\xff\r\n"
PEOPLE = (Recipient(Address("renping", "sina.com")), Recipient(Address("postmaster", "sina.com")))


FRONT = (
    b"X-Original-To: renping@sina.com\nDelivered-To: renping@sina.com\n"
    b"X-Original-To: postmaster@sina.com\nDelivered-To: postmaster@sina.com\n"
)


def unix(data: bytes) -> bytes:
    return data.replace(b"\r\n", b"\n")


def deliver(
    target: Path | str, content: Content | None = None, sender: Address | None = None, **values: Any
) -> Sequence[Outcome]:
    return deliver_many([target], content, sender, **values)[0]


def deliver_many(
    targets: Sequence[Path | str],
    content: Content | None = None,
    sender: Address | None = None,
    files: MaildirFiles | None = None,
    recipients: tuple[Recipient, ...] = PEOPLE,
    quarantine: str = "",
) -> list[Sequence[Outcome]]:
    random = itertools.count(7)
    deliverer = MaildirDeliverer(ManualClock(), "mx/1:sina.com", pid=42, random=lambda: f"{next(random):x}")
    if files is not None or quarantine:
        deliverer = deliverer.writing(files or MaildirFiles(), quarantine)
    delivery = Delivery(Envelope(sender, recipients), content if content is not None else Bytes(MESSAGE))

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


def test_a_message_arrives_with_lf_behind_its_return_path_and_addresses(tmp_path: Path) -> None:
    target = tmp_path / "sina.com" / "renping"
    outcomes = deliver(target, sender=Address("langrui", "sohu.com"))
    assert contents(target) == [b"Return-Path: <langrui@sohu.com>\n" + FRONT + unix(MESSAGE)]
    assert [one.recipient for one in outcomes] == list(PEOPLE)
    assert {one.result for one in outcomes} == {Result.DELIVERED}
    assert {one.peer for one in outcomes} == {str(target)}


def test_a_return_path_that_came_along_is_replaced(tmp_path: Path) -> None:
    body = b"\r\nReturn-Path: <in@the.body>\r\n"
    deliver(tmp_path, Bytes(b"Return-Path: <old@x.org>\r\nA: b\r\nRETURN-PATH:\r\n <two>\r\n" + body))
    assert contents(tmp_path) == [b"Return-Path: <>\n" + FRONT + b"A: b\n" + unix(body)]


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


MARKED = b"Quarantine: yes\r\n\t(dmarc fail)\r\n" + MESSAGE


def test_quarantined_mail_goes_into_a_folder_of_its_own(tmp_path: Path) -> None:
    outcomes = deliver_many([tmp_path] * 2, Bytes(MARKED), quarantine=".Junk")
    assert all(one.reason.endswith("in the folder .Junk, because it is quarantined") for one in outcomes[0])
    junk = tmp_path / ".Junk"
    assert [each.endswith(unix(MARKED)) for each in contents(junk)] == [True, True]
    assert (junk / "maildirfolder").read_bytes() == b""
    assert contents_if_any(tmp_path) == []
    assert stat.S_IMODE(junk.stat().st_mode) == 0o700
    deliver(tmp_path, Bytes(MARKED))  # no folder is configured
    assert len(contents(tmp_path)) == 1


LATER = MESSAGE.replace(b"From:", b"Quarantine: yes\r\nFrom:")


@pytest.mark.parametrize("content", [MESSAGE, LATER, b"", b"\r\nx\r\n"])
def test_what_is_not_quarantined_here_goes_where_all_mail_goes(tmp_path: Path, content: bytes) -> None:
    deliver_many([tmp_path], Bytes(content), quarantine=".Junk")
    assert len(contents(tmp_path)) == 1
    assert not (tmp_path / ".Junk").exists()


def contents_if_any(directory: Path) -> list[bytes]:
    return contents(directory) if (directory / "new").exists() else []


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
    assert len(octets) == Pieces.size - 2 + len(b"Return-Path: <>\n" + FRONT)


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
    assert contents(tmp_path) == [b"Return-Path: <>\n" + FRONT + unix(MESSAGE)]


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

    monkeypatch.setattr(maildir_files, "_write_all", fail)
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
        ("o'neil", "sina.com", "/m/sina.com/o'neil"),
        ("任平", "sina.com", "/m/sina.com/任平"),
        ("Jose\u0301", "sina.com", "/m/sina.com/jos\u00e9"),
        ("JOS\u00c9", "sina.com", "/m/sina.com/jos\u00e9"),
        ("a\u202eb\u200b\u00a0", "sina.com", "/m/sina.com/a%E2%80%AEb%E2%80%8B%C2%A0"),
        ("..任", "sina.com", "/m/sina.com/%2E.任"),
        ("~root", "sina.com", "/m/sina.com/%7Eroot"),
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


# Line ends, addresses, mode and owner ---------------------------------------------------------------------------------


@given(st.lists(st.sampled_from([b"\r", b"\n", b"\r\n", b"a", b"", b"\r\r\n"])))
@settings(deadline=None)
def test_line_ends_become_lf_however_the_content_is_cut(chunks: list[bytes]) -> None:
    assert b"".join(with_lf(chunks)) == b"".join(chunks).replace(b"\r\n", b"\n")


def test_crlf_is_kept_where_that_is_set(tmp_path: Path) -> None:
    deliver(tmp_path, files=MaildirFiles(crlf=True))
    assert contents(tmp_path) == [b"Return-Path: <>\r\n" + FRONT.replace(b"\n", b"\r\n") + MESSAGE]


def test_python_reads_what_was_delivered(tmp_path: Path) -> None:
    deliver(tmp_path, sender=Address("langrui", "sohu.com"))
    (message,) = mailbox.Maildir(str(tmp_path))
    assert message["From"] == "langrui@sohu.com"
    assert message["Return-Path"] == "<langrui@sohu.com>"
    assert message["Delivered-To"] == "renping@sina.com"


def test_the_original_recipient_stands_in_front(tmp_path: Path) -> None:
    recipients = (
        Recipient(
            Address("renping", "sina.com"), originals=(Address("info", "sina.com"), Address("Sales", "sina.com"))
        ),
        Recipient(Address("任平", "sina.com"), None, OriginalRecipient("rfc822", "claimed@by.sender")),
        Recipient(Address("b\r\nX-Evil: 1", "sina.com")),
    )
    deliver(tmp_path, Bytes(b"\r\nbody\r\n"), recipients=recipients)
    assert contents(tmp_path)[0].decode().split("\n") == [
        "Return-Path: <>",
        "X-Original-To: info@sina.com",
        "X-Original-To: Sales@sina.com",
        "Delivered-To: renping@sina.com",
        "X-Original-To: 任平@sina.com",
        "Delivered-To: 任平@sina.com",
        "",
        "body",
        "",
    ]


@pytest.mark.parametrize("umask", [0o077, 0o000])
def test_files_and_directories_have_the_mode_that_is_set(tmp_path: Path, umask: int) -> None:
    target = tmp_path / "a" / "b"
    before = os.umask(umask)
    try:
        deliver(target, files=MaildirFiles(mode=0o640))
    finally:
        os.umask(before)
    (path,) = (target / "new").iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o640
    for directory in (target.parent, target, target / "tmp", target / "new", target / "cur"):
        assert stat.S_IMODE(directory.stat().st_mode) == 0o750


def test_an_owner_that_does_not_exist_defers_with_a_sentence(tmp_path: Path) -> None:
    for outcome in deliver(tmp_path / "box", files=MaildirFiles(owner="nobody-of-this-name")):
        assert outcome.result is Result.DEFERRED
        assert outcome.reply is not None
        assert (outcome.reply.code, outcome.reply.enhanced) == (451, "4.3.5")
        assert "nobody-of-this-name" in outcome.reason
        assert "nobody" not in outcome.reply.text
    assert not (tmp_path / "box").exists()


def test_an_owner_needs_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "geteuid", lambda: 12_345)
    outcome = deliver(tmp_path / "box", files=MaildirFiles(owner="12346"))[0]
    assert outcome.result is Result.DEFERRED
    assert "needs the daemon to run as root, or as that user" in outcome.reason
    assert deliver(tmp_path / "box", files=MaildirFiles(owner="12345"))[0].result is Result.DELIVERED


def test_files_get_the_owner_that_is_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: dict[int, tuple[int, int]] = {}  # by inode

    def given_away(descriptor: int, uid: int, gid: int) -> None:
        given[os.fstat(descriptor).st_ino] = (uid, gid)

    monkeypatch.setattr(os, "geteuid", lambda: 0)
    monkeypatch.setattr(os, "fchown", given_away)
    target = tmp_path / "domain" / "box"
    files = MaildirFiles(owner="12345:12346", mode=0o660, base=str(tmp_path))
    assert deliver(target, files=files)[0].result is Result.DELIVERED
    (path,) = (target / "new").iterdir()
    made = (path, target.parent, target, target / "tmp", target / "new", target / "cur")
    assert given == {each.stat().st_ino: (12345, 12346) for each in made}
    assert stat.S_IMODE(path.stat().st_mode) == 0o660


@pytest.mark.parametrize("part", ["domain", "domain/box", "domain/box/tmp", "domain/box/new"])
def test_no_link_below_the_fixed_part_leads_an_owner_elsewhere(tmp_path: Path, part: str) -> None:
    base, elsewhere = tmp_path / "mail", tmp_path / "elsewhere"
    (base / part).parent.mkdir(parents=True)
    elsewhere.mkdir()
    (base / part).symlink_to(elsewhere)
    files = MaildirFiles(owner=str(os.geteuid()), base=str(base))
    outcome = deliver(base / "domain" / "box", files=files)[0]
    assert outcome.result is Result.DEFERRED
    assert str(base / part) in outcome.reason
    assert list(elsewhere.iterdir()) == []
    (base / part).unlink()
    link = tmp_path / "link"
    link.symlink_to(base)
    files = files._replace(base=str(link))
    assert deliver(link / "domain" / "box", files=files)[0].result is Result.DELIVERED, "the fixed part may be a link"


def test_a_message_whose_lease_was_lost_is_not_published(tmp_path: Path) -> None:
    deliverer = MaildirDeliverer(ManualClock(), "mx", pid=42, random=lambda: "7")
    delivery = Delivery(Envelope(None, PEOPLE), Bytes(MESSAGE), holds=lambda: False)
    outcomes = asyncio.run(deliverer.deliver(delivery, str(tmp_path)))
    assert {one.result for one in outcomes} == {Result.DEFERRED}
    assert {one.reason for one in outcomes} == {
        "the lease was lost before the message was complete; nothing was delivered by this attempt"
    }
    assert contents(tmp_path) == []
