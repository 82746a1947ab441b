"""What a session makes of hosts that take few recipients, lack extensions, or are given addresses that none could take;
each over asyncio and over a blocking socket, with PIPELINING and without."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Sequence
from typing import Any

import pytest

from posthouse.client.features import check_addresses
from posthouse.client.hostname import literal_of, name_for_ehlo
from posthouse.core import Address, Body, Bytes, Envelope, LocalError, Outcome, Recipient, Result

from .test_session import LETTER, Peer, against, envelope, kind, opened  # noqa: F401

GREEK = "Subject: hi\r\n\r\nαβγ\r\n".encode()


class Host:
    """A host with these keywords that takes ``most`` recipients in a transaction and answers the others with
    ``beyond``; each recipient in ``refused`` with its own reply.  ``said`` has the commands."""

    def __init__(self, *keywords: str, most: int = 1000, beyond: str = "", **refused: str) -> None:
        self.keywords = keywords
        self.most = most
        self.beyond = beyond
        self.refused = refused
        self.said: list[str] = []
        self.taken: list[list[str]] = []

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        recipients: list[str] = []
        while line := await reader.readline():
            text = line.decode().rstrip("\r\n")
            self.said.append(text)
            verb = text.split(" ")[0]
            reply = "250 ok"
            if verb == "EHLO":
                reply = "\r\n".join([f"250-{each}" for each in ("mx", *self.keywords)] + ["250 HELP"])
            elif verb == "MAIL":
                recipients = []
            elif verb == "RCPT":
                local = text.partition("<")[2].partition("@")[0]
                reply = self.refused.get(local, reply if len(recipients) < self.most else self.beyond)
                if reply.startswith("2"):
                    recipients.append(local)
            elif verb == "DATA" and recipients:
                writer.write(b"354 go\r\n")
                await reader.readuntil(b"\r\n.\r\n")
                self.taken.append(recipients)
            elif verb == "DATA":
                reply = "554 nobody"
            elif verb == "QUIT":
                writer.write(b"221 bye\r\n")
                return
            writer.write(reply.encode() + b"\r\n")


def sent(host: Peer, *recipients: str, content: bytes = LETTER.data, **fields: Any) -> Sequence[Outcome]:
    outcomes: Sequence[Outcome] = against(
        host, lambda session: session.deliver(envelope(*recipients, **fields), Bytes(content))
    )
    return outcomes


def results(outcomes: Sequence[Outcome]) -> list[str]:
    return [outcome.result.value for outcome in outcomes]


PIPELINED = pytest.mark.parametrize("keywords", [(), ("PIPELINING",)], ids=["one by one", "pipelined"])


# -- too many recipients


@PIPELINED
@pytest.mark.parametrize(
    "beyond",
    [
        "552 Too many recipients",
        "552 5.3.4 too many recipients",
        "552 5.5.3 too many recipients",
        "552 5.1.1 odd",
        "452 4.5.3 too many",
        "452 too many",
    ],
)
def test_552_to_rcpt_means_too_many_and_the_rest_go_in_a_further_transaction(
    keywords: tuple[str, ...], beyond: str
) -> None:
    host = Host(*keywords, most=2, beyond=beyond)
    outcomes = sent(host, "a@x.test", "b@x.test", "c@x.test", "d@x.test", "e@x.test")
    assert results(outcomes) == ["delivered"] * 5
    assert host.taken == [["a", "b"], ["c", "d"], ["e"]]
    assert sum(line.startswith("RCPT") for line in host.said) == 8  # no more are asked for than it took before


@PIPELINED
def test_552_to_every_rcpt_defers_and_never_fails(keywords: tuple[str, ...]) -> None:
    host = Host(*keywords, most=0, beyond="552 Too many recipients")
    assert results(sent(host, "a@x.test", "b@x.test")) == ["deferred", "deferred"]
    assert not host.taken


@PIPELINED
def test_552_about_the_mailbox_fails(keywords: tuple[str, ...]) -> None:
    host = Host(*keywords, b="552 5.2.2 mailbox full")
    assert results(sent(host, "a@x.test", "b@x.test", "c@x.test")) == ["delivered", "failed", "delivered"]
    assert len(host.taken) == 1


def test_552_to_the_content_fails_also_behind_the_same_reply_to_rcpt() -> None:
    class Full(Host):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"220 mx\r\n")
            for reply in ("250 mx", "250 ok", "250 ok", "552 no", "354 go"):
                await reader.readline()
                writer.write(reply.encode() + b"\r\n")
            await reader.readuntil(b"\r\n.\r\n")
            writer.write(b"552 no\r\n")

    assert results(sent(Full(), "a@x.test", "b@x.test")) == ["failed", "deferred"]


# -- addresses that cannot be written


UNWRITABLE = [
    Address("c", "b_c.test"),
    Address("c", "xn--zz.test"),
    Address("c", "x" * 64 + ".test"),
    Address("c", "BÜCHER.test"),
    Address("c\r\nDATA", "x.test"),
    Address("c" * 65, "x.test"),
    Address("c", "x..test"),
]


@pytest.mark.parametrize("keywords", [(), ("PIPELINING",), ("PIPELINING", "LIMITS RCPTMAX=1"), ("LIMITS RCPTMAX=1",)])
@pytest.mark.parametrize("address", UNWRITABLE, ids=str)
def test_an_address_that_cannot_be_written_is_an_error_before_mail(keywords: tuple[str, ...], address: Address) -> None:
    host = Host(*keywords)

    async def use(session: Any) -> None:
        made = envelope("ok@x.test")
        wrong = made._replace(recipients=(*made.recipients, Recipient(address)))
        with pytest.raises(LocalError):
            await session.deliver(wrong, LETTER)
        with pytest.raises(LocalError):
            await session.deliver(made._replace(sender=address), LETTER)
        assert session.usable
        assert [line.split(" ")[0] for line in host.said] == ["EHLO"]
        assert results(await session.deliver(made, LETTER)) == ["delivered"]

    against(host, use)
    with pytest.raises(LocalError):
        check_addresses(envelope()._replace(recipients=(Recipient(address),)))


@pytest.mark.parametrize("local", ["a..b", ".a", "a.", "a b", 'a"b', "a@b", "."])
def test_a_local_part_that_is_no_dot_string_is_quoted(local: str) -> None:
    host = Host()
    made = Envelope(Address(local, "docomo.test"), (Recipient(Address(local, "docomo.test")),))
    outcomes = against(host, lambda session: session.deliver(made, LETTER))
    assert results(outcomes) == ["delivered"]
    quoted = '"' + local.replace('"', '\\"') + '"'
    assert host.said[1:3] == [f"MAIL FROM:<{quoted}@docomo.test>", f"RCPT TO:<{quoted}@docomo.test>"]


# -- extensions that a host lacks or has


@pytest.mark.parametrize("keywords", [(), ("SMTPUTF8", "8BITMIME")])
def test_a_domain_in_u_labels_needs_no_smtputf8(keywords: tuple[str, ...]) -> None:
    host = Host(*keywords)
    made = Envelope(
        Address("a", "bücher.test"), (Recipient(Address("b", "例子.test")), Recipient(Address("c", "x.test")))
    )
    assert results(against(host, lambda session: session.deliver(made, LETTER))) == ["delivered"] * 2
    assert host.said[1:4] == [
        "MAIL FROM:<a@xn--bcher-kva.test>",
        "RCPT TO:<b@xn--fsqu00a.test>",
        "RCPT TO:<c@x.test>",
    ]


@pytest.mark.parametrize(
    ("keywords", "fields", "status", "words"),
    [
        (("SIZE 10",), {}, "5.3.4", (f"{LETTER.size} octets", "at most 10")),
        ((), {"smtputf8": True}, "5.6.7", ("SMTPUTF8",)),
        ((), {"body": Body.EIGHTBITMIME}, "5.6.3", ("8BITMIME",)),
        ((), {"body": Body.BINARYMIME}, "5.6.1", ("BINARYMIME",)),
        ((), {"require_tls": True}, "5.7.30", ("REQUIRETLS",)),
        (("REQUIRETLS",), {"require_tls": True}, "5.7.30", ("REQUIRETLS",)),  # in clear
    ],
)
def test_what_this_side_decides_is_not_attributed_to_the_host(
    keywords: tuple[str, ...], fields: dict[str, Any], status: str, words: tuple[str, ...]
) -> None:
    host = Host(*keywords)
    (outcome,) = sent(host, "a@x.test", **fields)
    assert (outcome.result, outcome.peer) == (Result.FAILED, "")
    assert outcome.reply is not None
    assert outcome.reply.enhanced == status
    for word in ("not sent to mx.test[127.0.0.1]", *words):
        assert word in outcome.reason
        assert word in outcome.reply.text
    assert [line.split(" ")[0] for line in host.said] == ["EHLO"]


def test_content_that_must_not_be_sent_is_this_sides_decision() -> None:
    class Waiting(Host):
        async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.suppress(asyncio.IncompleteReadError):  # the client ends the connection in the content
                await super().__call__(reader, writer)

    (outcome,) = sent(Waiting(), "a@x.test", content=b"a\nb\r\n")
    assert (outcome.result, outcome.peer) == (Result.FAILED, "")
    assert outcome.reason.startswith("not sent to mx.test[127.0.0.1]")


@pytest.mark.parametrize("keywords", [("8BITMIME",), ("8BITMIME", "PIPELINING")])
def test_undeclared_8_bit_content_is_declared_to_a_host_that_knows_it(keywords: tuple[str, ...]) -> None:
    host = Host(*keywords)
    assert results(sent(host, "a@x.test", content=GREEK)) == ["delivered"]
    assert results(sent(host, "a@x.test")) == ["delivered"]
    mails = [line for line in host.said if line.startswith("MAIL")]
    assert mails == ["MAIL FROM:<langrui@sohu.com> BODY=8BITMIME", "MAIL FROM:<langrui@sohu.com>"]


# -- the greeting


@pytest.mark.parametrize(
    ("host", "literal"),
    [
        ("192.0.2.1", "[192.0.2.1]"),
        ("2001:db8::1", "[IPv6:2001:db8::1]"),
        ("fe80::1%eth0", "[IPv6:fe80::1]"),
        ("/run/lmtp", "[127.0.0.1]"),
        ("", "[127.0.0.1]"),
    ],
)
def test_the_literal_of_this_end(host: str, literal: str) -> None:
    assert literal_of(host) == literal


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("vm", ""),
        ("localhost", ""),
        ("localhost.localdomain", ""),
        ("vm.LOCALHOST", ""),
        ("192.0.2.1", ""),
        ("a_b.example.org", ""),
        ("example..org", ""),
        ("", ""),
        ("a.example.org", "a.example.org"),
        ("A.Example.ORG.", "a.example.org"),
        ("bücher.example", "xn--bcher-kva.example"),
    ],
)
def test_a_machine_name_that_means_nothing_to_others_is_not_said(
    name: str, said: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("socket.gethostname", lambda: name)
    assert name_for_ehlo() == said


@pytest.mark.parametrize(("address", "literal"), [("127.0.0.1", "[127.0.0.1]"), ("::1", "[IPv6:::1]")])
def test_without_a_name_the_address_literal_of_the_channel_is_said(address: str, literal: str) -> None:
    host = Host()

    async def main() -> None:
        async with asyncio.timeout(30):

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
                await host(reader, writer)
                writer.close()

            server = await asyncio.start_server(serve, address, 0)
            session = await opened(server.sockets[0].getsockname()[1], address=address, hostname="")
            await session.quit()
            server.close()
            await server.wait_closed()

    asyncio.run(main())
    assert host.said[0] == f"EHLO {literal}"


def test_a_host_that_ends_its_lines_with_lf_is_understood() -> None:
    async def stub(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 stub\n")
        for reply in (b"250-stub\n250 PIPELINING\n", b"250 ok\n250 ok\n354 go\n"):
            await reader.readline()
            while reply.startswith(b"250 ok") and not (await reader.readline()).startswith(b"DATA"):
                pass
            writer.write(reply)
        await reader.readuntil(b"\r\n.\r\n")
        writer.write(b"250 2.0.0 taken\n")

    assert results(sent(stub, "a@x.test")) == ["delivered"]


def test_a_reply_line_without_an_end_ends_the_session() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"220 mx\r\n")
        await reader.readline()
        writer.write(b"250 mx\r\n")
        await reader.readline()
        writer.write(b"250 " + b"x" * 4000)
        assert not await reader.read()  # the client has ended the connection; it does not wait for the end

    (outcome,) = sent(endless, "a@x.test")
    assert outcome.result is Result.DEFERRED
    assert "more than 2048 octets" in outcome.reason
