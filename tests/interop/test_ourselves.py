"""Our sending side to our receiving side over sockets, through spool and mailbox: every letter in every mode."""

from __future__ import annotations

from pathlib import Path

import pytest

from posthouse.core import Body, Bytes, Result
from posthouse.protocol import Offer

from .corpus import BINARY, LARGE, LETTERS, kept, large
from .peers import CATCH_ALL, Post, behind_trace, envelope, hand_over, opened, run, session_with

#: Nothing but what the octets themselves need.
BARE = Offer(size=None, pipelining=False, chunking=False, binarymime=False, enhanced=False, dsn=False, help=False)
MODES = {
    "plain": BARE,
    "pipelining": BARE._replace(pipelining=True),
    "chunking": BARE._replace(chunking=True, binarymime=True),
    "pipelining and chunking": Offer(),
}


async def read_back(post: Post, sent: dict[str, bytes]) -> None:
    """Each letter lies in the inbox of its name, once, and is what was sent."""
    found = await post.letters()
    assert sorted(found) == sorted(f"{name}@box.test" for name in sent)
    for name, letter in sent.items():
        (arrived,) = found[f"{name}@box.test"]
        assert behind_trace(arrived) == letter, name


@pytest.mark.parametrize("kind", ["mx", "lmtp"])
@pytest.mark.parametrize("mode", MODES)
def test_every_letter_arrives_as_it_was_sent(tmp_path: Path, mode: str, kind: str) -> None:
    async def story() -> None:
        said: list[str] = []
        async with opened(CATCH_ALL.format(port=0, kind=kind), tmp_path, offer=MODES[mode]) as post:
            async with session_with(post.endpoint, lmtp=kind == "lmtp", said=said) as session:
                await hand_over(session, LETTERS, smtputf8=True)
                sent = dict(LETTERS)
                if MODES[mode].chunking:
                    await hand_over(session, BINARY, body=Body.BINARYMIME, smtputf8=True)
                    sent.update(BINARY)
            await read_back(post, {name: kept(name) for name in sent})
        verbs = {line.split()[1] for line in said if line.startswith("S: ")}
        assert ("BDAT" in verbs) is MODES[mode].chunking
        assert ("DATA" in verbs) is not MODES[mode].chunking
        assert ("LHLO" in verbs) is (kind == "lmtp")

    run(story)


@pytest.mark.parametrize("mode", ["plain", "pipelining and chunking"])
def test_thirty_mebibytes_arrive(tmp_path: Path, mode: str) -> None:
    letter = large()
    assert len(letter) == LARGE

    async def story() -> None:
        async with opened(CATCH_ALL.format(port=0, kind="mx"), tmp_path, offer=MODES[mode]) as post:
            async with session_with(post.endpoint) as session:
                await hand_over(session, {"large": letter})
            await read_back(post, {"large": letter})

    run(story)


@pytest.mark.parametrize("kind", ["mx", "lmtp"])
def test_addresses_in_chinese(tmp_path: Path, kind: str) -> None:
    async def story() -> None:
        async with opened(CATCH_ALL.format(port=0, kind=kind), tmp_path) as post:
            async with session_with(post.endpoint, lmtp=kind == "lmtp") as session:
                asked = envelope("任平@新浪.中国", "renping@新浪.中国", sender="郎锐@搜狐.中国", smtputf8=True)
                outcomes = await session.deliver(asked, Bytes(LETTERS["chinese-fields"]))
            assert [outcome.result for outcome in outcomes] == [Result.DELIVERED] * 2
            found = await post.letters()
            domain = "新浪.中国".encode("idna").decode()
            assert sorted(found) == [f"renping@{domain}", f"任平@{domain}"]
            for (arrived,) in found.values():
                assert arrived.startswith("Return-Path: <郎锐@搜狐.中国>\r\n".encode())
                assert f" with UTF8{'LMTP' if kind == 'lmtp' else 'SMTP'} id ".encode() in arrived[:400]
                assert behind_trace(arrived) == LETTERS["chinese-fields"]

    run(story)


def test_a_house_relays_every_letter_to_another(tmp_path: Path) -> None:
    """Relayed as it came, binary included: the next house takes all that the first did."""

    async def story() -> None:
        async with opened(CATCH_ALL.format(port=0, kind="mx"), tmp_path / "b") as last:
            relay = RELAY.format(via=f"smtp://{last.endpoint}")
            async with opened(relay, tmp_path / "a") as first:
                async with session_with(first.endpoint) as session:
                    await hand_over(session, LETTERS, smtputf8=True)
                    await hand_over(session, BINARY, body=Body.BINARYMIME, smtputf8=True)
                await first.house.wait_idle()
            found = await last.letters()
            for name in {**LETTERS, **BINARY}:
                (arrived,) = found[f"{name}@box.test"]
                assert behind_trace(arrived, stations=2) == kept(name), name

    run(story)


RELAY = """
hostname = "first.test"
[[listener]]
bind = "127.0.0.1:0"
max_message_size = "100 MiB"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "{via}"
"""
