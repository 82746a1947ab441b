"""DKIM and DMARC between daemons with Postfix, OpenDKIM and OpenDMARC in the middle, and a DNS server that they ask.

A daemon signs and relays to Postfix, whose milter is OpenDKIM: it verifies what comes in, or signs it.  Postfix sends
on to another daemon, which verifies and enforces nothing.  What both verifiers say is in their Authentication-Results.
OpenDMARC has its records in a file: it would ask the servers of /etc/resolv.conf.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.core import Bytes, Result
from posthouse.mailauth import DkimKey, sign_dkim
from posthouse.mailauth.results import read_results
from posthouse.message.headers import fields, split
from posthouse.service.mailauth.key_store import KeyStore
from posthouse.testing import DnsServer

from .conftest import Postfix
from .peers import Host, envelope, opened, run, session_with

pytestmark = [pytest.mark.system("postfix", "postfix"), pytest.mark.system("opendkim", "opendkim")]

FIRST = """
hostname = "first.example"
[[listener]]
bind = "127.0.0.1:0"
[relay]
trusted_networks = ["127.0.0.0/8"]
[[route]]
to = "*"
via = "smtp://{postfix}"
"""
LAST = """
hostname = "last.example"
[[listener]]
bind = "{onward}"
verify = "mark"
[[domain]]
name = "*"
mailboxes = "any"
[dns]
nameservers = ["{dns}"]
"""
COMMON = """
Syslog no
UMask 000
AuthservID postfix.test
Socket local:{socket}
InternalHosts {hosts}
ResolverConfiguration {resolver}
"""
VERIFIES = "Mode v\nMaximumSignaturesToVerify 9\nAlwaysAddARHeader yes\n"
SIGNS = "Mode s\nDomain postfix.example\nSelector od\nKeyFile {key}\nRequireSafeKeys no\nCanonicalization {method}\n"
DMARC = """
Syslog no
UMask 000
AuthservID postfix.test
TrustedAuthservIDs postfix.test
Socket local:{socket}
RejectFailures no
SPFSelfValidate no
IgnoreHosts {hosts}
TestDNSData {records}
"""
RESOLVER = """
server:
  do-not-query-localhost: no
  do-ip6: no
  module-config: "iterator"
forward-zone:
  name: "."
  forward-addr: 127.0.0.1@{port}
