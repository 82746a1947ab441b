"""A fault of the program in the thread that writes to the spool: refused at once, told once, and another process goes
on; nothing that was answered 250 is lost."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import time
from pathlib import Path

from tests.service.whole_daemon import PATIENCE, Dialogue, WholeDaemon, until

MX = '[[listener]]\nbind = "127.0.0.1:0"\nname = "mx"\n'
SINA = '[[domain]]\nname = "sina.com"\nmailboxes = "any"\n'
#: The command, whose next commit ends the writer's thread where a file says so; one process finds the file.
FAULTY = """\
import os, sys
from posthouse.spool.sqlite.storage.durability import Durable
commit = Durable.commit
def faulty(*given, **named):
    try:
        os.unlink(os.environ["FAULT"])
    except FileNotFoundError:
        return commit(*given, **named)
    raise SystemExit("a fault of the program")
Durable.commit = faulty
from posthouse.cli import main
sys.argv[0] = "posthouse"
sys.exit(main())
"""


class FaultyDaemon(WholeDaemon):
    """A daemon whose writer can be made to fail."""

    def __init__(self, home: Path, workers: int) -> None:
        self.home, self.workers = home, workers
        self.config, self.log, self.fault = home / "posthouse.toml", home / "log", home / "fault"
        self.write(MX + SINA)
        self.start()

    def start(self) -> None:
        command = [sys.executable, "-c", FAULTY, "run", "--config", str(self.config)]
        with self.log.open("ab") as out:
            self.process = subprocess.Popen(
                command, stdout=out, stderr=out, env={**os.environ, "FAULT": str(self.fault)}
            )

    def inbox(self) -> int:
        done = self.command("inbox", "list", "--limit", "1000", "--json")
        assert done.returncode == 0, done
        return len(json.loads(done.stdout))


def accepted_during_the_fault(daemon: FaultyDaemon, port: int) -> int:
    """How many messages were answered 250 until the fault was met: by one of them, or by what is done beside them.

    Each is answered at once, with 250 or a temporary refusal.
    """
    daemon.fault.write_text("")
    accepted = 0
    while "the thread that writes to the spool has ended" not in daemon.text():
        began = time.monotonic()
        try:
            with Dialogue(port) as session:
                for line in ("EHLO me", "MAIL FROM:<a@far.test>", "RCPT TO:<b@sina.com>", "DATA", "\r\nhello\r\n."):
                    if not (reply := session.ask(line)).startswith(("2", "3")):
                        break
        except OSError:  # the process has ended
            continue
        assert time.monotonic() - began < 10.0
        assert reply.startswith(("250 ", "451 4.3.", "421 ")) or not reply, reply
        accepted += reply.startswith("250 ")
    return accepted


def test_a_daemon_of_one_process_ends_with_74_and_the_next_has_all_mail(tmp_path: Path) -> None:
    daemon = FaultyDaemon(tmp_path, 1)
    try:
        daemon.up()
        daemon.send(daemon.port(), number=5)
        accepted = 5 + accepted_during_the_fault(daemon, daemon.port())
        assert daemon.process.wait(PATIENCE) == 74
        said = daemon.text()
        assert said.count(", in _live") == 1  # the traceback of the fault itself
        assert len(re.findall(r" fault reason=.the thread that writes to the spool has ended ", said)) == 1
        assert "(SystemExit: a fault of the program)" in said
        assert said.splitlines()[-1].startswith("posthouse: the thread that writes to the spool has ended (SystemExit:")
        daemon.start()
        daemon.until(" listening name=mx ", 2)
        until(lambda: daemon.inbox() == accepted)
        daemon.send(int(daemon.until(r" listening name=mx .*:(\d+)$", 2).group(1)))
        until(lambda: daemon.inbox() == accepted + 1)
        assert daemon.stop() == 0
    finally:
        daemon.end()


def test_of_several_workers_the_one_is_replaced_and_the_others_go_on(tmp_path: Path) -> None:
    daemon = FaultyDaemon(tmp_path, 2)
    try:
        port = daemon.port()
        daemon.up()
        daemon.send(port, number=5)
        before = daemon.children()
        accepted = 5 + accepted_during_the_fault(daemon, port)
        found = daemon.until(r"worker died worker=(\d) pid=(\d+) reason=.the thread that writes to the spool has ended")
        assert int(found.group(2)) in before
        for _ in range(10):  # while the other worker is alone, and behind that
            daemon.send(port)
        daemon.until(" listening name=mx ", 3)
        daemon.send(port, number=5)
        until(lambda: daemon.inbox() == accepted + 15)
        assert daemon.text().count(", in _live") == 1
        assert daemon.stop() == 0, daemon.text()
    finally:
        daemon.end()
