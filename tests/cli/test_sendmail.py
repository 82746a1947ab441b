"""``posthouse sendmail`` as programs call it: exit codes, what is stored, and the names of the program."""

from __future__ import annotations

import io
import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from posthouse.service.maildrop.drop_file import DropFile
from posthouse.service.maildrop.maildrop import Maildrop

from .children import PATIENCE, environment, finished, running
from .conftest import Ran

Run = Callable[..., Ran]
CASE_20 = b"To: a@x.example\nBcc: b@x.example\n\none\n.\ntwo\n"
CONFIG = """
hostname = "mail.here.test"
data_dir = "{}"
workers = 1
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "*"
mailboxes = "any"
"""


class Dropped:
    """What was left in a maildrop: the only message."""

    def __init__(self, directory: Path) -> None:
        (path,) = directory.iterdir()
        file = DropFile(str(path))
        self.id = path.name
        self.envelope = file.dropped.envelope
        self.content = b"".join(iter(file.read, b""))
        file.close()

    @property
    def to(self) -> list[str]:
        return [str(each.address) for each in self.envelope.recipients]


@pytest.fixture
def sent(ran: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Callable[..., Ran]:
    """Run ``sendmail`` in this process, with a message on standard input."""

    def run(text: bytes, *arguments: str) -> Ran:
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(text)))
        return ran("sendmail", "--data-dir", str(tmp_path), *arguments)

    return run


def test_the_message_ends_at_the_dot_and_waits_for_the_daemon(sent: Run, tmp_path: Path) -> None:
    done = sent(CASE_20, "-t")
    left = Dropped(tmp_path / "maildrop")
    assert (done.code, done.out) == (0, "")
    assert done.err.startswith(f"posthouse: no daemon runs; the message waits as {left.id} in ")
    assert left.to == ["a@x.example", "b@x.example"]
    assert left.content.endswith(b"To: a@x.example\r\n\r\none\r\n")
    assert b"Bcc" not in left.content


def test_the_dot_is_text_with_i(sent: Run, tmp_path: Path) -> None:
    assert sent(CASE_20, "-t", "-i").code == 0
    assert Dropped(tmp_path / "maildrop").content.endswith(b"\r\n\r\none\r\n.\r\ntwo\r\n")


def test_recipients_of_the_command_line_and_of_the_header_add_up(sent: Run, tmp_path: Path) -> None:
    assert sent(CASE_20, "-ti", "-f", "ann@x.example", "c@x.example, a@x.example", "Dee <d@x.example>").code == 0
    left = Dropped(tmp_path / "maildrop")
    assert left.to == ["c@x.example", "a@x.example", "d@x.example", "b@x.example"]
    assert str(left.envelope.sender) == "ann@x.example"


def test_cron(sent: Run, tmp_path: Path) -> None:
    """Cron writes From and To without domains, and lines of any length in any charset."""
    text = b"From: root (Cron Daemon)\nTo: root\nSubject: x\n\n" + b"\xff" * 3000 + b"\n" + b"a" * 3000 + b"\n"
    assert sent(text, "-FCronDaemon", "-i", "-B8BITMIME", "-oem", "root").code == 0
    left = Dropped(tmp_path / "maildrop")
    domain = left.envelope.recipients[0].address.domain
    assert domain
    assert f"From: root@{domain} (Cron Daemon)\r\nTo: root@{domain}\r\n".encode() in left.content
    assert max(map(len, left.content.split(b"\r\n"))) <= 998
    assert b"Content-Transfer-Encoding: " in left.content
    from posthouse import read

    body = read(left.content).parts[0].data if hasattr(read(left.content), "parts") else b""
    assert not body or body.replace(b"\r\n", b"\n") == text.partition(b"\n\n")[2]


def test_nul_and_8_bit_are_declared(sent: Run, tmp_path: Path) -> None:
    assert sent(b"Subject: \xe9\n\n\xe9\n", "-i", "a@x.example").code == 0
    assert Dropped(tmp_path / "maildrop").envelope.body == "8BITMIME"
    for each in (tmp_path / "maildrop").iterdir():
        each.unlink()
    assert sent(b"Subject: x\n\na\0b\n", "-i", "a@x.example").code == 0
    left = Dropped(tmp_path / "maildrop")
    assert left.envelope.body == "7BIT"
    assert b"Content-Transfer-Encoding: " in left.content


def test_the_null_sender_and_requests(sent: Run, tmp_path: Path) -> None:
    assert sent(b"\nhi\n", "-f", "<>", "-N", "failure,delay", "-R", "hdrs", "-V", "id7", "a@x.example").code == 0
    left = Dropped(tmp_path / "maildrop")
    assert left.envelope.sender is None
    assert b"From: MAILER-DAEMON@" in left.content
    assert (left.envelope.ret, left.envelope.envid) == ("HDRS", "id7")


@pytest.mark.parametrize(
    ("text", "arguments", "code", "said"),
    [
        (b"Subject: x\n\nhi\n", ("-t",), 64, "the message has no recipient"),
        (b"Subject: x\n\nhi\n", (), 64, "the message has no recipient"),
        (b"Subject: x\n\nhi\n", ("-Z", "a@x.example"), 64, "no option -Z"),
        (b"To: two words\n\nhi\n", ("-t",), 65, "is no address"),
        (b"Subject: x\n\nhi\n", ("a@x.example", "-f"), 64, "stands behind a recipient"),
        (b"Subject: x\n\nhi\n", ("a@x.example", "@"), 65, "is no address"),
        (b"X: " + b"y" * (2 << 20), ("a@x.example",), 65, "header section is longer"),
    ],
)  # fmt: skip
def test_what_cannot_be_sent(
    sent: Run, tmp_path: Path, text: bytes, arguments: tuple[str, ...], code: int, said: str
) -> None:
    done = sent(text, *arguments)
    assert done.code == code
    assert said in done.err
    assert done.err.count("\n") == 1
    assert not (tmp_path / "maildrop").exists()


