"""Dovecot: next hop by LMTP, and reader of the daemon's Maildirs by IMAP.

It runs with a configuration, directories and users of the test's own, as whoever runs the tests.  As root it stores
mail as nobody, because Dovecot stores none as root.
"""

from __future__ import annotations

import contextlib
import grp
import imaplib
import os
import pwd
import re
import shutil
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from posthouse.core import Bytes, Result

from .corpus import EIGHT_BIT, MESSAGES, PLAIN, kept, large
from .peers import envelope, free_port, hand_over, opened, program, run, session_with
from .test_receivers import relay

_SETTINGS = """
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols = lmtp
ssl = no
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 0
mail_location = maildir:{root}/mail/%u
postmaster_address = postmaster@dovecot.test
hostname = dovecot.test
lmtp_client_workarounds =
userdb {{
  driver = passwd-file
  args = {root}/users
}}
passdb {{
  driver = static
  args = nopassword=y
}}
service lmtp {{
  chroot =
  inet_listener lmtp {{
    address = 127.0.0.1
    port = {port}
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""

#: Messages with a header section that ends with an empty line: Dovecot reads others otherwise than SMTP does.
WHOLE = {name: message for name, message in {**PLAIN, **EIGHT_BIT}.items() if b"\r\n\r\n" in message}


class Dovecot(NamedTuple):
    """A running Dovecot that takes mail by LMTP for the mailboxes of ``WHOLE``, "large" and "chinese-fields"."""

    port: int
    mail: Path

    def stored(self, name: str) -> bytes:
        """The only message of a mailbox, with CRLF line ends, without the fields that Dovecot puts in front."""
        (path,) = (self.mail / f"{name}@box.test" / "new").iterdir()
        message = path.read_bytes().replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")
        head = rb"Return-Path: <langrui@sohu.com>\r\n(Delivered-To: [^\r]*\r\n)?"
        front = re.match(head + rb"(Received: from [^\r]*\r\n(?:\t[^\r]*\r\n)*)+", message)
        assert front is not None, message[:500]
        assert b"by dovecot.test with LMTP" in front[0]
        return message[front.end() :]


def _mail_user() -> pwd.struct_passwd:
    """The user as whom Dovecot reads and writes mail."""
    return pwd.getpwuid(os.geteuid()) if os.geteuid() != 0 else pwd.getpwnam("nobody")


@contextlib.contextmanager
def running(root: Path) -> Iterator[Dovecot]:
    """A Dovecot below ``root``."""
    port = free_port()
    root.chmod(0o755)
    user = _mail_user()
    internal, login = ("dovecot", "dovenull") if os.geteuid() == 0 else (user.pw_name, user.pw_name)
    group = grp.getgrgid(pwd.getpwnam(internal).pw_gid).gr_name
    settings = _SETTINGS.format(root=root, port=port, internal=internal, login=login, group=group)
    (root / "dovecot.conf").write_text(settings)
    names = (*WHOLE, "large", "chinese-fields")
    users = (f"{name}@box.test::{user.pw_uid}:{user.pw_gid}::{root}/home::\n" for name in names)
    (root / "users").write_text("".join(users))
    for name in ("mail", "home"):
        (root / name).mkdir()
        os.chown(root / name, user.pw_uid, user.pw_gid)
    command = ("dovecot", "-F", "-c", str(root / "dovecot.conf"))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as master:
        try:
            _wait_until_it_greets(port, master, root / "log")
            yield Dovecot(port, root / "mail")
        finally:
            master.terminate()
            master.wait(15)


def _wait_until_it_greets(port: int, master: subprocess.Popen[bytes], log: Path) -> None:
    """Wait: the listener opens a moment after the start."""
    end = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(("127.0.0.1", port), timeout=10) as listener:
                assert listener.recv(4096).startswith(b"220 dovecot.test")
                return
        except ConnectionRefusedError:
            said = log.read_text() if log.exists() else "(no log)"
            assert master.poll() is None, f"Dovecot ended with {master.returncode}:\n{said}"
            assert time.monotonic() < end, f"Dovecot does not listen:\n{said}"
            time.sleep(0.02)


@pytest.fixture
def dovecot() -> Iterator[Dovecot]:
    """A running Dovecot, in a directory that other users may enter."""
    with tempfile.TemporaryDirectory(prefix="posthouse-dovecot-") as directory, running(Path(directory)) as found:
        yield found


@pytest.mark.system("dovecot-lmtpd", "/usr/lib/dovecot/lmtp")
def test_dovecot_stores_what_is_relayed_to_it_by_lmtp(tmp_path: Path, dovecot: Dovecot) -> None:
    sent = {**WHOLE, "chinese-fields": MESSAGES["chinese-fields"], "large": large(3_000_000)}

    async def scenario() -> None:
        async with relay(f"lmtp://127.0.0.1:{dovecot.port}", tmp_path) as host:
            async with session_with(host.endpoint) as session:
                await hand_over(session, sent)
            await host.daemon.wait_idle()
            assert await host.daemon.spool.queries.count() == 0
            assert len(host.logged("delivered")) == len(sent)

    run(scenario)
    for name, message in sent.items():
        assert dovecot.stored(name) == message, name


@pytest.mark.system("dovecot-lmtpd", "/usr/lib/dovecot/lmtp")
def test_dovecot_refuses_one_of_three_recipients(tmp_path: Path, dovecot: Dovecot) -> None:
    async def scenario() -> None:
        async with relay(f"lmtp://127.0.0.1:{dovecot.port}", tmp_path) as host:
            async with session_with(host.endpoint) as session:
                asked = envelope("plain@box.test", "nobody@box.test", "dots@box.test")
                outcomes = await session.deliver(asked, Bytes(MESSAGES["dots"]))
                assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 3
            await host.daemon.wait_idle()
            assert {each["recipient"] for each in host.logged("delivered")} >= {"plain@box.test", "dots@box.test"}
            (failed,) = [each for each in host.logged("failed") if each["recipient"] == "nobody@box.test"]
            assert "550 5.1.1 " in str(failed)

    run(scenario)
    assert dovecot.stored("plain") == dovecot.stored("dots") == MESSAGES["dots"]


# -- the daemon's Maildirs

_DELIVERING = """
hostname = "host.test"
[[listener]]
bind = "127.0.0.1:0"
[[domain]]
name = "box.test"
mailboxes = "any"
deliver = "maildir:{mail}/{{local}}"
"""


@contextlib.contextmanager
def imap(maildir: Path) -> Iterator[imaplib.IMAP4_stream]:
    """An IMAP session over the standard streams of Dovecot's server, logged in, at a copy of a Maildir."""
    user = _mail_user()
    with tempfile.TemporaryDirectory(prefix="posthouse-imap-") as directory:
        shutil.copytree(maildir, f"{directory}/mail")
        for place in (
            directory,
            *(os.path.join(top, name) for top, dirs, files in os.walk(directory) for name in (*dirs, *files)),
        ):
            os.chown(place, user.pw_uid, user.pw_gid)
        Path(directory, "imap.conf").write_text(
            f"log_path = /dev/stderr\nbase_dir = {directory}\nstats_writer_socket_path =\nfirst_valid_uid = 0\n"
            f"mail_uid = {user.pw_uid}\nmail_gid = {user.pw_gid}\nmail_location = maildir:{directory}/mail\n"
        )
        environment = f"env -i USER=reader HOME={directory} PATH={os.environ['PATH']}"
        server = imaplib.IMAP4_stream(f"exec {environment} /usr/lib/dovecot/imap -c {directory}/imap.conf")
        try:
            yield server
            server.logout()
        finally:
            server.shutdown()


