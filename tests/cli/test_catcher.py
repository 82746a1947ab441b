"""The catcher, ``posthouse run`` without a file, as programs meet it that insist on TLS and a password."""

from __future__ import annotations

import base64
import smtplib
import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from posthouse.cli import run as command
from posthouse.cli.sink import sink
from posthouse.core import SettingError
from posthouse.net import Endpoint
from posthouse.net.tls_engine import end_point_of
from posthouse.protocol.sasl import MECHANISMS, ChannelBinding, Credentials, DeriveKey, Say, client_exchange
from posthouse.service.accounts import read_logins
from posthouse.service.config_file import CATCHER, CATCHER_WITHOUT_TLS, default_config, load

from .children import PATIENCE, Child, running
from .test_processes import place

MESSAGE = "From: ann@example.org\r\nSubject: hello\r\n\r\nhi\r\n"
SECRET, TOKEN = "correct horse", "correct-horse-token"


def test_the_catcher_leaves_the_ports_of_the_tour_free() -> None:
    """README.md has the catcher, the example's daemon and the sink at one time; mail must not end in the wrong one."""
    example = Path(__file__).parents[2] / "examples" / "posthouse.toml"
    others = {each.bind for each in load(str(example)).listener}
    others.add(Endpoint.parse(next(each.default for each in sink.params if each.name == "bind")))
    assert others
    assert others.isdisjoint({Endpoint.parse(each) for each in (CATCHER, CATCHER_WITHOUT_TLS)})


@contextmanager
def catcher(home: Path, *options: str) -> Iterator[tuple[Child, int]]:
    """A catcher on a free port."""
    with running(home, "run", "--bind", "127.0.0.1:0", *options) as child:
        yield child, int(place(child).rpartition(":")[2])


def certificate(home: Path) -> str:
    return str(home / "posthouse-catcher" / "tls" / "self-signed.pem")


def said_nothing_secret(child: Child) -> None:
    said = "\n".join(child.out + child.err)
    for secret in (
        SECRET,
        TOKEN,
        base64.b64encode(SECRET.encode()).decode(),
        base64.b64encode(b"\0ann\0correct").decode(),
    ):
        assert secret not in said


def test_a_program_with_starttls_and_any_password_runs_unchanged(tmp_path: Path) -> None:
    with catcher(tmp_path) as (child, port):
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.starttls()
            client.login("ann", SECRET)
            assert client.sendmail("ann@example.org", ["bob@example.org"], MESSAGE) == {}
        child.line_with("accepted id=")
        said_nothing_secret(child)


def test_any_password_is_also_an_empty_one(tmp_path: Path) -> None:
    with catcher(tmp_path) as (child, port):
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
            with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
                client.starttls()
                client.ehlo()
                client.user, client.password = "ann", ""
                method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
                assert client.auth(mechanism, method)[0] == 235
            child.line_with("login source=")


def test_every_mechanism_that_can_be_taken_without_knowing_the_password_is(tmp_path: Path) -> None:
    with catcher(tmp_path) as (child, port):
        for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2", "OAUTHBEARER"):
            with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
                client.starttls()
                client.ehlo()
                assert mechanism in client.esmtp_features["auth"].split()
                assert "SCRAM" not in client.esmtp_features["auth"]
                client.user, client.password = "ann", SECRET
                if mechanism in ("PLAIN", "LOGIN", "CRAM-MD5"):
                    method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
                    code, _ = client.auth(mechanism, method)
                else:
                    token = f"user=ann\x01auth=Bearer {TOKEN}\x01\x01"
                    if mechanism == "OAUTHBEARER":
                        token = f"n,a=ann,\x01auth=Bearer {TOKEN}\x01\x01"
                    code, _ = client.docmd("AUTH", f"{mechanism} {base64.b64encode(token.encode()).decode()}")
                assert code == 235
                assert client.sendmail("ann@example.org", ["bob@example.org"], MESSAGE) == {}
            assert f"mechanism={mechanism}" in child.line_with("login source=")
        said_nothing_secret(child)


