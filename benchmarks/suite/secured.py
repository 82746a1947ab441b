"""Load over TLS with a login: STARTTLS and AUTH PLAIN for each message, and implicit TLS with sessions kept.

Both sides have the same certificate and one account.  The key is P-256, which Certbot makes by default, or RSA-2048,
with which a handshake costs both sides 0.6 ms more.  Ours keeps its accounts in its own file; Postfix asks Dovecot,
whose password is stored as ``doveadm pw`` stores it by default.  The clients are threads of this process on blocking
sockets, and verify the certificate.
"""

from __future__ import annotations

import contextlib
import datetime
import grp
import os
import pwd
import shutil
import socket
import ssl
import subprocess
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Iterator
from pathlib import Path

from suite import peers
from suite.running import Loaded, Start

#: Starts a server with a certificate of a kind, and gives its ports for STARTTLS and implicit TLS.
_Starts = Callable[[Path, str], contextlib.AbstractContextManager[tuple[peers.Side, int, int]]]

__all__ = ["kept", "per_message", "postfix", "posthouse", "write_certificate"]

ACCOUNT, PASSWORD = "load@src.test", "a password of the load"
_THREADS = 20
_BODY = b"Subject: load\r\n\r\n" + (b"x" * 70 + b"\r\n") * 57 + b".\r\n"
_LISTENERS = """
[[listener]]
bind = "127.0.0.1:{starttls}"
name = "starttls"
kind = "submission"
tls = "starttls"
tls_required = true
auth = "required"
tls_cert = "{home}/cert.pem"
max_connections_per_host = 20000
[[listener]]
bind = "127.0.0.1:{implicit}"
name = "implicit"
kind = "submission"
tls = "implicit"
auth = "required"
tls_cert = "{home}/cert.pem"
max_connections_per_host = 20000
"""


def write_certificate(home: Path, kind: str = "RSA-2048") -> None:
    """A certificate for localhost that signs itself, with its key of this ``kind``, in ``cert.pem``."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import ec, rsa

    key: ec.EllipticCurvePrivateKey | rsa.RSAPrivateKey
    if kind == "RSA-2048":
        key = rsa.generate_private_key(public_exponent=65_537, key_size=2_048)
    else:
        key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.datetime.now(datetime.UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(hours=1))
        .not_valid_after(now + datetime.timedelta(days=7))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    encoded = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (home / "cert.pem").write_bytes(encoded + made.public_bytes(serialization.Encoding.PEM))


# -- the sides ---------------------------------------------------------------------------------------------------------


@contextlib.contextmanager
def posthouse(home: Path, kind: str) -> Iterator[tuple[peers.Side, int, int]]:
    """Posthouse with an account; its ports for STARTTLS and implicit TLS."""
    from posthouse.service.accounts import AccountFile

    starttls, implicit = peers.free_port(), peers.free_port()

    def prepare() -> None:
        write_certificate(home, kind)
        (home / "data").mkdir()
        AccountFile(home / "data").add(ACCOUNT, PASSWORD, ("*",), time.time())

    text = _LISTENERS.format(home=home, starttls=starttls, implicit=implicit)
    with peers.posthouse(home, more=text, prepare=prepare) as side:
        yield side, starttls, implicit


_DOVECOT = """\
base_dir = {root}/run
state_dir = {root}/state
log_path = {root}/log
protocols =
ssl = no
first_valid_uid = 0
auth_mechanisms = plain
passdb {{
  driver = passwd-file
  args = {root}/passwords
}}
userdb {{
  driver = static
  args = uid={uid} gid={gid} home={root}
}}
service auth {{
  chroot =
  client_limit = 2000
  unix_listener auth-client {{
    mode = 0666
  }}
}}
service anvil {{
  chroot =
}}
service stats {{
  chroot =
}}
"""


@contextlib.contextmanager
def _dovecot(root: Path) -> Iterator[Path]:
    if shutil.which("dovecot") is None:
        raise peers.Absent("Dovecot is not installed: apt-get install dovecot-core")
    root.mkdir(parents=True)
    root.chmod(0o755)
    stored = peers.first_line(["doveadm", "pw", "-p", PASSWORD])
    (root / "passwords").write_text(f"{ACCOUNT}:{stored}\n")
    (root / "passwords").chmod(0o644)
    user = pwd.getpwnam("nobody")
    text = _DOVECOT.format(root=root, uid=user.pw_uid, gid=grp.getgrgid(user.pw_gid).gr_gid)
    (root / "dovecot.conf").write_text(text)
    command = ["dovecot", "-F", "-c", str(root / "dovecot.conf")]
    with subprocess.Popen(command, stdin=subprocess.DEVNULL, start_new_session=True) as master:
        try:
            path = root / "run" / "auth-client"
            peers.wait_for(f"Dovecot (its log: {root}/log)", path.exists)
            yield path
        finally:
            master.terminate()
            master.wait(15)


@contextlib.contextmanager
def postfix(home: Path, kind: str) -> Iterator[tuple[peers.Side, int, int]]:
    """Postfix with Dovecot's SASL; its ports for STARTTLS and implicit TLS."""
    starttls, implicit = peers.free_port(), peers.free_port()
    if os.geteuid() != 0:
        raise peers.Absent("Postfix starts only as root")
    with _dovecot(home.with_name(home.name + "-dovecot")) as path:
        settings = {
            "smtpd_tls_chain_files": f"{home}/cert.pem",
            "smtpd_tls_session_cache_database": "",
            "smtpd_sasl_type": "dovecot",
            "smtpd_sasl_path": str(path),
            "smtpd_sasl_security_options": "noanonymous",
            "smtpd_relay_restrictions": "permit_sasl_authenticated, reject",
        }
        services = (
            f"127.0.0.1:{starttls} inet n - n - - smtpd\n"
            " -o smtpd_tls_security_level=encrypt -o smtpd_sasl_auth_enable=yes\n"
            f"127.0.0.1:{implicit} inet n - n - - smtpd\n"
            " -o smtpd_tls_wrappermode=yes -o smtpd_sasl_auth_enable=yes\n"
            "tlsmgr unix - - n 1000? 1 tlsmgr\n"
        )
        with peers.postfix(
            home, more=settings, services=services, prepare=lambda: write_certificate(home, kind)
        ) as side:
            yield side, starttls, implicit


