"""Files of certificates around a running daemon: what ``check config`` says of them, what the log says, once a day, and
what a pair that does not fit does at the start."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import ssl
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
import trustme
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key
from cryptography.x509.oid import AuthorityInformationAccessOID
from tests.net.test_tls import Files, issue
from tests.service.whole_daemon import PATIENCE, Dialogue, WholeDaemon, until

from posthouse.core import SettingError
from posthouse.core.event_sink import CallbackSink
from posthouse.net.certificates import SELF_SIGNED
from posthouse.service import OPERATIONS, Daemon, parse
from posthouse.service.accounts import AccountFile
from posthouse.service.accounts.operators import OperatorFile
from posthouse.service.config.advice import surroundings
from posthouse.service.config.advice_zh import chinese_advice
from posthouse.service.config_file import table_of
from posthouse.service.daemon.protection import Protections
from posthouse.testing.manual_clock import ManualClock

SINA = '[[domain]]\nname = "sina.com"\nmailboxes = "any"\n'
DAY = 86_400.0


@pytest.fixture
def authority() -> trustme.CA:
    return trustme.CA()


def settings(files: Files) -> str:
    return (
        '[[listener]]\nbind = "127.0.0.1:0"\nname = "mx"\ntls = "starttls"\n'
        f'tls_cert = "{files.certificate}"\ntls_key = "{files.key}"\n'
    )


def advised(tmp_path: Path, files: Files, hostname: str = "mx.example.net") -> str:
    text = f'hostname = "{hostname}"\ndata_dir = "{tmp_path}"\n{settings(files)}{SINA}'
    return "\n".join(surroundings(parse(text), table_of(text, "x")))


def alone(files: Files, place: str = "") -> None:
    """Leave the first certificate of a file alone there; its issuer's is published at ``place``, if that is given."""
    (leaf, *_) = x509.load_pem_x509_certificates(Path(files.certificate).read_bytes())
    if place:
        key = load_pem_private_key(Path(files.key).read_bytes(), None)
        assert isinstance(key, ec.EllipticCurvePrivateKey)
        said = x509.AccessDescription(AuthorityInformationAccessOID.CA_ISSUERS, x509.UniformResourceIdentifier(place))
        again = x509.CertificateBuilder(leaf.issuer, leaf.subject, leaf.public_key(), leaf.serial_number)
        again = again.not_valid_before(leaf.not_valid_before_utc).not_valid_after(leaf.not_valid_after_utc)
        for each in leaf.extensions:
            again = again.add_extension(each.value, each.critical)
        again = again.add_extension(x509.AuthorityInformationAccess([said]), critical=False)
        leaf = again.sign(key, hashes.SHA256())  # whose signature it is does not count here
    Path(files.certificate).write_bytes(leaf.public_bytes(Encoding.PEM))


def test_check_config_names_the_missing_intermediate(tmp_path: Path) -> None:
    files = issue(trustme.CA().create_child_ca(), tmp_path, "mx.example.net")
    os.chmod(files.key, 0o600)
    assert advised(tmp_path, files) == ""
    alone(files, "http://ca.example/intermediate.der")
    said = advised(tmp_path, files)
    assert "without the intermediate that issued it, so most phones and many servers will refuse it" in said
    assert "fullchain.pem" in said


