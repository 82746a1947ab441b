"""The signed messages that RFC 6376 (appendix A) and RFC 8463 (appendix A) print, with their keys."""

from __future__ import annotations

import base64

import pytest

from posthouse.mailauth import DkimKey, answer, sign_dkim, verify_dkim
from posthouse.mailauth.dkim import Canonicalization, DkimResult, HeaderSection
from posthouse.message.headers import split

MESSAGE = b"""\
From: Joe SixPack <joe@football.example.com>
To: Suzie Q <suzie@shopping.example.net>
Subject: Is dinner ready?
Date: Fri, 11 Jul 2003 21:00:37 -0700 (PDT)
Message-ID: <20030712040037.46341.5F8J@football.example.com>

Hi.

We lost the game. Are you hungry yet?

Joe.
"""

# RFC 6376 figure 2 and appendix C.  Simple canonicalization keeps white space, which is taken from RFC 4871 (A.2) with
# the same message and signature: RFC 6376 prints other indentations, and two spaces behind a full stop.
SIMPLE = b"""\
DKIM-Signature: v=1; a=rsa-sha256; s=brisbane; d=example.com;
      c=simple/simple; q=dns/txt; i=joe@football.example.com;
      h=Received : From : To : Subject : Date : Message-ID;
      bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
      b=AuUoFEfDxTDkHlLXSZEpZj79LICEps6eda7W3deTVFOk4yAUoqOB
      4nujc7YopdG5dWLSdNg6xNAZpOPr+kHxt1IrE+NahM6L/LbvaHut
      KVdkLLkpVaVVQPzeRDI009SO2Il5Lu7rDNH6mZckBdrIx0orEtZV
      4bmp/YzhwvcubU4=;
Received: from client1.football.example.com  [192.0.2.1]
      by submitserver.example.com with SUBMISSION;
      Fri, 11 Jul 2003 21:01:54 -0700 (PDT)
"""
SIMPLE_KEY = (
    "v=DKIM1; p="
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDwIRP/UC3SBsEmGqZ9ZJW3/DkMoGeLnQg1fWn7/zYtIxN2SnFCjxOCKG9v3b4jYfcTN"
    "h5ijSsq631uBItLa7od+v/RtdC2UzJ1lWT947qR+Rcac2gbto/NMqJ0fzfVjH4OuKhitdY9tf6mcwGjaNBcWToIMmPSPDdQPNUYckcQ2QIDAQAB"
)

# RFC 8463 appendix A.
ED25519_SEED = "nWGxne/9WmC6hEr0kuwsxERJxWl7MmkZcDusAxyuf2A="
RSA_PRIVATE = """\
-----BEGIN RSA PRIVATE KEY-----
MIICXQIBAAKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQi
Y/J16JYi0Qvx/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqM
KrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB
AoGAH0cxOhFZDgzXWhDhnAJDw5s4roOXN4OhjiXa8W7Y3rhX3FJqmJSPuC8N9vQm
6SVbaLAE4SG5mLMueHlh4KXffEpuLEiNp9Ss3O4YfLiQpbRqE7Tm5SxKjvvQoZZe
zHorimOaChRL2it47iuWxzxSiRMv4c+j70GiWdxXnxe4UoECQQDzJB/0U58W7RZy
6enGVj2kWF732CoWFZWzi1FicudrBFoy63QwcowpoCazKtvZGMNlPWnC7x/6o8Gc
uSe0ga2xAkEA8C7PipPm1/1fTRQvj1o/dDmZp243044ZNyxjg+/OPN0oWCbXIGxy
WvmZbXriOWoSALJTjExEgraHEgnXssuk7QJBALl5ICsYMu6hMxO73gnfNayNgPxd
WFV6Z7ULnKyV7HSVYF0hgYOHjeYe9gaMtiJYoo0zGN+L3AAtNP9huqkWlzECQE1a
licIeVlo1e+qJ6Mgqr0Q7Aa7falZ448ccbSFYEPD6oFxiOl9Y9se9iYHZKKfIcst
o7DUw1/hz2Ck4N5JrgUCQQCyKveNvjzkkd8HjYs0SwM0fPjK16//5qDZ2UiDGnOe
uEzxBDAr518Z8VFbR41in3W4Y3yCDgQlLlcETrS+zYcL
-----END RSA PRIVATE KEY-----
"""
ED25519_KEY = "v=DKIM1; k=ed25519; p=11qYAYKxCrfVS/7TyWQHOg7hcvPapiMlrwIaaPcHURo="
RSA_KEY = (
    "v=DKIM1; k=rsa; p="
    "MIGfMA0GCSqGSIb3DQEBAQUAA4GNADCBiQKBgQDkHlOQoBTzWRiGs5V6NpP3idY6Wk08a5qhdR6wy5bdOKb2jLQiY/J16JYi0Qv"
    "x/byYzCNb3W91y3FutACDfzwQ/BC/e/8uBsCR+yz1Lxj+PL6lHvqMKrM3rG4hstT5QjvHO9PzoxZyVYLzBfO2EeC3Ip3G+2kryOTIKT+l/K4w3QIDAQAB"
)
BOTH = b"""\
DKIM-Signature: v=1; a=ed25519-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=brisbane; t=1528637909; h=from : to :
 subject : date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11Bus
 Fa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw==
DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed;
 d=football.example.com; i=@football.example.com;
 q=dns/txt; s=test; t=1528637909; h=from : to : subject :
 date : message-id : from : subject : date;
 bh=2jUSOH9NhtVGCQWNr9BrIAPreKQjO6Sn7XIkfJVOzv8=;
 b=F45dVWDfMbQDGHJFlXUNB2HKfbCeLRyhDXgFpEL8GwpsRe0IeIixNTe3
 DhCVlUrSjV4BwcVcOF6+FF3Zo9Rpo1tFOeS9mPYQTnGdaSGsgeefOsk2Jz
 dA+L10TeYt9BgDfQNZtKdN1WO//KgIqXP7OdEFE4LjFYNcUxZQ4FADY+8=
"""
ZONE = {
    "brisbane._domainkey.example.com": {"TXT": [SIMPLE_KEY]},
    "brisbane._domainkey.football.example.com": {"TXT": [ED25519_KEY]},
    "test._domainkey.football.example.com": {"TXT": [RSA_KEY]},
}


