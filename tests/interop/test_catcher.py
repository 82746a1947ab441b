"""The catcher as programs meet it that use STARTTLS unasked: they refuse its certificate, and each way out works."""

from __future__ import annotations

import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from posthouse.service import default_config

from .peers import Host, opened, program, run

_MESSAGE = {"from": "langrui@sohu.com", "to": "renping@sina.com", "subject": "hello", "text": "hi"}
_NODEMAILER = """
const nodemailer = require('/usr/share/nodejs/nodemailer');
const {port, message} = JSON.parse(require('fs').readFileSync(0));
const transport = nodemailer.createTransport({host: '127.0.0.1', port, auth: {user: 'ann', pass: 'correct horse'}});
transport.sendMail(message).then(found => console.log(found.response), error => console.log(error.message))
    .finally(() => transport.close());
"""
_PHPMAILER = r"""
require '/usr/share/php/libphp-phpmailer/autoload.php';
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = '127.0.0.1'; $mail->Port = (int) stream_get_contents(STDIN);
$mail->SMTPAuth = true; $mail->Username = 'ann'; $mail->Password = 'correct horse';
$mail->setFrom('langrui@sohu.com'); $mail->addAddress('renping@sina.com');
$mail->Subject = 'hello'; $mail->Body = 'hi';
try { $mail->send(); echo 'sent: ', $mail->getSMTPInstance()->getLastTransactionID(); }
catch (Exception $e) { echo $e->getMessage(); }
"""


@contextlib.asynccontextmanager
async def catcher(tmp_path: Path) -> AsyncIterator[tuple[Host, int, int, str]]:
    """A catcher: its ports with and without TLS, and its certificate."""
    config = default_config(str(tmp_path / "data"), ["127.0.0.1:0"], plain="127.0.0.1:0")
    async with opened(config, tmp_path) as host:
        ports = [host.daemon.endpoints[name].port for name in ("mx", "plain")]
        yield host, ports[0], ports[1], str(tmp_path / "data" / "tls" / "self-signed.pem")


async def told_the_way_out(host: Host, certificate: str) -> None:
    await host.until("tls", 2)  # the first says that the certificate was made
    (failed,) = [each for each in host.logged("tls") if "source" in each]
    assert "does not trust" in failed["reason"]
    assert f"let it trust {certificate}, or let it send to 127.0.0.1:" in failed["reason"]


@pytest.mark.system("nodejs", "node")
@pytest.mark.system("node-nodemailer", "/usr/share/nodejs/nodemailer/package.json")
def test_nodemailer_in_its_default_settings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with catcher(tmp_path) as (host, port, plain, certificate):

            async def sent(to: int, **environment: str) -> str:
                given = json.dumps({"port": to, "message": _MESSAGE}).encode()
                return await program("node", "-e", _NODEMAILER, octets=given, **environment)

            assert "self-signed certificate" in await sent(port)
            await told_the_way_out(host, certificate)
            assert " queued as " in await sent(port, NODE_EXTRA_CA_CERTS=certificate)
            assert " queued as " in await sent(plain)
            assert len((await host.messages())["renping@sina.com"]) == 2
            assert [each["user"] for each in host.logged("login")] == ["ann", "ann"]

    run(scenario)


@pytest.mark.system("php-cli", "php")
@pytest.mark.system("libphp-phpmailer", "/usr/share/php/libphp-phpmailer/autoload.php")
def test_phpmailer_in_its_default_settings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with catcher(tmp_path) as (host, port, plain, certificate):

            async def sent(to: int, *options: str) -> str:
                return await program("php", *options, "-r", _PHPMAILER, octets=str(to).encode())

            assert "certificate verify failed" in await sent(port)
            await told_the_way_out(host, certificate)
            assert "sent: " in await sent(port, "-d", f"openssl.cafile={certificate}")
            assert "sent: " in await sent(plain)
            assert len((await host.messages())["renping@sina.com"]) == 2

    run(scenario)


@pytest.mark.system("mutt", "mutt")
def test_mutt_in_its_default_settings(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with catcher(tmp_path) as (host, port, plain, certificate):

            async def sent(to: int, code: int, *settings: str) -> None:
                lines = (f"set smtp_url = 'smtp://127.0.0.1:{to}'", "set copy = no", "set from = a@x.test", *settings)
                (tmp_path / "muttrc").write_text("\n".join(lines))
                command = ("mutt", "-n", "-F", tmp_path / "muttrc", "-s", "hello", "renping@sina.com")
                await program(*command, octets=b"hi\n", code=code, HOME=str(tmp_path))

            await sent(port, 1)
            await told_the_way_out(host, certificate)
            await sent(port, 0, f"set certificate_file = '{certificate}'")
            await sent(plain, 0, "set ssl_force_tls = no")  # its default insists on TLS
            assert len((await host.messages())["renping@sina.com"]) == 2

    run(scenario)
