"""The configuration is read again while the daemon runs: as a whole or not at all, in every worker, and no session, no
port and no mail is lost by it."""

from __future__ import annotations

import os
import re
import signal
import smtplib
import socket
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace
from tests.service.whole_daemon import PATIENCE, Dialogue, WholeDaemon, refused, until

from posthouse.service import parse
from posthouse.service.config.changes import RESTART, changed_settings, in_force
from posthouse.service.config.model import Config

MX = '[[listener]]\nbind = "127.0.0.1:0"\nname = "mx"\n'
SECOND = '[[listener]]\nbind = "127.0.0.1:0"\nname = "second"\n'
SINA = '[[domain]]\nname = "sina.com"\nmailboxes = "any"\n'
SOHU = '[[domain]]\nname = "sohu.com"\nmailboxes = "any"\n'

BOTH = pytest.mark.parametrize("workers", [1, 2])


@pytest.fixture
def daemon(tmp_path: Path) -> Iterator[Callable[..., WholeDaemon]]:
    started: list[WholeDaemon] = []

    def start(settings: str, **how: Any) -> WholeDaemon:
        started.append(WholeDaemon(tmp_path, settings, **how))
        return started[-1]

    yield start
    for each in started:
        each.end()


def sessions(port: int, number: int = 6) -> list[Dialogue]:
    """Open sessions; with two workers, probably some in each."""
    return [Dialogue(port) for _ in range(number)]


@BOTH
def test_new_sessions_have_the_new_terms_and_open_ones_the_old(
    daemon: Callable[..., WholeDaemon], workers: int
) -> None:
    running = daemon(MX + SINA, workers=workers)
    port = running.port()
    running.up()
    before = sessions(port)
    for each in before:
        assert each.ask("EHLO me").startswith("250")
        assert each.ask("MAIL FROM:<a@far.test>").startswith("250")
        assert each.ask("RCPT TO:<b@sohu.com>").startswith("550")
    running.write(f'{MX}banner = "changed"\nmax_message_size = 70000\n{SINA}{SOHU}')
    said = running.reload()
    assert "changed: listener mx: max_message_size, banner" in said
    assert "changed: domain sohu.com added" in said
    for each in sessions(port):
        with each:
            assert "changed" in each.greeting
            assert "SIZE 70000" in each.ask("EHLO me")
            assert each.ask("MAIL FROM:<a@far.test>").startswith("250")
            assert each.ask("RCPT TO:<b@sohu.com>").startswith("250")
    for each in before:
        with each:
            assert each.ask("RCPT TO:<b@sohu.com>").startswith("550")
            assert each.ask("RCPT TO:<b@sina.com>").startswith("250")
            assert each.ask("DATA").startswith("354")
            assert each.ask("Subject: x\r\n\r\nx\r\n.").startswith("250")
            assert each.ask("QUIT").startswith("221")
    assert running.text().count(" reload by=") == 1
    assert "fault" not in running.text()
    assert running.stop() == 0, running.text()


@BOTH
def test_listeners_open_and_close_and_sessions_of_a_closed_one_end_in_order(
    daemon: Callable[..., WholeDaemon], workers: int, tmp_path: Path
) -> None:
    running = daemon(MX + SECOND + SINA, workers=workers)
    port, gone = running.port(), running.port("second")
    running.up()
    held = sessions(gone)
    for each in held[:3]:  # in the midst of a message
        each.ask("EHLO me")
        each.ask("MAIL FROM:<a@far.test>")
        each.ask("RCPT TO:<b@sina.com>")
        assert each.ask("DATA").startswith("354")
    path = tmp_path / "lmtp.sock"
    third = '[[listener]]\nbind = "127.0.0.1:0"\nname = "third"\n'
    fourth = f'[[listener]]\nbind = "unix:{path}"\nkind = "lmtp"\nname = "fourth"\n'
    running.write(MX + third + fourth + SINA)
    said = running.reload()
    assert {"changed: listener second removed", "changed: listener third added", "changed: listener fourth added"} <= (
        set(said.splitlines())
    )
    assert refused(gone)
    for each in held[3:]:
        with each:
            assert each.reply().startswith("421 ")
    for each in held[:3]:
        with each:
            assert each.ask("Subject: in time\r\n\r\nx\r\n.").startswith("250")
            assert each.reply().startswith("421 ")
    for place in (port, running.port("third"), str(path)):
        with Dialogue(place) as session:
            assert session.greeting.startswith("220")
    running.write(MX + SINA)
    running.reload()
    assert not path.exists()
    assert refused(running.port("third"))
    running.send(port, number=3)
    assert running.stop() == 0, running.text()


