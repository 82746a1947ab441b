"""Mail is routed by a real DNS server on loopback: queries over UDP and TCP, then SMTP.

Mail exchangers listen on port 25, which a test may not bind.  ``Moved`` connects to another endpoint instead, below all
code that decides; endpoints that it does not know refuse, because they have no listener.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from posthouse.core import Bytes, Kind, Question
from posthouse.net import Endpoint, SocketNetwork
from posthouse.net.sockets import SocketStream
from posthouse.net.stream import Handler
from posthouse.spool import RecipientState
from posthouse.testing import DnsServer, Zone, unfinished

from .corpus import MESSAGES
from .peers import CATCH_ALL, Host, behind_trace, envelope, opened, run, session_with

SENDING = """
hostname = "first.test"
[[listener]]
bind = "127.0.0.1:0"
complete_messages = false
[relay]
trusted_networks = ["127.0.0.0/8"]
[dns]
nameservers = ["{dns}"]
timeout = "{timeout}"
tries = 2
"""
MESSAGE = MESSAGES["dots"]
CLOSED = Endpoint("127.0.0.3", 25)  # nothing listens there


class Moved(SocketNetwork):
    """The real network with some endpoints replaced by others."""

    def __init__(self, places: Mapping[Endpoint, Endpoint]) -> None:
        super().__init__()
        self._places = places
        self.sought: list[Endpoint] = []

    async def connect(self, endpoint: Endpoint, handler: Handler, *, source: str = "") -> SocketStream:
        self.sought.append(endpoint)
        return await super().connect(self._places.get(endpoint, endpoint), handler, source=source)


async def send(first: Host, *recipients: str, sender: str = "langrui@sohu.com", smtputf8: bool = False) -> None:
    """Send a message to the daemon and wait for one attempt."""
    async with session_with(first.endpoint) as session:
        await session.deliver(envelope(*recipients, sender=sender, smtputf8=smtputf8), Bytes(MESSAGE))
    await first.daemon.wait_idle()


def test_mail_goes_where_the_dns_says(tmp_path: Path) -> None:
    domain = "新浪.中国".encode("idna").decode()
    zone: Zone = {
        # The best exchanger does not listen, the second has no address, the third accepts the mail.
        "sina.test": {"MX": ["30 third.sina.test", "10 dead.sina.test", "20 nowhere.sina.test"]},
        "dead.sina.test": {"A": ["192.0.2.3"]},
        "third.sina.test": {"A": ["192.0.2.2"], "AAAA": ["::1"]},
        # No MX: the domain's own address, behind an alias.
        "bare.test": {"A": ["192.0.2.2"]},
        "alias.test": {"CNAME": ["bare.test"]},
        # Many exchangers: the answer has to come over TCP.
        "large.test": {"MX": [f"{n} mx{n}.a-long-name-to-make-the-answer-larger.large.test" for n in range(1, 60)]},
        "mx1.a-long-name-to-make-the-answer-larger.large.test": {"A": ["192.0.2.2"]},
        domain: {"MX": ["10 third.sina.test"]},
    }
    recipients = ["a@sina.test", "b@bare.test", "c@alias.test", "d@large.test", "任平@新浪.中国", "e@[192.0.2.2]"]

    async def scenario() -> None:
        async with DnsServer(zone) as dns, opened(CATCH_ALL.format(port=0, kind="mx"), tmp_path / "last") as last:
            network = Moved({Endpoint("192.0.2.2", 25): last.endpoint, Endpoint("192.0.2.3", 25): CLOSED})
            text = SENDING.format(dns=dns.endpoint, timeout="20s")
            async with opened(text, tmp_path / "first", network=network) as first:
                await send(first, *recipients, smtputf8=True)
                written = {each.replace("新浪.中国", domain) for each in recipients}  # a session writes A-labels
                assert {each["recipient"] for each in first.logged("delivered")} == written
                assert await first.daemon.spool.queries.count() == 0
            found = await last.messages()
            assert sorted(found) == sorted([*recipients[:4], f"任平@{domain}", recipients[5]])
            for (message,) in found.values():
                assert behind_trace(message, hops=2) == MESSAGE
            assert Endpoint("192.0.2.3", 25) in network.sought
            assert dns.asked["udp", Question("sina.test", Kind.MX)] == 1
            assert dns.asked["tcp", Question("large.test", Kind.MX)] == 1
            assert dns.asked["udp", Question(domain, Kind.MX)] == 1
            reason = next(each["reason"] for each in first.logged("delivered") if each["recipient"] == "a@sina.test")
            assert "250 2.0.0" in reason

    run(scenario)


def test_what_the_dns_rules_out_fails_and_what_it_does_not_say_waits(tmp_path: Path) -> None:
    zone: Zone = {
        "nomail.test": {"MX": ["0 ."]},
        "nowhere.test": {"MX": ["10 gone.nowhere.test"]},
        "me.test": {"MX": ["10 first.test"]},
        "first.test": {"A": ["192.0.2.2"]},
        "broken.test": {"MX": ["10 x.test"]},
        "mute.test": {"MX": ["10 x.test"]},
    }
    expected = {
        "a@nomail.test": ("failed", "556 5.1.10"),
        "a@nowhere.test": ("failed", "550 5.4.4"),
        "a@me.test": ("failed", "554 5.4.6"),
        "a@missing.test": ("failed", "550 5.1.2"),
        "a@broken.test": ("deferred", "451 4.4.3"),
        "a@mute.test": ("deferred", "451 4.4.3"),
    }

    async def scenario() -> None:
        async with DnsServer(zone, failing=["broken.test"], mute=["mute.test"]) as dns:
            network = Moved({})
            async with opened(SENDING.format(dns=dns.endpoint, timeout="2s"), tmp_path, network=network) as first:
                await send(first, *expected, sender="")  # no report
                for recipient, (event, reply) in expected.items():
                    (facts,) = [each for each in first.logged(event) if each["recipient"] == recipient]
                    assert facts["reply"].startswith(reply), facts
                (entry,) = await unfinished(first.daemon.spool)
                waiting = {
                    str(each.recipient.address) for each in entry.recipients if each.state is RecipientState.WAITING
                }
                assert waiting == {"a@broken.test", "a@mute.test"}
            # The daemon has made no connection.
            assert network.sought == []

    run(scenario)
