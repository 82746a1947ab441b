"""SCRAM: the RFCs' own examples, both roles against each other, and each way to cheat."""

from __future__ import annotations

import base64
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from posthouse.core import LocalError, RemoteError
from posthouse.protocol.sasl import (
    Authenticated,
    ChannelBinding,
    Denied,
    Exchange,
    FindKeys,
    NotPrepared,
    Say,
    derive_keys,
    prepare,
    read_keys,
    write_keys,
)
from posthouse.protocol.sasl.scram import scram_client, scram_server

from .sasl_play import Store, advance, play

STORE = Store({"user": "pencil", "任平": "驿站", "u,=": "a,b=c"})
END_POINT = ChannelBinding("tls-server-end-point", b"\x01" * 32)


def server(
    initial: bytes | None,
    *,
    hash_name: str = "sha256",
    nonce: str = "S3rver",
    bindings: Mapping[str, bytes] | None = None,
    plus: bool = False,
    offers_plus: bool = False,
) -> Exchange:
    return scram_server(
        hash_name,
        initial,
        nonce,
        decoy_secret=b"secret",
        bindings=bindings or {},
        plus=plus,
        offers_plus=offers_plus,
    )


@pytest.mark.parametrize(
    ("hash_name", "nonce", "theirs", "salt", "final", "proof"),
    [
        (
            "sha1",
            "fyko+d2lbbFgONRv9qkxdawL",
            "3rfcNHYJY1ZVvWVs7j",
            "QSXCR+Q6sek8bf92",
            "c=biws,r=fyko+d2lbbFgONRv9qkxdawL3rfcNHYJY1ZVvWVs7j,p=v0X8v3Bz2T0CJGbJQyF0X+HI4Ts=",
            "v=rmF9pqV8S7suAoZWja4dJRkFsKQ=",
        ),
        (
            "sha256",
            "rOprNGfwEbeRWgbNEkqO",
            "%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0",
            "W22ZaJ0SNY7soEsUEjb6gQ==",
            "c=biws,r=rOprNGfwEbeRWgbNEkqO%hvYDpWUa2RaTCAfuxFIlj)hNlF$k0,p=dHzbZapWIk4jUhN+Ute9ytag9zjfMHgsqmmiz7AndVQ=",
            "v=6rriTRBi23WpRR/wtup+mMhUZUn/dB5nLTJRsjl95G4=",
        ),
    ],
)
def test_the_examples_of_rfc_5802_and_7677(
    hash_name: str, nonce: str, theirs: str, salt: str, final: str, proof: str
) -> None:
    first = f"n,,n=user,r={nonce}".encode()
    server_first = f"r={nonce}{theirs},s={salt},i=4096".encode()
    client = scram_client(hash_name, "user", "pencil", nonce)
    assert advance(client, None, STORE) == Say(first)
    assert advance(client, server_first, STORE) == Say(final.encode())
    assert advance(client, proof.encode(), STORE) == Say(b"")
    assert advance(client, None, STORE) is None

    served = server(first, hash_name=hash_name, nonce=theirs)
    question = next(served)
    assert question == FindKeys("user", hash_name)
    assert served.send(derive_keys("pencil", base64.b64decode(salt), 4096, hash_name)) == Say(server_first)
    assert served.send(final.encode()) == Say(proof.encode())
    assert advance(served, b"", STORE) == Authenticated("user", "SCRAM-SHA-" + hash_name[3:])


@pytest.mark.parametrize("hash_name", ["sha1", "sha256"])
@pytest.mark.parametrize("initial", [True, False])
@pytest.mark.parametrize("user", ["user", "任平", "u,="])
def test_both_roles_agree(hash_name: str, initial: bool, user: str) -> None:
    client = scram_client(hash_name, user, STORE.passwords[user], "cl1ent")
    played = play(client, lambda first: server(first, hash_name=hash_name), STORE, initial=initial)
    assert played.outcome == Authenticated(user, "SCRAM-SHA-" + hash_name[3:])
    assert played.done


