"""Accounts of a real Dovecot: each mechanism, wrong passwords, names that could be read as fields, and its end.

Dovecot runs with a configuration, directories and users of the test's own, as whoever runs the tests.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import grp
import os
import pwd
import socket
import subprocess
import tempfile
import time
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from posthouse.protocol.sasl import (
    MECHANISMS,
    Credentials,
    DeriveKey,
    Question,
    Say,
    client_exchange,
    derive_keys,
    write_keys,
)

from .peers import Host, opened, run

ACCOUNT = "langrui@sohu.com"
PASSWORD = "Red=Lion+7/%@b"
DOMAIN = '[[domain]]\nname = "*"\nmailboxes = "any"\n'

_SETTINGS = """
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols =
ssl = no
default_internal_user = {internal}
default_internal_group = {group}
default_login_user = {login}
first_valid_uid = 0
auth_mechanisms = plain login scram-sha-256 scram-sha-1
auth_failure_delay = 0
auth_username_format = %Lu
passdb {{
  driver = passwd-file
  args = {root}/passwords
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}/home
}}
service auth {{
  chroot =
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@contextlib.contextmanager
def running(root: Path) -> Iterator[Path]:
    """A Dovecot below ``root``; the path of its authentication socket."""
    root.chmod(0o755)
    user = pwd.getpwuid(os.geteuid())
    internal, login = ("dovecot", "dovenull") if os.geteuid() == 0 else (user.pw_name, user.pw_name)
    group = grp.getgrgid(pwd.getpwnam(internal).pw_gid).gr_name
    keys = write_keys(derive_keys(PASSWORD, b"salt" * 4, 4_096, "sha256")).partition("$")[2]
    stored = "{SCRAM-SHA-256}" + keys.replace(":", ",").replace("$", ",")
    (root / "passwords").write_text(f"{ACCOUNT}:{stored}\nplain@sohu.com:{{PLAIN}}{PASSWORD.replace(':', '')}\n")
    (root / "dovecot.conf").write_text(
        _SETTINGS.format(root=root, internal=internal, group=group, login=login, uid=user.pw_uid, gid=user.pw_gid)
    )
    path, log = root / "run" / "auth-client", root / "log"
    command = ("dovecot", "-F", "-c", str(root / "dovecot.conf"))
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as master:
        try:
            _wait_until_it_answers(path, master, log)
            yield path
        finally:
            master.terminate()
            master.wait(15)


def _wait_until_it_answers(path: Path, master: subprocess.Popen[bytes], log: Path) -> None:
    """Wait: the socket opens a moment after the start."""
    end = time.monotonic() + 30
    while True:
        with contextlib.suppress(OSError), socket.socket(socket.AF_UNIX) as client:
            client.settimeout(10)
            client.connect(str(path))
            if client.recv(4096).startswith(b"VERSION"):
                return
        said = log.read_text() if log.exists() else "(no log)"
        assert master.poll() is None, f"Dovecot ended with {master.returncode}:\n{said}"
        assert time.monotonic() < end, f"Dovecot does not answer at {path}:\n{said}"
        time.sleep(0.02)


@pytest.fixture(scope="module")
def auth_socket() -> Iterator[Path]:
    with tempfile.TemporaryDirectory(prefix="posthouse-dovecot-") as directory, running(Path(directory)) as path:
        yield path


@contextlib.asynccontextmanager
async def asking(path: Path, data_dir: Path) -> AsyncIterator[Host]:
    """A daemon whose accounts are behind ``path``."""
    mechanisms = '"SCRAM-SHA-256", "PLAIN", "LOGIN", "OAUTHBEARER"'
    listener = f'[[listener]]\nbind = "127.0.0.1:0"\nkind = "submission"\nmechanisms = [{mechanisms}]\n'
    async with opened(f'hostname = "host.test"\naccounts = "dovecot:{path}"\n{listener}{DOMAIN}', data_dir) as host:
        yield host


class Dialogue:
    """A client that speaks line by line."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    @classmethod
    async def with_host(cls, host: Host) -> Dialogue:
        made = cls(*await asyncio.open_connection(*host.endpoint))
        await made.reply()
        assert "AUTH SCRAM-SHA-256 PLAIN LOGIN OAUTHBEARER" in await made.say("EHLO client.test")
        return made

    async def reply(self) -> str:
        lines = []
        while True:
            line = (await self.reader.readuntil(b"\r\n")).decode().removesuffix("\r\n")
            lines.append(line)
            if line[3:4] != "-":
                return "\n".join(lines)

    async def say(self, line: str) -> str:
        self.writer.write(f"{line}\r\n".encode())
        return await self.reply()

    async def close(self) -> None:
        self.writer.close()
        with contextlib.suppress(OSError):
            await self.writer.wait_closed()

    async def log_in(self, mechanism: str, user: str = ACCOUNT, password: str = PASSWORD) -> str:
        """The final reply to AUTH."""
        exchange = client_exchange(MECHANISMS[mechanism], Credentials(user, password), nonce="n" * 24)
        step: Say | Question = next(exchange)
        reply = ""
        while True:
            if isinstance(step, DeriveKey):
                step = exchange.send(step.compute())
                continue
            assert isinstance(step, Say)
            words = [] if step.data is None else [base64.b64encode(step.data).decode() or "="]
            if not reply:
                reply = await self.say(" ".join(["AUTH", mechanism, *words]))
            else:
                reply = await self.say("" if words == ["="] else "".join(words))
            if not reply.startswith("334"):
                return reply
            step = exchange.send(base64.b64decode(reply[4:]))


def plain(user: str, password: str) -> str:
    return "AUTH PLAIN " + base64.b64encode(f"\0{user}\0{password}".encode()).decode()


pytestmark = pytest.mark.system("dovecot-imapd", "dovecot")


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "SCRAM-SHA-256"])
def test_dovecot_lets_its_accounts_in(tmp_path: Path, auth_socket: Path, mechanism: str) -> None:
    async def scenario() -> None:
        async with asking(auth_socket, tmp_path) as host:
            client = await Dialogue.with_host(host)
            assert (await client.log_in(mechanism, password="wrong")).startswith("535 5.7.8")
            assert (await client.log_in(mechanism, "nobody@sohu.com")).startswith("535 5.7.8")
            assert (await client.log_in(mechanism)).startswith("235 2.7.0")
            assert (await client.say("MAIL FROM:<boss@sohu.com>")).startswith("553 5.7.1")
            assert (await client.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("250")
            await client.close()
            (login,) = host.logged("login")
            assert (login["user"], login["mechanism"]) == (ACCOUNT, mechanism)
            assert PASSWORD not in repr(host.events)

    run(scenario)


def test_the_name_that_dovecot_gives_back_is_the_account(tmp_path: Path, auth_socket: Path) -> None:
    """One account has one name, whatever spelling its client uses: limits count by it."""

    async def scenario() -> None:
        async with asking(auth_socket, tmp_path) as host:
            client = await Dialogue.with_host(host)
            assert (await client.say(plain("LangRui@SOHU.com", PASSWORD))).startswith("235")
            await client.close()
            assert [each["user"] for each in host.logged("login")] == [ACCOUNT]

    run(scenario)


@pytest.mark.parametrize(
    "user", ["a\tresp=b", f"{ACCOUNT}\n", f"{ACCOUNT}\r\nAUTH\t9", "%u", "%{env:HOME}", "'\"; --", "*", "a\x01b", "é"]
)
@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN"])
def test_a_name_with_separators_is_no_account_and_no_field(
    tmp_path: Path, auth_socket: Path, user: str, mechanism: str
) -> None:
    async def scenario() -> None:
        async with asking(auth_socket, tmp_path) as host:
            client = await Dialogue.with_host(host)
            assert (await client.log_in(mechanism, user, "x\ty\nz")).startswith("535 5.7.8")
            assert (await client.log_in(mechanism, user, PASSWORD)).startswith("535 5.7.8")
            assert (await client.log_in(mechanism)).startswith("235")
            await client.close()

    run(scenario)


def test_nul_in_a_name_or_password(tmp_path: Path, auth_socket: Path) -> None:
    async def scenario() -> None:
        async with asking(auth_socket, tmp_path) as host:
            client = await Dialogue.with_host(host)
            assert (await client.say(plain(f"{ACCOUNT}\0", PASSWORD))).startswith("501 5.5.2")
            assert (await client.log_in("LOGIN", f"{ACCOUNT}\0x")).startswith("535 5.7.8")
            assert (await client.log_in("LOGIN", ACCOUNT, f"{PASSWORD}\0")).startswith("535 5.7.8")
            await client.close()

    run(scenario)


def test_one_clients_bad_base64_disturbs_no_other(tmp_path: Path, auth_socket: Path) -> None:
    """All sessions share one connection to Dovecot (the case of CVE-2025-59028)."""

    async def scenario() -> None:
        async with asking(auth_socket, tmp_path) as host:
            good = [await Dialogue.with_host(host) for _ in range(6)]
            bad = [await Dialogue.with_host(host) for _ in range(6)]

            async def disturb(client: Dialogue) -> list[str]:
                lines = ["AUTH PLAIN !!!!", "AUTH PLAIN AGE=AGI=", "AUTH SCRAM-SHA-256 bm90IHNjcmFt", "AUTH PLAIN AA"]
                return [await client.say(line) for line in lines]

            replies, *others = await asyncio.gather(
                asyncio.gather(*(each.log_in("SCRAM-SHA-256" if at % 2 else "PLAIN") for at, each in enumerate(good))),
                *(disturb(each) for each in bad),
            )
            assert all(reply.startswith("235") for reply in replies)
            for said in others:
                assert [each[:3] for each in said] == ["501", "501", "535", "501"]
            for client in (*good, *bad):
                await client.close()

    run(scenario)


def test_an_exchange_that_the_client_cancels_leaves_room_for_the_next(tmp_path: Path, auth_socket: Path) -> None:
    async def scenario() -> None:
        async with asking(auth_socket, tmp_path) as host:
            client = await Dialogue.with_host(host)
            first = base64.b64encode(f"n,,n={ACCOUNT},r={'n' * 24}".encode()).decode()
            for _ in range(5):
                assert (await client.say(f"AUTH SCRAM-SHA-256 {first}")).startswith("334 ")
                assert (await client.say("*")).startswith("501 5.7.0")
            assert (await client.log_in("SCRAM-SHA-256")).startswith("235")
            await client.close()

    run(scenario)


def test_a_mechanism_that_dovecot_does_not_serve_is_a_fault_of_ours(tmp_path: Path, auth_socket: Path) -> None:
    async def scenario() -> None:
        async with asking(auth_socket, tmp_path) as host:
            client = await Dialogue.with_host(host)
            token = base64.b64encode(b"n,a=a@b.test,\x01auth=Bearer t\x01\x01").decode()
            assert (await client.say(f"AUTH OAUTHBEARER {token}")).startswith("454 4.7.0")
            await client.close()
            (fault,) = host.logged("fault")
            assert "does not serve OAUTHBEARER; name it in its auth_mechanisms" in fault["reason"]
            host.events.clear()

    run(scenario)


def test_dovecot_may_end_and_start_again(tmp_path: Path) -> None:
    """Without it the reply is 454 and never 535; when it is back, logins work without a restart of ours."""

    async def scenario(root: Path) -> None:
        async with asking(root / "run" / "auth-client", tmp_path) as host:
            client = await Dialogue.with_host(host)
            assert (await client.say(plain(ACCOUNT, PASSWORD))).startswith("454 4.7.0")
            with running(root):
                assert (await client.say(plain(ACCOUNT, "wrong"))).startswith("535")
                other = await Dialogue.with_host(host)
                assert (await other.say(plain(ACCOUNT, PASSWORD))).startswith("235")
                await other.close()
            (fault,) = host.logged("fault")
            assert f"Dovecot cannot be asked at {root}/run/auth-client" in fault["reason"]
            host.events.clear()
            with running(root):  # a Dovecot that ends may serve its open connections for a while
                assert (await client.say(plain(ACCOUNT, PASSWORD))).startswith("235")
            await client.close()

    with tempfile.TemporaryDirectory(prefix="posthouse-dovecot-") as directory:
        run(lambda: scenario(Path(directory)))
