"""The PROXY header, XCLIENT and XFORWARD: what is read from them, in pieces of any size, and what is refused."""

from __future__ import annotations

import contextlib
import ipaddress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import Reply
from posthouse.protocol import AuthResponse, Limits, Offer, Pause, Receiver, Refused
from posthouse.protocol.commands import Greet
from posthouse.protocol.proxies import XCLIENT, XFORWARD, Forwarding, ProxyHeader, ProxyHeaderError, ProxyHeaderReader

SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
V4 = ProxyHeader("192.0.2.1", 5000, "192.0.2.2", 465)
V6 = ProxyHeader("2001:db8::1", 5000, "2001:db8::2", 25)


def line(*words: str) -> bytes:
    return " ".join(("PROXY", *words)).encode() + b"\r\n"


def block(command: int, family: int, body: bytes, size: int | None = None) -> bytes:
    return SIGNATURE + bytes((command, family)) + (len(body) if size is None else size).to_bytes(2, "big") + body


def addresses(header: ProxyHeader) -> bytes:
    source, destination = ipaddress.ip_address(header.host), ipaddress.ip_address(header.local_host)
    ports = header.port.to_bytes(2, "big") + header.local_port.to_bytes(2, "big")
    return source.packed + destination.packed + ports


def tlv(kind: int, value: bytes) -> bytes:
    return bytes((kind,)) + len(value).to_bytes(2, "big") + value


def read(*pieces: bytes) -> tuple[ProxyHeader | None, bytes]:
    """The header, and what follows it, of octets that arrive in these pieces."""
    reader = ProxyHeaderReader()
    for number, piece in enumerate(pieces):
        header = reader.receive(piece)
        if header is not None:
            return header, reader.rest + b"".join(pieces[number + 1 :])
    return None, b""


RIGHT = {
    "v1 TCP4": (line("TCP4", "192.0.2.1", "192.0.2.2", "5000", "465"), V4),
    "v1 TCP6": (line("TCP6", "2001:DB8:0:0::1", "2001:db8::2", "5000", "25"), V6),
    "v1 mapped": (line("TCP6", "::ffff:192.0.2.1", "::ffff:192.0.2.2", "5000", "465"), V4),
    "v1 UNKNOWN": (line("UNKNOWN"), ProxyHeader()),
    "v1 UNKNOWN with anything": (line("UNKNOWN", "ffff::", "\tx", "0"), ProxyHeader()),
    "v1 longest": (line("UNKNOWN", "x" * 91), ProxyHeader()),
    "v2 TCP4": (block(0x21, 0x11, addresses(V4)), V4),
    "v2 TCP6": (block(0x21, 0x21, addresses(V6)), V6),
    "v2 mapped": (
        block(0x21, 0x21, b"\0" * 10 + b"\xff\xff\xc0\0\2\1" + b"\0" * 10 + b"\xff\xff\xc0\0\2\2\x13\x88\1\xd1"),
        V4,
    ),
    "v2 fields": (block(0x21, 0x11, addresses(V4) + tlv(4, b"") + tlv(0xE0, b"x" * 300)), V4),
    "v2 LOCAL": (block(0x20, 0x00, b""), ProxyHeader()),
    "v2 LOCAL with addresses": (block(0x20, 0x11, addresses(V4)), ProxyHeader()),
    "v2 LOCAL with 12 octets of anything": (block(0x20, 0xFF, b"\xff" * 12), ProxyHeader()),
    "v2 UNSPEC": (block(0x21, 0x00, b"anything"), ProxyHeader()),
    "v2 unix": (block(0x21, 0x31, b"\0" * 216), ProxyHeader()),
    "v2 UDP": (block(0x21, 0x12, addresses(V4)), ProxyHeader()),
}


@pytest.mark.parametrize("name", RIGHT)
def test_a_header_is_read_whole_and_octet_by_octet_and_nothing_behind_it_is_lost(name: str) -> None:
    wire, header = RIGHT[name]
    behind = b"\x16\x03\x01\x02\x00hello"
    assert read(wire + behind) == (header, behind)
    octets = wire + behind
    assert read(*(octets[i : i + 1] for i in range(len(octets)))) == (header, behind)
    for cut in range(len(wire)):
        assert read(wire[:cut]) == (None, b"")


