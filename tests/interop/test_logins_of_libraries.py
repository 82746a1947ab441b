"""Libraries of other languages log in (nodemailer, PHPMailer), and so does Postfix as a client, with Cyrus SASL.

Each checks the certificate that the daemon made for itself.
"""

from __future__ import annotations

import base64
import json
import shutil
from pathlib import Path

import pytest

from posthouse.core import Bytes, Result

from .conftest import DOOR_MECHANISMS, Postfix
from .doors import ACCOUNT, DOORS, MESSAGE, PASSWORD, TOKEN, entered, with_doors
from .peers import behind_trace, envelope, program, run, session_with
from .test_mail_programs import NODEMAILER, PHPMAILER

SENDER, RECIPIENT = ACCOUNT, "renping@sina.com"


# -- nodemailer, of Node.js

_NODEMAILER = """
const nodemailer = require('/usr/share/nodejs/nodemailer');
const fs = require('fs');
const {runs, ca, user, pass, token, from, to, raw} = JSON.parse(fs.readFileSync(0));
(async () => {
    for (const {door, port, mechanism} of runs) {
        const transport = nodemailer.createTransport({
            host: 'localhost', port, name: 'node.example', secure: door === 'implicit',
            requireTLS: door === 'starttls', ignoreTLS: door === 'clear', tls: {ca: fs.readFileSync(ca)},
            authMethod: mechanism === 'XOAUTH2' ? undefined : mechanism,
            auth: mechanism === 'XOAUTH2' ? {type: 'OAuth2', user, accessToken: token} : {user, pass}});
        await transport.sendMail({envelope: {from, to}, raw: Buffer.from(raw, 'base64')});
        transport.close();
    }
    console.log('all sent');
})().catch(error => { console.log(error.message); process.exit(1); });
"""


@pytest.mark.system("nodejs", "node")
@pytest.mark.system("node-nodemailer", NODEMAILER)
def test_nodemailer_logs_in(tmp_path: Path) -> None:
    wanted = [(door, mechanism) for door in DOORS for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2")]

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            given = {
                "runs": [{"door": door, "port": doors[door].port, "mechanism": each} for door, each in wanted],
                "ca": doors.trusted,
                "user": ACCOUNT,
                "pass": PASSWORD,
                "token": TOKEN,
                "from": SENDER,
                "to": RECIPIENT,
                "raw": base64.b64encode(MESSAGE).decode(),
            }
            assert "all sent" in await program("node", "-e", _NODEMAILER, octets=json.dumps(given).encode())
            await entered(doors, wanted)

    run(scenario)


# -- PHPMailer, of PHP

_PHPMAILER = r"""
require '/usr/share/php/libphp-phpmailer/autoload.php';
use PHPMailer\PHPMailer\{PHPMailer, OAuthTokenProvider};
$given = json_decode(stream_get_contents(STDIN), true);
class Token implements OAuthTokenProvider {
    public function getOauth64() {
        global $given;
        return base64_encode("user={$given['user']}\001auth=Bearer {$given['token']}\001\001");
    }
}
foreach ($given['runs'] as ['door' => $door, 'port' => $port, 'mechanism' => $mechanism]) {
    $mail = new PHPMailer(true);
    $mail->isSMTP(); $mail->Host = 'localhost'; $mail->Port = $port; $mail->Helo = 'php.example';
    $mail->SMTPAuth = true; $mail->AuthType = $mechanism; $mail->SMTPAutoTLS = false;
    $mail->SMTPSecure = ['clear' => '', 'starttls' => 'tls', 'implicit' => 'ssl'][$door];
    $mail->SMTPOptions = ['ssl' => ['cafile' => $given['ca']]];
    if ($mechanism === 'XOAUTH2') $mail->setOAuth(new Token());
    else { $mail->Username = $given['user']; $mail->Password = $given['pass']; }
    $mail->Encoding = '8bit'; $mail->setFrom($given['user']); $mail->addAddress($given['to']);
    $mail->Subject = 'through the door'; $mail->Body = ".\nRCPT is a word, .dot\n..\n";
    $mail->send();
}
echo 'all sent';
"""


@pytest.mark.system("php-cli", "php")
@pytest.mark.system("libphp-phpmailer", PHPMAILER)
def test_phpmailer_logs_in(tmp_path: Path) -> None:
    wanted = [(door, mechanism) for door in DOORS for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5", "XOAUTH2")]

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            given = {
                "runs": [{"door": door, "port": doors[door].port, "mechanism": each} for door, each in wanted],
                "ca": doors.trusted,
                "user": ACCOUNT,
                "pass": PASSWORD,
                "token": TOKEN,
                "to": RECIPIENT,
            }
            said = await program("php", "-r", _PHPMAILER, octets=json.dumps(given).encode())
            assert said.endswith("all sent"), said
            await entered(doors, wanted, unchanged=False)

    run(scenario)


# -- Postfix, with Cyrus SASL


@pytest.mark.system("libsasl2-modules", "/usr/lib/*/sasl2/libscram.so")
def test_postfix_logs_in_as_a_client(tmp_path: Path, postfix: Postfix) -> None:
    """It checks our certificate's chain and name, and takes the mechanism that it is told to take."""
    wanted = [(door, mechanism) for door in postfix.doors for mechanism in DOOR_MECHANISMS]

    async def scenario() -> None:
        async with with_doors(tmp_path, ports=postfix.doors) as doors:
            shutil.copy(doors.trusted, postfix.trusted)
            postfix.trusted.chmod(0o644)
            async with session_with(postfix.listeners["bdat"]) as session:
                for door, mechanism in wanted:
                    to = envelope(f"renping@{door}-{mechanism}.test", sender=ACCOUNT)
                    (outcome,) = await session.deliver(to, Bytes(MESSAGE))
                    assert outcome.result is Result.DELIVERED, outcome.reason
            await doors.host.until("accepted", len(wanted))
            found = await doors.host.messages()
            for door, mechanism in wanted:
                (message,) = found[f"renping@{door}-{mechanism}.test"]
                assert b" with ESMTPSA id " in message
                assert behind_trace(message, 2) == MESSAGE
            logins = sorted(each["mechanism"] for each in doors.host.logged("login"))
            assert logins == sorted(mechanism.upper() for _, mechanism in wanted)
            assert PASSWORD not in repr(doors.host.events)

    run(scenario)