def test_a_bound_channel_is_proved() -> None:
    bindings = {END_POINT.kind: END_POINT.data}
    client = scram_client("sha256", "user", "pencil", "c", binding=END_POINT, plus=True)
    played = play(client, lambda first: server(first, bindings=bindings, plus=True), STORE)
    assert played.outcome == Authenticated("user", "SCRAM-SHA-256-PLUS")


def test_another_channel_is_noticed() -> None:
    client = scram_client("sha256", "user", "pencil", "c", binding=END_POINT, plus=True)
    first = advance(client, None, STORE)
    assert isinstance(first, Say)
    served = server(first.data, bindings={END_POINT.kind: b"\x02" * 32}, plus=True)
    challenge = advance(served, None, STORE)
    assert isinstance(challenge, Say)
    final = advance(client, challenge.data, STORE)
    assert isinstance(final, Say)
    outcome = advance(served, final.data, STORE)
    assert isinstance(outcome, Denied)
    assert "another channel" in outcome.reason


def test_a_list_of_mechanisms_changed_on_its_way_is_noticed() -> None:
    """The client could bind and saw no -PLUS (``y``), though it was offered: RFC 5802 §6."""
    client = scram_client("sha256", "user", "pencil", "c", binding=END_POINT)
    first = advance(client, None, STORE)
    assert isinstance(first, Say)
    assert first.data is not None
    assert first.data.startswith(b"y,,")
    outcome = advance(server(first.data, offers_plus=True), None, STORE)
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 535
    # Where -PLUS is switched off, the same client logs in.
    again = scram_client("sha256", "user", "pencil", "c", binding=END_POINT)
    assert play(again, server, STORE).outcome == Authenticated("user", "SCRAM-SHA-256")


@pytest.mark.parametrize("binding", ["tls-unique", "tls-exporter"])
def test_a_binding_that_the_channel_does_not_have_is_refused(binding: str) -> None:
    first = f"p={binding},,n=user,r=c".encode()
    outcome = advance(server(first, bindings={END_POINT.kind: END_POINT.data}, plus=True), None, STORE)
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 501


@pytest.mark.parametrize(("user", "password"), [("user", "pencils"), ("nobody", "pencil")])
def test_wrong_password_and_unknown_account_look_the_same(user: str, password: str) -> None:
    answers = []
    for _ in range(2):
        client = scram_client("sha256", user, password, "c")
        first = advance(client, None, STORE)
        assert isinstance(first, Say)
        served = server(first.data)
        challenge = advance(served, None, STORE)
        assert isinstance(challenge, Say), "an unknown account gets a challenge like any other"
        answers.append(challenge.data)
        final = advance(client, challenge.data, STORE)
        assert isinstance(final, Say)
        outcome = advance(served, final.data, STORE)
        assert isinstance(outcome, Denied)
        assert outcome.reply.code == 535
        assert outcome.user == user
    assert answers[0] == answers[1], "a salt that changes would tell that the account does not exist"


def test_the_client_notices_a_server_that_does_not_know_the_password() -> None:
    client = scram_client("sha256", "user", "pencil", "c")
    advance(client, None, STORE)
    advance(client, b"r=cS,s=QSXCR+Q6sek8bf92,i=4096", STORE)
    with pytest.raises(RemoteError, match="did not prove"):
        advance(client, b"v=" + base64.b64encode(bytes(32)), STORE)


def test_success_without_the_servers_proof_is_no_success() -> None:
    client = scram_client("sha256", "user", "pencil", "c")
    advance(client, None, STORE)
    advance(client, b"r=cS,s=QSXCR+Q6sek8bf92,i=4096", STORE)
    with pytest.raises(RemoteError, match="did not prove"):
        advance(client, None, STORE)