"""
MESSAGE = (
    b"From: Ann <ann@%b>\r\nTo: bob@last.example\r\nDate: Fri, 15 Jan 2027 08:00:00 +0000\r\nMessage-ID: <1@%b>\r\n"
    b"Subject: the figures,\r\n  folded \t and spaced\r\n\r\nThe  figures are \t here. \r\n.\r\nBye\r\n\r\n\r\n"
)
RSA = DkimKey.generate("foreign.example", "rsa")
ED25519 = DkimKey.generate("foreign.example", "ed", "ed25519")
GONE, REVOKED = (DkimKey.generate("foreign.example", name, "ed25519") for name in ("gone", "revoked"))
MILTER = DkimKey.generate("postfix.example", "od")
ZONE: dict[str, dict[str, list[str]]] = {
    **{key.record_name: {"TXT": [key.record()]} for key in (RSA, ED25519, MILTER)},
    REVOKED.record_name: {"TXT": ["v=DKIM1; k=ed25519; p="]},
    **{f"{name}.example": {"A": ["127.0.0.1"]} for name in ("first", "foreign", "postfix")},
}
BOTH = [("pass", "rsa"), ("pass", "ed")]
#: What both say of each message but those that the first daemon signs.
EXPECTED = {
    "body": [("fail", "rsa")],
    "header": [("fail", "ed")],
    "added": [("fail", "rsa")],
    "late": [("fail", "rsa")],
    "gone": [("permerror", "gone")],
    "revoked": [("fail", "revoked")],
    "plain": [("none", "")],
    **dict.fromkeys(("simple-simple", "simple-relaxed", "relaxed-simple", "relaxed-relaxed"), BOTH),
}
#: Where OpenDKIM has another word for a signature that does not pass.
OTHER_WORD = {"late": [("permerror", "rsa")], "gone": [("fail", "gone")]}
RESULTS = b"Authentication-Results"
METHODS = ("simple/simple", "simple/relaxed", "relaxed/simple", "relaxed/relaxed")


def message(domain: str) -> bytes:
    return MESSAGE % (domain.encode(), domain.encode())


def signed(*keys: DkimKey, method: str = "relaxed/relaxed") -> bytes:
    plain = message("foreign.example")
    return sign_dkim(plain, keys, canonicalization=method) + plain


@contextlib.asynccontextmanager
async def opendkim(postfix: Postfix, settings: str, dns: DnsServer, directory: Path) -> AsyncIterator[None]:
    """OpenDKIM as the milter of Postfix, with its questions to ``dns``."""
    verifies = settings.startswith("Mode v")
    (directory / "hosts").write_text("192.0.2.1\n" if verifies else "127.0.0.1\n")  # whose mail is signed
    (directory / "resolver").write_text(RESOLVER.format(port=dns.endpoint.port))
    common = COMMON.format(socket=postfix.milter, hosts=directory / "hosts", resolver=directory / "resolver")
    (directory / "opendkim.conf").write_text(common + settings)
    async with milter(postfix.milter, "opendkim", "-f", "-x", str(directory / "opendkim.conf")):
        yield


@contextlib.asynccontextmanager
async def opendmarc(postfix: Postfix, records: dict[str, str], directory: Path) -> AsyncIterator[None]:
    """OpenDMARC as the milter behind OpenDKIM."""
    socket = postfix.milter.with_name(f"{postfix.milter.name}-2")
    (directory / "records").write_text("".join(f"_dmarc.{name} {text}\n" for name, text in records.items()))
    (directory / "ignored").write_text("192.0.2.1\n")  # without this file, the loopback addresses
    places = {"socket": socket, "records": directory / "records", "hosts": directory / "ignored"}
    (directory / "opendmarc.conf").write_text(DMARC.format(**places))
    async with milter(socket, "opendmarc", "-f", "-c", str(directory / "opendmarc.conf")):
        yield


@contextlib.asynccontextmanager
async def milter(socket: Path, *command: str) -> AsyncIterator[None]:
    """A milter that listens at a socket."""
    process = await asyncio.create_subprocess_exec(*command)
    try:
        while not socket.exists():
            assert process.returncode is None, f"{command[0]} has ended"
            await asyncio.sleep(0.02)
        yield
    finally:
        if process.returncode is None:
            process.kill()  # asked to end, OpenDKIM waits up to 5 s for its sockets
        await process.wait()
        socket.unlink(missing_ok=True)


@contextlib.asynccontextmanager
async def last_hop(postfix: Postfix, dns: DnsServer, directory: Path) -> AsyncIterator[Host]:
    settings = LAST.format(onward=postfix.onward, dns=dns.endpoint)
    async with opened(settings, directory / "last") as host:
        yield host


async def sent(first: Host, last: Host, messages: dict[str, bytes]) -> dict[str, bytes]:
    """Each message as it comes to the last hop, by the name of its recipient.

    One is sent after the other: OpenDKIM 2.11 reads the settings of its resolver for each connection without a lock.
    """
    async with session_with(first.endpoint) as session:
        for number, (name, content) in enumerate(messages.items(), 1):
            asked = envelope(f"{name}@last.example", sender="ann@first.example")
            (outcome,) = await session.deliver(asked, Bytes(content))
            assert outcome.result is Result.DELIVERED, (name, outcome.reason)
            await last.until("accepted", number)
    return {inbox.partition("@")[0]: each for inbox, (each,) in (await last.messages()).items()}


def judgements(content: bytes) -> dict[str, list[tuple[str, str]]]:
    """For each server, what its Authentication-Results says of each signature: result and selector."""
    found: dict[str, list[tuple[str, str]]] = {}
    for field in fields(split(content).headers):
        if field.name == RESULTS:
            read = read_results(field.value)
            listed = found.setdefault(read.authserv_id, [])
            listed += [(each.result, each.property("header", "s")) for each in read.of("dkim")]
    return found


def test_what_we_sign_and_what_others_sign_is_judged_alike(tmp_path: Path, postfix: Postfix) -> None:
    store = KeyStore(tmp_path / "first" / "dkim")
    ours = [store.generate("first.example", kind, 0.0, signs=0.0) for kind in ("rsa", "ed25519")]
    foreign = message("foreign.example")
    late = sign_dkim(foreign, RSA, now=1_000_000_000, lifetime=60) + foreign
    messages = {
        "ours": message("first.example"),
        **{method.replace("/", "-"): signed(RSA, ED25519, method=method) for method in METHODS},
        "body": signed(RSA).replace(b"here.", b"there."),
        "header": signed(ED25519).replace(b"figures,", b"digits,"),
        "added": b"Subject: another\r\n" + signed(RSA),
        "late": late,
        "gone": signed(GONE),
        "revoked": signed(REVOKED),
        "plain": foreign,
    }

    async def scenario() -> None:
        zone = {**ZONE, **{key.record_name: {"TXT": [key.record]} for key in ours}}
        async with (
            DnsServer(zone) as dns,
            last_hop(postfix, dns, tmp_path) as last,
            opendkim(postfix, VERIFIES, dns, tmp_path),
            opened(FIRST.format(postfix=postfix.listeners["filtered"]), tmp_path / "first") as first,
        ):
            found = await sent(first, last, messages)
        for name, content in found.items():
            said = judgements(content)
            expected = EXPECTED[name] if name in EXPECTED else [("pass", each.selector) for each in ours]
            assert sorted(said["last.example"]) == sorted(expected), name
            assert sorted(said["postfix.test"]) == sorted(OTHER_WORD.get(name, expected)), name

    run(scenario)


@pytest.mark.parametrize("method", METHODS)
def test_what_opendkim_signs_passes_at_the_last_hop(tmp_path: Path, postfix: Postfix, method: str) -> None:
    (tmp_path / "key").write_bytes(MILTER.pem())
    (tmp_path / "key").chmod(0o600)
    settings = SIGNS.format(key=tmp_path / "key", method=method)

    async def scenario() -> None:
        async with (
            DnsServer(ZONE) as dns,
            last_hop(postfix, dns, tmp_path) as last,
            opendkim(postfix, settings, dns, tmp_path),
            opened(FIRST.format(postfix=postfix.listeners["filtered"]), tmp_path / "first") as first,
        ):
            given = {"signed": message("postfix.example"), "plain": message("foreign.example")}
            found = await sent(first, last, given)
        assert judgements(found["signed"]) == {"last.example": [("pass", "od")]}
        assert judgements(found["plain"]) == {"last.example": [("none", "")]}
        assert b"c=%b; " % method.encode() in found["signed"]

    run(scenario)


@pytest.mark.system("opendmarc", "opendmarc")
def test_dmarc_is_judged_alike_behind_opendkim(tmp_path: Path, postfix: Postfix) -> None:
    records = {"foreign.example": "v=DMARC1; p=reject", "postfix.example": "v=DMARC1; p=quarantine"}
    zone = {**ZONE, **{f"_dmarc.{name}": {"TXT": [text]} for name, text in records.items()}}
    unaligned = message("postfix.example")
    messages = {
        "aligned": signed(RSA, ED25519),
        "changed": signed(RSA).replace(b"here.", b"there."),
        "unaligned": sign_dkim(unaligned, [RSA]) + unaligned,
        "without": message("first.example"),
    }

    async def scenario() -> None:
        async with (
            DnsServer(zone) as dns,
            last_hop(postfix, dns, tmp_path) as last,
            opendkim(postfix, VERIFIES, dns, tmp_path),
            opendmarc(postfix, records, tmp_path),
            opened(FIRST.format(postfix=postfix.listeners["judged"]), tmp_path / "first") as first,
        ):
            found = await sent(first, last, messages)
        said = {name: dmarc_results(content) for name, content in found.items()}
        expected = {"aligned": "pass", "changed": "fail", "unaligned": "fail", "without": "none"}
        assert said == {name: {"last.example": word, "postfix.test": word} for name, word in expected.items()}

    run(scenario)


def dmarc_results(content: bytes) -> dict[str, str]:
    """For each server, what its Authentication-Results says of DMARC."""
    read = [read_results(field.value) for field in fields(split(content).headers) if field.name == RESULTS]
    return {each.authserv_id: found.result for each in read for found in each.of("dmarc")}
