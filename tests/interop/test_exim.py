"""Exim: takes what the daemon relays to it, and sends it on to another daemon.

``.ci/run`` unpacks its program without installing it, because Debian installs one mail server only.  The program looks
for a user of its own when it starts; nss_wrapper gives it one.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from posthouse.core import Bytes, Result
from posthouse.net import Endpoint

from .corpus import MESSAGES, large
from .peers import CATCH_ALL, behind_trace, envelope, free_port, hand_over, opened, run, session_with
from .test_receivers import WHOLE, relay

_SETTINGS = """
exim_path = {program}
keep_environment = LD_PRELOAD : ^NSS_WRAPPER
add_environment = PATH=/usr/bin:/bin
spool_directory = {root}/spool
log_file_path = {root}/log/%s
pid_file_path =
primary_hostname = exim.test
local_interfaces = 127.0.0.1
daemon_smtp_ports = {port}
host_lookup =
rfc1413_query_timeout = 0s
accept_8bitmime = true
chunking_advertise_hosts = {chunking}
pipelining_advertise_hosts = *
pipelining_connect_advertise_hosts =
smtputf8_advertise_hosts = *
dsn_advertise_hosts = *
tls_advertise_hosts =
message_size_limit = 100M
smtp_accept_queue_per_connection = 0
acl_smtp_rcpt = rcpt
acl_smtp_data = accept
acl_smtp_dkim =

begin acl
rcpt:
  deny local_parts = nobody
       message = nobody lives here
  defer local_parts = later
       message = 4.2.1 come again
  accept

begin routers
onward:
  driver = manualroute
  route_list = * 127.0.0.1::{onward}
  self = send
  transport = onward

begin transports
onward:
  driver = smtp
  allow_localhost
  hosts_avoid_tls = *
  hosts_try_chunking = {chunking}
  hosts_try_dane =
  message_linelength_limit = 100000
