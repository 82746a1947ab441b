"""Encodings are exact, and their lines are short (RFC 2045 §6.7, §6.8; RFC 2047 §2; RFC 2231)."""

from __future__ import annotations

import base64
import quopri
import re
from email.header import decode_header, make_header
from email.message import EmailMessage
from email.parser import BytesParser
from email.policy import default

from hypothesis import given, settings
from hypothesis import strategies as st

from posthouse.message.encode import base64_body, encoded_words, fold, parameter, quoted_printable

tricky = st.lists(
    st.sampled_from([b"\r\n", b"\r", b"\n", b" ", b"\t", b"=", b".", b"a" * 75, b"a" * 76, b"\xff", b"\x00", b"From "])
).map(b"".join)


@given(st.one_of(st.binary(max_size=300), tricky))
@settings(deadline=None)
def test_quoted_printable_is_exact(data: bytes) -> None:
    encoded = quoted_printable(data)
    assert encoded.isascii()
    lines = encoded.split(b"\r\n")
    assert all(len(line) <= 76 for line in lines)
    assert all(not line.endswith((b" ", b"\t")) for line in lines)
    assert re.fullmatch(rb"(?:[!-<>-~ \t]|=[0-9A-F]{2}|=\r\n|\r\n)*", encoded)
    # The library undoes soft breaks and escapes; a line end between is CRLF, as in what went in.
    assert quopri.decodestring(encoded) == data


@given(st.binary(max_size=400))
@settings(deadline=None)
def test_base64_is_exact(data: bytes) -> None:
    encoded = base64_body(data)
    assert base64.b64decode(encoded) == data
    assert all(len(line) <= 76 for line in encoded.split(b"\r\n"))


# Everything that can be encoded in UTF-8.
texts = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=120)


@given(texts)
@settings(deadline=None)
def test_encoded_words_are_exact(text: str) -> None:
    words = encoded_words(text)
    assert all(re.fullmatch(r"=\?utf-8\?[bq]\?[!->@-~]+\?=", word) for word in words)
    assert all(len(word) <= 75 for word in words)
    assert "".join(str(make_header(decode_header(word))) for word in words) == text
    assert str(make_header(decode_header("\n ".join(words)))) == text


def test_a_character_is_never_split_and_the_shorter_encoding_is_taken() -> None:
    assert encoded_words("Grüße aus dem Haus")[0].startswith("=?utf-8?q?Gr=C3=BC=C3=9Fe_aus_dem_Haus?=")
    assert all(word.startswith("=?utf-8?b?") for word in encoded_words("驿站" * 50))
    for word in encoded_words("驿" * 200) + encoded_words("a" * 200 + "é"):
        ((octets, charset),) = decode_header(word)
        octets.decode(charset)


def test_fold_breaks_before_78() -> None:
    raw = fold("To", [f"<recipient{number}@example.org>," for number in range(20)])
    assert raw.startswith(b"To: <recipient0@example.org>, <recipient1")
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    assert all(line.startswith(b" ") for line in raw.split(b"\r\n")[1:-1])
    long = b"X: " + b"y" * 200 + b"\r\n z\r\n"
    assert fold("X", ["y" * 200, "z"]) == long


@given(st.text(st.characters(exclude_categories=["Cs", "Cc", "Zl", "Zp"]), min_size=1, max_size=120))
@settings(deadline=None)
def test_parameters_come_back(name: str) -> None:
    raw = b"Content-Type: text/plain\r\n" + fold("Content-Disposition", ["attachment;", *parameter("filename", name)])
    assert raw.isascii()
    assert all(len(line) <= 78 for line in raw.split(b"\r\n"))
    message = BytesParser(EmailMessage, policy=default).parsebytes(raw + b"\r\nx\r\n")
    # The library's reader strips the name.
    assert message.get_filename() == name.strip()
