"""Our client to our server over sockets, through spool and mailbox: each message in each mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.core import Body, Bytes, Result
from posthouse.protocol import Offer

from .corpus import BINARY, LARGE, MESSAGES, kept, large
from .peers import CATCH_ALL, Host, behind_trace, envelope, hand_over, opened, run, session_with

#: Only the extensions that the messages need.
BARE = Offer(size=None, pipelining=False, chunking=False, binarymime=False, enhanced=False, dsn=False, help=False)
MODES = {
    "plain": BARE,
    "pipelining": BARE._replace(pipelining=True),
    "chunking": BARE._replace(chunking=True, binarymime=True),
    "pipelining and chunking": Offer(),
}


async def read_back(host: Host, sent: dict[str, bytes]) -> None:
    """Each message is once in the inbox of its name, unchanged."""
    found = await host.messages()
    assert sorted(found) == sorted(f"{name}@box.test" for name in sent)
    for name, message in sent.items():
        (arrived,) = found[f"{name}@box.test"]
        assert behind_trace(arrived) == message, name


@pytest.mark.parametrize("kind", ["mx", "lmtp"])
@pytest.mark.parametrize("mode", MODES)
def test_every_message_arrives_as_it_was_sent(tmp_path: Path, mode: str, kind: str) -> None:
    async def scenario() -> None:
        transcript: list[str] = []
        async with opened(CATCH_ALL.format(port=0, kind=kind), tmp_path, offer=MODES[mode]) as host:
            async with session_with(host.endpoint, lmtp=kind == "lmtp", transcript=transcript) as session:
                await hand_over(session, MESSAGES, smtputf8=True)
                sent = dict(MESSAGES)
                if MODES[mode].chunking:
                    await hand_over(session, BINARY, body=Body.BINARYMIME, smtputf8=True)
                    sent.update(BINARY)
            await read_back(host, {name: kept(name) for name in sent})
        verbs = {line.split()[1] for line in transcript if line.startswith("S: ")}
        assert ("BDAT" in verbs) is MODES[mode].chunking
        assert ("DATA" in verbs) is not MODES[mode].chunking
        assert ("LHLO" in verbs) is (kind == "lmtp")

    run(scenario)


@pytest.mark.parametrize("mode", ["plain", "pipelining and chunking"])
def test_thirty_mebibytes_arrive(tmp_path: Path, mode: str) -> None:
    message = large()
    assert len(message) == LARGE

    async def scenario() -> None:
        async with opened(CATCH_ALL.format(port=0, kind="mx"), tmp_path, offer=MODES[mode]) as host:
            async with session_with(host.endpoint) as session:
                await hand_over(session, {"large": message})
            await read_back(host, {"large": message})

    run(scenario)


@pytest.mark.parametrize("kind", ["mx", "lmtp"])
def test_addresses_in_chinese(tmp_path: Path, kind: str) -> None:
    async def scenario() -> None:
        async with opened(CATCH_ALL.format(port=0, kind=kind), tmp_path) as host:
            async with session_with(host.endpoint, lmtp=kind == "lmtp") as session:
                asked = envelope("任平@新浪.中国", "renping@新浪.中国", sender="郎锐@搜狐.中国", smtputf8=True)
                outcomes = await session.deliver(asked, Bytes(MESSAGES["chinese-fields"]))
            assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 2
            found = await host.messages()
            domain = "新浪.中国".encode("idna").decode()
            assert sorted(found) == [f"renping@{domain}", f"任平@{domain}"]
            for (arrived,) in found.values():
                assert arrived.startswith("Return-Path: <郎锐@xn--u2u404a.xn--fiqs8s>\r\n".encode())
                assert f" with UTF8{'LMTP' if kind == 'lmtp' else 'SMTP'} id ".encode() in arrived[:400]
                assert behind_trace(arrived) == MESSAGES["chinese-fields"]

    run(scenario)


def test_a_daemon_relays_every_message_to_another(tmp_path: Path) -> None:
    """Messages are relayed unchanged, binary ones included, because the next daemon has the same extensions."""

    async def scenario() -> None:
        async with opened(CATCH_ALL.format(port=0, kind="mx"), tmp_path / "b") as last:
            relay = RELAY.format(via=f"smtp://{last.endpoint}")
            async with opened(relay, tmp_path / "a") as first:
                async with session_with(first.endpoint) as session:
                    await hand_over(session, MESSAGES, smtputf8=True)
                    await hand_over(session, BINARY, body=Body.BINARYMIME, smtputf8=True)
                await first.daemon.wait_idle()
            found = await last.messages()
            for name in {**MESSAGES, **BINARY}:
                (arrived,) = found[f"{name}@box.test"]
                assert behind_trace(arrived, hops=2) == kept(name), name

    run(scenario)


RELAY = """
hostname = "first.test"
[[listener]]
bind = "127.0.0.1:0"
complete_messages = false
max_message_size = "100 MiB"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "{via}"
"""
