"""Server URLs: what is read, what is refused, and where the system finds a host."""

from __future__ import annotations

import asyncio

import pytest

from posthouse.client import TlsPolicy
from posthouse.client.server_url import ServerAddress, parse_server
from posthouse.core import SettingError
from posthouse.net import Endpoint
from posthouse.net.hosts import addresses_of


@pytest.mark.parametrize(
    ("url", "server"),
    [
        ("smtp://mail.example.org:2525", ServerAddress("smtp", "mail.example.org", 2525)),
        ("smtp://mail.example.org", ServerAddress("smtp", "mail.example.org", 25)),
        ("SMTP://127.0.0.1:25/", ServerAddress("smtp", "127.0.0.1", 25)),
        ("lmtp://[::1]", ServerAddress("lmtp", "::1", 24)),
        ("smtp://[2001:db8::1]:587", ServerAddress("smtp", "2001:db8::1", 587)),
        ("127.0.0.1:1025", ServerAddress("smtp", "127.0.0.1", 1025)),
        ("localhost", ServerAddress("smtp", "localhost", 25)),
        ("lmtp:/run/lmtp.sock", ServerAddress("lmtp", "/run/lmtp.sock")),
        ("lmtp:///run/lmtp.sock", ServerAddress("lmtp", "/run/lmtp.sock")),
        ("  smtp://邮件.例子:25 ", ServerAddress("smtp", "邮件.例子", 25)),
        ("smtps://mail.example.org", ServerAddress("smtps", "mail.example.org", 465)),
        ("SMTP+StartTLS://mail.example.org", ServerAddress("smtp+starttls", "mail.example.org", 587)),
        ("smtps://joe@[2001:db8::1]:4650", ServerAddress("smtps", "2001:db8::1", 4650, "joe")),
        ("smtps://joe%40example.org@h", ServerAddress("smtps", "h", 465, "joe@example.org")),
    ],
)
def test_servers(url: str, server: ServerAddress) -> None:
    assert parse_server(url) == server
    assert parse_server(str(server)) == server


@pytest.mark.parametrize(
    "url",
    ["", "smtp://", "gopher://x", "smtps://", "smtps://:secret@x", "smtp://x:0", "smtps:///run/socket",
     "smtps://joe:%ff@x", "smtps://x?tls=off", "smtps://x?tls=opportunistic", "smtps://x?ca=", "smtps://x?secret=1",
     "smtps://x?allow_plain_text=yes", "smtps://joe:sec?ret@x", "smtp+tls://joe:secret@x", "smtps://joe:secret@x:0",
     "smtps://joe:se/cret@x:y", "joe:secret@x:y", "smtps:joe:secret@x:y", "smtp://x:65536", "smtp://x:2_5", "a b",
     "smtp://::1", "smtp://x:25/path", "smtp://x?y", "smtp:///"],
)  # fmt: skip
def test_no_servers(url: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_server(url)
    assert caught.value.remedy
    assert "secret@" not in str(caught.value)
    assert "cret@" not in str(caught.value)


@pytest.mark.parametrize(
    ("userinfo", "user", "password"),
    [
        ("joe:secret", "joe", "secret"),
        ("joe@example.org:secret", "joe@example.org", "secret"),
        ("joe%40example.org:p%40ss%3Aw%2Fo%3Frd%25", "joe@example.org", "p@ss:w/o?rd%"),
        ("joe:a:b", "joe", "a:b"),
        ("joe:a/b#c", "joe", "a/b#c"),
        ("j%C3%B6:%D0%9F%E2%82%AC", "jö", "П€"),
        ("jö:П€", "jö", "П€"),
        ("joe:", "joe", ""),
        ("joe", "joe", None),
    ],
)
def test_the_name_and_password_are_percent_decoded(userinfo: str, user: str, password: str | None) -> None:
    server = parse_server(f"smtps://{userinfo}@mail.example.org:465?tls=require")
    assert (server.user, server.password, server.host, server.port) == (user, password, "mail.example.org", 465)


def test_no_text_of_a_server_has_its_password() -> None:
    server = parse_server("smtp+starttls://joe:hunter2@mail.example.org")
    assert str(server) == "smtp+starttls://joe@mail.example.org:587"
    assert "hunter2" not in f"{server} {server!r} {server.login()!r} {[server]}"
    login = server.login()
    assert login is not None
    assert login.credentials.password == "hunter2"
    for wrong in (
        "//joe:hunter2@h",
        "smtps://joe:hunter2@h:x",
        "http://joe:hunter2@h",
        "smtps://joe:hunter2@h?tls=off",
    ):
        with pytest.raises(SettingError) as caught:
            parse_server(wrong)
        assert "hunter2" not in f"{caught.value} {caught.value!r}"
    with pytest.raises(SettingError, match="the password of joe is missing"):
        parse_server("smtps://joe@mail.example.org").login()
    assert parse_server("smtps://mail.example.org").login() is None


@pytest.mark.parametrize(
    ("url", "mode", "verify"),
    [
        ("smtp://h", None, False),
        ("smtp://h?tls=opportunistic", "opportunistic", False),
        ("smtp://h?tls=require", "require", False),
        ("smtp://h?tls=verify", "verify", True),
        ("lmtp://h?tls=verify", "verify", True),
        ("smtps://h", "implicit", True),
        ("smtps://h?tls=require", "implicit", False),
        ("smtp+starttls://h", "verify", True),
        ("smtp+starttls://h?tls=require", "require", False),
    ],
)
def test_submission_urls_verify_unless_told_not_to(url: str, mode: str | None, verify: bool) -> None:
    """T24: without the check it is still TLS, and still required."""
    policy = parse_server(url).policy()
    assert (policy and policy.mode, bool(policy and policy.verify)) == (mode, verify)
    if policy is not None and mode != "opportunistic":
        assert policy.required


def test_parameters_of_a_url() -> None:
    server = parse_server("smtps://h?ca=/etc/ca%20me.pem&name=mx.example&mechanisms=PLAIN,LOGIN&allow_plain_text=true")
    assert (server.ca, server.name, server.mechanisms) == ("/etc/ca me.pem", "mx.example", ("PLAIN", "LOGIN"))
    assert server.allow_plain_text
    policy = server.policy()
    assert policy is server.policy()
    assert policy is not None
    assert policy.name_for("other") == "mx.example"


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("mail.x.test.", "mail.x.test"),
        ("邮件.例子", "xn--5nq051n.xn--fsqu00a"),
        ("192.0.2.1", "192.0.2.1"),
        ("fe80::1%eth0", "fe80::1"),
        ("/run/lmtp.sock", "localhost"),
    ],
)
def test_the_name_to_verify_is_spelt_as_certificates_do(host: str, name: str) -> None:
    """T22: without the final dot (RFC 6066 §3)."""
    assert TlsPolicy("verify").name_for(host) == name


@pytest.mark.parametrize("host", ["192.0.2.1", "::1", "[IPv6:2001:db8::1]"])
def test_an_address_is_where_it_says(host: str) -> None:
    """And nobody is asked: a loop whose threads are closed cannot ask the system for a name."""

    async def main() -> None:
        await asyncio.get_running_loop().shutdown_default_executor()
        bare = host.removeprefix("[IPv6:").removesuffix("]")
        assert await addresses_of(host, 25) == [Endpoint(bare, 25)]
        with pytest.raises(RuntimeError):
            await addresses_of("localhost", 25)

    asyncio.run(main())
