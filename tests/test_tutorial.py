"""Test of the tutorials' dialogue: a live receiver, over a socket, gives the replies that the pages show.

The dialogue is read from docs/tutorial.md and its Chinese sister.  Host name and queue id differ for each reader, so
the receiver's host name is replaced by the page's, and the spool here gives the page's queue id.
"""

from __future__ import annotations

import asyncio
import re
from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import cast

import pytest

from posthouse.core import Envelope
from posthouse.net import Endpoint, SocketNetwork, SystemClock
from posthouse.server import Server
from posthouse.service.config_file import default_config
from posthouse.service.directory.directory import Directory
from posthouse.service.policy.listener_policy import ListenerPolicy
from posthouse.service.policy.session_policy import SessionPolicy
from posthouse.spool.interface import Spool, Stored, StoredMessage

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = [DOCS / "tutorial.md", DOCS / "tutorial.zh-CN.md"]
HOST = "mail.example.org"


class OneMessageSpool:
    """The part of a spool that a receiver needs: keeps one message, in memory."""

    id = "3FZQ1B7K"

    def __init__(self) -> None:
        self.content = b""
        self.envelope: Envelope | None = None

    @property
    def size(self) -> int:
        return len(self.content)

    def accepting(self) -> bool:
        return True

    def out_of_order(self) -> str:
        return ""

    def receive(self, announced: int = 0) -> OneMessageSpool:
        return self

    def write(self, chunk: bytes) -> None:
        self.content += chunk

    async def commit(self, envelope: Envelope, destinations: Sequence[str], **rest: object) -> Stored:
        self.envelope = envelope
        self.content = cast("bytes", rest["prefix"]) + self.content
        return Stored(StoredMessage(self.id, envelope, cast("float", rest["received"]), self.size))

    def abort(self) -> None:
        self.content = b""


def dialogue(page: Path) -> list[tuple[str, str]]:
    """The page's dialogue: side and text of each line."""
    found = re.search(r"^```dialogue\n(.*?)^```$", page.read_text(encoding="utf-8"), re.DOTALL | re.MULTILINE)
    assert found is not None, f"docs/{page.name} has no dialogue"
    return [(line[0], line[3:]) for line in found[1].splitlines()]


async def hold(lines: list[tuple[str, str]], queue: OneMessageSpool) -> list[tuple[str, str]]:
    """Send the lines of ``S`` one at a time; returns the real dialogue, to the end of the connection."""
    config = default_config()
    clock, network = SystemClock(), SocketNetwork()
    policy = ListenerPolicy(
        config,
        config.listener[0],
        directory=Directory(config),
        spool=cast("Spool", queue),
        clock=clock,
        destination=lambda address: address.domain,
        stored=lambda stored, is_answered: None,
        log=lambda event, **fields: None,
        free=lambda: 1 << 40,
    )
    server = Server(partial(SessionPolicy, policy), network=network, clock=clock, hostname=config.hostname)
    local = await server.listen(Endpoint("127.0.0.1", 0))
    went = []
    try:
        async with asyncio.timeout(20):
            reader, writer = await asyncio.open_connection(local.host, local.port)
            for who, text in lines:
                if who == "S":
                    writer.write(f"{text}\r\n".encode())
                    went.append((who, text))
                else:
                    answer = (await reader.readline()).decode().rstrip("\r\n")
                    went.append((who, answer.replace(config.hostname, HOST)))
            went += [("R", (await reader.read()).decode())]
            writer.close()
            await writer.wait_closed()
    finally:
        await server.drain(1.0)
    return went


@pytest.mark.parametrize("file", PAGES, ids=lambda file: file.name)
def test_the_dialogue_goes_as_the_tutorial_says(file: Path) -> None:
    queue = OneMessageSpool()
    page = dialogue(file)
    went = asyncio.run(hold(page, queue))
    assert went == [*page, ("R", "")]
    assert [text[:3] for who, text in went if who == "R"][:-1] == ["220", "250", "250", "250", "354", "250", "221"]
    assert queue.envelope is not None
    assert str(queue.envelope.sender) == "langrui@sohu.com"
    assert [str(each.address) for each in queue.envelope.recipients] == ["renping@sina.com"]
    assert queue.content.startswith(b"Received: from sohu.com")
    lines = [text for who, text in page if who == "S"]
    sent = "\r\n".join(lines[lines.index("DATA") + 1 : lines.index(".")]) + "\r\n"
    assert queue.content.endswith(sent.encode())


def test_both_tutorials_show_the_same() -> None:
    """The blocks are equal but for texts in quotation marks, and so are the codes and commands in the prose."""
    english, chinese = (page.read_text(encoding="utf-8") for page in PAGES)
    shown = [
        [(kind, re.sub(r'".*?"', '""', text)) for kind, text in re.findall(r"^```(\w+)\n(.*?)^```$", page, re.M | re.S)]
        for page in (english, chinese)
    ]
    assert shown[0] == shown[1]
    assert [line.count("#") for line in english.splitlines() if line.startswith("#")] == [
        line.count("#") for line in chinese.splitlines() if line.startswith("#")
    ]
    spans = [
        {
            " ".join(span.split()).removesuffix(" --lang zh")
            for span in re.findall(r"`([^`]+)`", re.sub(r"```.*?```", "", page, flags=re.S))
        }
        for page in (english, chinese)
    ]
    assert spans[0] == spans[1]
