"""The programs in examples/ do what they say: run as their users would, over loopback, and looked at from outside."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from pathlib import Path
from queue import Empty, Queue
from threading import Thread
from typing import IO

import pytest
from starlette.testclient import TestClient
from tests.client.secured_peers import Connection, Server, pair, transaction
from tests.console.live_console import LiveConsole
from tests.sending.scripted_peer import ScriptedPeer

import posthouse
from posthouse.console.api.webhooks import post, signature
from posthouse.core import Address, Envelope, Recipient
from posthouse.net import Endpoint
from posthouse.net.system import reserved_socket
from posthouse.sandbox import Sandbox
from posthouse.service.config_file import load

EXAMPLES = Path(__file__).resolve().parents[1] / "examples"
SECONDS = 30.0
ENDED = "(the output has ended)"


class Running:
    """A program under way; its output is read as it comes, so that waiting for a line is bounded."""

    def __init__(self, process: subprocess.Popen[str]) -> None:
        self.process = process
        self.lines: Queue[str] = Queue()
        self.seen: list[str] = []
        assert process.stdout is not None
        self._reader = Thread(target=self._read, args=(process.stdout,), daemon=True)
        self._reader.start()

    def _read(self, output: IO[str]) -> None:
        for line in output:
            self.lines.put(line.rstrip("\n"))
        self.lines.put(ENDED)

    def until(self, pattern: str) -> re.Match[str]:
        """The first line from here on that has ``pattern`` in it."""
        while True:
            try:
                line = self.lines.get(timeout=SECONDS)
            except Empty:
                line = ENDED
            self.seen.append(line)
            if found := re.search(pattern, line):
                return found
            assert line != ENDED, f"no line has {pattern!r} in it: {self.seen}"

    def stop(self) -> int:
        """SIGTERM; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def program(*arguments: object, **environment: str) -> Iterator[Running]:
    """``python ARGUMENTS…``, ended at the latest when the block is."""
    process = subprocess.Popen(
        [sys.executable, *map(str, arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        env=os.environ | environment,
    )
    try:
        yield (running := Running(process))
    finally:
        process.kill()
        process.wait()
        running._reader.join()
        assert process.stdout is not None
        process.stdout.close()


def send(server: str, *recipients: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, EXAMPLES / "sender.py", f"smtp://{server}", *recipients]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)


def test_the_sender_writes_to_the_receiver(tmp_path: Path) -> None:
    received = tmp_path / "received"
    with program(EXAMPLES / "receiver.py", "--bind", "127.0.0.1:0", "--into", received) as receiver:
        server = receiver.until(r"listening on (\S+)")[1]
        sent = send(server, "renping@sina.com", "ann@example.net")
        kept = receiver.until(r"(\S+): langrui@sohu.com -> renping@sina.com")[1]
        assert receiver.stop() == 0
    assert sent.returncode == 1, "one of the two was refused"
    first, second = sent.stdout.splitlines()
    assert first == f"renping@sina.com: delivered: 250 2.0.0 Kept as {Path(kept).stem}"
    assert second == "ann@example.net: failed: 550 5.7.1 No mail is relayed here"
    assert [file.name for file in received.iterdir()] == [kept]
    content = (received / kept).read_bytes()
    assert content.startswith(b"Date: ")
    assert b"notes.txt" in content
    assert content.endswith(b"\r\n")


def test_the_sender_says_that_nobody_is_there() -> None:
    reserved = reserved_socket(Endpoint("127.0.0.1", 0))
    try:
        host, port = reserved.getsockname()
        sent = send(f"{host}:{port}", "renping@sina.com")
    finally:
        reserved.close()
    assert sent.returncode == 1
    assert sent.stdout.startswith("nothing was sent: ")
    assert "Traceback" not in sent.stderr


def run(name: str, *arguments: object) -> str:
    """What a program prints that ends by itself."""
    command = [sys.executable, EXAMPLES / name, *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True).stdout


def test_messages_share_a_connection_and_bounce_addresses_name_their_readers() -> None:
    with ScriptedPeer({"RCPT TO:<bob": "550 5.1.1 unknown"}) as peer:
        printed = run("one_connection.py", peer.url, "ann@example.net", "bob@example.org")
    first, second = printed.splitlines()
    assert first.startswith("ann@example.net: delivered, ")
    assert second.startswith("bob@example.org: failed, ")
    (lines,) = peer.dialogues
    assert "MAIL FROM:<news+ann=example.net@sohu.com>" in lines


def test_a_token_is_asked_for_and_used(tmp_path: Path) -> None:
    certificates = pair(tmp_path, "localhost")

    def serve(connection: Connection) -> None:
        connection.handshake(certificates.server)
        connection.say(b"220 mx ready\r\n")
        connection.expect(b"EHLO")
        connection.say(b"250-mx\r\n250 AUTH XOAUTH2\r\n")
        found = connection.expect(b"AUTH XOAUTH2 ")
        assert b"Bearer the-token" in base64.b64decode(found.split()[2])
        connection.say(b"235 2.7.0 welcome\r\n")
        transaction(connection)

    issuer = tmp_path / "token.json"
    issuer.write_text('{"access_token": "the-token", "expires_at": 4102444800}')
    with Server(serve) as server:
        command = [
            sys.executable,
            EXAMPLES / "token_sender.py",
            f"smtps://ann@localhost:{server.port}",
            "bob@example.org",
        ]
        environment = os.environ | {"TOKEN_URL": issuer.as_uri(), "CA_FILE": certificates.ca}
        sent = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=True, env=environment)
    assert sent.stdout == "<SendResult: 1 delivered>\n"