@pytest.mark.system("dovecot-imapd", "/usr/lib/dovecot/imap")
def test_dovecot_reads_our_maildirs(tmp_path: Path) -> None:
    names = ("plain", "dots", "long-lines", "folded-field", "empty-lines", "all-octets", "chinese-fields")
    sent = {name: MESSAGES[name] for name in names}

    async def scenario() -> None:
        async with opened(_DELIVERING.format(mail=tmp_path / "mail"), tmp_path / "host") as host:
            async with session_with(host.endpoint) as session:
                await hand_over(session, sent)
                await hand_over(session, {"plain": PLAIN["dots"]})
            await host.daemon.wait_idle()

    run(scenario)
    for name in sent:
        with imap(tmp_path / "mail" / name) as server:
            kind, (count,) = server.select()
            assert (kind, count) == ("OK", b"2" if name == "plain" else b"1")
            found = []
            for number in range(1, int(count or b"0") + 1):
                kind, answer = server.fetch(str(number), "(FLAGS RFC822.SIZE BODY.PEEK[])")
                assert isinstance(answer[0], tuple)
                facts, octets = answer[0]
                assert b"\\Seen" not in facts
                assert int(re.findall(rb"RFC822.SIZE (\d+)", facts)[0]) == len(octets)
                found.append(octets)
            for octets in found:
                assert octets.startswith(b"Return-Path: <langrui@sohu.com>\r\n")
            assert sorted(octets.endswith(b"\r\n" + kept(name)) for octets in found) == [False, True][2 - len(found) :]
            server.store("1", "+FLAGS", r"\Seen")
            assert server.search(None, "SEEN") == ("OK", [b"1"])


@pytest.mark.system("s-nail", "s-nail")
def test_s_nail_reads_our_maildirs(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(_DELIVERING.format(mail=tmp_path / "mail"), tmp_path / "host") as host:
            async with session_with(host.endpoint) as session:
                await hand_over(session, {"box": MESSAGES["utf-8"]})
                await hand_over(session, {"box": MESSAGES["dots"]})
            await host.daemon.wait_idle()
        commands = b"from *\ntype 1\ntype 2\nxit\n"
        box = f"maildir://{tmp_path}/mail/box"
        said = await program("s-nail", "-:/", "-#", "-Sv15-compat", "-R", "-f", box, octets=commands)
        assert said.count("From: <langrui@sohu.com>") == 2, said
        assert "床前明月光，疑是地上霜。\n.举头望明月，低头思故乡。\n" in said
        assert "\n.\n..\n...\n.hidden\n" in said

    run(scenario)