"""


pytestmark = [
    pytest.mark.system("exim4-daemon-light", "exim4"),
    pytest.mark.system("libnss-wrapper", "/usr/lib/*/libnss_wrapper.so"),
]


class Exim(NamedTuple):
    """A running Exim, the port of 127.0.0.1 to which it sends all mail, and whether it offers and uses CHUNKING."""

    endpoint: Endpoint
    onward: int
    chunking: bool
    log: Path


def _environment(root: Path, user: pwd.struct_passwd) -> dict[str, str]:
    """The environment in which Exim finds its user, which is ``user``."""
    me = pwd.getpwuid(os.geteuid())
    named = {"Debian-exim": user, me.pw_name: me}
    lines = (f"{name}:x:{each.pw_uid}:{each.pw_gid}::{root}:/bin/false\n" for name, each in named.items())
    (root / "passwd").write_text("".join(lines))
    (root / "group").write_text("".join(f"{name}:x:{each.pw_gid}:\n" for name, each in named.items()))
    (library, *_) = glob.glob("/usr/lib/*/libnss_wrapper.so")
    places = {"NSS_WRAPPER_PASSWD": str(root / "passwd"), "NSS_WRAPPER_GROUP": str(root / "group")}
    return {**os.environ, "LD_PRELOAD": library, **places}


@pytest.fixture(params=["*", ""], ids=["bdat", "data"])
def exim(request: pytest.FixtureRequest) -> Iterator[Exim]:
    """A running Exim, with CHUNKING in both directions or in none."""
    user = pwd.getpwnam("nobody") if os.geteuid() == 0 else pwd.getpwuid(os.geteuid())
    with tempfile.TemporaryDirectory(prefix="posthouse-exim-") as directory:
        root = Path(directory)
        root.chmod(0o755)
        for name in ("spool", "log"):
            (root / name).mkdir()
            os.chown(root / name, user.pw_uid, user.pw_gid)
        endpoint = Endpoint("127.0.0.1", free_port())
        found = Exim(endpoint, free_port(), bool(request.param), root / "log" / "main")
        program = shutil.which("exim4")
        (root / "exim.conf").write_text(
            _SETTINGS.format(
                root=root, program=program, port=found.endpoint.port, onward=found.onward, chunking=request.param
            )
        )
        environment = _environment(root, user)
        command = (str(program), "-C", str(root / "exim.conf"), "-bdf")
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, start_new_session=True, env=environment
        ) as master:
            try:
                _wait_until_it_greets(found, master)
                yield found
            finally:
                group = os.getpgid(master.pid)
                master.terminate()
                master.wait(15)
                with contextlib.suppress(ProcessLookupError):  # those that deliver have ended with it
                    os.killpg(group, signal.SIGTERM)


def _wait_until_it_greets(exim: Exim, master: subprocess.Popen[bytes]) -> None:
    """Wait: the listener opens a moment after the start."""
    end = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(exim.endpoint, timeout=10) as listener:
                assert listener.recv(4096).startswith(b"220 exim.test")
                return
        except ConnectionRefusedError:
            assert master.poll() is None, f"Exim ended with {master.returncode}: {master.communicate()[1]!r}"
            assert time.monotonic() < end, "Exim does not listen"
            time.sleep(0.02)


def test_through_exim_and_back(tmp_path: Path, exim: Exim) -> None:
    """Daemon → Exim → another daemon: each message is unchanged."""
    sent = {name: message for name, message in WHOLE.items() if name != "folded-field"}  # Exim joins its last two lines
    sent["large"] = large(2_000_000)

    async def scenario() -> None:
        last = CATCH_ALL.format(port=exim.onward, kind="mx")
        async with opened(last, tmp_path / "last") as behind:
            async with relay(f"smtp://{exim.endpoint}", tmp_path / "first") as first:
                async with session_with(first.endpoint) as session:
                    await hand_over(session, sent, smtputf8=True)
                await first.daemon.wait_idle()
                assert await first.daemon.spool.queries.count() == 0
            await behind.until("accepted", len(sent))
            found = await behind.messages()
        for name, message in sent.items():
            (arrived,) = found[f"{name}@box.test"]
            assert behind_trace(arrived, hops=3) == message, name
            # SMTPUTF8 is asked for where it is needed, and Exim passes it on.  (Exim's own field says so of all later
            # messages of a session too.)
            kind = b"UTF8SMTP" if name == "chinese-fields" else b"ESMTP"
            assert b"by host.test with " + kind + b" id" in arrived[:300], name
            assert b"by exim.test with " in arrived[:1000]

    run(scenario)
    received = [line for line in exim.log.read_text().splitlines() if " <= " in line]
    assert [" K " in line for line in received] == [exim.chunking] * len(sent)  # K: the content came by BDAT


def test_addresses_in_chinese_through_exim_and_back(tmp_path: Path, exim: Exim) -> None:
    message = MESSAGES["chinese-fields"]

    async def scenario() -> None:
        last = CATCH_ALL.format(port=exim.onward, kind="mx")
        async with opened(last, tmp_path / "last") as behind, relay(f"smtp://{exim.endpoint}", tmp_path / "a") as first:
            async with session_with(first.endpoint) as session:
                asked = envelope("任平@sina.com", "renping@sina.com", sender="郎锐@sohu.com", smtputf8=True)
                await session.deliver(asked, Bytes(message))
            await behind.until("accepted", 1)
            found = await behind.messages()
            assert sorted(found) == ["renping@sina.com", "任平@sina.com"]
            for (arrived,) in found.values():
                assert arrived.startswith("Return-Path: <郎锐@sohu.com>\r\n".encode())
                assert b"by exim.test with utf8esmtp (Exim" in arrived[:1000]
                assert behind_trace(arrived, hops=3) == message

    run(scenario)


def test_exim_refuses_one_of_four_recipients_and_defers_another(tmp_path: Path, exim: Exim) -> None:
    async def scenario() -> None:
        last = CATCH_ALL.format(port=exim.onward, kind="mx")
        async with opened(last, tmp_path / "last") as behind, relay(f"smtp://{exim.endpoint}", tmp_path / "a") as first:
            async with session_with(first.endpoint) as session:
                recipients = ("a@box.test", "nobody@box.test", "later@box.test", "b@box.test")
                outcomes = await session.deliver(envelope(*recipients, sender=""), Bytes(MESSAGES["dots"]))
                assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 4
            await first.daemon.wait_idle()
            (failed,) = first.logged("failed")
            assert failed["recipient"] == "nobody@box.test"
            assert "550 nobody lives here" in str(failed)
            (deferred,) = first.logged("deferred")
            assert deferred["recipient"] == "later@box.test"
            assert "451 4.2.1 come again" in str(deferred)
            await behind.until("accepted", 1)
            found = await behind.messages()
            assert sorted(found) == ["a@box.test", "b@box.test"]
            for (arrived,) in found.values():
                assert behind_trace(arrived, hops=3) == MESSAGES["dots"]

    run(scenario)