@BOTH
def test_no_connection_is_refused_and_no_mail_is_lost_while_it_is_reloaded(
    daemon: Callable[..., WholeDaemon], workers: int
) -> None:
    running = daemon(MX + SINA, workers=workers)
    port = running.port()
    running.up()
    done = threading.Event()
    failed: list[Exception] = []
    sent = [0, 0, 0]

    def send(number: int) -> None:
        while not done.is_set():
            try:
                running.send(port)
                sent[number] += 1
            except (OSError, smtplib.SMTPException) as error:
                failed.append(error)
                return

    threads = [threading.Thread(target=send, args=(number,)) for number in range(3)]
    for thread in threads:
        thread.start()
    try:
        for number in range(4):
            so_far = sum(sent)
            until(lambda so_far=so_far: sum(sent) > so_far or failed)
            running.write(f'{MX}banner = "number {number}"\n{SINA}')
            running.reload()
    finally:
        done.set()
        for thread in threads:
            thread.join()
    assert not failed
    assert running.stop() == 0, running.text()
    listing = running.command("inbox", "list", "--limit", "100000")
    assert listing.stdout.count("renping@sina.com") == sum(sent), listing.stderr


@BOTH
def test_mail_that_waits_takes_the_new_route(daemon: Callable[..., WholeDaemon], workers: int, tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        nowhere = closed.getsockname()[1]
    trusted = '[relay]\ntrusted_networks = ["127.0.0.0/8"]\n'
    target = tmp_path / "other"
    target.mkdir()
    other = WholeDaemon(target, MX + SINA)
    try:
        there = other.port()
        running = daemon(f'{MX}{trusted}[[route]]\nto = "*"\nvia = "smtp://127.0.0.1:{nowhere}"\n', workers=workers)
        running.send(running.port())
        running.until(" deferred ")
        running.write(f'{MX}{trusted}[[route]]\nto = "*"\nvia = "smtp://127.0.0.1:{there}"\n')
        assert "changed: route *: via" in running.reload()
        assert running.command("queue", "retry", "--all", "--yes").returncode == 0
        running.until(" delivered .*recipient=renping@sina.com")
        assert running.stop() == 0
    finally:
        other.end()


BROKEN = {
    "error": ('bind = "127.0.0.1:0"\nmax_errors = "many"\n', "max_errors", 78),
    "toml": ("[[listener]\n", "this is not TOML", 78),
    "certificate": ('tls = "starttls"\ntls_cert = "/nowhere/cert.pem"\n', "/nowhere/cert.pem", 78),
    "accounts": ('auth = "required"\n', "nowhere:store cannot be loaded", 78),
    "port": ('[[listener]]\nbind = "127.0.0.1:{taken}"\n', "another program already listens there", 69),
    "address": ('[[listener]]\nbind = "192.0.2.7:0"\n', "not an address of this machine", 69),
}


@BOTH
@pytest.mark.parametrize("what", sorted(BROKEN))
def test_a_wrong_file_changes_nothing_and_says_why(daemon: Callable[..., WholeDaemon], workers: int, what: str) -> None:
    running = daemon(MX + SINA, workers=workers)
    port = running.port()
    running.up()
    text, why, code = BROKEN[what]
    with socket.create_server(("127.0.0.1", 0)) as taken, Dialogue(port) as session:
        wrong = text.format(taken=taken.getsockname()[1])
        accounts = 'accounts = "python:nowhere:store"\n' if what == "accounts" else ""
        wrong = wrong if what != "error" else wrong.partition("\n")[2]
        running.write(f'{accounts}{MX}banner = "changed"\n{wrong}{SOHU}')
        done = running.command("reload")
        assert done.returncode == code, done
        assert why in done.stderr
        assert "Traceback" not in done.stderr + running.text()
        running.process.send_signal(signal.SIGHUP)
        found = running.until(" reload by=SIGHUP reason=(.*)").group(1)
        assert "nothing was changed: " in found
        assert why in found
        with Dialogue(port) as other:
            assert "changed" not in other.greeting
            other.ask("EHLO me")
            other.ask("MAIL FROM:<a@far.test>")
            assert other.ask("RCPT TO:<b@sohu.com>").startswith("550")
            assert other.ask("RCPT TO:<b@sina.com>").startswith("250")
        assert session.ask("EHLO me").startswith("250")
    running.write(f'{MX}banner = "changed"\n{SINA}')
    running.reload()
    with Dialogue(port) as other:
        assert "changed" in other.greeting
    assert running.stop() == 0, running.text()


def test_a_file_that_is_gone_changes_nothing(daemon: Callable[..., WholeDaemon]) -> None:
    running = daemon(MX + SINA)
    port = running.port()
    running.up()
    running.config.unlink()
    running.process.send_signal(signal.SIGHUP)
    assert "cannot be read (No such file" in running.until(" reload by=SIGHUP reason=(.*)").group(1)
    done = subprocess.run(
        [sys.executable, "-m", "posthouse", "reload", "--data-dir", str(running.home / "data")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 66, done
    assert str(running.config) in done.stderr
    running.send(port)


def test_a_daemon_without_a_file_has_none_to_read_again(tmp_path: Path) -> None:
    """66, as for a file that cannot be read; without a daemon 69."""
    words = [sys.executable, "-m", "posthouse"]
    place = ["--data-dir", str(tmp_path / "data")]

    def reload() -> subprocess.CompletedProcess[str]:
        command = [*words, "reload", *place]
        return subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE, check=False)

    done = reload()
    assert done.returncode == 69
    assert "no daemon runs on" in done.stderr
    run = [*words, "run", *place, "--bind", "127.0.0.1:0", "--console", "off"]
    with subprocess.Popen(run, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True) as process:
        assert process.stdout is not None
        while "mail is kept in" not in (line := process.stdout.readline()):
            assert line
        done = reload()
        process.terminate()
        assert process.wait(PATIENCE) == 0
    assert done.returncode == 66
    assert done.stderr == (
        "posthouse: this daemon was started without a configuration file, so there is none to read again; restart it "
        "with --config FILE\n"
    )


@BOTH
def test_what_cannot_change_is_named_and_waits_for_a_restart(
    daemon: Callable[..., WholeDaemon], workers: int, tmp_path: Path
) -> None:
    running = daemon(MX + SINA, workers=workers)
    port = running.port()
    running.up()
    running.config.write_text(
        f'hostname = "other.test"\ndata_dir = "{tmp_path}/elsewhere"\nworkers = {workers + 1}\n'
        f"{MX}{SINA}{SOHU}[spool]\nhistory = '1d'\n[relay]\nconcurrency = 7\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "posthouse", "reload", "--data-dir", str(running.home / "data")],
        capture_output=True,
        text=True,
        timeout=PATIENCE,
        check=False,
    )
    assert done.returncode == 0, done
    waiting = {line.removeprefix("waits for a restart: ") for line in done.stdout.splitlines() if "restart" in line}
    assert waiting == {"hostname", "data_dir", "workers", "spool.history", "relay.concurrency"}
    assert "changed: domain sohu.com added" in done.stdout
    assert "elsewhere" not in os.listdir(tmp_path)
    with Dialogue(port) as session:
        assert "daemon.test" in session.greeting
    done = running.command("reload")  # it looks at the new place
    assert done.returncode == 69
    assert "no daemon runs on" in done.stderr


@BOTH
def test_reloads_that_come_together_are_all_answered_by_the_newest_file(
    daemon: Callable[..., WholeDaemon], workers: int
) -> None:
    running = daemon(MX + SINA, workers=workers)
    port = running.port()
    running.up()
    running.write(f'{MX}banner = "newest"\n{SINA}')
    words = [sys.executable, "-m", "posthouse", "reload", "--config", str(running.config)]
    asked = [subprocess.Popen(words, stdout=subprocess.PIPE, text=True) for _ in range(3)]
    running.process.send_signal(signal.SIGHUP)
    running.process.send_signal(signal.SIGHUP)
    for each in asked:
        said, _ = each.communicate(timeout=PATIENCE)
        assert each.returncode == 0
        assert "was read again" in said
    with Dialogue(port) as session:
        assert "newest" in session.greeting
    assert "reason=" not in "".join(re.findall(r" reload by=.*", running.text()))


@BOTH
def test_a_reload_while_the_daemon_drains_changes_nothing(daemon: Callable[..., WholeDaemon], workers: int) -> None:
    running = daemon(MX + SINA, workers=workers)
    port = running.port()
    running.up()
    with Dialogue(port) as session:
        session.ask("EHLO me")
        session.ask("MAIL FROM:<a@far.test>")
        session.ask("RCPT TO:<b@sina.com>")
        session.ask("DATA")
        running.process.send_signal(signal.SIGTERM)
        running.until(" draining ", workers)
        running.write(MX + SECOND + SINA)
        done = running.command("reload")
        assert done.returncode == 75
        assert re.search(rf"the daemon on .* \(process {running.process.pid}\) is starting or stopping; ", done.stderr)
        running.process.send_signal(signal.SIGHUP)
        running.until(" signal name=SIGHUP ")
        assert session.ask("Subject: in time\r\n\r\nx\r\n.").startswith("250")
        assert session.reply().startswith("421")
    assert running.process.wait(PATIENCE) == 0, running.text()
    assert "name=second" not in running.text()
    assert "Traceback" not in running.text()


def test_a_worker_that_is_started_later_has_the_newest_accepted_configuration(
    daemon: Callable[..., WholeDaemon],
) -> None:
    running = daemon(MX + SINA, workers=2)
    port = running.port()
    running.up()
    running.write(f'{MX}banner = "accepted"\n{SECOND}{SINA}')
    running.reload()
    running.write(f'{MX}banner = "not accepted"\nmax_errors = "many"\n{SECOND}{SINA}')
    assert running.command("reload").returncode != 0
    for pid in running.children():
        os.kill(pid, signal.SIGKILL)
    running.until(" listening name=mx ", 4)
    running.until(" listening name=second ", 4)
    for place in (port, running.port("second")):
        for each in sessions(place):
            with each:
                assert each.greeting.startswith("220")
                assert place != port or each.greeting.endswith(" accepted")
    running.write(f'{MX}banner = "third"\n{SINA}')
    running.reload()
    for each in sessions(port):
        with each:
            assert each.greeting.endswith(" third")
    assert running.stop() == 0, running.text()


def test_a_worker_that_hangs_keeps_all_from_a_change(daemon: Callable[..., WholeDaemon], tmp_path: Path) -> None:
    hasty = "import posthouse.service.daemon.rollout as rollout\nrollout.ANSWERED = 3.0\n"
    (tmp_path / "sitecustomize.py").write_text(hasty)
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    running = daemon(MX + SINA, workers=2, environment={"PYTHONPATH": path})
    port = running.port()
    running.up()
    stopped = running.children()[1]
    os.kill(stopped, signal.SIGSTOP)
    try:
        running.write(f'{MX}banner = "changed"\n{SECOND}{SINA}')
        done = running.command("reload")
        assert done.returncode == 75, done
        assert "worker 1 did not answer within 3 s" in done.stderr
        running.until(r" worker hangs worker=1 .*others take its connections")
        done = running.command("reload")
        assert done.returncode == 75, done
        assert "worker 1 hangs; try again later" in done.stderr
        for each in sessions(port):
            with each:
                assert "changed" not in each.greeting
    finally:
        os.kill(stopped, signal.SIGCONT)
    running.until(r" worker hangs worker=1 .*it is heard again")
    running.reload()
    for each in sessions(port):
        with each:
            assert each.greeting.endswith(" changed")
    assert running.stop() == 0, running.text()


# The comparison of two configurations --------------------------------------------------------------------------------


def test_every_setting_either_takes_effect_or_waits_for_a_restart() -> None:
    """A table that is new must be thought of: nothing keeps it for the life of a process, or RESTART names it."""
    taking_effect = {"listener", "certificate", "accounts", "relay", "domain", "route", "mailauth", "webhook"} | {
        "inbox",
        "inbox_rule",
    }  # operations read these each time
    assert {each.partition(".")[0] for each in RESTART} | taking_effect == set(Config.__struct_fields__)


def test_changes_are_named_and_values_are_not() -> None:
    before = parse(MX + SINA)
    after = parse(f'{MX}max_errors = 5\n{SINA}quota = 12345\n{SOHU}[relay]\nsource = "127.0.0.9"\n')
    changed = changed_settings(before, after)
    assert changed == ("listener mx: max_errors", "relay.source", "domain sina.com: quota", "domain sohu.com added")
    assert not changed_settings(before, parse(MX + SINA))
    assert changed_settings(parse(SINA + SOHU), parse(SOHU + SINA)) == ("order of domain",)


def test_settings_that_wait_keep_their_value() -> None:
    before = parse(MX + SINA)
    after = replace(parse(MX + SOHU), workers=9, dns=replace(before.dns, tries=7))
    effective, waiting = in_force(before, after)
    assert waiting == ("workers", "dns.tries")
    assert (effective.workers, effective.dns, effective.domain) == (before.workers, before.dns, after.domain)