def test_check_config_says_of_a_certificate_alone_whose_issuer_is_unknown_what_is_true(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """The issuer may be a private root, or an intermediate."""
    for issuer in (authority, authority.create_child_ca()):
        files = issue(issuer, tmp_path, "mx.example.net")
        os.chmod(files.key, 0o600)
        alone(files)
        (said,) = advised(tmp_path, files).splitlines()
        assert "holds this one certificate, and its issuer (" in said
        assert "not among the roots that this system trusts. If that is a root of your own, each client has to" in said
        assert "without the intermediate" not in said
        assert chinese_advice(said).startswith(f"证书 {files.certificate}：文件中只有这一张证书，而签发者")


def test_a_certificate_that_a_trusted_root_has_issued_needs_no_intermediate(
    authority: trustme.CA, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root.pem"
    authority.cert_pem.write_to_path(root)
    monkeypatch.setenv("SSL_CERT_FILE", str(root))
    files = issue(authority, tmp_path, "mx.example.net")
    os.chmod(files.key, 0o600)
    alone(files)
    assert advised(tmp_path, files) == ""
    namesake = trustme.CA(organization_name="Another")
    issue(namesake, tmp_path, "mx.example.net")
    alone(files)
    assert "its issuer (" in advised(tmp_path, files)


def test_check_config_names_certificates_that_are_no_chain(authority: trustme.CA, tmp_path: Path) -> None:
    files = issue(authority.create_child_ca(), tmp_path, "mx.example.net")
    os.chmod(files.key, 0o600)
    with open(files.certificate, "ab") as chain:
        chain.write(trustme.CA().cert_pem.bytes())
    assert "the certificates in the file are not a chain; put the server's own first" in advised(tmp_path, files)


def test_a_configuration_with_which_the_daemon_would_not_start_cannot_be_used(
    authority: trustme.CA, tmp_path: Path
) -> None:
    files = issue(authority, tmp_path, "mx.example.net")
    os.chmod(files.key, 0o600)
    text = f'hostname = "mx.example.net"\ndata_dir = "{tmp_path}"\n{settings(files)}{SINA}'
    (tmp_path / "c.toml").write_text(text)
    report = asyncio.run(OPERATIONS["check config"].run(None, path=str(tmp_path / "c.toml")))
    assert report.usable
    os.remove(files.key)
    report = asyncio.run(OPERATIONS["check config"].run(None, path=str(tmp_path / "c.toml")))
    assert not report.usable
    (problem,) = report.problems
    assert problem.startswith(f"certificate {files.key}: it cannot be read")
    assert problem not in report.advice
    files = issue(authority, tmp_path, "mx.example.net")
    os.chmod(files.key, 0o600)
    (tmp_path / "c.toml").write_text(text.replace("[[domain]]", f'tls_client_ca = "{tmp_path}/none.pem"\n[[domain]]'))
    report = asyncio.run(OPERATIONS["check config"].run(None, path=str(tmp_path / "c.toml")))
    (problem,) = report.problems
    assert problem.startswith(f"certificate {tmp_path}/none.pem: it cannot be read")
    assert problem not in report.advice


def test_check_config_tells_of_the_end_the_name_and_what_cannot_be_used(authority: trustme.CA, tmp_path: Path) -> None:
    files = issue(authority, tmp_path, "mx.example.net", not_after=datetime.now(UTC) + timedelta(days=20, hours=1))
    os.chmod(files.key, 0o600)
    assert "it ends in 20 days; renew it" in advised(tmp_path, files)
    assert "No certificate is for the host name other.example.net" in advised(tmp_path, files, "other.example.net")
    (tmp_path / "other").mkdir()
    other = issue(authority, tmp_path / "other", "mx.example.net")
    said = advised(tmp_path, Files(files.ca, files.certificate, other.key))
    assert f"{other.key}: the key does not belong to the certificate {files.certificate}" in said
    assert "the daemon would not start" in said
    Path(files.key).unlink()
    assert f"{files.key}: it cannot be read (No such file or directory)" in advised(tmp_path, files)


class Moment:
    """A clock that a test sets."""

    def __init__(self) -> None:
        self.now = 1_800_000_000.0

    def time(self) -> float:
        return self.now

    def monotonic(self) -> float:
        return self.now


def protections(files: Files, said: list[str], clock: Any, more: str = "") -> Protections:
    log = CallbackSink(lambda event, /, **facts: said.append(f"{event} {facts.get('reason')}"))
    config = parse(more + settings(files) + SINA)
    made = Protections(config, clock=clock, log=log)
    made.of(config.listener[0])
    return made


def test_the_log_warns_once_a_day_from_21_days_before_the_end(authority: trustme.CA, tmp_path: Path) -> None:
    clock = Moment()
    end = datetime.fromtimestamp(clock.time(), UTC) + timedelta(days=22)
    files = issue(authority, tmp_path, "mx.example.net", not_after=end)
    os.chmod(files.key, 0o600)
    said: list[str] = []
    of_the_daemon = protections(files, said, clock)
    of_the_daemon.look()
    assert not said
    clock.now += 2 * DAY
    for _ in range(3):
        of_the_daemon.look()
    assert said == [f"tls the certificate {files.certificate} ends in 20 days; put a new one in its place"]
    clock.now += DAY
    of_the_daemon.look()
    assert len(said) == 2
    clock.now += 30 * DAY
    of_the_daemon.look()
    assert said[2:] == [f"tls the certificate {files.certificate} has expired; put a new one in its place"]


def test_the_log_names_a_file_of_accounts_that_is_lost(authority: trustme.CA, tmp_path: Path) -> None:
    files = issue(authority, tmp_path, "mx.example.net")
    os.chmod(files.key, 0o600)
    said: list[str] = []
    config = parse(f'data_dir = "{tmp_path}"\n' + settings(files) + 'auth = "required"\n' + SINA)
    accounts = AccountFile(tmp_path)
    accounts.add("ann@x.test", "pw", (), 0.0)
    log = CallbackSink(lambda event, /, **facts: said.append(f"{event} {facts.get('reason')}"))
    clock: Any = Moment()
    made = Protections(config, clock=clock, log=log)
    made.of(config.listener[0])
    accounts.path.rename(tmp_path / "aside")
    made.look()
    assert [each for each in said if "accounts" in each] == [f"fault no login is possible: {accounts.loss()}"]
    (tmp_path / "check.toml").write_text(f'data_dir = "{tmp_path}"\n' + settings(files) + SINA)
    report = asyncio.run(OPERATIONS["check config"].run(None, path=str(tmp_path / "check.toml")))
    assert f"accounts: {accounts.loss()}. No login is possible until then." in report.advice


def test_the_log_names_a_file_of_operators_that_is_lost(authority: trustme.CA, tmp_path: Path) -> None:
    files = issue(authority, tmp_path, "mx.example.net")
    os.chmod(files.key, 0o600)
    said: list[str] = []
    operators = OperatorFile(tmp_path)
    operators.set_operator("ann@x.test", True)
    operators.path.unlink()
    protections(files, said, Moment(), f'data_dir = "{tmp_path}"\n').look()
    assert said == [f"fault nobody can log in to the console: {operators.loss()}"]
    (tmp_path / "check.toml").write_text(f'data_dir = "{tmp_path}"\n' + settings(files) + SINA)
    report = asyncio.run(OPERATIONS["check config"].run(None, path=str(tmp_path / "check.toml")))
    assert f"console: {operators.loss()}. Nobody can log in to the console until then." in report.advice


def test_of_several_workers_one_speaks(authority: trustme.CA, tmp_path: Path) -> None:
    files = issue(authority, tmp_path, "mx.example.net")
    said: list[str] = []
    silent = protections(files, said, Moment())
    silent.speaks = False
    Path(files.certificate).write_text("nothing")
    context: Any = silent.of(parse(settings(files)).listener[0])[0]
    assert context.tls() is not None
    assert not said


def test_a_worker_that_does_not_speak_looks_too(authority: trustme.CA, tmp_path: Path) -> None:
    """It takes up a good renewal although no client connects, so that a broken one after it finds it up to date."""
    files = issue(authority, tmp_path, "mx.example.net")
    said: list[str] = []
    silent = protections(files, said, Moment())
    silent.speaks = False
    ((_, before),) = silent.certificates()
    issue(authority, tmp_path, "mx.example.net", not_after=datetime.fromtimestamp(before.not_after, UTC) - timedelta(1))
    silent.look()
    Path(files.certificate).write_text("nothing")
    silent.look()
    ((_, after),) = silent.certificates()
    assert after.not_after == before.not_after - DAY
    assert not said


def test_every_worker_looks_each_minute(authority: trustme.CA, tmp_path: Path) -> None:
    files = issue(authority, tmp_path, "mx.example.net")

    async def scenario() -> None:
        clock = ManualClock()
        config = parse(f'hostname = "mx.example.net"\ndata_dir = "{tmp_path}/data"\n{settings(files)}{SINA}')
        daemon = Daemon(config, clock=clock, log=lambda *_, **__: None, worker=1)
        await daemon.start()
        ((_, before),) = daemon.monitor.certificates()
        end = datetime.fromtimestamp(before.not_after, UTC) - timedelta(1)
        issue(authority, tmp_path, "mx.example.net", not_after=end)
        await clock.advance(61.0)
        ((_, after),) = daemon.monitor.certificates()
        await daemon.drain(0.0)
        assert after.not_after == before.not_after - DAY

    asyncio.run(scenario())


def test_a_worker_that_is_started_during_a_broken_renewal_serves_the_pair_before(
    authority: trustme.CA, tmp_path: Path
) -> None:
    files = issue(authority, tmp_path, "mx.example.net")
    daemon = WholeDaemon(tmp_path, settings(files) + SINA, workers=2)
    try:
        port = daemon.port()
        daemon.up()
        before = shown(port, files.ca)
        Path(files.certificate).write_text("nothing")
        children = Path(f"/proc/{daemon.process.pid}/task/{daemon.process.pid}/children")
        for _ in range(2):  # one after the other, so that both are new in the end
            first = int(children.read_text().split()[0])
            os.kill(first, signal.SIGKILL)
            daemon.until(rf"worker died worker=\d pid={first} reason=.signal 9")
            until(lambda: len(children.read_text().split()) == 2)
        assert all(shown(port, files.ca) == before for _ in range(6))
        assert "holds no certificate" not in "".join(re.findall("worker died.*", daemon.text()))
        assert daemon.stop() == 0, daemon.text()
    finally:
        daemon.end()


@pytest.mark.parametrize("left", [None, "nothing"], ids=["removed", "broken"])
def test_a_worker_that_is_started_later_shows_the_self_signed_certificate_of_the_others(
    tmp_path: Path, left: str | None
) -> None:
    """Also if its file was removed or broken meanwhile; the next start of the daemon makes another one, or refuses."""
    listener = '[[listener]]\nbind = "127.0.0.1:0"\nname = "mx"\ntls = "starttls"\n'
    daemon = WholeDaemon(tmp_path, listener + SINA, workers=2)
    try:
        port = daemon.port()
        daemon.up()
        file, kept = tmp_path / "data" / "tls" / SELF_SIGNED, tmp_path / "kept.pem"
        kept.write_bytes(file.read_bytes())
        before = shown(port, str(kept), "daemon.test")
        file.unlink()
        if left is not None:
            file.write_text(left)
        for number in (1, 2):  # one after the other, so that both are new in the end
            first = daemon.children()[0]
            os.kill(first, signal.SIGKILL)
            daemon.until(rf"worker died worker=\d pid={first} reason=.signal 9")
            daemon.until(r"^\S+ listening name=mx ", 2 + number)
        assert {shown(port, str(kept), "daemon.test") for _ in range(6)} == {before}
        assert daemon.text().count("a self-signed one was made") == 1
        assert file.exists() is (left is not None)
        daemon.reload()
        assert {shown(port, str(kept), "daemon.test") for _ in range(6)} == {before}
        assert daemon.stop() == 0, daemon.text()
    finally:
        daemon.end()


def test_a_pair_that_does_not_fit_is_no_start_and_names_both_files(authority: trustme.CA, tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    first, second = (issue(authority, tmp_path / name, "mx.example.net") for name in ("a", "b"))
    mixed = Files(first.ca, first.certificate, second.key)
    with pytest.raises(
        SettingError, match=f"{second.key}: the key does not belong to the certificate {first.certificate}"
    ):
        protections(mixed, [], Moment())
    daemon = WholeDaemon(tmp_path, settings(mixed) + SINA)
    try:
        assert daemon.process.wait(PATIENCE) == 78
        assert first.certificate in daemon.text()
        assert second.key in daemon.text()
        assert "listening" not in daemon.text()
        assert "Traceback" not in daemon.text()
    finally:
        daemon.end()


def shown(port: int, ca: str, name: str = "mx.example.net") -> int:
    """The serial number of the certificate that a new session gets."""
    context = ssl.create_default_context(cafile=ca)
    with Dialogue(port) as session:
        session.ask("EHLO me")
        assert session.ask("STARTTLS").startswith("220")
        with context.wrap_socket(session.sock, server_hostname=name) as secured:
            found = secured.getpeercert()
            assert found is not None
            return int(str(found["serialNumber"]), 16)


def test_a_renewal_under_a_running_daemon_needs_no_restart_and_ends_no_session(
    authority: trustme.CA, tmp_path: Path
) -> None:
    """As renewal tools do it: links to links; a reload has the daemon look at once, instead of within a minute."""
    for number in ("1", "2"):
        (tmp_path / number).mkdir()
        issue(authority, tmp_path / number, "mx.example.net")
    (tmp_path / "live").symlink_to("1")
    files = Files(
        str(tmp_path / "1" / "ca.pem"), str(tmp_path / "live" / "cert.pem"), str(tmp_path / "live" / "key.pem")
    )
    daemon = WholeDaemon(tmp_path, settings(files) + SINA, workers=2)
    try:
        port = daemon.port()
        daemon.up()
        before = shown(port, files.ca)
        context = ssl.create_default_context(cafile=files.ca)
        with Dialogue(port) as session:
            session.ask("EHLO me")
            session.ask("STARTTLS")
            with context.wrap_socket(session.sock, server_hostname="mx.example.net") as secured:
                (tmp_path / "new").symlink_to("2")
                os.replace(tmp_path / "new", tmp_path / "live")
                daemon.reload()
                until(lambda: all(shown(port, files.ca) != before for _ in range(6)))
                secured.sendall(b"NOOP\r\n")
                assert secured.recv(100).startswith(b"250 ")
        # The key of the next pair comes later: until then the pair before serves, with one line in the log.
        (tmp_path / "3").mkdir()
        third = issue(authority, tmp_path / "3", "mx.example.net")
        second = shown(port, files.ca)
        os.replace(third.certificate, tmp_path / "2" / "cert.pem")
        for _ in range(2):
            daemon.reload()
            assert shown(port, files.ca) == second
        assert daemon.text().count("does not belong to the certificate") == 1
        os.replace(third.key, tmp_path / "2" / "key.pem")
        daemon.reload()
        assert all(shown(port, files.ca) not in (before, second) for _ in range(6))
        assert daemon.stop() == 0, daemon.text()
    finally:
        daemon.end()
