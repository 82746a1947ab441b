"""``posthouse inbox`` on a spool on disk, without a daemon and with one."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import smtplib
import threading
from collections.abc import Iterator
from email.message import EmailMessage
from email.policy import SMTP
from pathlib import Path

import pytest

from posthouse.core import Address, Bytes, Envelope, Recipient
from posthouse.service import Daemon, parse
from posthouse.spool import SqliteSpool
from posthouse.spool.interface import StoredMessage

CATCHER = """
hostname = "mx.here.test"
data_dir = "{directory}/data"
[[listener]]
name = "catcher"
bind = "127.0.0.1:0"
strictness = "lenient"
[[domain]]
name = "*"
mailboxes = "any"
"""


def letter(subject: str, text: str = "Hello!\n") -> EmailMessage:
    message = EmailMessage()
    message["From"] = "Ann <ann@here.test>"
    message["To"] = "bob@sina.com"
    message["Subject"] = subject
    message.set_content(text)
    return message


class Place:
    """A data directory with a configuration, and messages put into its inboxes."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory
        self.text = CATCHER.format(directory=directory)
        self.config = directory / "posthouse.toml"
        self.config.write_text(self.text)
        self.port = 0

    def keep(self, *messages: tuple[str, bytes]) -> None:
        async def fill() -> None:
            spool = SqliteSpool(self.directory / "data")
            await spool.open(1_800_000_000.0)
            try:
                for number, (inbox, octets) in enumerate(messages):
                    receipt = spool.receive()
                    envelope = Envelope(Address("ann", "here.test"), (Recipient(Address(*inbox.split("@"))),))
                    message = StoredMessage(receipt.id, envelope, 1_800_000_000.0 + number, len(octets))
                    receipt.abort()
                    await spool.keep(inbox, message, Bytes(octets))
            finally:
                await spool.close()

        asyncio.run(fill())

    def send(self, message: EmailMessage) -> None:
        with smtplib.SMTP("127.0.0.1", self.port, timeout=20) as session:
            session.send_message(message)


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Place:
    made = Place(tmp_path)
    monkeypatch.setenv("POSTHOUSE_CONFIG", str(made.config))
    return made


@pytest.fixture
def running(place: Place) -> Iterator[Place]:
    """The place with a daemon, in a thread."""
    ready = threading.Event()
    faults: list[BaseException] = []
    ending: list[tuple[asyncio.AbstractEventLoop, asyncio.Event]] = []

    async def serve() -> None:
        daemon = Daemon(parse(place.text), log=lambda event, /, **fields: None, control=True)
        await daemon.start()
        place.port = daemon.endpoints["catcher"].port
        ended = asyncio.Event()
        ending.append((asyncio.get_running_loop(), ended))
        ready.set()
        await ended.wait()
        await daemon.drain(5.0)

    def work() -> None:
        try:
            asyncio.run(serve())
        except BaseException as error:
            faults.append(error)
        finally:
            ready.set()

    thread = threading.Thread(target=work)
    thread.start()
    assert ready.wait(60)
    yield place
    for loop, ended in ending:
        loop.call_soon_threadsafe(ended.set)
    thread.join(60)
    assert faults == []


ONE = letter("one").as_bytes(policy=SMTP)


def test_the_newest_are_shown_last_and_what_was_cut_is_said(ran, place: Place) -> None:
    place.keep(
        *((f"bob{number % 2}@sina.com", letter(f"number {number}").as_bytes(policy=SMTP)) for number in range(7))
    )
    got = ran("inbox", "list", "--limit", "3")
    assert [line.split()[0] for line in got.out.splitlines()[1:]] == ["5", "6", "7"]
    assert got.err == "… and 4 older messages; --limit NUMBER shows more\n"
    got = ran("inbox", "list", "--limit", "2", "bob1@sina.com", "--json")
    assert [each["subject"] for each in json.loads(got.out)] == ["number 3", "number 5"]
    assert got.err == "… and 1 older message; --limit NUMBER shows more\n"
    assert ran("inbox", "list", "--limit", "7").err == ""