def scram(client: smtplib.SMTP, name: str, password: str) -> bool:
    """Log in as ann; whether the server took the password and has proved that it knows it."""
    assert isinstance(client.sock, ssl.SSLSocket)
    shown = client.sock.getpeercert(binary_form=True)
    assert shown is not None
    binding = ChannelBinding("tls-server-end-point", end_point_of(shown))
    exchange = client_exchange(MECHANISMS[name], Credentials("ann", password), nonce="n" * 24, binding=binding)
    command, step = f"AUTH {name} ", next(exchange)
    while True:
        if isinstance(step, DeriveKey):
            step = exchange.send(step.compute())
            continue
        assert isinstance(step, Say)
        code, text = client.docmd(command + base64.b64encode(step.data or b"").decode())
        if code != 334:
            return code == 235
        command, step = "", exchange.send(base64.b64decode(text))


@pytest.mark.parametrize("name", ["SCRAM-SHA-256-PLUS", "SCRAM-SHA-256", "SCRAM-SHA-1-PLUS", "SCRAM-SHA-1"])
def test_scram_is_offered_for_the_logins_of_a_file(tmp_path: Path, name: str) -> None:
    logins = tmp_path / "logins"
    logins.write_text(f"# who may\nann:{SECRET}:more\n\n")
    with catcher(tmp_path, "--logins", str(logins), "--mechanism", name, "--mechanism", "plain") as (child, port):
        for password in (f"{SECRET}:more", SECRET):
            with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
                client.starttls()
                client.ehlo()
                assert client.esmtp_features["auth"].split() == [name, "PLAIN"]
                assert scram(client, name, password) is (password != SECRET)
        said_nothing_secret(child)


def test_a_name_in_the_file_needs_its_password_and_others_any(tmp_path: Path) -> None:
    logins = tmp_path / "logins"
    logins.write_text(f"ann:{SECRET}\n")
    with catcher(tmp_path, "--logins", str(logins)) as (child, port):
        assert f"but for those in {logins}" in child.line_with("Any name with any password")
        for mechanism in ("CRAM-MD5", "PLAIN", "LOGIN"):
            for user, password, code in (("ann", SECRET, 235), ("bob", "anything", 235), ("ann", "anything", 535)):
                with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
                    client.starttls()
                    client.ehlo()
                    assert "SCRAM-SHA-256-PLUS" in client.esmtp_features["auth"].split()
                    client.user, client.password = user, password
                    method = getattr(client, "auth_" + mechanism.lower().replace("-", "_"))
                    if code == 235:
                        assert client.auth(mechanism, method)[0] == 235
                    else:
                        with pytest.raises(smtplib.SMTPAuthenticationError, match="535"):
                            client.auth(mechanism, method)
        said_nothing_secret(child)


@pytest.mark.parametrize(
    ("content", "cause"),
    [
        (None, "cannot be read"),
        (b"", "has no line"),
        (b"# x\nann\n", "line 2 is not name:password"),
        (b":secret\n", "line 1 "),
        (b"ann:s\x07cret\n", "line 1: "),
        (b"ann:\xff\n", "is not UTF-8"),
    ],
)
def test_a_file_of_logins_that_cannot_be_used_is_told(tmp_path: Path, content: bytes | None, cause: str) -> None:
    path = tmp_path / "logins"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(SettingError, match=cause) as caught:
        read_logins(str(path))
    assert caught.value.where == str(path)
    assert "cret" not in str(caught.value)


@pytest.mark.parametrize(("said", "user"), [("=", "external"), ("YW5u", "ann")])
def test_external_is_imitated_when_asked_for(tmp_path: Path, said: str, user: str) -> None:
    """No certificate is shown; in clear EXTERNAL is not offered (RFC 4422 appendix A)."""
    with catcher(tmp_path, "--mechanism", "EXTERNAL") as (child, port):
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            client.starttls()
            client.ehlo()
            assert client.esmtp_features["auth"].split() == ["EXTERNAL"]
            assert client.docmd("AUTH", f"EXTERNAL {said}")[0] == 235
            assert client.sendmail("ann@example.org", ["bob@example.org"], MESSAGE) == {}
        line = child.line_with("login source=")
        assert f"user={user} mechanism=EXTERNAL" in line


