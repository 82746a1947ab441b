"""A private Postfix with its own configuration, queue and data, three listeners on loopback, and two next hops.

It needs root, because Postfix's master changes to its own users; it does not use the configuration or queue of an
installed Postfix.  Its master is a child of the test run and ends with it.
"""

from __future__ import annotations

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

from posthouse.net import Endpoint

from .doors import ACCOUNT, PASSWORD
from .peers import free_port

_MAIN = """
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = postfix.test
mydestination =
mynetworks = 127.0.0.0/8
smtpd_relay_restrictions = permit_mynetworks, reject
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtp_host_lookup = native
smtpd_reject_unlisted_recipient = no
relayhost = [127.0.0.1]:{onward}
transport_maps = inline:{{
    {{ home.test = smtp:[127.0.0.1]:{homeward} }}
    {{ refused.test = error:5.1.1 nobody of that name lives here }}
    {{ discarded.test = discard: }}
    {doors} }}
smtp_sasl_password_maps = inline:{{ {{ [localhost]:{starttls} = {login} }} {{ [localhost]:{implicit} = {login} }} }}
smtp_sasl_security_options =
smtp_tls_CAfile = {root}/trusted.pem
smtp_tls_loglevel = 1
smtputf8_enable = yes
message_size_limit = 104857600
mailbox_size_limit = 0
alias_maps =
alias_database =
local_header_rewrite_clients =
"""

_MASTER = """
postlog unix-dgram n - n - 1 postlogd
{bdat} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=
{data} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=chunking
{plain} inet n - n - - smtpd -o smtpd_discard_ehlo_keywords=chunking,pipelining
{filtered} inet n - n - - smtpd -o smtpd_milters=unix:{milter} -o milter_default_action=tempfail
{judged} inet n - n - - smtpd -o smtpd_milters=unix:{milter},unix:{milter}-2 -o milter_default_action=tempfail
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
smtp unix - - n - - smtp
relay unix - - n - - smtp
error unix - - n - - error
discard unix - - n - - discard
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
scache unix - - n - 1 scache
tlsmgr unix - - n 1000? 1 tlsmgr
"""

#: A client that logs in, by its way into TLS and the mechanism: mail for ``starttls-plain.test`` goes through it.
_LOGS_IN = """{name} unix - - n - - smtp
  -o smtp_sasl_auth_enable=yes
  -o smtp_sasl_mechanism_filter={mechanism}
  -o smtp_tls_security_level=secure
  -o smtp_tls_secure_cert_match=hostname
  -o smtp_tls_wrappermode={wrapped}
"""
DOOR_MECHANISMS = ("plain", "login", "cram-md5", "scram-sha-256")

_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid")


class Postfix(NamedTuple):
    """A running Postfix.

    ``listeners`` by their extensions (``bdat``: all; ``data``: without CHUNKING; ``plain``: without PIPELINING too),
    ``filtered``, whose mail the milter at the socket ``milter`` must accept, and ``judged``, whose mail goes through
    another milter behind that, at the same path with "-2";
    ``homeward`` is the next hop for home.test, ``onward`` for all other domains.  Mail for refused.test is accepted and
    bounced; mail for discarded.test is accepted and discarded.  Mail for starttls-plain.test goes with a login by PLAIN
    to the submission server at port ``doors["starttls"]`` of localhost, whose certificate is checked against
    ``trusted``; likewise for ``implicit``, and for each of ``DOOR_MECHANISMS``.
    """

    listeners: dict[str, Endpoint]
    onward: Endpoint
    homeward: Endpoint
    log: Path
    doors: dict[str, int]
    trusted: Path
    milter: Path


def _lay_out(root: Path) -> Postfix:
    """Write the configuration and make the directories."""
    user = pwd.getpwnam("postfix")
    ports = {name: free_port() for name in ("bdat", "data", "plain", "filtered", "judged", "onward", "homeward")}
    doors = {door: free_port() for door in ("starttls", "implicit")}
    clients = [(door, mechanism) for door in doors for mechanism in DOOR_MECHANISMS]
    transports = (f"{{ {door}-{each}.test = {door}-{each}:[localhost]:{doors[door]} }}" for door, each in clients)
    (root / "main.cf").write_text(
        _MAIN.format(
            root=root,
            onward=ports["onward"],
            homeward=ports["homeward"],
            doors=" ".join(transports),
            login=f"{ACCOUNT}:{PASSWORD}",
            **doors,
        )
    )
    listeners = {name: f"127.0.0.1:{ports[name]}" for name in ("bdat", "data", "plain", "filtered", "judged")}
    logging_in = (
        _LOGS_IN.format(name=f"{door}-{each}", mechanism=each, wrapped="yes" if door == "implicit" else "no")
        for door, each in clients
    )
    (root / "master.cf").write_text(_MASTER.format(**listeners, milter=root / "milter") + "".join(logging_in))
    root.chmod(0o755)
    for name in ("data", "queue"):
        (root / name).mkdir()
    os.chown(root / "data", user.pw_uid, user.pw_gid)
    for name in (*_QUEUES, "private", "public", "saved", "trace"):
        directory = root / "queue" / name
        directory.mkdir(mode=0o700)
        if name != "pid":
            os.chown(directory, user.pw_uid, user.pw_gid)
    places = {name: Endpoint("127.0.0.1", port) for name, port in ports.items()}
    onward, homeward = places.pop("onward"), places.pop("homeward")
    return Postfix(places, onward, homeward, root / "mail.log", doors, root / "trusted.pem", root / "milter")


def _wait_until_it_greets(postfix: Postfix, master: subprocess.Popen[bytes]) -> None:
    """Wait: the listeners open a moment after the master has started."""
    end = time.monotonic() + 20
    while True:
        try:
            with socket.create_connection(next(iter(postfix.listeners.values())), timeout=10) as listener:
                assert listener.recv(4096).startswith(b"220 postfix.test")
                return
        except ConnectionRefusedError:
            log = postfix.log.read_text() if postfix.log.exists() else "(no log)"
            assert master.poll() is None, f"Postfix ended with {master.returncode}:\n{log}"
            assert time.monotonic() < end, f"Postfix does not listen:\n{log}"
            time.sleep(0.02)


@pytest.fixture(scope="module")
def postfix() -> Iterator[Postfix]:
    """A running Postfix that relays all mail to ``onward``, where a test may listen."""
    if shutil.which("postconf") is None:
        pytest.skip("needs postfix: apt-get install postfix")
    if os.geteuid() != 0:
        pytest.skip("needs root: Postfix's master cannot be started by another user")
    # Not below pytest's directory, which the user postfix may not enter.
    with tempfile.TemporaryDirectory(prefix="posthouse-postfix-") as directory:
        root = Path(directory)
        postfix = _lay_out(root)
        asked = ["postconf", "-c", directory, "-h", "daemon_directory"]
        daemons = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        command = [f"{daemons}/master", "-c", str(root), "-d"]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as master:
            try:
                _wait_until_it_greets(postfix, master)
                yield postfix
            finally:
                # The master has a session of its own, so its daemons end with it.
                master.terminate()
                try:
                    master.wait(15)
                except subprocess.TimeoutExpired:
                    os.killpg(master.pid, signal.SIGKILL)
                    master.wait()