@pytest.mark.parametrize(
    "challenge",
    [
        b"",
        b"r=other,s=QSXCR+Q6sek8bf92,i=4096",  # does not begin with our nonce
        b"r=c,s=QSXCR+Q6sek8bf92,i=4096",  # adds nothing to it
        b"r=cS,s=QSXCR+Q6sek8bf92,i=1",  # cheap to guess afterwards
        b"r=cS,s=QSXCR+Q6sek8bf92,i=4000000000",  # would keep us busy for an hour
        b"r=cS,s=====,i=4096",
        b"m=x,r=cS,s=QSXCR+Q6sek8bf92,i=4096",  # an extension that must be understood
        b"r=cS\xff,s=QSXCR+Q6sek8bf92,i=4096",
    ],
)
def test_a_bad_first_message_of_the_server_ends_it(challenge: bytes) -> None:
    client = scram_client("sha256", "user", "pencil", "c")
    advance(client, None, STORE)
    with pytest.raises(RemoteError):
        advance(client, challenge, STORE)


@pytest.mark.parametrize(
    "first",
    [
        b"",
        b"n,,n=,r=c",
        b"n,,n=user,r=",
        b"n,,n=us=er,r=c",
        b"n,,n=user,r=a b",
        b"n,,m=x,n=user,r=c",
        b"x,,n=user,r=c",
        b"n,n=user,r=c",
        b"p=,,n=user,r=c",
        b"p=tls-server-end-point,,n=user,r=c",  # bound, without -PLUS
        b"n,,n=\xff,r=c",
        b"n,a=,n=user,r=c",
        b"n" * 5000,
    ],
)
def test_a_bad_first_message_of_the_client_is_501(first: bytes) -> None:
    outcome = advance(server(first), None, STORE)
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 501


@pytest.mark.parametrize("final", [b"", b"c=biws,r=cS3rver", b"c=biws,r=cS3rver,p=AAAA", b"c=biws,r=cS3rver,p=!"])
def test_a_bad_final_message_of_the_client_is_501(final: bytes) -> None:
    served = server(b"n,,n=user,r=c")
    advance(served, None, STORE)
    outcome = advance(served, final, STORE)
    assert isinstance(outcome, Denied)
    assert outcome.reply.code == 501


def test_acting_as_another_is_refused_and_as_oneself_taken() -> None:
    other = play_first("n,a=boss,n=user,r=c")
    assert isinstance(other, Denied)
    assert other.reply.code == 535
    assert play(scram_client("sha256", "user", "pencil", "c", authzid="user"), server, STORE).outcome == Authenticated(
        "user", "SCRAM-SHA-256"
    )


def play_first(_: str) -> Authenticated | Denied:
    client = scram_client("sha256", "user", "pencil", "c", authzid="boss")
    first = advance(client, None, STORE)
    assert isinstance(first, Say)
    served = server(first.data)
    challenge = advance(served, None, STORE)
    assert isinstance(challenge, Say)
    final = advance(client, challenge.data, STORE)
    assert isinstance(final, Say)
    outcome = advance(served, final.data, STORE)
    assert isinstance(outcome, Authenticated | Denied)
    return outcome


def test_plus_without_a_binding_is_a_mistake_of_the_caller() -> None:
    with pytest.raises(LocalError, match="only TLS"):
        next(scram_client("sha256", "user", "pencil", "c", plus=True))


def test_keys_survive_their_text() -> None:
    keys = derive_keys("pencil", b"salt", 5000)
    text = write_keys(keys)
    assert text.startswith("SCRAM-SHA-256$5000:c2FsdA==$")
    assert "pencil" not in text
    assert read_keys(text) == keys


@pytest.mark.parametrize(
    "text",
    [
        "",
        "SCRAM-SHA-256$0:c2FsdA==$AAAA:AAAA",
        "SCRAM-SHA-256$4096:c2FsdA==$AAAA:AAAA",
        "SCRAM-MD5$4096:c2FsdA==$AAAA:AAAA",
        "secret",
    ],
)
def test_keys_that_are_none_are_refused_and_not_quoted(text: str) -> None:
    with pytest.raises(ValueError, match=r"SCRAM|salt") as caught:
        read_keys(text)
    assert not text or text not in str(caught.value)


@given(st.text(max_size=20))
def test_what_can_be_stored_can_be_used(password: str) -> None:
    """Preparation at both ends agrees: whatever ``derive_keys`` takes, the same text logs in with."""
    try:
        derive_keys(password, b"s", 1)
    except NotPrepared:
        return
    assert prepare(prepare(password)) == prepare(password)