def test_a_report_is_composed_and_answered(tmp_path: Path) -> None:
    report, answer = tmp_path / "report.eml", tmp_path / "answer.eml"
    printed = run("report.py", report)
    assert printed == f"{report.stat().st_size} octets for renping@sina.com ann@example.net\n"
    read = posthouse.read(report)
    assert [each.filename for each in read.attachments] == [
        "logo.gif", "part-1.3.ics", "report.py", "figures.csv", "invite.ics"
    ]  # fmt: skip
    assert (read.attachments[0].referenced, read.defects) == (True, ())
    assert run("answer.py", report, "renping@sina.com", answer).splitlines() == [
        "to: langrui@sohu.com",
        "cc: ann@example.net",
        "subject: Re: 第四季度 / the fourth quarter",
    ]
    assert posthouse.read(answer).in_reply_to == (read.message_id,)


def test_a_newsletter_is_composed_for_each_reader() -> None:
    printed = run("newsletter.py", "ann@example.net", "bob@example.org")
    for line in (
        "Subject: News for Ann",
        "Subject: News for Bob",
        "Dear Ann,",
        "List-Unsubscribe-Post: List-Unsubscribe=One-Click",
    ):
        assert line in printed


def test_the_applications_send_now_and_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(EXAMPLES)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    monkeypatch.delenv("POSTHOUSE_CONFIG", raising=False)
    waiting = tmp_path / "posthouse-catcher" / "maildrop"
    with Sandbox() as server:
        monkeypatch.setenv("POSTHOUSE_URL", server.url)
        flask, starlette = import_module("flask_shop"), import_module("starlette_shop")
        client = flask.app.test_client()
        assert client.post("/orders/7").json == {"mailed": True}
        names = {client.post("/newsletter/ann").json["id"] for _ in range(2)}
        flask.mail.close()
        with TestClient(starlette.app) as browser:
            assert browser.get("/now").json() == {"mailed": True}
            names.add(browser.get("/later").json()["id"])
        assert len(server.messages) == 3
    assert {each.name for each in waiting.iterdir()} == names
    assert len(names) == 2


def test_the_log_and_django_are_mailed() -> None:
    with Sandbox() as server:
        run("log_mail.py", server.url, "ops@example.org")
        mailed = len(server.messages)
        assert mailed <= 2, "the first at once, unless the others were there already, and the rest"
        pattern = re.compile(r"shop: (?:(\d+) records: )?ERROR root: order")
        counts = [pattern.match(str(each.subject)) for each in server.messages]
        assert sum(int(each[1] or 1) for each in counts if each) == 100
        assert run("django_mail.py", server.url) == "delivered\n"
        assert len(server.messages) == mailed + 1