WRONG = {
    "SMTP": b"EHLO client.example\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01",
    "lower case": b"proxy TCP4 192.0.2.1 192.0.2.2 5000 465\r\n",
    "two spaces": line("TCP4", "", "192.0.2.1", "192.0.2.2", "5000", "465"),
    "LF alone": b"PROXY UNKNOWN\n",
    "CR within": b"PROXY UNKNOWN \r x\r\n",
    "no end": b"PROXY UNKNOWN " + b"x" * 200,
    "108 octets": line("UNKNOWN", "x" * 92),
    "leading zero": line("TCP4", "192.0.2.01", "192.0.2.2", "5000", "465"),
    "port with zero": line("TCP4", "192.0.2.1", "192.0.2.2", "05000", "465"),
    "port too large": line("TCP4", "192.0.2.1", "192.0.2.2", "65536", "465"),
    "no port": line("TCP4", "192.0.2.1", "192.0.2.2", "5000"),
    "other family": line("TCP4", "2001:db8::1", "2001:db8::2", "5000", "465"),
    "zone": line("TCP6", "fe80::1%eth0", "fe80::2", "5000", "465"),
    "UDP4": line("UDP4", "192.0.2.1", "192.0.2.2", "5000", "465"),
    "more words": line("TCP4", "192.0.2.1", "192.0.2.2", "5000", "465", "x"),
    "v3": block(0x31, 0x11, addresses(V4)),
    "other command": block(0x22, 0x11, addresses(V4)),
    "other family in v2": block(0x21, 0x41, addresses(V4)),
    "other transport": block(0x21, 0x13, addresses(V4)),
    "too short": block(0x21, 0x11, addresses(V4)[:-1]),
    "too long": block(0x21, 0x11, addresses(V4), size=20_000),
    "field beyond the end": block(0x21, 0x11, addresses(V4) + b"\x04\x00\x09x"),
    "half a field": block(0x21, 0x11, addresses(V4) + b"\x04\x00"),
    "wrong signature": b"\r\n\r\n\x00\r\nQUIT\r\n",
}


@pytest.mark.parametrize("name", WRONG)
def test_what_is_no_header_is_an_error(name: str) -> None:
    wire = WRONG[name]
    with pytest.raises(ProxyHeaderError):
        read(wire)
    with pytest.raises(ProxyHeaderError):
        read(*(wire[i : i + 1] for i in range(len(wire))))


@given(st.binary(max_size=300), st.sampled_from([b"", b"PROXY ", b"PROXY TCP4 ", SIGNATURE, SIGNATURE + b"\x21\x11"]))
def test_any_octets_give_a_header_an_error_or_a_wait(octets: bytes, start: bytes) -> None:
    with contextlib.suppress(ProxyHeaderError):
        header, rest = read(start + octets)
        assert header is not None or rest == b""


@given(
    st.ip_addresses(v=4) | st.ip_addresses(v=6),
    st.integers(0, 65_535),
    st.binary(max_size=40),
    st.lists(st.integers(0, 200), max_size=6),
)
def test_addresses_come_out_as_they_went_in(address: object, port: int, behind: bytes, cuts: list[int]) -> None:
    host = str(address)
    kind = "TCP6" if ":" in host else "TCP4"
    mapped = ipaddress.ip_address(host)
    plain = getattr(mapped, "ipv4_mapped", None)
    expected = ProxyHeader(str(plain or mapped), port, str(plain or mapped), 25)
    for wire in (
        line(kind, host, host, str(port), "25"),
        block(0x21, 0x21 if kind == "TCP6" else 0x11, addresses(ProxyHeader(host, port, host, 25)) + tlv(4, b"pad")),
    ):
        octets = wire + behind
        places = sorted({min(cut, len(octets)) for cut in cuts})
        pieces = [octets[a:b] for a, b in zip([0, *places], [*places, len(octets)], strict=True)]
        assert read(*pieces) == (expected, behind)


# -- XCLIENT and XFORWARD ---------------------------------------------------------------------------------------------


def receiver(offer: Offer, state: bytes = b"EHLO filter.example\r\n") -> Receiver:
    made = Receiver(offer, limits=Limits())
    made.send(Reply(220, "", "hello"))
    if state:
        made.receive_data(state)
        made.next_event()
        made.send(Reply(250, "", "hello"))
    return made


LISTED = Offer(xclient=XCLIENT, xforward=XFORWARD)


def event(wire: bytes, offer: Offer = LISTED) -> object:
    made = receiver(offer)
    made.receive_data(wire)
    return made.next_event()


