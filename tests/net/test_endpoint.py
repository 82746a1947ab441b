"""Endpoints as a person writes them, and as they are shown."""

from __future__ import annotations

import pytest

from posthouse.core import SettingError
from posthouse.net import Endpoint


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("127.0.0.1:25", Endpoint("127.0.0.1", 25)),
        (" 0.0.0.0:0 ", Endpoint("0.0.0.0", 0)),
        ("[::1]:2525", Endpoint("::1", 2525)),
        ("[2001:DB8::1]:65535", Endpoint("2001:DB8::1", 65_535)),
        ("[fe80::1%eth0]:25", Endpoint("fe80::1%eth0", 25)),
        ("Mail.Example.org:587", Endpoint("mail.example.org", 587)),
        ("邮件.例子:25", Endpoint("邮件.例子", 25)),
        ("unix:/run/lmtp.sock", Endpoint("/run/lmtp.sock")),
    ],
)
def test_an_endpoint_is_read(text: str, endpoint: Endpoint) -> None:
    assert Endpoint.parse(text) == endpoint
    if not endpoint.is_path:
        assert Endpoint.parse(str(endpoint)) == endpoint


def test_the_port_may_have_a_default() -> None:
    assert Endpoint.parse("localhost", default_port=25) == Endpoint("localhost", 25)
    assert Endpoint.parse("[::1]", default_port=25) == Endpoint("::1", 25)
    assert Endpoint.parse("localhost:26", default_port=25) == Endpoint("localhost", 26)


@pytest.mark.parametrize(
    "text",
    ["", "localhost", "127.0.0.1", ":25", "a:65536", "a:-1", "a:2_5", "a:٢٥", "a b:25", "::1:25", "[::1", "[::1]",
     "[::g]:25", "[1.2.3]:25", "[fe80::1%]:25", "u@a:25", "a:25/", "a?b:25", "unix:", "unix:relative",
     "/run/sock", "a:25\x00"],
)  # fmt: skip
def test_what_is_no_endpoint_says_how_to_write_one(text: str) -> None:
    with pytest.raises(SettingError) as caught:
        Endpoint.parse(text)
    assert caught.value.where == text.strip()
    assert caught.value.remedy


@pytest.mark.parametrize("host", ["127.0.0.1", "::1", "::ffff:192.0.2.1", "fe80::1%eth0"])
def test_an_address(host: str) -> None:
    assert Endpoint(host, 25).is_address


@pytest.mark.parametrize("host", ["", "localhost", "127.1", "256.0.0.1", "::g", "127.0.0.1%eth0", "/run/sock", "a\x00"])
def test_no_address(host: str) -> None:
    assert not Endpoint(host, 25).is_address
