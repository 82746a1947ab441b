"""Server URLs: what is read, what is refused, and where the system finds a host."""

from __future__ import annotations

import asyncio

import pytest

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
    ],
)
def test_servers(url: str, server: ServerAddress) -> None:
    assert parse_server(url) == server
    assert parse_server(str(server)) == server


@pytest.mark.parametrize(
    "url",
    ["", "smtp://", "gopher://x", "smtps://x", "smtp://u:p@x", "smtp://x:0", "smtp://x:65536", "smtp://x:2_5", "a b",
     "smtp://::1", "smtp://x:25/path", "smtp://x?y", "smtp:///"],
)  # fmt: skip
def test_no_servers(url: str) -> None:
    with pytest.raises(SettingError) as caught:
        parse_server(url)
    assert caught.value.remedy


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