def test_attributes_are_decoded() -> None:
    assert event(
        b"XCLIENT NAME=spike.example addr=192.0.2.7 PORT=4000 PROTO=esmtp HELO=a+2Bb LOGIN=joe\r\n"
    ) == Forwarding(
        "XCLIENT",
        {"NAME": "spike.example", "ADDR": "192.0.2.7", "PORT": "4000", "PROTO": "ESMTP", "HELO": "a+b", "LOGIN": "joe"},
    )
    assert event(b"xclient ADDR=ipv6:2001:DB8::1 NAME=[unavailable] DESTADDR=IPV6:::1 DESTPORT=25\r\n") == Forwarding(
        "XCLIENT", {"ADDR": "2001:db8::1", "NAME": "", "DESTADDR": "::1", "DESTPORT": "25"}
    )
    assert event(b"XCLIENT ADDR=IPV6:::ffff:192.0.2.7 NAME=[TEMPUNAVAIL]\r\n") == Forwarding(
        "XCLIENT", {"ADDR": "192.0.2.7", "NAME": ""}
    )
    assert event(b"XFORWARD ADDR=not.an.address PROTO=UUCP SOURCE=LOCAL IDENT=4711\r\n") == Forwarding(
        "XFORWARD", {"ADDR": "not.an.address", "PROTO": "UUCP", "SOURCE": "LOCAL", "IDENT": "4711"}
    )


@pytest.mark.parametrize("verb", ["XCLIENT", "XFORWARD"])
def test_a_client_may_call_itself_what_helo_would_take_from_it(verb: str) -> None:
    assert event(f"{verb} HELO=+E7+8E+8B-PC\r\n".encode()) == Forwarding(verb, {"HELO": "王-PC"})
    assert event("HELO 王-PC\r\n".encode()) == Greet("HELO", "王-PC")


@pytest.mark.parametrize(
    "attributes",
    [
        "",
        " ADDR",
        " ADDR=",
        " =192.0.2.7",
        " ADDR=192.0.2.7 ADDR=192.0.2.8",
        " ADDR=192.0.2.7  PORT=1",
        " ADDR=192.0.2.300",
        " ADDR=mail.example",
        " ADDR=fe80::1%eth0",
        " PORT=65536",
        " PORT=-1",
        " DESTPORT=0x19",
        " PROTO=LMTPS",
        " HELO=a+0Ab",
        " HELO=a+20b",
        " HELO=a+2",
        " HELO=a+C3",
        " HELO=a+E2+80+AEb",
        " NAME=a+C3+A4",
        " HELO=" + "x" * 256,
        " SOURCE=LOCAL",
        " SHOE=42",
    ],
)
def test_a_malformed_xclient_ends_the_session(attributes: str) -> None:
    made = receiver(LISTED)
    made.receive_data(f"XCLIENT{attributes}\r\nMAIL FROM:<>\r\n".encode())
    refused = made.next_event()
    assert isinstance(refused, Refused)
    assert (refused.what, refused.reply.code, refused.fatal) == ("XCLIENT", 501, True)
    made.send(refused.reply)
    assert made.next_event() is Pause.CLOSED


@pytest.mark.parametrize("command", ["XCLIENT ADDR=192.0.2.7", "XFORWARD ADDR=192.0.2.7", "XCLIENT", "PROXY UNKNOWN"])
def test_a_peer_that_is_not_listed_gets_what_any_unknown_command_gets(command: str) -> None:
    refused = event(f"{command}\r\n".encode(), Offer())
    assert isinstance(refused, Refused)
    assert not refused.fatal
    assert refused == event(b"FOO\r\n", Offer())


def test_one_of_the_two_does_not_open_the_other() -> None:
    refused = event(b"XCLIENT ADDR=192.0.2.7\r\n", Offer(xforward=XFORWARD))
    assert isinstance(refused, Refused)
    assert refused.reply.code == 500


@pytest.mark.parametrize("verb", ["XCLIENT", "XFORWARD"])
def test_neither_may_come_within_a_transaction(verb: str) -> None:
    made = receiver(LISTED)
    made.receive_data(b"MAIL FROM:<>\r\n")
    made.next_event()
    made.send(Reply(250, "2.1.0", "ok"))
    made.receive_data(f"{verb} ADDR=192.0.2.7\r\n".encode())
    refused = made.next_event()
    assert isinstance(refused, Refused)
    assert (refused.reply.code, refused.fatal) == (503, False)


def test_both_may_come_before_ehlo() -> None:
    made = receiver(LISTED, state=b"")
    made.receive_data(b"XCLIENT ADDR=192.0.2.7\r\n")
    assert isinstance(made.next_event(), Forwarding)


# -- other protocols ---------------------------------------------------------------------------------------------------