def judged(message: bytes) -> DkimResult:
    return answer(verify_dkim(message.replace(b"\n", b"\r\n"), now=1_600_000_000), ZONE)


def test_rfc_6376() -> None:
    found = judged(SIMPLE + MESSAGE)
    assert found.result == "pass"
    (only,) = found.signatures
    assert (only.domain, only.selector, only.identity) == ("example.com", "brisbane", "joe@football.example.com")
    assert (only.algorithm, only.key_bits) == ("rsa-sha256", 1024)
    assert only.fields == ("received", "from", "to", "subject", "date", "message-id")
    assert found.domains == ("example.com",)


def test_rfc_8463() -> None:
    found = judged(BOTH + MESSAGE)
    assert found.result == "pass"
    assert [each.result for each in found.signatures] == ["pass", "pass"]
    assert [(each.selector, each.key_bits) for each in found.signatures] == [("brisbane", 256), ("test", 1024)]
    assert found.signatures[0].time == 1_528_637_909
    assert found.domains == ("football.example.com",)


@pytest.mark.parametrize("at", range(0, len(MESSAGE), 7))
def test_a_changed_message_fails(at: int) -> None:
    """Each seventh octet of the message in turn is changed."""
    changed = bytearray(MESSAGE)
    changed[at] = ord("!") if changed[at] != ord("\n") else ord("?")
    found = judged(BOTH + bytes(changed))
    assert [each.result for each in found.signatures] == ["fail", "fail"], changed[at - 5 : at + 5]


def test_ed25519_is_deterministic() -> None:
    """The same key and the same field give the signature that RFC 8463 prints."""
    key = DkimKey.from_pem("football.example.com", "brisbane", ED25519_SEED)
    assert key.record() == ED25519_KEY
    section = HeaderSection(split((BOTH + MESSAGE).replace(b"\n", b"\r\n")))
    names = b"from to subject date message-id from subject date".split()
    octets = section.signed_octets(names, Canonicalization.RELAXED, section.fields[0].raw, own=0)
    expected = b"/gCrinpcQOoIfuHNQIbq4pgh9kyIK3AQUdt9OdqQehSwhEIug4D11BusFa3bT3FY5OsU7ZbnKELq+eXdp1Q1Dw=="
    assert base64.b64encode(key.sign(octets)) == expected


def test_the_keys_of_the_rfc_sign_again() -> None:
    message = MESSAGE.replace(b"\n", b"\r\n")
    keys = [
        DkimKey.from_pem("football.example.com", "brisbane", ED25519_SEED),
        DkimKey.from_pem("football.example.com", "test", RSA_PRIVATE),
    ]
    assert keys[1].record() == RSA_KEY
    found = answer(verify_dkim(sign_dkim(message, keys) + message), ZONE)
    assert [each.result for each in found.signatures] == ["pass", "pass"]
