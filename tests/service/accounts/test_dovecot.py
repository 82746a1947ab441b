"""The auth socket of a server that is not well: whatever it says or does not say, no client hears 535."""

from __future__ import annotations

import asyncio
import base64
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path

import pytest

from posthouse.core import StorageError
from posthouse.protocol.sasl import Forward
from posthouse.service.accounts import DovecotAccounts

GREETING = "VERSION\t1\t2\nMECH\tPLAIN\tplaintext\nMECH\tSCRAM-SHA-256\nSPID\t1\nCUID\t1\nCOOKIE\tx\nDONE\n"
TEMPORARY = "FAIL\t{n}\tuser=ann\ttemp\n"

Answer = Callable[[list[str]], str | None]


def ask(
    tmp_path: Path,
    scenario: Callable[[DovecotAccounts], Awaitable[None]],
    answer: Answer,
    *,
    greeting: str = GREETING,
    seconds: float = 30.0,
) -> list[list[str]]:
    """Run a scenario against a server that answers each request's fields as told; None ends the connection."""
    requests: list[list[str]] = []
    writers: list[asyncio.StreamWriter] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.append(writer)
        writer.write(greeting.encode("latin-1"))
        while line := (await reader.readline()).decode("utf-8", "replace"):
            fields = line.rstrip("\n").split("\t")
            if fields[0] in ("VERSION", "CPID"):
                continue
            requests.append(fields)
            said = answer(fields)
            if said is None:
                break
            writer.write(said.replace("{n}", fields[1]).encode("latin-1"))
        writer.close()

    async def run() -> None:
        async with asyncio.timeout(60):
            server = await asyncio.start_unix_server(serve, tmp_path / "auth")
            store = DovecotAccounts(str(tmp_path / "auth"), identity_domain="x.test", seconds=seconds)
            try:
                await scenario(store)
            finally:
                await store.close()
                for each in writers:
                    each.close()
                server.close()
                await server.wait_closed()

    asyncio.run(run())
    return requests


@pytest.mark.parametrize(
    "said",
    [
        None,
        "",
        "\n",
        "OK\n",
        "OK\t{n}\n",
        "OK\t{n}\tuser=\n",
        "OK\t999\tuser=ann\n",
        "YES\t{n}\tuser=ann\n",
        "CONT\t{n}\n",
        "CONT\t{n}\t!\n",
        "CONT\t{n}\tAAAA\n",
        TEMPORARY,
        "FAIL\t{n}\ttemp\n",
        "OK\t{n}\tuser=ann",
        "x" * 70_000,
        "\xff\xfe\x00\n",
    ],
)
def test_nonsense_is_not_an_answer(tmp_path: Path, said: str | None) -> None:
    async def scenario(store: DovecotAccounts) -> None:
        with pytest.raises(StorageError):
            await store.check_password("ann", "pw")

    ask(tmp_path, scenario, lambda fields: said, seconds=0.3)


@pytest.mark.parametrize("greeting", ["", "220 mail.test ESMTP\r\n" * 200, "VERSION\t2\t0\nDONE\n", "\xff" * 40_000])
def test_what_listens_there_is_not_dovecot(tmp_path: Path, greeting: str) -> None:
    async def scenario(store: DovecotAccounts) -> None:
        with pytest.raises(StorageError):
            await store.check_password("ann", "pw")

    assert not ask(tmp_path, scenario, lambda fields: "", greeting=greeting, seconds=0.3), "no password was sent to it"


def test_no_socket_or_no_permission(tmp_path: Path) -> None:
    async def scenario() -> None:
        for path in (tmp_path / "none", tmp_path):
            with pytest.raises(StorageError, match=str(path)):
                await DovecotAccounts(str(path)).check_password("ann", "pw")

    asyncio.run(scenario())


def test_answers_in_another_order_and_a_lost_connection(tmp_path: Path) -> None:
    held: list[str] = []

    def answer(fields: list[str]) -> str | None:
        held.append(fields[1])
        if len(held) == 3:
            return f"FAIL\t{held[2]}\nOK\t{held[0]}\tuser=ann\nFAIL\t{held[1]}\tuser=x\n"
        return None if len(held) == 4 else "OK\t{n}\tuser=ann\n" if len(held) > 4 else ""

    async def scenario(store: DovecotAccounts) -> None:
        asked = [store.check_password("ann", str(number)) for number in range(3)]
        assert await asyncio.gather(*asked) == ["ann", False, False]
        with pytest.raises(StorageError, match="ended the connection"):
            await store.check_password("ann", "4")
        assert await store.check_password("ann", "5") == "ann", "the next question opens a new connection"

    ask(tmp_path, scenario, answer)


@pytest.mark.parametrize("text", ["a\tb", "a\nb", "a\rb", "%u", "'\"\\", "ünï", "a" * 500, "\x01t"])
def test_name_and_password_are_one_field(tmp_path: Path, text: str) -> None:
    async def scenario(store: DovecotAccounts) -> None:
        assert await store.check_password(text, text) == "ann"

    (request,) = ask(tmp_path, scenario, lambda fields: "OK\t{n}\tuser=ann\n")
    assert request[-1].startswith("resp=")
    assert base64.b64decode(request[-1][5:]).decode() == f"\0{text}\0{text}"
    assert len(request) == 8


@pytest.mark.parametrize(("user", "password"), [("a\0b", "x"), ("a", "x\0y"), ("a", "x" * 20_000)])
def test_what_no_account_can_have_is_not_asked(tmp_path: Path, user: str, password: str) -> None:
    async def scenario(store: DovecotAccounts) -> None:
        assert not await store.check_password(user, password)

    assert not ask(tmp_path, scenario, lambda fields: "OK\t{n}\tuser=ann\n")


def test_an_exchange_is_forwarded_and_can_be_cancelled(tmp_path: Path) -> None:
    def answer(fields: list[str]) -> str:
        return {"AUTH": "CONT\t{n}\tc2FsdA==\n", "CONT": "OK\t{n}\tuser=ann\n", "CANCEL": ""}[fields[0]]

    async def scenario(store: DovecotAccounts) -> None:
        first = await store.forward(Forward("SCRAM-SHA-256", b"n,,n=ann,r=x"))
        assert (first.challenge, first.user) == (b"salt", "")
        assert (await store.forward(Forward("SCRAM-SHA-256", b"proof", first.exchange))).user == "ann"
        second = await store.forward(Forward("SCRAM-SHA-256", b"n,,n=ann,r=y"))
        assert second.exchange is not None
        second.exchange.cancel()
        with pytest.raises(StorageError, match="does not serve OAUTHBEARER"):
            await store.forward(Forward("OAUTHBEARER", b"n,,\x01auth=Bearer x\x01\x01"))
        assert not (await store.forward(Forward("SCRAM-SHA-256", b"x" * 20_000))).user

    requests = ask(tmp_path, scenario, answer)
    assert [each[:2] for each in requests[:3]] == [["AUTH", "1"], ["CONT", "1"], ["AUTH", "2"]]


@pytest.mark.parametrize(("name", "identities"), [("ann", ("ann@x.test",)), ("ann@y.test", ("ann@y.test",))])
def test_an_account_sends_as_itself(name: str, identities: Sequence[str]) -> None:
    assert asyncio.run(DovecotAccounts("/nowhere", identity_domain="x.test").identities(name)) == identities