def test_a_message_is_shown_decoded_and_raw_on_request(ran, place: Place) -> None:
    octets = letter("你好", "第一封邮件。\n").as_bytes(policy=SMTP)
    place.keep(("bob@sina.com", octets))
    shown = ran("inbox", "show", "1").out
    assert shown == "From: Ann <ann@here.test>\nTo: bob@sina.com\nSubject: 你好\n\n第一封邮件。\n"
    assert ran("inbox", "show", "1", "--lang", "zh").out.splitlines()[2] == "主题：你好"
    found = json.loads(ran("inbox", "show", "1", "--json").out)
    assert (found["fields"]["subject"], found["body"]) == ("你好", "第一封邮件。")
    assert [(part["type"], part["shown"]) for part in found["parts"]] == [("text/plain", True)]
    assert found["text"].encode() == octets


def test_raw_octets_are_exact(place: Place, capfdbinary: pytest.CaptureFixture[bytes]) -> None:
    from posthouse.cli import main

    place.keep(("bob@sina.com", b"Subject: \xff\r\n\r\n\x00\x1b[2J\xfe"))
    assert main(["inbox", "show", "1", "--raw"]) == 0
    assert capfdbinary.readouterr().out == b"Subject: \xff\r\n\r\n\x00\x1b[2J\xfe"


def test_attachments_are_saved_under_safe_names_and_nothing_is_replaced(ran, place: Place, tmp_path: Path) -> None:
    message = letter("files")
    for name in ("../../evil.txt", "evil.txt", ".hidden"):
        message.add_attachment(name.encode(), maintype="application", subtype="octet-stream", filename=name)
    place.keep(("bob@sina.com", message.as_bytes(policy=SMTP)))
    assert "  2  evil.txt  application/octet-stream" in ran("inbox", "show", "1").out
    folder = tmp_path / "saved" / "here"
    got = ran("inbox", "show", "1", "--save", str(folder))
    assert got.code == 0
    assert {each.name: each.read_bytes() for each in folder.iterdir()} == {
        "evil.txt": b"../../evil.txt",
        "evil (2).txt": b"evil.txt",
        "hidden": b".hidden",
    }
    assert [each.name for each in (tmp_path / "saved").iterdir()] == ["here"]
    assert ran("inbox", "show", "1", "--save", str(folder)).code == 0
    assert len(list(folder.iterdir())) == 6
    (folder / "file").write_text("")
    got = ran("inbox", "show", "1", "--save", str(folder / "file"))
    assert got.code == 74
    assert "cannot be written" in got.err


@pytest.mark.parametrize(
    ("number", "code"),
    [("0", 64), ("abc", 64), ("-1", 64), ("7", 65), ("9" * 19, 65), ("9" * 40, 65), ("9" * 5000, 65)],
)
@pytest.mark.parametrize("command", ["show", "delete"])
def test_a_number_that_is_none_is_one_sentence(ran, place: Place, command: str, number: str, code: int) -> None:
    place.keep(("bob@sina.com", ONE))
    got = ran("inbox", command, "--", number)
    assert got.code == code
    assert len(got.err.splitlines()) <= 1
    assert "error in Posthouse" not in got.err


@pytest.mark.parametrize("asked", ["lisi", "LiSi", "lisj"])
def test_an_inbox_without_its_domain_is_named(ran, place: Place, asked: str) -> None:
    place.keep(("lisi@sina.com", ONE))
    got = ran("inbox", "list", asked)
    assert (got.code, got.out) == (65, "")
    assert "did you mean lisi@sina.com?" in got.err