# -- the load ----------------------------------------------------------------------------------------------------------


class _Client:
    """One session on a blocking socket."""

    def __init__(self, port: int, context: ssl.SSLContext, *, implicit: bool) -> None:
        self._rest = b""
        self._socket = socket.create_connection(("127.0.0.1", port), 60.0)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if implicit:
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
            self.expect(b"220")
        else:
            self.expect(b"220")
            self.say(b"EHLO load.test\r\n", b"250")
            self.say(b"STARTTLS\r\n", b"220")
            self._socket = context.wrap_socket(self._socket, server_hostname="localhost")
        self.say(b"EHLO load.test\r\n", b"250")
        self.say(b"AUTH PLAIN " + b64encode(f"\0{ACCOUNT}\0{PASSWORD}".encode()) + b"\r\n", b"235")

    def message(self) -> None:
        """One message."""
        self._socket.sendall(b"MAIL FROM:<load@src.test>\r\nRCPT TO:<someone@hold.test>\r\nDATA\r\n")
        for code in (b"250", b"250", b"354"):
            self.expect(code)
        self.say(_BODY, b"250")

    def quit(self) -> None:
        """The end."""
        self.say(b"QUIT\r\n", b"221")
        self._socket.close()

    def say(self, octets: bytes, code: bytes) -> None:
        """Send, and expect a reply of this code."""
        self._socket.sendall(octets)
        self.expect(code)

    def expect(self, code: bytes) -> None:
        """Read one reply."""
        while True:
            line, end, rest = self._rest.partition(b"\n")
            if not end:
                data = self._socket.recv(65_536)
                if not data:
                    raise RuntimeError(f"the server ended the session; {code.decode()} was awaited")
                self._rest += data
                continue
            self._rest = rest
            if not line.startswith(code):
                raise RuntimeError(f"{code.decode()} was awaited: {line.decode('utf-8', 'replace')}")
            if line[3:4] != b"-":
                return


def _many(amount: int, work: Callable[[int, int], None]) -> float:
    """The seconds that threads need for ``amount`` messages; ``work`` is given a thread's number and its share."""
    failed: list[BaseException] = []

    def run(number: int) -> None:
        try:
            work(number, amount // _THREADS + (number < amount % _THREADS))
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(number,)) for number in range(_THREADS)]
    begun = time.perf_counter()
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - begun
    if failed:
        raise failed[0]
    return taken


def _side(start: _Starts, keep: bool, kind: str) -> Start[Loaded]:
    @contextlib.contextmanager
    def side(home: Path) -> Iterator[Loaded]:
        with start(home, kind) as (running, starttls, implicit):
            context = ssl.create_default_context(cafile=str(home / "cert.pem"))
            open_ones = [_Client(implicit, context, implicit=True) for _ in range(_THREADS if keep else 0)]

            def one_each(number: int, share: int) -> None:
                for _ in range(share):
                    client = _Client(starttls, context, implicit=False)
                    client.message()
                    client.quit()

            def kept_open(number: int, share: int) -> None:
                for _ in range(share):
                    open_ones[number].message()

            yield Loaded(lambda amount: _many(amount, kept_open if keep else one_each), running)
            for client in open_ones:
                client.quit()

    return side


def per_message(start: _Starts, kind: str) -> Start[Loaded]:
    """STARTTLS and AUTH PLAIN for each message."""
    return _side(start, keep=False, kind=kind)


def kept(start: _Starts, kind: str) -> Start[Loaded]:
    """Implicit TLS, and messages on sessions that are open and logged in."""
    return _side(start, keep=True, kind=kind)
