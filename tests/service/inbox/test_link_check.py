"""The check of links: what is asked for, at which addresses, and what is said of the answers."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import ssl
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from posthouse.net.certificates import make_self_signed
from posthouse.service.inbox.link_addresses import LinkFault, WebAddress, is_public, may_ask, read_link, site_of
from posthouse.service.inbox.link_check import MOST_LINKS, LinkChecker, resolved
from posthouse.service.inbox.link_request import LinkAnswer, ask_once
from posthouse.service.inbox.link_words import LINK_KINDS, LINK_RESULTS, link_sentence
from posthouse.testing import ManualClock

LOOPBACK = (ipaddress.IPv4Network("127.0.0.0/8"),)


class Web:
    """Hosts by name, and their answers by method and address; ``asked`` has what was asked, and where."""

    def __init__(self, hosts: Mapping[str, Sequence[str]], answers: Mapping[str, LinkAnswer | LinkFault]) -> None:
        self.hosts, self.answers = hosts, answers
        self.asked: list[tuple[str, str, str]] = []
        self.most = self.now = 0
        self.gate: asyncio.Event | None = None

    async def resolve(self, host: str, port: int) -> Sequence[str]:
        if host not in self.hosts:
            raise OSError("no such name")
        return self.hosts[host]

    async def ask(self, method: str, address: WebAddress, at: str) -> LinkAnswer:
        self.asked.append((method, str(address), at))
        self.now += 1
        self.most = max(self.most, self.now)
        if self.gate is not None:
            await self.gate.wait()
        self.now -= 1
        answer = self.answers.get(f"{method} {address}") or self.answers.get(str(address)) or LinkAnswer(200)
        if isinstance(answer, LinkFault):
            raise answer
        return answer

    def checker(self, clock: ManualClock | None = None) -> LinkChecker:
        return LinkChecker(clock or ManualClock(), resolve=self.resolve, ask=self.ask)


def found(web: Web, *links: str, networks: tuple[ipaddress.IPv4Network, ...] = LOOPBACK) -> list[tuple[str, str]]:
    async def go() -> list[tuple[str, str]]:
        return [(each.kind, each.detail or each.place) for each in await web.checker().check(links, networks)]

    return asyncio.run(go())


class TestAddresses:
    @pytest.mark.parametrize(
        "text",
        [
            *("127.0.0.1", "127.8.8.8", "10.1.2.3", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.169.254"),
            *("100.64.0.1", "100.127.255.255", "0.0.0.0", "224.0.0.1", "224.0.1.1", "239.255.255.250", "240.0.0.1"),
            *("255.255.255.255", "192.0.2.1", "198.18.0.1", "198.51.100.1", "203.0.113.1", "192.0.0.170"),
            *("::1", "::", "fe80::1", "fc00::1", "fd12:3456::1", "ff02::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1"),
            *("64:ff9b::7f00:1", "64:ff9b:1::1", "2002:7f00:1::", "2001::1", "2001:db8::1", "100::1", "3fff::1"),
        ],
    )
    def test_special_addresses_are_not_public(self, text: str) -> None:
        assert not is_public(ipaddress.ip_address(text))
        assert not may_ask(text, ())

    @pytest.mark.parametrize("text", ["1.1.1.1", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "::ffff:8.8.8.8"])
    def test_other_addresses_are(self, text: str) -> None:
        assert may_ask(text, ())

    def test_a_network_of_the_configuration_may_be_asked_in_either_form(self) -> None:
        assert may_ask("127.0.0.1", LOOPBACK)
        assert may_ask("::ffff:127.0.0.1", LOOPBACK)
        assert not may_ask("10.0.0.1", LOOPBACK)
        assert not may_ask("localhost", LOOPBACK)
        assert not may_ask("fe80::1%eth0", LOOPBACK)

    @pytest.mark.parametrize(
        ("link", "kind"),
        [
            ("ftp://x.test/", "scheme"),
            ("mailto:a@x.test", "scheme"),
            ("file:///etc/passwd", "scheme"),
            ("gopher://127.0.0.1:25/_MAIL", "scheme"),
            ("http://ann:secret@x.test/", "login"),
            ("http://x.test@127.0.0.1/", "login"),
            ("http://x.test:25/", "port"),
            ("http://x.test:99999/", "invalid"),
            ("http://x.test:+80/", "invalid"),
            ("http:///x", "invalid"),
            ("http://[::1/", "invalid"),
            ("http://a b/", "invalid"),
            ("http://x.test\\.evil.test/", "invalid"),
            ("//x.test/", "invalid"),
            ("http://x.test/" + "a" * 4000, "invalid"),
        ],
    )
    def test_links_that_are_not_asked_for(self, link: str, kind: str) -> None:
        with pytest.raises(LinkFault) as caught:
            read_link(link)
        assert caught.value.kind == kind
        assert "secret" not in caught.value.detail

    @pytest.mark.parametrize(
        ("link", "base", "read"),
        [
            ("HTTP://X.Test", "", "http://x.test/"),
            ("https://x.test:443/a?b=1#c", "", "https://x.test/a?b=1"),
            ("http://x.test:8080/ä b\x00", "", "http://x.test:8080/%C3%A4%20b"),
            ("http://x.test/a\r\nX-Evil:1", "", "http://x.test/aX-Evil:1"),
            ("http://bücher.test/", "", "http://xn--bcher-kva.test/"),
            ("http://[::1]:8000/", "", "http://[::1]:8000/"),
            ("/two?x", "http://x.test/one", "http://x.test/two?x"),
            ("//y.test/", "https://x.test/one", "https://y.test/"),
        ],
    )
    def test_links_read(self, link: str, base: str, read: str) -> None:
        address = read_link(link, base)
        assert str(address).removesuffix("%00") == read
        assert address.target.isascii()
        assert address.target.isprintable()

    def test_the_site_of_a_host(self) -> None:
        assert (site_of("a.b.x.test"), site_of("192.0.2.1"), site_of("::1")) == ("x.test", "192.0.2.1", "::1")


class TestVerdicts:
    def test_each_answer_has_its_finding(self) -> None:
        answers: dict[str, LinkAnswer | LinkFault] = {
            "http://x.test/gone": LinkAnswer(404),
            "http://x.test/shut": LinkAnswer(403),
            "http://x.test/fault": LinkAnswer(503),
            "http://x.test/odd": LinkAnswer(418),
            "http://x.test/old": LinkAnswer(301, "/new"),
            "http://x.test/ring": LinkAnswer(302, "/ring"),
            "http://x.test/silent": LinkFault("silent", "127.0.0.1:80"),
        }
        web = Web({"x.test": ["127.0.0.1"]}, answers)
        links = ["http://x.test/", *answers, "http://no.test/", "mailto:a@x.test"]
        assert found(web, *links) == [
            ("ok", ""),
            ("gone", ""),
            ("refused", ""),
            ("fault", ""),
            ("status", ""),
            ("moved", "http://x.test/new"),
            ("hops", "3"),
            ("silent", "127.0.0.1:80"),
            ("name", "no.test"),
            ("scheme", "mailto"),
        ]

    def test_get_is_asked_where_head_says_nothing_good(self) -> None:
        web = Web(
            {"x.test": ["127.0.0.1"]},
            {
                "HEAD http://x.test/a": LinkAnswer(405),
                "HEAD http://x.test/b": LinkFault("no_http", "x"),
                "HEAD http://x.test/c": LinkAnswer(429),
                "HEAD http://x.test/d": LinkFault("certificate", "x"),
            },
        )
        assert found(web, *[f"http://x.test/{each}" for each in "abcd"]) == [
            *[("ok", ""), ("ok", ""), ("refused", ""), ("certificate", "x")]
        ]
        assert [url[-1] for method, url, _ in web.asked if method == "GET"] == ["a", "b"]

    def test_the_second_address_is_tried_where_the_first_takes_no_connection(self) -> None:
        web = Web({"x.test": ["127.0.0.1", "127.0.0.2"]}, {})
        real = web.ask

        async def ask(method: str, address: WebAddress, at: str) -> LinkAnswer:
            if at == "127.0.0.1":
                raise LinkFault("unreachable", at)
            return await real(method, address, at)

        async def go() -> str:
            checker = LinkChecker(ManualClock(), resolve=web.resolve, ask=ask)
            return (await checker.check(["http://x.test/"], LOOPBACK))[0].kind

        assert asyncio.run(go()) == "ok"

    @pytest.mark.parametrize("addresses", [["10.0.0.1"], ["8.8.8.8", "10.0.0.1"], ["::ffff:192.168.0.1"]])
    def test_a_name_with_an_address_that_is_not_public_is_not_asked(self, addresses: list[str]) -> None:
        web = Web({"x.test": addresses}, {})
        assert found(web, "http://x.test/") == [("private", addresses[-1])]
        assert web.asked == []

    def test_each_redirect_is_judged_again(self) -> None:
        web = Web(
            {"x.test": ["127.0.0.1"], "inner.test": ["169.254.169.254"]},
            {
                "http://x.test/a": LinkAnswer(302, "http://inner.test/latest/meta-data"),
                "http://x.test/b": LinkAnswer(302, "http://x.test:25/"),
                "http://x.test/c": LinkAnswer(302, "file:///etc/passwd"),
            },
        )
        kinds = [kind for kind, _ in found(web, "http://x.test/a", "http://x.test/b", "http://x.test/c")]
        assert kinds == ["private", "port", "scheme"]
        assert all(at == "127.0.0.1" for _, _, at in web.asked)

    def test_the_connection_goes_to_the_address_that_was_judged(self) -> None:
        """A name that resolves differently the second time leads nowhere else."""
        turns = iter([["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]])
        web = Web({}, {"HEAD http://x.test/": LinkAnswer(501)})

        async def resolve(host: str, port: int) -> Sequence[str]:
            return next(turns)

        async def go() -> str:
            checker = LinkChecker(ManualClock(), resolve=resolve, ask=web.ask)
            return (await checker.check(["http://x.test/"], LOOPBACK))[0].kind

        assert asyncio.run(go()) == "ok"
        assert [at for _, _, at in web.asked] == ["127.0.0.1", "127.0.0.1"]

    def test_verdicts_are_kept_for_a_minute(self) -> None:
        web, clock = Web({"x.test": ["127.0.0.1"]}, {}), ManualClock()

        async def go() -> list[int]:
            checker, counts = web.checker(clock), []
            for seconds in (0.0, 59.0, 2.0):
                await clock.advance(seconds)
                await checker.check(["http://x.test/"], LOOPBACK)
                counts.append(len(web.asked))
            await checker.check(["http://x.test/"], ())  # what one may ask, another may not
            return [*counts, len(web.asked)]

        assert asyncio.run(go()) == [1, 1, 2, 2]

    def test_a_hundred_links_are_asked_for_and_no_more(self) -> None:
        web = Web({f"{each}.test": ["127.0.0.1"] for each in range(200)}, {})
        verdicts = found(web, *[f"http://{each}.test/" for each in range(MOST_LINKS + 2)])
        assert verdicts[-3:] == [("ok", ""), ("many", "100"), ("many", "100")]
        assert len(web.asked) == MOST_LINKS

    def test_one_site_is_asked_for_two_at_one_time_and_all_for_eight(self) -> None:
        async def go() -> tuple[int, int]:
            most = []
            for hosts in ([f"{each}.x.test" for each in range(9)], [f"x{each}.test" for each in range(20)]):
                links = [f"http://{each}/" for each in hosts]
                web = Web({each: ["127.0.0.1"] for each in hosts}, {})
                web.gate = asyncio.Event()
                task = asyncio.ensure_future(web.checker().check(links, LOOPBACK))
                for _ in range(50):  # turns of the loop, each of which lets every task go as far as it can
                    await asyncio.sleep(0)
                most.append(web.most)
                web.gate.set()
                await task
            return most[0], most[1]

        assert asyncio.run(go()) == (2, 8)

    def test_a_public_site_gets_one_request_a_second(self) -> None:
        web, clock = Web({"x.test": ["1.1.1.1"]}, {}), ManualClock()
        began: list[float] = []

        async def ask(method: str, address: WebAddress, at: str) -> LinkAnswer:
            began.append(clock.monotonic())
            return LinkAnswer(200)

        async def go() -> None:
            start = clock.monotonic()
            checker = LinkChecker(clock, resolve=web.resolve, ask=ask)
            task = asyncio.ensure_future(checker.check([f"http://x.test/{each}" for each in range(4)]))
            while not task.done():
                for _ in range(30):
                    await asyncio.sleep(0)
                await clock.advance(0.5)
            began[:] = [each - start for each in began]

        asyncio.run(go())
        assert began == [0.0, 1.0, 2.0, 3.0]

    def test_every_kind_has_a_sentence_in_both_languages(self) -> None:
        for kind, (result, _) in LINK_KINDS.items():
            assert result in LINK_RESULTS
            english, chinese = (link_sentence(kind, lang, status=1, detail="d", place="p") for lang in ("en", "zh"))
            assert (english[-1], chinese[-1]) == (".", "。")
            assert "{" not in english + chinese


def asked(
    reply: bytes, *, method: str = "HEAD", own: bool = True, tls: ssl.SSLContext | None = None
) -> tuple[LinkAnswer | str, bytes]:
    """What one request at a server on loopback gives, and what the server got."""
    got = b""

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        with contextlib.closing(writer), contextlib.suppress(ConnectionError, asyncio.IncompleteReadError):
            got = await reader.readuntil(b"\r\n\r\n")
            writer.write(reply)
            await writer.drain()

    async def go() -> LinkAnswer | str:
        async with await asyncio.start_server(serve, "127.0.0.1", 0, ssl=tls) as server:
            port = server.sockets[0].getsockname()[1]
            address = read_link(f"http{'s' if tls else ''}://x.test:{port}/a?b")
            try:
                return await ask_once(method, address, "127.0.0.1", own=own, patience=30)
            except LinkFault as fault:
                return fault.kind

    return asyncio.run(go()), got


class TestRequest:
    def test_head_and_get(self) -> None:
        for method in ("HEAD", "GET"):
            answer, got = asked(b"HTTP/1.1 302 Found\r\nServer: x\r\nLOCATION:  /b \r\n\r\nbody", method=method)
            assert answer == LinkAnswer(302, "/b")
            assert got.startswith(f"{method} /a?b HTTP/1.1\r\nHost: x.test:".encode())

    @pytest.mark.parametrize(
        "reply",
        [
            *(b"", b"220 mail.test ESMTP\r\n\r\n", b"HTTP/2 200\r\n\r\n", b"HTTP/1.1 99 x\r\n\r\n"),
            *(b"HTTP/1.1 200 OK\r\nX: " + b"a" * 70_000, b"HTTP/1.1 100 C\r\n\r\n" * 6, b"HTTP/1.1 200 OK\r\n"),
        ],
    )
    def test_what_is_no_answer_of_http(self, reply: bytes) -> None:
        assert asked(reply)[0] == "no_http"

    def test_interim_answers_are_passed_over(self) -> None:
        assert asked(b"HTTP/1.1 103 Early\r\n\r\nHTTP/1.0 204\r\n\r\n")[0] == LinkAnswer(204)

    def test_this_machine_itself_is_not_asked_unless_it_may_be(self) -> None:
        assert asked(b"HTTP/1.1 200 OK\r\n\r\n", own=False) == ("itself", b"")

    def test_a_port_that_takes_no_connection(self) -> None:
        async def go() -> str:
            async with await asyncio.start_server(lambda reader, writer: None, "127.0.0.1", 0) as server:
                port = server.sockets[0].getsockname()[1]
            try:
                await ask_once("HEAD", WebAddress("http", "x.test", port, "/"), "127.0.0.1", own=True, patience=30)
            except LinkFault as fault:
                return fault.kind
            return ""

        assert asyncio.run(go()) == "unreachable"

    def test_a_certificate_that_is_not_right(self, tmp_path: Path) -> None:
        pair, _ = make_self_signed(["x.test"], tmp_path, time.time())
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(pair.certificate)
        assert asked(b"HTTP/1.1 200 OK\r\n\r\n", tls=context) == ("certificate", b"")

    def test_a_server_without_tls_where_there_should_be_some(self) -> None:
        async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            with contextlib.closing(writer), contextlib.suppress(ConnectionError):
                writer.write(b"220 no tls here\r\n" * 20)
                await writer.drain()

        async def go() -> str:
            async with await asyncio.start_server(serve, "127.0.0.1", 0) as server:
                address = read_link(f"https://x.test:{server.sockets[0].getsockname()[1]}/")
                with pytest.raises(LinkFault) as caught:
                    await ask_once("HEAD", address, "127.0.0.1", own=True, patience=30)
                return caught.value.kind

        assert asyncio.run(go()) == "tls"

    def test_localhost_is_resolved(self) -> None:
        places = asyncio.run(resolved("localhost", 80))
        assert {ipaddress.ip_address(each).is_loopback for each in places} == {True}


def test_the_context_of_tls_verifies() -> None:
    from posthouse.service.inbox.link_request import _tls

    assert _tls().verify_mode is ssl.CERT_REQUIRED
    assert _tls().check_hostname