def test_one_damaged_message_hides_no_other(ran, place: Place) -> None:
    place.keep(
        ("bob@sina.com", letter("large", "x" * 70 + "\n" + "y\n" * 80_000).as_bytes(policy=SMTP)), ("bob@sina.com", ONE)
    )
    [file] = [each for each in (place.directory / "data/spool/content").rglob("*") if each.is_file()]
    file.unlink()
    listed = ran("inbox", "list")
    assert listed.code == 0
    assert [line.split()[0] for line in listed.out.splitlines()[1:]] == ["1", "2"]
    assert "(content is missing: " in listed.out
    assert " one" in listed.out
    first, second = json.loads(ran("inbox", "list", "--json").out)
    assert first["damage"].startswith("content is missing: ")
    assert (second["subject"], second["damage"]) == ("one", "")
    waited = ran("inbox", "wait", "--to", "bob@sina.com", "--timeout", "0")
    assert waited.code == 0
    assert "one" in waited.out


def test_an_inbox_with_nothing_in_it_is_said(ran, place: Place) -> None:
    place.keep(("lisi@sina.com", ONE))
    got = ran("inbox", "list", "wang@sina.com")
    assert got.code == 0
    assert "No messages for wang@sina.com." in got.out + got.err


def test_before_the_first_run_there_is_a_sentence(ran, place: Place) -> None:
    got = ran("inbox", "list")
    assert got.code == 65
    assert "posthouse run" in got.err