def test_implicit_tls(tmp_path: Path) -> None:
    with catcher(tmp_path, "--tls", "implicit") as (_, port):
        context = ssl.create_default_context(cafile=certificate(tmp_path))
        with smtplib.SMTP_SSL("localhost", port, timeout=PATIENCE, context=context) as client:
            client.login("ann", SECRET)
            assert client.sendmail("ann@example.org", ["bob@example.org"], MESSAGE) == {}


def test_a_server_that_demands_tls_and_a_login_is_imitated(tmp_path: Path) -> None:
    with catcher(tmp_path, "--tls", "required", "--auth", "required") as (child, port):
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo()
            assert "auth" not in client.esmtp_features
            assert client.docmd("MAIL", "FROM:<ann@example.org>") == (
                530,
                b"5.7.0 Must issue a STARTTLS command first",
            )
            client.starttls()
            client.ehlo()
            assert client.docmd("MAIL", "FROM:<ann@example.org>") == (530, b"5.7.0 Authentication required")
            client.login("ann", SECRET)
            assert client.sendmail("ann@example.org", ["bob@example.org"], MESSAGE) == {}
        said_nothing_secret(child)


def test_neither_tls_nor_logins(tmp_path: Path) -> None:
    with catcher(tmp_path, "--tls", "off", "--auth", "off") as (child, port):
        with smtplib.SMTP("127.0.0.1", port, timeout=PATIENCE) as client:
            client.ehlo()
            assert not {"auth", "starttls"} & set(client.esmtp_features)
            assert client.sendmail("ann@example.org", ["bob@example.org"], MESSAGE) == {}
        child.line_with("accepted id=")
        assert not Path(certificate(tmp_path)).exists()


@pytest.mark.parametrize("options", [(), ("--tls", "implicit")], ids=["STARTTLS", "implicit"])
def test_a_program_that_does_not_trust_the_certificate_is_helped(tmp_path: Path, options: tuple[str, ...]) -> None:
    with catcher(tmp_path, *options) as (child, port):
        assert f"trusts it:         {certificate(tmp_path)}" in child.line_with("trusts it:")
        suspicious = ssl.create_default_context()
        kind = smtplib.SMTP_SSL if options else smtplib.SMTP
        more = {"context": suspicious} if options else {}
        with pytest.raises(ssl.SSLCertVerificationError, match="self-signed"):
            kind("localhost", port, timeout=PATIENCE, **more).starttls(context=suspicious)
        line = child.line_with("tls source=")
        assert "does not trust" in line
        assert f"let it trust {certificate(tmp_path)}, or start without TLS (--tls off)" in line


def test_the_catcher_has_a_second_port_without_tls() -> None:
    first, second = default_config(plain="127.0.0.1:0").listener
    assert (first.tls, first.auth, second.tls, second.auth) == ("starttls", "offered", "off", "offered")


@pytest.mark.parametrize(
    ("binds", "tls", "listeners"), [((), None, 2), (("127.0.0.1:0",), None, 1), ((), "starttls", 1), ((), "off", 1)]
)
def test_the_second_port_is_there_unless_something_else_was_asked_for(
    monkeypatch: pytest.MonkeyPatch, binds: tuple[str, ...], tls: str | None, listeners: int
) -> None:
    monkeypatch.setattr(command, "_is_free", lambda place: True)
    assert len(command._catcher(None, binds, tls, None, faults=True).listener) == listeners


def test_the_second_port_is_left_out_where_another_program_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as other:
        monkeypatch.setattr("posthouse.service.config_file.CATCHER_WITHOUT_TLS", "{}:{}".format(*other.getsockname()))
        assert len(command._catcher(None, (), None, None, faults=True).listener) == 1