def test_the_archive_keeps_and_refuses(tmp_path: Path) -> None:
    text = (EXAMPLES / "archive.toml").read_text(encoding="utf-8")
    text = text.replace("/var/lib/posthouse", str(tmp_path / "house")).replace("127.0.0.1:2525", "127.0.0.1:0")
    configuration = tmp_path / "archive.toml"
    configuration.write_text("workers = 1\n" + text, encoding="utf-8")
    assert load(configuration).domain[0].name == "archive.test"
    archive = tmp_path / "archive"
    where = {"PYTHONPATH": str(EXAMPLES), "ARCHIVE": str(archive)}
    with program("-m", "posthouse", "run", "--config", configuration, **where) as daemon:
        server = daemon.until(r"^listening on (\S+)")[1]
        assert send(server, "renping@archive.test", "no-body@archive.test").returncode == 0
        lines = {daemon.until(r" (delivered|failed) id=")[1] for _ in range(2)}
        assert daemon.stop() == 0
    assert lines == {"delivered", "failed"}
    failed = next(line for line in daemon.seen if " failed " in line)
    assert "no-body@archive.test" in failed
    assert "nobody reads this mailbox" in failed
    assert [each.suffix for each in archive.iterdir()] == [".eml"], (list(archive.iterdir()), daemon.seen)
    (kept,) = archive.iterdir()
    assert b"notes.txt" in kept.read_bytes()


def test_the_tests_of_the_examples_pass() -> None:
    ours = ("-p", "no:posthouse", "-p", "posthouse.testing.pytest_plugin")  # installed or not
    with program("-m", "pytest", "-q", *ours, "-p", "no:cacheprovider", EXAMPLES / "test_with_pytest.py") as tests:
        tests.until(r"^3 passed")
    with program("-m", "unittest", EXAMPLES / "test_with_unittest.py") as tests:
        tests.until(r"^Ran 2 tests")
        tests.until(r"^OK$")


def test_the_failing_server_fails_as_it_is_told() -> None:
    lines = run("failing_server.py").splitlines()
    assert lines[:2] == [
        "full@example.com: deferred: 452 4.2.2 Mailbox is full",
        "slow@example.com: delivered: 250 2.0.0 Caught",
    ]
    assert lines[2].startswith("lost@example.com: ambiguous: ")
    assert lines[3].startswith("nobody got it: ")
    assert lines[3].endswith("421 Too busy")
    assert lines[4:] == ["ann@example.com: delivered: 250 2.0.0 Caught", "2 messages were taken"]


