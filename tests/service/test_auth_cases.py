"""AUTH at a daemon, case by case (RFC 4954, 4422): what a client may say, in which form, and what it is answered."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import hashlib
import hmac
import sys
import types
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from posthouse.core import Reply, StorageError
from posthouse.net import Clock
from posthouse.protocol.sasl import (
    MECHANISMS,
    Credentials,
    DeriveKey,
    Question,
    Say,
    ScramKeys,
    client_exchange,
    derive_keys,
)
from posthouse.service import Daemon, parse

from .test_daemon import Talk
from .test_secured import Log, Recording, trusting

ACCOUNT, PASSWORD, TOKEN = "ann@x.test", "Red=Lion+7/%@b", "ya29.secret-token"
ALL = ("SCRAM-SHA-256", "SCRAM-SHA-1", "PLAIN", "LOGIN", "OAUTHBEARER", "XOAUTH2", "CRAM-MD5")
KEYS = {name: derive_keys(PASSWORD, b"0123456789abcdef", 4_096, name) for name in ("sha1", "sha256")}
LISTENER = """
[[listener]]
bind = "127.0.0.1:0"
name = "clear"
kind = "submission"
mechanisms = [{mechanisms}]
max_errors = 60
"""
TEXT = """
data_dir = "{data_dir}"
hostname = "mx.test"
accounts = "python:posthouse_test_accounts:STORE"
{listener}
[[domain]]
name = "x.test"
mailboxes = "any"
"""


class Store:
    """One account, which every mechanism knows; ``fault`` is raised or returned instead of each answer."""

    def __init__(self) -> None:
        self.fault: Any = None
        self.asked = 0
        self.password = PASSWORD

    def _answer(self, right: Any) -> Any:
        self.asked += 1
        if isinstance(self.fault, Exception):
            raise self.fault
        return right if self.fault is None else self.fault

    def check_password(self, user: str, password: str) -> bool:
        found: bool = self._answer((user, password) == (ACCOUNT, self.password))
        return found

    async def find_keys(self, user: str, hash_name: str) -> ScramKeys | None:
        found: ScramKeys | None = self._answer(KEYS[hash_name] if user == ACCOUNT else None)
        return found

    def find_secret(self, user: str) -> str | None:
        found: str | None = self._answer(PASSWORD if user == ACCOUNT else None)
        return found

    def check_token(self, user: str, token: str) -> str | None:
        found: str | None = self._answer(ACCOUNT if token == TOKEN else None)
        return found

    def identities(self, user: str) -> list[str] | None:
        return [ACCOUNT] if user == ACCOUNT else None


@pytest.fixture
def store() -> Iterator[Store]:
    module = types.ModuleType("posthouse_test_accounts")
    made = module.__dict__["STORE"] = Store()
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        yield made


class Client(Talk):
    """A client that logs in."""

    async def log_in(
        self, mechanism: str, user: str = ACCOUNT, password: str = PASSWORD, *, initial: bool = True, authzid: str = ""
    ) -> str:
        """The final reply to AUTH; without ``initial``, the first message comes after a 334."""
        credentials = Credentials(user, password, None, authzid)
        if MECHANISMS[mechanism].needs == "token":
            credentials = Credentials(user, None, TOKEN if password == PASSWORD else "wrong", authzid)
        exchange = client_exchange(MECHANISMS[mechanism], credentials, nonce="n" * 24)
        step: Say | Question = next(exchange)
        assert isinstance(step, Say)
        if step.data is not None and initial:
            reply = await self.say(f"AUTH {mechanism} {b64(step.data)}")
        else:
            reply = await self.say(f"AUTH {mechanism}")
            if step.data is not None:
                assert reply == "334 "
                reply = await self.say(b64(step.data))
        while reply.startswith("334"):
            step = exchange.send(base64.b64decode(reply[4:]))
            while isinstance(step, DeriveKey):
                step = exchange.send(step.compute())
            assert isinstance(step, Say)
            reply = await self.say(b64(step.data or b""))
        return reply


def b64(text: str | bytes) -> str:
    return base64.b64encode(text if isinstance(text, bytes) else text.encode()).decode()


def with_client(
    tmp_path: Path,
    scenario: Callable[[Client, Log], Awaitable[None]],
    *,
    listener: str = "",
    clock: Clock | None = None,
    mechanisms: tuple[str, ...] = ALL,
) -> Log:
    """Run a scenario with a greeted client of a daemon."""
    log = Log()

    async def bounded() -> None:
        async with asyncio.timeout(60), opened() as daemon:
            client = await new_client(daemon)
            try:
                await scenario(client, log)
            finally:
                client.writer.close()
                with contextlib.suppress(ConnectionError):
                    await client.writer.wait_closed()

    @contextlib.asynccontextmanager
    async def opened() -> AsyncIterator[Daemon]:
        quoted = ", ".join(f'"{each}"' for each in mechanisms)
        text = TEXT.format(data_dir=tmp_path, listener=listener or LISTENER.format(mechanisms=quoted))
        daemon = Daemon(parse(text), log=log, clock=clock or Recording())
        await daemon.start()
        try:
            yield daemon
        finally:
            await daemon.drain(0.5)

    asyncio.run(bounded())
    return log


async def new_client(daemon: Daemon) -> Client:
    made = await Client.to(daemon, "clear")
    assert isinstance(made, Client)
    await made.reply()
    await made.say("EHLO client.test")
    return made


# -- forms -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("initial", [True, False], ids=["initial response", "after 334"])
@pytest.mark.parametrize("mechanism", ALL)
def test_every_mechanism_in_both_forms(tmp_path: Path, store: Store, mechanism: str, initial: bool) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert (await client.log_in(mechanism, password="wrong", initial=initial)).startswith("535 5.7.8")
        assert (await client.log_in(mechanism, "nobody@x.test", "wrong", initial=initial)).startswith("535 5.7.8")
        assert (await client.log_in(mechanism, initial=initial)) == "235 2.7.0 Authentication successful"
        (login,) = log.of("login")
        assert (login["user"], login["mechanism"]) == (ACCOUNT, mechanism)

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("word", ["auth", "Auth", "AUTH "])
def test_case_of_the_command_and_of_the_mechanism(tmp_path: Path, store: Store, word: str) -> None:
    async def scenario(client: Client, log: Log) -> None:
        reply = await client.say(f"{word} plain {b64(f'{chr(0)}{ACCOUNT}{chr(0)}{PASSWORD}')}")
        assert reply.startswith("235")

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("mechanism", ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-1"])
@pytest.mark.parametrize(("authzid", "code"), [(ACCOUNT, "235"), ("boss@x.test", "535")])
def test_an_account_may_act_as_itself_only(
    tmp_path: Path, store: Store, mechanism: str, authzid: str, code: str
) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert (await client.log_in(mechanism, authzid=authzid)).startswith(code)

    with_client(tmp_path, scenario)


@pytest.mark.parametrize(
    ("message", "code"),
    [
        (f"{ACCOUNT}\0{ACCOUNT}\0{PASSWORD}", "235"),
        (f"\0{ACCOUNT}\0{PASSWORD}", "235"),
        (f"{ACCOUNT}\0\0{PASSWORD}", "535"),  # no authentication identity: the first field does not stand in for it
        (f"\0{ACCOUNT}\0", "535"),
        ("\0\0", "535"),
        (f"{ACCOUNT}\0{PASSWORD}", "501"),
        (f"\0{ACCOUNT}\0{PASSWORD}\0", "501"),
        ("", "501"),
        (b"\0\xff\xfe\0x", "501"),
    ],
)
@pytest.mark.parametrize("initial", [True, False])
def test_the_fields_of_plain(tmp_path: Path, store: Store, message: str | bytes, code: str, initial: bool) -> None:
    async def scenario(client: Client, log: Log) -> None:
        if initial:
            reply = await client.say(f"AUTH PLAIN {b64(message) or '='}")
        else:
            assert await client.say("AUTH PLAIN") == "334 "
            reply = await client.say(b64(message))
        assert reply[:3] == code

    with_client(tmp_path, scenario)


def test_login_asks_in_the_words_that_clients_compare(tmp_path: Path, store: Store) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert await client.say("AUTH LOGIN") == "334 VXNlcm5hbWU6"
        assert await client.say(b64(ACCOUNT)) == "334 UGFzc3dvcmQ6"
        assert (await client.say(b64("wrong"))).startswith("535")
        assert await client.say(f"AUTH LOGIN {b64(ACCOUNT)}") == "334 UGFzc3dvcmQ6"
        assert (await client.say(b64(PASSWORD))).startswith("235")

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("mechanism", ["PLAIN", "LOGIN", "XOAUTH2", "OAUTHBEARER", "SCRAM-SHA-256"])
def test_an_equals_sign_is_an_empty_response_and_not_none(tmp_path: Path, store: Store, mechanism: str) -> None:
    """RFC 4954 §4: the client has said something, so that it is not asked for it again."""

    async def scenario(client: Client, log: Log) -> None:
        reply = await client.say(f"AUTH {mechanism} =")
        assert reply == "334 UGFzc3dvcmQ6" if mechanism == "LOGIN" else reply.startswith("501 5.5.2")
        if mechanism == "LOGIN":
            assert (await client.say("")).startswith("535")
        assert (await client.say("AUTH CRAM-MD5 =")).startswith("501 5.5.2"), "it has no initial response"

    with_client(tmp_path, scenario)


# -- cancelled, malformed, out of order ------------------------------------------------------------------------------


@pytest.mark.parametrize("mechanism", ALL)
def test_a_star_cancels_at_every_step(tmp_path: Path, store: Store, mechanism: str) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert (await client.say(f"AUTH {mechanism}")).startswith("334 ")
        assert (await client.say("*")) == "501 5.7.0 Authentication cancelled"
        assert (await client.say("*")).startswith("500"), "the exchange is over, and this is a command again"
        if mechanism == "LOGIN":
            await client.say("AUTH LOGIN")
            await client.say(b64(ACCOUNT))
            assert (await client.say("*")).startswith("501 5.7.0")
        if mechanism.startswith("SCRAM"):
            assert (await client.say(f"AUTH {mechanism} {b64(f'n,,n={ACCOUNT},r=abc')}")).startswith("334 ")
            assert (await client.say("*")).startswith("501 5.7.0")
        assert (await client.log_in(mechanism)).startswith("235")

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("bad", ["!", "A", "AGE", "AGE=AGI=", "AG E=", "\u00e9", "QQ==QQ==", "=", "*x"])
@pytest.mark.parametrize("mechanism", ALL)
def test_what_is_no_base64_is_refused_before_the_accounts_are_asked(
    tmp_path: Path, store: Store, mechanism: str, bad: str
) -> None:
    async def scenario(client: Client, log: Log) -> None:
        if bad != "=":
            assert (await client.say(f"AUTH {mechanism} {bad}")).startswith("501 5.5.")
        assert (await client.say(f"AUTH {mechanism}")).startswith("334 ")
        assert (await client.say(bad)).startswith("501 5.5.2")
        assert store.asked == 0
        assert (await client.log_in(mechanism)).startswith("235")

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("mechanism", ALL)
def test_lines_of_an_exchange_have_a_limit(tmp_path: Path, store: Store, mechanism: str) -> None:
    """RFC 4954 §4: 12,288 octets; a token may be long, and an endless line ends the session."""

    async def scenario(client: Client, log: Log) -> None:
        assert (await client.say(f"AUTH {mechanism}")).startswith("334 ")
        assert (await client.say("QUFB" * 5_000)) == "500 5.5.6 Authentication exchange line is too long"
        assert (await client.say(f"AUTH {mechanism} " + "QUFB" * 5_000)).startswith("500 5.5.6")
        assert (await client.say("NOOP " + "QUFB" * 5_000)).startswith("500 5.5.2")
        assert (await client.say(f"AUTH {mechanism}")).startswith("334 "), "the exchange was over, the session is not"
        client.writer.write(b"QUFB" * 20_000)
        assert (await client.reply()).startswith("500")
        assert await client.reader.read() == b""

    with_client(tmp_path, scenario)


def test_a_token_of_ten_thousand_octets_passes(tmp_path: Path, store: Store) -> None:
    long = "t" * 7_000

    async def scenario(client: Client, log: Log) -> None:
        line = b64(f"user={ACCOUNT}\x01auth=Bearer {long}\x01\x01")
        assert (await client.say(f"AUTH XOAUTH2 {line}")).startswith("334 ")
        assert (await client.say("")).startswith("535 5.7.8")
        assert store.asked == 1

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("mechanism", ALL)
@pytest.mark.parametrize(
    "second", ["AUTH PLAIN AHgAeQ==", "AUTH LOGIN", "AUTH FOO", "AUTH XOAUTH2 =", "AUTH EXTERNAL ="]
)
def test_one_login_a_session(tmp_path: Path, store: Store, mechanism: str, second: str) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert (await client.log_in(mechanism)).startswith("235")
        assert (await client.say(second)).startswith("503 5.5.1")
        assert (await client.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("250"), "name and login are unchanged"
        assert (await client.say("AUTH PLAIN AHgAeQ==")).startswith("503"), "and not in a transaction (RFC 4954 §4)"

    with_client(tmp_path, scenario)


def test_a_login_outlives_rset_and_a_second_ehlo(tmp_path: Path, store: Store) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert (await client.log_in("PLAIN")).startswith("235")
        await client.say("RSET")
        await client.say("EHLO again.test")
        assert (await client.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("250")

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("line", ["AUTH", "AUTH ", "AUTH PLAIN AHgAeQ== x", "AUTH =", "AUTH PL\u00c4IN x"])
def test_a_command_of_another_form(tmp_path: Path, store: Store, line: str) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert (await client.say(line))[:3] in ("501", "504")
        assert (await client.say("AUTH DIGEST-MD5")).startswith("504 5.5.4")
        assert (await client.say("AUTH SCRAM-SHA-256-PLUS")).startswith("504 5.5.4")
        assert store.asked == 0

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("command", [f"MAIL FROM:<{ACCOUNT}>", "VRFY ann", "EXPN list", "RCPT TO:<b@x.test>", "DATA"])
def test_before_the_login_there_is_one_reply(tmp_path: Path, store: Store, command: str) -> None:
    async def scenario(client: Client, log: Log) -> None:
        reply = await client.say(command)
        if command.startswith("MAIL"):
            assert reply == "530 5.7.0 Authentication required"
        assert (await client.say("NOOP")).startswith("250"), "not two replies to it"

    with_client(tmp_path, scenario)


# -- the accounts cannot answer --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [OSError("down"), TimeoutError(), ValueError("boom"), StorageError("the disk"), KeyError(PASSWORD), 5, b"yes", [1]],
    ids=repr,
)
@pytest.mark.parametrize("mechanism", ALL)
def test_accounts_that_cannot_answer_are_454_and_never_535(
    tmp_path: Path, store: Store, mechanism: str, fault: Any
) -> None:
    async def scenario(client: Client, log: Log) -> None:
        store.fault = fault
        for password in (PASSWORD, "wrong"):
            assert (await client.log_in(mechanism, password=password)) == "454 4.7.0 Temporary authentication failure"
        assert PASSWORD not in log.text()
        assert log.of("fault"), "the operator is told"
        store.fault = None
        assert (await client.log_in(mechanism)).startswith("235")

    with_client(tmp_path, scenario)


def test_text_in_place_of_a_bool_lets_nobody_in(tmp_path: Path, store: Store) -> None:
    async def scenario(client: Client, log: Log) -> None:
        for fault in ("no", "", "false"):
            store.fault = fault
            assert (await client.log_in("PLAIN", password="wrong")).startswith("454 4.7.0")

    with_client(tmp_path, scenario)


@pytest.mark.parametrize(
    "reply", [Reply(432, "4.7.12", "Log in once with PLAIN"), Reply(534, "5.7.9", "Too weak for this account")]
)
@pytest.mark.parametrize("mechanism", ALL)
def test_accounts_may_refuse_with_a_reply_of_their_own(
    tmp_path: Path, store: Store, mechanism: str, reply: Reply
) -> None:
    async def scenario(client: Client, log: Log) -> None:
        store.fault = reply
        assert (await client.log_in(mechanism)) == str(reply)

    with_client(tmp_path, scenario)


def test_a_changed_password_counts_at_the_next_login(tmp_path: Path, store: Store) -> None:
    """Nothing is cached."""

    async def scenario(client: Client, log: Log) -> None:
        store.password = "another"
        assert (await client.log_in("PLAIN")).startswith("535")
        store.password = PASSWORD
        assert (await client.log_in("PLAIN")).startswith("235")

    with_client(tmp_path, scenario)


def test_an_account_that_is_gone_between_password_and_identities(tmp_path: Path, store: Store) -> None:
    async def scenario(client: Client, log: Log) -> None:
        store.identities = lambda user: None  # type: ignore[method-assign]
        assert (await client.log_in("PLAIN")).startswith("535 5.7.8")
        assert (await client.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("530")
        store.identities = lambda user: ACCOUNT  # type: ignore[method-assign, assignment, return-value]
        assert (await client.log_in("PLAIN")).startswith("454 4.7.0"), "text is no list of addresses"

    with_client(tmp_path, scenario)


# -- guessing --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("user", [ACCOUNT, "nobody@x.test"])
@pytest.mark.parametrize("mechanism", ALL)
def test_guessing_is_slowed_and_ends(tmp_path: Path, store: Store, mechanism: str, user: str) -> None:
    clock = Recording()

    async def scenario(client: Client, log: Log) -> None:
        replies = []
        for _ in range(100):
            replies.append(await client.log_in(mechanism, user, "wrong"))
            if "421" in replies[-1] or not replies[-1]:
                break
            if len(replies) == 21:
                break
        assert replies[0].startswith("535")
        assert len(replies) == 21
        assert clock.waits[:4] == [0.5, 1.0, 2.0, 4.0]
        assert max(clock.waits) == 10.0

    listener = LISTENER.replace("max_errors = 60\n", "").format(mechanisms=f'"{mechanism}"')
    log = with_client(tmp_path, scenario, listener=listener, clock=clock)
    assert [each["reply"][:9] for each in log.of("refused") if each["command"] == "session"] == ["421 4.7.0"]


def test_a_program_that_logs_in_often_is_not_slowed(tmp_path: Path, store: Store) -> None:
    clock = Recording()

    async def scenario(client: Client, log: Log) -> None:
        for mechanism in ("PLAIN", "SCRAM-SHA-256") * 50:
            other = Client(*await asyncio.open_connection("127.0.0.1", client.writer.get_extra_info("peername")[1]))
            await other.reply()
            await other.say("EHLO client.test")
            assert (await other.log_in(mechanism)).startswith("235")
            await other.say("QUIT")
            await other.close()
        assert clock.waits == []

    with_client(tmp_path, scenario, clock=clock)


def test_a_guesser_does_not_touch_the_owners_open_session(tmp_path: Path, store: Store) -> None:
    clock = Recording()

    async def scenario(owner: Client, log: Log) -> None:
        assert (await owner.log_in("PLAIN")).startswith("235")
        port = owner.writer.get_extra_info("peername")[1]
        for _ in range(6):
            guesser = Client(*await asyncio.open_connection("127.0.0.1", port))
            await guesser.reply()
            await guesser.say("EHLO client.test")
            for _ in range(20):
                if not (await guesser.log_in("PLAIN", password="wrong")).startswith("535"):
                    break
            await guesser.close()
        assert any("421" in each["reply"] for each in log.of("refused") if each["command"] == "AUTH")
        waited = len(clock.waits)
        assert (await owner.say(f"MAIL FROM:<{ACCOUNT}>")).startswith("250")
        late = Client(*await asyncio.open_connection("127.0.0.1", port))
        await late.reply()
        await late.say("EHLO client.test")
        assert (await late.log_in("PLAIN")).startswith("235"), "the right password is never barred"
        await late.close()
        assert len(clock.waits) == waited

    with_client(tmp_path, scenario, clock=clock)


# -- channel binding -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("flag", ["y", "n"])
def test_without_plus_in_the_offer_y_is_no_downgrade(tmp_path: Path, store: Store, flag: str) -> None:
    """A client that could bind and did not see -PLUS says y; that is an attack only where -PLUS was offered."""

    async def scenario(client: Client, log: Log) -> None:
        reply = await client.say(f"AUTH SCRAM-SHA-256 {b64(f'{flag},,n={ACCOUNT},r=nonce')}")
        assert reply.startswith("334 ")
        first = base64.b64decode(reply[4:]).decode()
        nonce, salt, count = (part[2:] for part in first.split(","))
        salted = hashlib.pbkdf2_hmac("sha256", PASSWORD.encode(), base64.b64decode(salt), int(count))
        unsigned = f"c={b64(f'{flag},,')},r={nonce}"
        covered = f"n={ACCOUNT},r=nonce,{first},{unsigned}".encode()
        key = hmac.digest(salted, b"Client Key", "sha256")
        signature = hmac.digest(hashlib.sha256(key).digest(), covered, "sha256")
        proof = bytes(a ^ b for a, b in zip(key, signature, strict=True))
        assert (await client.say(b64(f"{unsigned},p={b64(proof)}"))).startswith("334 ")
        assert (await client.say("")).startswith("235")

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("kind", ["tls-unique", "tls-exporter", "tls-server-end-point"])
def test_binding_to_no_channel_is_refused(tmp_path: Path, store: Store, kind: str) -> None:
    async def scenario(client: Client, log: Log) -> None:
        assert (await client.say(f"AUTH SCRAM-SHA-256 {b64(f'p={kind},,n={ACCOUNT},r=x')}")).startswith("501 5.5.2")
        assert store.asked == 0

    with_client(tmp_path, scenario)


def test_the_challenge_of_an_unknown_account_looks_like_that_of_a_real_one(tmp_path: Path, store: Store) -> None:
    """Its salt stays the same, too, or asking twice would tell."""

    async def scenario(client: Client, log: Log) -> None:
        seen = []
        for user in (ACCOUNT, "nobody@x.test", "nobody@x.test", "other@x.test"):
            reply = await client.say(f"AUTH SCRAM-SHA-256 {b64(f'n,,n={user},r=x')}")
            _, salt, count = base64.b64decode(reply[4:]).decode().split(",")
            seen.append((len(base64.b64decode(salt[2:])), count, salt))
            await client.say("*")
        assert {each[:2] for each in seen} == {(16, "i=4096")}
        assert seen[1] == seen[2]
        assert len({each[2] for each in seen}) == 3

    with_client(tmp_path, scenario)


@pytest.mark.parametrize("listed", [True, False], ids=["with -PLUS", "without"])
def test_plus_can_be_taken_away(tmp_path: Path, store: Store, listed: bool) -> None:
    """For programs that choose -PLUS and cannot do it, such as mutt's GNU SASL; saying y is an attack only with it."""
    plus = '"SCRAM-SHA-256-PLUS", ' if listed else ""
    listener = LISTENER.format(mechanisms=f'{plus}"SCRAM-SHA-256", "PLAIN"').replace('"clear"', '"tls"')
    listener += 'tls = "starttls"\n'

    async def run() -> None:
        async with asyncio.timeout(60):
            text = TEXT.format(data_dir=tmp_path, listener=listener)
            daemon = Daemon(parse(text), log=Log(), clock=Recording())
            await daemon.start()
            client = Client(*await asyncio.open_connection("127.0.0.1", daemon.endpoints["tls"].port))
            try:
                await client.reply()
                await client.say("EHLO client.test")
                await client.say("STARTTLS")
                await client.writer.start_tls(trusting(tmp_path), server_hostname="localhost")
                offered = await client.say("EHLO client.test")
                assert ("SCRAM-SHA-256-PLUS" in offered) is listed
                reply = await client.say(f"AUTH SCRAM-SHA-256 {b64(f'y,,n={ACCOUNT},r=x')}")
                assert reply.startswith("535 5.7.8" if listed else "334 ")
            finally:
                client.writer.close()
                with contextlib.suppress(ConnectionError):
                    await client.writer.wait_closed()
                await daemon.drain(0.5)

    asyncio.run(run())