def test_a_maildrop_that_cannot_be_written_is_a_temporary_failure(sent: Run, tmp_path: Path) -> None:
    (tmp_path / "maildrop").write_text("a file in the place of the directory")
    done = sent(CASE_20, "-t")
    assert done.code == 75
    assert done.err.endswith("; nothing is stored\n")
    missing = sent(CASE_20, "--maildrop", str(tmp_path / "nowhere"), "-t")
    assert missing.code == 75
    assert "start the daemon once" in missing.err


def test_a_directory_that_does_not_exist_is_no_place_for_mail(
    ran: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """A message that is left where no daemon looks would be lost without a word."""
    monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CASE_20)))
    done = ran("sendmail", "--data-dir", str(tmp_path / "tpyo"), "-t")
    assert (done.code, list(tmp_path.iterdir())) == (78, [])
    assert "there is no such directory" in done.err


def test_a_configuration_that_is_wrong_or_missing(ran: Run, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong.toml"
    wrong.write_text("data_dir = 5\n")
    for config in (wrong, tmp_path / "missing.toml"):
        monkeypatch.setenv("POSTHOUSE_CONFIG", str(config))
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(CASE_20)))
        done = ran("sendmail", "-t")
        assert done.code == 78
        assert config.name in done.err


def test_a_message_larger_than_the_daemon_takes(sent: Run, tmp_path: Path) -> None:
    place = tmp_path / "maildrop"
    place.mkdir()
    (place / "terms.json").write_text('{"hostname": "mail.here.test", "max_message_size": 1000}')
    done = sent(b"Subject: x\n\n" + b"y\n" * 1000, "-i", "a@x.example")
    assert done.code == 69
    assert "larger than 1000 octets" in done.err
    assert [each.name for each in place.iterdir()] == ["terms.json"]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become another user")
def test_other_users_may_leave_mail_where_the_owner_lets_them(tmp_path: Path) -> None:
    os.chmod(tmp_path, 0o755)
    for parent in tmp_path.parents:
        if parent.stat().st_mode & 0o005 != 0o005:
            os.chmod(parent, 0o755)
    shared, closed = tmp_path / "shared", tmp_path / "closed"
    for place, mode in ((shared, 0o3733), (closed, 0o700)):
        place.mkdir()
        os.chown(place, 1000, 1000)
        os.chmod(place, mode)
    script = (
        "import os, sys; from posthouse.service.maildrop.maildrop import Maildrop; from posthouse.core import *;"
        "os.setgroups([]); os.setgid(65534); os.setuid(65534);"
        "e = Envelope(None, (Recipient(Address('a', 'x.example')),));"
        "print(Maildrop(sys.argv[1]).leave(e, [b'hi']).drop_id)"
    )
    other = [sys.executable, "-c", script]
    done = subprocess.run([*other, str(shared)], capture_output=True, text=True, timeout=PATIENCE, check=True)
    status = (shared / done.stdout.strip()).stat()
    assert (status.st_uid, status.st_gid, stat.S_IMODE(status.st_mode)) == (65534, 1000, 0o640)
    done = subprocess.run([*other, str(closed)], capture_output=True, text=True, timeout=PATIENCE, check=False)
    assert done.returncode == 1
    assert "have its owner open it to all users (mode 3733)" in done.stderr
    Maildrop(str(shared)).leave(_envelope(), [b"hi"])
    (own,) = [each for each in shared.iterdir() if each.stat().st_uid == 0]
    assert (own.stat().st_gid, stat.S_IMODE(own.stat().st_mode)) == (1000, 0o640)


def _envelope() -> object:
    from posthouse.core import Address, Envelope, Recipient

    return Envelope(None, (Recipient(Address("a", "x.example")),))


def test_names_of_the_program(tmp_path: Path) -> None:
    """A link to the console script that is called sendmail or mailq is that program."""
    (tmp_path / "home").mkdir()
    entry = tmp_path / "entry.py"
    entry.write_text("from posthouse.__main__ import main\nmain()\n")
    config = tmp_path / "p.toml"
    config.write_text(CONFIG.format(tmp_path / "house"))
    house = {"POSTHOUSE_CONFIG": str(config)}

    def called(name: str, *arguments: str, text: bytes = b"") -> subprocess.CompletedProcess[bytes]:
        link = tmp_path / name
        link.symlink_to(entry)
        command = [sys.executable, str(link), *arguments]
        home = environment(tmp_path / "home", **house)
        return subprocess.run(command, input=text, capture_output=True, timeout=PATIENCE, env=home, check=False)

    done = called("sendmail", "-i", "-froot", "ann", text=b"Subject: x\n\nhi\n")
    assert (done.returncode, done.stdout) == (0, b"")
    assert called("newaliases").returncode == 0
    assert Dropped(tmp_path / "house" / "maildrop").to == ["ann@mail.here.test"]
    with running(tmp_path / "home", "run", "--config", str(config)) as daemon:
        daemon.line_with("delivered id=")
        done = finished(tmp_path / "home", "sendmail", "-v", "-F", "Ann", "bob@x.test", stdin=b"hi\n", **house)  # type: ignore[assignment]
        assert str(done.stdout).startswith("queued as ")
        daemon.line_with("recipient=bob@x.test")
        shown = called("mailq")
        assert (shown.returncode, shown.stderr) == (0, b"The queue is empty.\n")
    inbox = finished(tmp_path / "home", "inbox", "show", "1", "--raw", **house)
    assert "From: " in inbox.stdout
    assert "root@mail.here.test" in inbox.stdout