def test_the_help_desk_takes_tickets(tmp_path: Path) -> None:
    where = {"PYTHONPATH": f"{EXAMPLES}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with program("-m", "posthouse", "run", "--app", "tickets:app", "--bind", "127.0.0.1:0", **where) as desk:
        server = desk.until(r"^listening on (\S+) \(tickets:app\)")[1]
        opened = send(server, "help@example.com")
        answered = send(server, "help+1@example.com", "help+2@example.com", "help@elsewhere.example")
        assert desk.stop() == 0
    assert "250 2.0.0 this is ticket 1; its address is help+1@example.com" in opened.stdout
    assert "help+1@example.com: failed: 554" in answered.stdout, "in SMTP a refusal after the content is for all"
    assert "help+2@example.com: there is no ticket 2" in answered.stdout
    assert "help@elsewhere.example: failed: 550 5.1.1 No such recipient here" in answered.stdout


def test_the_help_desk_behind_the_queue(tmp_path: Path) -> None:
    text = (EXAMPLES / "tickets.toml").read_text(encoding="utf-8")
    text = text.replace("/var/lib/posthouse", str(tmp_path / "data")).replace("127.0.0.1:2525", "127.0.0.1:0")
    configuration = tmp_path / "tickets.toml"
    configuration.write_text("workers = 1\n" + text, encoding="utf-8")
    where = {"PYTHONPATH": f"{EXAMPLES}{os.pathsep}{os.environ.get('PYTHONPATH', '')}"}
    with program("-m", "posthouse", "run", "--config", configuration, **where) as daemon:
        server = daemon.until(r"^listening on (\S+)")[1]
        assert send(server, "help@example.com", "help+7@example.com").returncode == 0, "both are in the queue"
        lines = {daemon.until(r" (delivered|failed) id=")[1] for _ in range(2)}
        assert daemon.stop() == 0
    assert lines == {"delivered", "failed"}
    assert any("there is no ticket 7" in line for line in daemon.seen)


def test_a_bulk_run_that_is_repeated_sends_only_what_is_left(tmp_path: Path) -> None:
    journal = tmp_path / "run.jsonl"
    with program(EXAMPLES / "receiver.py", "--bind", "127.0.0.1:0", "--into", tmp_path / "received") as receiver:
        url = "smtp://" + receiver.until(r"listening on (\S+)")[1]
        first = run("bulk.py", url, journal, "renping@sina.com", "renping@sina.com")
        again = run("bulk.py", url, journal, "renping@sina.com", "renping@sina.com", "renping@sina.com")
        assert receiver.stop() == 0
    assert first.splitlines() == ["renping@sina.com: delivered"] * 2
    assert again.splitlines() == ["renping@sina.com: delivered"]
    assert len(list((tmp_path / "received").iterdir())) == 3


def test_spf_is_tried_on_records_in_a_file(tmp_path: Path) -> None:
    zone = tmp_path / "zone.json"
    zone.write_text('{"example.org": {"TXT": ["v=spf1 a -all"], "A": ["192.0.2.1"]}}')
    assert run("check_spf.py", "192.0.2.1", "ann@example.org", zone).splitlines() == [
        "pass: a in the SPF record of example.org matches 192.0.2.1",
        "  example.org: a",
        "  TXT example.org: v=spf1 a -all",
        "  A example.org: 192.0.2.1",
    ]


def test_a_file_is_signed_with_a_key_that_is_made_and_kept(tmp_path: Path) -> None:
    message, key = tmp_path / "message.eml", tmp_path / "key.pem"
    message.write_bytes(b"From: ann@example.org\nSubject: lunch\n\nNoon?\n")
    first = run("sign_dkim.py", message, "example.org", "s1", key)
    assert key.stat().st_mode & 0o777 == 0o600
    made = key.read_bytes()
    again = run("sign_dkim.py", message, "example.org", "s1", key)
    assert key.read_bytes() == made
    for signed in (first, again):
        assert signed.startswith("DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d=example.org; s=s1;")
        assert signed.endswith(message.read_text())


def test_a_forwarder_keeps_what_authentication_said() -> None:
    lines = run("forward.py").splitlines()
    assert re.fullmatch(r"MAIL FROM:<SRS0=[^=]{6}=..=sohu\.com=langrui@forward\.test>", lines[0])
    assert lines[1:] == ["dmarc reject", "arc pass believed", "a bounce goes to langrui@sohu.com"]


def test_mail_that_has_waited_too_long_is_said() -> None:
    async def store(console: LiveConsole) -> None:
        now = console.daemon.clock.time()
        for domain, age in (("late.test", 20_000.0), ("young.test", 10.0)):
            receipt = console.spool.receive()
            receipt.write(b"Subject: x\r\n\r\nhello\r\n")
            envelope = Envelope(None, (Recipient(Address("bob", domain)),))
            await receipt.commit(envelope, [domain], received=now - age, due=now + 600, source="mx")

    with LiveConsole() as console:
        program = [sys.executable, str(EXAMPLES / "watch_queue.py"), console.address, "14400"]
        assert subprocess.run(program, timeout=SECONDS, check=False).returncode == 0
        console.run(store, console)
        done = subprocess.run(program, capture_output=True, text=True, timeout=SECONDS, check=False)
        assert (done.returncode, done.stdout) == (1, "late.test: 1 waiting, the oldest for 5.6 h\n")


def test_a_fault_is_switched_on_by_the_console(tmp_path: Path) -> None:
    catcher = ("-m", "posthouse", "run", "--bind", "127.0.0.1:0", "--console", "127.0.0.1:0")
    with program(*catcher, HOME=str(tmp_path), XDG_DATA_HOME=str(tmp_path), LANG="C.UTF-8") as running:
        server = running.until(r"listening on (127\.0\.0\.1:\d+)")[1]
        console = running.until(r"console at (http://127\.0\.0\.1:\d+)")[1]
        first, second, third, left = run("fault_switch.py", console, f"smtp://{server}").splitlines()
        assert running.stop() == 0
    assert first == "attempt 1: deferred: 451 4.7.1 Try again later"
    assert second == "attempt 2: deferred: 451 4.7.1 Try again later"
    assert third.startswith("attempt 3: delivered: 250 2.0.0 ")
    assert left == "faults that are on: 0"


def test_a_receiver_of_webhooks_checks_signatures_and_says_what_failed() -> None:
    told = {"id": "q", "recipient": "bob@far.test", "reply": "550 5.1.1 No such user"}
    body = json.dumps({"event": "failed", "id": "delivery-1", "delivery": told}).encode()
    with program(EXAMPLES / "hook_receiver.py", 0, WEBHOOK_SECRET="word") as running:
        port = running.until(r"listening on (\d+)")[1]
        address = f"http://127.0.0.1:{port}/"
        for secret, status in ((b"word", 204), (b"other", 403)):
            headers = {"x-posthouse-signature": signature(secret, 1_000, body)}
            assert asyncio.run(post(address, headers, body)) == status
        assert running.until(r"bob@far")[0]
        assert running.seen[-1].startswith("bob@far.test: 550 5.1.1 No such user")
