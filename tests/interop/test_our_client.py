"""Our sending session logs in at servers: at our own with every mechanism and way into TLS, and at Postfix with
Dovecot's accounts.

Certificates are checked.  Each session runs over asyncio and over a blocking socket.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import pwd
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import trustme

from posthouse.cli import main
from posthouse.client import LoginRefused, LoginSettings, TlsPolicy, connect, open_blocking
from posthouse.core import Address, Bytes, Envelope, Recipient, Result
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.protocol.sasl import Credentials

from .doors import ACCOUNT, MESSAGE, PASSWORD, TOKEN, entered, with_doors
from .peers import free_port, opened, run, session_with

MODES = {"clear": "off", "starttls": "verify", "implicit": "implicit"}
ENVELOPE = Envelope(Address("langrui", "sohu.com"), (Recipient(Address("renping", "sina.com")),))


async def hand_over(
    kind: str, port: int, tls: TlsPolicy, login: LoginSettings, envelope: Envelope = ENVELOPE
) -> tuple[str, str]:
    """Send ``MESSAGE`` with a login; returns the mechanism and the version of TLS."""
    there = [Endpoint("127.0.0.1", port)]

    def blocking() -> tuple[str, str]:
        with open_blocking(there, hostname="client.example", name="localhost", tls=tls, login=login) as session:
            (outcome,) = session.deliver(envelope, Bytes(MESSAGE))
            return said(session, outcome)

    def said(session: Any, outcome: Any) -> tuple[str, str]:
        assert outcome.result is Result.DELIVERED, outcome
        return session.login.mechanism, "" if session.tls is None else session.tls.version

    if kind == "blocking":
        return await asyncio.to_thread(blocking)
    session = await connect(
        there,
        network=SocketNetwork(),
        clock=SystemClock(),
        hostname="client.example",
        name="localhost",
        tls=tls,
        login=login,
    )
    try:
        (outcome,) = await session.deliver(envelope, Bytes(MESSAGE))
        return said(session, outcome)
    finally:
        await session.quit()


@pytest.mark.parametrize("kind", ["asyncio", "blocking"])
@pytest.mark.parametrize("door", list(MODES))
def test_we_log_in_at_ourselves_with_every_mechanism(tmp_path: Path, kind: str, door: str) -> None:
    mechanisms = ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2"]
    if door != "clear":
        mechanisms += ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-1-PLUS"]

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            tls = TlsPolicy(MODES[door], ca=doors.trusted)
            for mechanism in mechanisms:
                token = TOKEN if "OAUTH" in mechanism else None
                credentials = Credentials(ACCOUNT, None if token else PASSWORD, token)
                login = LoginSettings(credentials, mechanisms=[mechanism], allow_plain_text=True)
                used, version = await hand_over(kind, doors[door].port, tls, login)
                assert used == mechanism
                assert version == ("" if door == "clear" else "TLSv1.3")
            await entered(doors, [(door, mechanism) for mechanism in mechanisms])

    run(scenario)


@pytest.mark.parametrize("door", ["starttls", "implicit"])
def test_the_command_sends_and_probes_with_a_login(
    tmp_path: Path, door: str, capsys: pytest.CaptureFixture[str]
) -> None:
    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            (tmp_path / "password").write_text(PASSWORD)
            (tmp_path / "message").write_bytes(MESSAGE)
            scheme = "smtps" if door == "implicit" else "smtp+starttls"
            place = f"{scheme}://localhost:{doors[door].port}"
            login = ("--user", ACCOUNT, "--password-file", str(tmp_path / "password"), "--ca", doors.trusted)
            words = ("--from", ACCOUNT, "--to", "renping@sina.com", "--raw", str(tmp_path / "message"))
            assert await asyncio.to_thread(main, ("send", "--server", place, *login, *words)) == 0
            await entered(doors, [(door, "SCRAM-SHA-256-PLUS")])
            assert await asyncio.to_thread(main, ("probe", place, *login)) == 0

    run(scenario)
    shown = capsys.readouterr().out
    assert "renping@sina.com: accepted" in shown
    assert f"as {ACCOUNT}, by SCRAM-SHA-256-PLUS" in shown
    assert PASSWORD not in shown


# -- Postfix, whose logins Dovecot checks

_DOVECOT = """
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols =
ssl = no
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
disable_plaintext_auth = no
auth_failure_delay = 0
auth_mechanisms = plain login cram-md5 scram-sha-1 scram-sha-256
passdb {{
  driver = passwd-file
  args = {root}/users
}}
userdb {{
  driver = static
  args = uid=65534 gid=65534 home=/nonexistent
}}
service auth {{
  chroot =
  unix_listener {root}/postfix/queue/auth {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
  unix_listener anvil-auth-penalty {{
    mode = 0
  }}
}}
service stats {{
  chroot =
}}
"""
_MAIN = """
compatibility_level = 3.6
queue_directory = {root}/queue
data_directory = {root}/data
maillog_file = {root}/mail.log
maillog_file_prefixes = {root}
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = localhost
mydestination =
mynetworks =
smtpd_peername_lookup = no
disable_dns_lookups = yes
smtpd_relay_restrictions = permit_sasl_authenticated, reject
smtpd_sasl_auth_enable = yes
smtpd_sasl_type = dovecot
smtpd_sasl_path = auth
smtpd_sasl_security_options = noanonymous
smtpd_tls_auth_only = yes
smtpd_tls_chain_files = {root}/pair.pem
default_transport = discard:
alias_maps =
alias_database =
"""
_MASTER = """
postlog unix-dgram n - n - 1 postlogd
127.0.0.1:{starttls} inet n - n - - smtpd -o smtpd_tls_security_level=encrypt
127.0.0.1:{implicit} inet n - n - - smtpd -o smtpd_tls_wrappermode=yes
cleanup unix n - n - 0 cleanup
qmgr unix n - n 300 1 qmgr
rewrite unix - - n - - trivial-rewrite
bounce unix - - n - 0 bounce
defer unix - - n - 0 bounce
trace unix - - n - 0 bounce
error unix - - n - - error
discard unix - - n - - discard
retry unix - - n - - error
proxymap unix - - n - - proxymap
anvil unix - - n - 1 anvil
tlsmgr unix - - n 1000? 1 tlsmgr
"""
_QUEUES = ("active", "bounce", "corrupt", "defer", "deferred", "flush", "hold", "incoming", "maildrop", "pid")


class Submission(NamedTuple):
    """A Postfix that wants a login: its ports by the way into TLS, the certificate to trust, and its log."""

    ports: dict[str, int]
    ca: str
    log: Path


@contextlib.contextmanager
def _child(*command: str) -> Iterator[None]:
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as master:
        try:
            yield
        finally:
            master.terminate()
            try:
                master.wait(15)
            except subprocess.TimeoutExpired:
                os.killpg(master.pid, 9)
                master.wait()


def _lay_out(root: Path) -> Submission:
    user = pwd.getpwnam("postfix")
    ports = {door: free_port() for door in ("starttls", "implicit")}
    authority = trustme.CA()
    found = authority.issue_cert("localhost")
    root.chmod(0o755)
    home = root / "postfix"
    home.mkdir(mode=0o755)
    found.private_key_and_cert_chain_pem.write_to_path(str(home / "pair.pem"))
    authority.cert_pem.write_to_path(str(root / "ca.pem"))
    (home / "main.cf").write_text(_MAIN.format(root=home))
    (home / "master.cf").write_text(_MASTER.format(**ports))
    for name in ("data", "queue"):
        (home / name).mkdir(mode=0o755)
    os.chown(home / "data", user.pw_uid, user.pw_gid)
    for name in (*_QUEUES, "private", "public", "saved", "trace"):
        directory = home / "queue" / name
        directory.mkdir(mode=0o700)
        if name != "pid":
            os.chown(directory, user.pw_uid, user.pw_gid)
    (root / "dovecot.conf").write_text(
        _DOVECOT.format(root=root, internal="dovecot", login="dovenull", group=_group("dovecot"))
    )
    (root / "users").write_text(f"{ACCOUNT}:{{PLAIN}}{PASSWORD}::::::\n")
    return Submission(ports, str(root / "ca.pem"), home / "mail.log")


def _group(user: str) -> str:
    import grp

    return grp.getgrgid(pwd.getpwnam(user).pw_gid).gr_name


def _wait(condition: Callable[[], bool], log: Path) -> None:
    """Wait for a program that has just been started."""
    import time

    end = time.monotonic() + 30
    while not condition():
        assert time.monotonic() < end, log.read_text() if log.exists() else "(no log)"
        time.sleep(0.02)


def _listens(port: int) -> bool:
    import socket

    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture(scope="module")
def submission() -> Iterator[Submission]:
    """A running Postfix that asks a running Dovecot for its accounts, and discards what it takes."""
    for name in ("postconf", "dovecot"):
        if shutil.which(name) is None:
            pytest.skip(f"needs {name}: apt-get install postfix dovecot-core")
    if os.geteuid() != 0:
        pytest.skip("needs root: Postfix's master cannot be started by another user")
    with tempfile.TemporaryDirectory(prefix="posthouse-submission-") as directory:
        root = Path(directory)
        found = _lay_out(root)
        home = root / "postfix"
        asked = ["postconf", "-c", str(home), "-h", "daemon_directory"]
        daemons = subprocess.run(asked, capture_output=True, text=True, check=True).stdout.strip()
        with _child("dovecot", "-F", "-c", str(root / "dovecot.conf")):
            _wait((home / "queue" / "auth").exists, root / "log")
            with _child(f"{daemons}/master", "-c", str(home), "-d"):
                _wait(lambda: all(map(_listens, found.ports.values())), found.log)
                yield found


@pytest.mark.parametrize("kind", ["asyncio", "blocking"])
@pytest.mark.parametrize("door", ["starttls", "implicit"])
@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "SCRAM-SHA-1", "CRAM-MD5", "PLAIN", "LOGIN", ""])
def test_we_log_in_at_postfix_with_the_accounts_of_dovecot(
    submission: Submission, kind: str, door: str, mechanism: str
) -> None:
    """Without a choice, the strongest is taken."""

    async def scenario() -> None:
        login = LoginSettings(Credentials(ACCOUNT, PASSWORD), mechanisms=[mechanism] if mechanism else None)
        tls = TlsPolicy(MODES[door], ca=submission.ca)
        used, version = await hand_over(kind, submission.ports[door], tls, login)
        assert used == (mechanism or "SCRAM-SHA-256")
        assert version == "TLSv1.3"

    run(scenario)


@pytest.mark.parametrize("mechanism", ["SCRAM-SHA-256", "PLAIN", "LOGIN"])
def test_a_wrong_password_at_postfix_is_told(submission: Submission, mechanism: str) -> None:
    async def scenario() -> None:
        login = LoginSettings(Credentials(ACCOUNT, "wrong-secret"), mechanisms=[mechanism])
        tls = TlsPolicy("verify", ca=submission.ca)
        with pytest.raises(LoginRefused, match=r"535 5\.7\.8") as caught:
            await hand_over("asyncio", submission.ports["starttls"], tls, login)
        assert "wrong-secret" not in str(caught.value)

    run(scenario)


_RELAY = """
hostname = "first.test"
[[listener]]
bind = "127.0.0.1:0"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "{via}"
ca = "{ca}"
user = "{user}"
password_file = "{password}"
"""


@pytest.mark.parametrize("door", ["starttls", "implicit"])
def test_the_relay_logs_in_at_postfix(tmp_path: Path, submission: Submission, door: str) -> None:
    """Messages behind the first go in the session that is open."""

    async def scenario() -> None:
        scheme = "smtps" if door == "implicit" else "smtp+starttls"
        via = f"{scheme}://localhost:{submission.ports[door]}"
        (tmp_path / "password").write_text(PASSWORD)
        text = _RELAY.format(via=via, ca=submission.ca, user=ACCOUNT, password=tmp_path / "password")
        async with opened(text, tmp_path / "first") as first:
            for number in (1, 2, 3):
                async with session_with(first.endpoint) as session:
                    (outcome,) = await session.deliver(ENVELOPE, Bytes(MESSAGE))
                    assert outcome.result is Result.DELIVERED
                await first.until("delivered", number)
            for each in first.logged("delivered"):
                assert "queued as" in each["reply"]
                assert each["tls"].startswith("TLSv1.3 ")
            assert PASSWORD not in repr(first.events)

    run(scenario)