def test_a_spool_that_may_not_be_read_names_the_user_and_the_remedy(
    ran, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tests may run as root, who may read everything: so the system is told to refuse."""
    place.keep(("bob@sina.com", ONE))
    stat = os.stat

    def refuse(path: object, *rest: object, **more: object) -> os.stat_result:
        if str(path).endswith("queue.sqlite3"):
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return stat(path, *rest, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(os, "stat", refuse)
    for command in (
        ["inbox", "list"],
        ["queue", "list"],
        ["queue", "count"],
        ["explain", "72jhzb4zx8tbr"],
        ["explain", "a@b.org"],
    ):
        got = ran(*command)
        assert (got.code, got.out) == (77, "")
        assert f"may not be read by uid {os.geteuid()}; run the command as root or as the daemon's user" in got.err


def test_an_address_is_judged_by_the_daemon_unless_a_configuration_is_named(
    ran, place: Place, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    other = tmp_path / "other.toml"
    other.write_text(place.text)
    place.text = place.text.replace('name = "*"\nmailboxes = "any"', 'name = "sina.com"\nmailboxes = ["bob"]')
    request.getfixturevalue("running")
    monkeypatch.delenv("POSTHOUSE_CONFIG")
    data = ("--data-dir", str(place.directory / "data"))
    assert "answered 550 5.1.1" in ran("check", "address", *data, "eve@sina.com").out
    assert "answered 250 2.1.5" in ran("check", "address", *data, "--config", str(other), "eve@sina.com").out


def test_internationalized_inboxes_are_shown_and_found_as_people_write_them(ran, place: Place) -> None:
    place.keep(("抄送@xn--fsqu00a.xn--0zwm56d", ONE))
    assert "抄送@例子.测试" in ran("inbox", "list").out
    assert "抄送@例子.测试" in ran("inbox", "summary").out
    for asked in ("抄送@例子.测试", "抄送@xn--fsqu00a.xn--0zwm56d"):
        assert len(json.loads(ran("inbox", "list", asked, "--json").out)) == 1
    assert json.loads(ran("inbox", "delete", "--to", "抄送@例子.测试", "--json").out)["deleted"] == 1


def test_deleting_an_inbox_or_all(ran, place: Place) -> None:
    place.keep(*((f"bob{number % 2}@sina.com", ONE) for number in range(5)))
    assert ran("inbox", "delete", "--to", "bob1@sina.com", "--forever").out == "2 deleted\n"
    assert ran("inbox", "delete", "--all", "--forever").out == "3 deleted\n"
    assert ran("inbox", "delete", "--all").out == "0 deleted\n"
    assert [each["act"] for each in json.loads(ran("queue", "audit", "--json").out)] == ["delete", "delete"]
    for arguments in ([], ["--all", "1"], ["--to", ""], ["--to", "a@b", "--all"]):
        got = ran("inbox", "delete", *arguments)
        assert (got.code, got.out) == (64, "")


def test_what_a_lenient_listener_tolerated_is_shown_with_the_message(ran, running: Place) -> None:
    with smtplib.SMTP("127.0.0.1", running.port, timeout=20) as session:
        session.ehlo("client.example")
        session.mail("ann@here.test")
        session.rcpt("bob@sina.com")
        session.putcmd("data")
        assert session.getreply()[0] == 354
        session.send(b"Subject: bare\nX: y\r\n\r\nhello\n.\r\n\r\n.\r\n")
        assert session.getreply()[0] == 250
    shown = ran("inbox", "wait", "--subject", "bare", "--timeout", "60")
    assert shown.code == 0
    remark = next(line for line in shown.out.splitlines() if "LF without CR" in line)
    assert "a strict receiver would have answered" in remark
    assert "只有 LF" in ran("inbox", "show", "1", "--lang", "zh").out


# Waiting --------------------------------------------------------------------------------------------------------------


def test_waiting_gives_the_newest_that_is_there(ran, place: Place) -> None:
    place.keep(
        *((f"bob{number % 2}@sina.com", letter(f"number {number}").as_bytes(policy=SMTP)) for number in range(5))
    )
    found = json.loads(ran("inbox", "wait", "--to", "bob1@sina.com", "--timeout", "0", "--json").out)
    assert (found["number"], found["fields"]["subject"]) == (4, "number 3")
    assert "Subject: number 2" in ran("inbox", "wait", "--subject", "NUMBER 2", "--from", "ann", "--timeout", "0").out
    got = ran("inbox", "wait", "--after", "5", "--to", "bob0@sina.com", "--timeout", "0")
    assert (got.code, got.out) == (75, "")
    assert got.err == ("posthouse: no message to bob0@sina.com came within 0 s; see `posthouse inbox list`\n")


def test_waiting_before_the_first_start_of_a_daemon_ends_in_time(ran, place: Place) -> None:
    got = ran("inbox", "wait", "--timeout", "0")
    assert (got.code, got.out) == (75, "")
    assert "no message came within 0 s" in got.err


def test_waiting_ends_when_the_message_is_delivered(ran, running: Place) -> None:
    """The daemon wakes the command; a message that does not match does not end the wait."""
    ended = threading.Event()
    got: list[object] = []

    def wait() -> None:
        from posthouse.cli.context import DaemonOptions, operate

        options = DaemonOptions(str(running.config), None)
        got.append(operate("inbox wait", options, to="bob@sina.com", subject="second", timeout=60))
        ended.set()

    thread = threading.Thread(target=wait)
    thread.start()
    running.send(letter("the first"))
    running.send(letter("the second"))
    assert ended.wait(60)
    thread.join(60)
    assert got[0].message.fields["subject"] == "the second"  # type: ignore[attr-defined]


def test_search_mark_tag_and_undo(ran, place: Place) -> None:
    place.keep(
        *((f"bob{number % 2}@sina.com", letter(f"number {number}").as_bytes(policy=SMTP)) for number in range(4))
    )
    got = ran("inbox", "search", "number", "-2", "--limit", "2")
    assert got.code == 64  # an option of that name
    got = ran("inbox", "search", "--limit", "2", "--", "number", '-"number 2"')
    assert [line.split()[0] for line in got.out.splitlines()[1:]] == ["4", "2"]
    assert "--before 2" in got.err
    assert ran("inbox", "mark", "1", "2").out == "2 changed, 2 unread\n"
    found = json.loads(ran("inbox", "search", "is:unread", "--json").out)
    assert [each["number"] for each in found["messages"]] == [4, 3]
    assert ran("inbox", "tag", "1", "3", "--tag", "Red, blue").out == "2 changed\n"
    assert ran("inbox", "views", "tag:").out.splitlines()[1].split()[:3] == ["tag:blue", "2", "1"]
    got = ran("inbox", "delete", "--query", "tag:red")
    assert got.out == "2 deleted\n"
    assert "posthouse inbox undo 1" in got.err
    assert ran("inbox", "show", "1").code == 65
    assert ran("inbox", "undo").out == "2 restored\n"
    assert ran("inbox", "undo").code == 65
    assert ran("inbox", "rebuild").out == "4 messages, 2 unread\n"


def test_export_and_import_give_the_same_octets(ran, place: Place, tmp_path: Path) -> None:
    odd = b"Subject: odd\r\n\r\nFrom here\r\n>From there\r\n"
    place.keep(("bob@sina.com", ONE), ("bob@sina.com", odd))
    mbox = tmp_path / "out.mbox"
    assert ran("inbox", "export", str(mbox)).out == "2 written\n"
    assert ran("inbox", "export", str(mbox)).code == 74
    assert ran("inbox", "export", "--eml", "--query", "subject:odd", str(tmp_path / "dump")).out == "1 written\n"
    assert (tmp_path / "dump" / "2.eml").read_bytes() == odd
    assert ran("inbox", "import", str(mbox), "--to", "eve@sina.com").out == "2 imported\n"
    found = json.loads(ran("inbox", "list", "eve@sina.com", "--json").out)
    assert [each["subject"] for each in found] == ["odd", "one"]
    shown = json.loads(ran("inbox", "show", str(found[0]["number"]), "--json").out)
    assert shown["text"].encode() == odd


def test_links_and_codes_are_extracted(ran, place: Place) -> None:
    text = "Your code is 482 913.\nConfirm at https://shop.test/confirm?t=1\n"
    place.keep(("bob@sina.com", letter("Your code", text).as_bytes(policy=SMTP)))
    assert ran("inbox", "extract", "1").out == "482913\nhttps://shop.test/confirm?t=1\n"


def test_waiting_for_none_and_for_several(ran, place: Place) -> None:
    place.keep(("bob@sina.com", ONE), ("eve@sina.com", letter("other").as_bytes(policy=SMTP)))
    assert ran("inbox", "wait", "--count", "2", "--timeout", "0", "--json").code == 0
    got = ran("inbox", "wait", "--to", "bob@sina.com", "--count", "2", "--timeout", "0")
    assert got.code == 75
    assert "1 of 2 messages to bob@sina.com came within 0 s (what came: eve@sina.com: other)" in got.err
    assert ran("inbox", "wait", "--none", "--after", "2", "--timeout", "0").out == "no message came\n"
    got = ran("inbox", "wait", "--none", "--query", "subject:other", "--timeout", "0")
    assert (got.code, "number 2" in got.err) == (75, True)


def test_count_read_part_check_and_deletions(ran, place: Place) -> None:
    place.keep(("bob@sina.com", ONE), ("eve@sina.com", ONE))
    assert ran("inbox", "count", "to:bob@sina.com").out.startswith("2 messages, 2 unread")
    assert ran("inbox", "count", "--view", "eve@sina.com").out.startswith("1 messages, 1 unread")
    assert "1  text/plain" in ran("inbox", "read", "1").out
    assert json.loads(ran("inbox", "read", "1", "--json").out)["entry"]["unread"] is True
    assert ran("inbox", "part", "1", "7").code == 65
    assert json.loads(ran("inbox", "part", "1", "1", "--json").out)["type"] == "text/plain"
    assert "missing-date" in ran("inbox", "check", "1").out
    assert "Nothing can be undone." in ran("inbox", "deletions").err
    ran("inbox", "delete", "1")
    assert json.loads(ran("inbox", "deletions", "--json").out)[0]["messages"] == 1
    assert ran("inbox", "release", "2", "--to", "me@far.test").code == 65


def test_a_message_is_handed_to_the_daemon_and_sent_again(ran, running: Place, tmp_path: Path) -> None:
    file = tmp_path / "one.eml"
    file.write_bytes(ONE)
    sent = ran("inbox", "send", str(file), "--from", "ann@here.test", "--to", "bob@sina.com", "--json")
    assert sent.err == ""
    assert json.loads(sent.out)["queue_id"]
    assert ran("inbox", "wait", "--to", "bob@sina.com", "--timeout", "60").code == 0
    assert ran("inbox", "again", "1").out.startswith("queued as ")
    assert ran("inbox", "wait", "--to", "bob@sina.com", "--after", "1", "--timeout", "60").code == 0
