"""Programs of other authors that log in with a client certificate (EXTERNAL): openssl s_client, curl, msmtp."""

from __future__ import annotations

import contextlib
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import trustme

from posthouse.service.accounts import AccountFile

from .peers import Host, opened, program, run

ACCOUNT = "langrui@sohu.com"
RECIPIENT = "renping@sina.com"
MESSAGE = b"From: <langrui@sohu.com>\nTo: <renping@sina.com>\nSubject: by certificate\n\nhello\n"
_TEXT = """
hostname = "host.test"
[[listener]]
bind = "127.0.0.1:0"
kind = "submission"
tls = "implicit"
tls_cert = "{root}/server.pem"
tls_client_ca = "{root}/ca.pem"
mechanisms = ["EXTERNAL", "PLAIN"]
[[domain]]
name = "*"
mailboxes = "any"
"""


@contextlib.asynccontextmanager
async def with_host(root: Path, name: str = ACCOUNT) -> AsyncIterator[Host]:
    """A daemon with one account; in ``root`` are a client's certificate for ``name`` and its key."""
    authority = trustme.CA()
    authority.cert_pem.write_to_path(root / "ca.pem")
    authority.issue_cert("localhost").private_key_and_cert_chain_pem.write_to_path(root / "server.pem")
    client = authority.issue_cert(name)
    client.cert_chain_pems[0].write_to_path(root / "client.pem")
    client.private_key_pem.write_to_path(root / "client.key")
    (root / "client.key").chmod(0o600)
    AccountFile(root / "data").add(ACCOUNT, "pw", (), 0.0)
    async with opened(_TEXT.format(root=root), root / "data") as host:
        yield host


async def came_by_certificate(host: Host) -> None:
    """One message was taken, from the account that the certificate names."""
    ((name, (message,)),) = (await host.messages()).items()
    assert name == RECIPIENT
    assert b" with ESMTPSA id " in message
    names = b"\t(Client certificate: %b)\r\n\t(Authenticated sender: %b)" % ((ACCOUNT.encode(),) * 2)
    assert names in message
    assert message.replace(b"\r\n", b"\n").endswith(b"\n\nhello\n")
    assert [(each["user"], each["mechanism"]) for each in host.logged("login")] == [(ACCOUNT, "EXTERNAL")]


@pytest.mark.system("openssl", "openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_says_auth_external_by_hand(tmp_path: Path, version: str) -> None:
    async def scenario() -> None:
        async with with_host(tmp_path) as host:
            lines = ["EHLO by.hand.test", "AUTH EXTERNAL =", f"MAIL FROM:<{ACCOUNT}>", f"RCPT TO:<{RECIPIENT}>", "DATA"]
            typed = "\n".join([*lines, MESSAGE.decode() + ".", "QUIT", ""]).encode()
            shown = ("-cert", tmp_path / "client.pem", "-key", tmp_path / "client.key", "-CAfile", tmp_path / "ca.pem")
            place = ("-connect", f"127.0.0.1:{host.endpoint.port}", "-crlf", "-quiet", "-verify_return_error", version)
            said = await program("openssl", "s_client", *place, *shown, octets=typed)
            assert "235 2.7.0" in said
            await came_by_certificate(host)

    run(scenario)


@pytest.mark.system("curl", "curl")
def test_curl_logs_in_by_certificate(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(MESSAGE.replace(b"\n", b"\r\n"))

    async def scenario() -> None:
        async with with_host(tmp_path) as host:
            url = f"smtps://localhost:{host.endpoint.port}/curl.test"
            shown = (
                "--cacert",
                tmp_path / "ca.pem",
                "--cert",
                tmp_path / "client.pem",
                "--key",
                tmp_path / "client.key",
            )
            login = ("--login-options", "AUTH=EXTERNAL", "--user", f"{ACCOUNT}:", "--silent", "--show-error")
            addresses = ("--mail-from", ACCOUNT, "--mail-rcpt", RECIPIENT, "--upload-file", tmp_path / "message")
            await program("curl", url, *shown, *login, *addresses)
            await came_by_certificate(host)

    run(scenario)


@pytest.mark.system("msmtp", "msmtp")
def test_msmtp_logs_in_by_certificate(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with with_host(tmp_path) as host:
            settings = {
                "host": "localhost",
                "port": host.endpoint.port,
                "domain": "msmtp.test",
                "from": ACCOUNT,
                "auth": "external",
                "user": ACCOUNT,
                "tls": "on",
                "tls_starttls": "off",
                "tls_trust_file": tmp_path / "ca.pem",
                "tls_cert_file": tmp_path / "client.pem",
                "tls_key_file": tmp_path / "client.key",
            }
            file = tmp_path / "msmtprc"
            file.write_text("account default\n" + "".join(f"{key} {value}\n" for key, value in settings.items()))
            file.chmod(0o600)
            await program("msmtp", f"--file={file}", "--", RECIPIENT, octets=MESSAGE)
            await came_by_certificate(host)

    run(scenario)
