"""Targets of the secured side on inputs that hypothesis makes: TLS records in both roles, SASL messages in both roles.

``fuzz.logins`` has the properties.
"""

from __future__ import annotations

from fuzz.logins import sasl_client, sasl_server, tls
from hypothesis import given
from hypothesis import strategies as st

#: What happens to the records of one turn: passed on, cut, altered, injected, left out, ended, closed.
TURNS = st.lists(st.tuples(st.sampled_from([0, 0x80, 0x80, 0x80, 1, 2, 3, 4, 5, 6]), st.integers(0, 15)), max_size=50)
MESSAGES = st.lists(
    st.one_of(
        st.binary(max_size=40),
        st.sampled_from(
            [
                b"n,,n=ann,r=abc",
                b"y,a=bob,n=ann,r=abc",
                b"p=tls-server-end-point,,n=ann,r=abc",
                b"c=biws,r=abcfuzz,p=AAAA",
                b"r=fuzzabc,s=QUJD,i=4096",
                b"e=other-error",
                b"v=AAAA",
                b"\0ann\0x",
                b"n,a=ann,\1auth=Bearer x\1\1",
                b"",
            ]
        ),
    ),
    max_size=5,
)


@given(TURNS)
def test_tls_records_in_both_roles(turns: list[tuple[int, int]]) -> None:
    tls(bytes((kind << 4 | detail) & 0xFF if kind < 16 else kind | detail for kind, detail in turns))


@given(st.integers(0, 255), MESSAGES)
def test_sasl_messages_in_both_roles(choice: int, messages: list[bytes]) -> None:
    data = bytes([choice]) + b"".join(bytes([len(each)]) + each for each in messages)
    sasl_server(data)
    sasl_client(data)