HELLO = b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + bytes(range(32))
HTTP = [b"GET / HTTP/1.1\r\n", b"POST / HTTP/1.1\r\n", b"put /x HTTP/1.0\r\n", b"CONNECT a:25 HTTP/1.1\r\n"]
HTTP += [
    b"PRI * HTTP/2.0\r\n",
    b"GET / HTTP/1.0\n",
    b"GET\r\n",
    b"GET /" + b"x" * 9_000 + b" HTTP/1.1\r\n",
    b"OPTIONS *\r\n",
]
TLS = [
    HELLO,
    HELLO[:3],
    HELLO + b"\r\nMAIL FROM:<>\r\n",
    b"\x16\x03\x01\n",
    b"\x80\x2e\x01\x00\x02\x00\x15",
    b"\x16\x03\x00\r\n",
]


@pytest.mark.parametrize(("wire", "what"), [*((each, "HTTP") for each in HTTP), *((each, "TLS") for each in TLS)])
@pytest.mark.parametrize("pieces", ["whole", "octets"])
@pytest.mark.parametrize("state", [b"", b"EHLO c.example\r\n"])
def test_another_protocol_ends_the_session_at_its_first_line(wire: bytes, what: str, pieces: str, state: bytes) -> None:
    made = receiver(Offer(), state)
    found: object = Pause.NEED_DATA
    for start in range(0, len(wire), 1 if pieces == "octets" else len(wire)):
        made.receive_data(wire[start : start + (1 if pieces == "octets" else len(wire))])
        found = made.next_event()
        if found is not Pause.NEED_DATA:
            break
    assert isinstance(found, Refused)
    assert (found.what, found.reply.code, found.fatal) == (what, 554, True)
    made.send(found.reply)
    made.receive_data(b"Host: a\r\n\r\nEHLO a\r\nMAIL FROM:<>\r\n")
    assert made.next_event() is Pause.CLOSED


@pytest.mark.parametrize(
    "wire", [b"GETTING\r\n", b"POSTMASTER\r\n", b"\x16\r\n", "你好\r\n".encode(), b"H\r\n", b"\xff\xff\r\n"]
)
def test_what_is_no_other_protocol_is_an_unknown_command(wire: bytes) -> None:
    refused = event(wire, Offer())
    assert isinstance(refused, Refused)
    assert (refused.reply.code, refused.fatal) == (500, False)


def test_another_protocol_within_content_or_auth_is_no_command() -> None:
    made = receiver(Offer(auth=("PLAIN",)))
    made.receive_data(b"AUTH PLAIN\r\n")
    made.next_event()
    made.send(Reply(334, "", ""))
    made.receive_data(b"GET / HTTP/1.1\r\n")
    refused = made.next_event()
    assert isinstance(refused, Refused)
    assert (refused.what, refused.fatal) == ("AUTH", False)


def refused_in_order(made: Receiver, parts: list[bytes]) -> list[tuple[str, str, bool]]:
    """What is refused, with its reply; what is not refused is answered positively."""
    found = []
    for part in parts:
        made.receive_data(part)
        while not isinstance(happened := made.next_event(), Pause):
            if isinstance(happened, Refused):
                found.append((happened.what, str(happened.reply), happened.fatal))
                made.send(happened.reply)
            else:
                made.send(Reply(235, "2.7.0", "in") if isinstance(happened, AuthResponse) else Reply(334, "", ""))
    return found


@pytest.mark.parametrize(
    "wire",
    [
        b"GETTING\r\nPOSTMASTER x\r\n",  # GET may be the whole word, or a part of it
        b"GET\xf2\xf2",
        b"put\n\r\nPRI\rx\r\n",
        b"\x80\n\x01\x03\r\n",  # behind the bare LF is another line
        b"AUTH PLAIN\r\nPOST\r\nNOBODY\r\n",  # a response in base64, and a line after it
        b"AUTH PLAIN\r\n\x16\x03\x01\r\nNOBODY\r\n",
        b"X" * 600 + b"\r\nGETTING\r\n",
        b"GET " + b"x" * 600 + b"\r\n",
    ],
)
def test_what_is_another_protocol_does_not_depend_on_where_the_octets_are_cut(wire: bytes) -> None:
    def session(parts: list[bytes]) -> list[tuple[str, str, bool]]:
        return refused_in_order(receiver(Offer(auth=("PLAIN",))), parts)

    whole = session([wire])
    assert whole or wire.startswith(b"GET\xf2"), "a line that has not ended is neither refused nor another protocol"
    for place in range(1, len(wire)):
        assert session([wire[:place], wire[place:]]) == whole, place
    assert session([wire[each : each + 1] for each in range(len(wire))]) == whole


def test_a_line_without_end_that_is_another_protocol_is_named_so() -> None:
    refused = event(b"GET /" + b"x" * 70_000, Offer())
    assert isinstance(refused, Refused)
    assert (refused.what, refused.fatal) == ("HTTP", True)
