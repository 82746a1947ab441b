"""Mail programs and libraries of other authors send to the daemon: mutt, s-nail, Net::SMTP, nodemailer, PHPMailer.

Net::SMTP and nodemailer are given whole messages, which must arrive unchanged.  The others compose a message from its
parts; what arrives must parse to the same parts.
"""

from __future__ import annotations

import email
import json
from email.message import EmailMessage
from email.policy import default
from pathlib import Path
from typing import Any

import pytest

from .corpus import MESSAGES
from .peers import Host, behind_trace, opened, program, run
from .test_senders import CATCHING, WITH_HEAD, arrived

#: One domain with two mailboxes; every other recipient is refused.
TWO_MAILBOXES = CATCHING.replace('name = "*"', 'name = "sina.com"').replace('"any"', '["renping", "liming"]')
#: A listener that tolerates much; what needs no tolerance must pass it unchanged.
SUBMISSION = (
    CATCHING.replace('kind = "mx"', 'kind = "submission"\ncomplete_messages = false')
    + '[relay]\ntrusted_networks = ["127.0.0.0/8"]\n'
)
SUBJECT = "你好，任平"
#: Lines that begin with a dot, octets over 127, an empty line, a line longer than 78 characters.
BODY = "床前明月光，\n.疑是地上霜。\n..\n.\n\nRép " + "x" * 120 + "\n. end\n"


async def parsed(host: Host, mailbox: str) -> EmailMessage:
    """The only message in a mailbox, without its trace fields."""
    (octets,) = (await host.messages())[mailbox]
    message = email.message_from_bytes(behind_trace(octets), policy=default)
    assert isinstance(message, EmailMessage)
    return message


def text_of(message: EmailMessage) -> str:
    """The text of a message that has one part."""
    text: str = message.get_content()
    return text.replace("\r\n", "\n")


# -- mutt


def mutt(directory: Path, host: Host) -> tuple[str, ...]:
    """A command line of mutt, with a configuration of its own."""
    settings = {
        "smtp_url": f"smtp://{host.endpoint}",
        "ssl_starttls": "no",
        "ssl_force_tls": "no",
        "from": "langrui@sohu.com",
        "realname": "郎锐",
        "use_envelope_from": "yes",
        "envelope_from_address": "langrui@sohu.com",
        "hostname": "mutt.example",
        "charset": "utf-8",
        "send_charset": "us-ascii:utf-8",
        "allow_8bit": "yes",
        "use_8bitmime": "yes",
        "copy": "no",
    }
    lines = (f"set {name} = '{value}'\n" for name, value in settings.items())
    (directory / "muttrc").write_text("".join(lines), "utf-8")
    return ("mutt", "-n", "-F", str(directory / "muttrc"), "-s", SUBJECT)


@pytest.mark.system("mutt", "mutt")
def test_mutt(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            command = (*mutt(tmp_path, host), "-b", "liming@sina.com", "--", "任平 <renping@sina.com>")
            await program(*command, octets=BODY.encode(), HOME=str(tmp_path))
            for mailbox in ("renping@sina.com", "liming@sina.com"):
                message = await parsed(host, mailbox)
                assert message["Content-Transfer-Encoding"] == "8bit"
                assert (message["Subject"], text_of(message)) == (SUBJECT, BODY)
                assert message["From"].addresses[0].display_name == "郎锐"
                assert message["To"].addresses[0].display_name == "任平"
                assert "Bcc" not in message

    run(scenario)


@pytest.mark.system("mutt", "mutt")
def test_mutt_shows_why_a_recipient_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            command = (*mutt(tmp_path, host), "--", "renping@sina.com", "nobody@sina.com")
            said = await program(*command, octets=BODY.encode(), code=1, HOME=str(tmp_path))
            assert "550 5.1.1" in said
            assert await host.messages() == {}

    run(scenario)


# -- s-nail


def s_nail(host: Host, *more: str) -> tuple[str, ...]:
    """A command line of s-nail that reads no configuration."""
    settings = {
        "v15-compat": "yes",
        "mta": f"smtp://{host.endpoint}",
        "smtp-config": "-all,ehlo",
        "smtp-auth": "none",
        "from": "langrui@sohu.com",
        "hostname": "snail.example",
        "ttycharset": "utf-8",
        "sendcharsets": "utf-8",
        "sendwait": "yes",
        "mime-encoding": "8bit",
        "save": "",
    }
    return ("s-nail", "-:/", "-#", *(f"-S{name}={value}" for name, value in settings.items()), "-s", SUBJECT, *more)


@pytest.mark.system("s-nail", "s-nail")
def test_s_nail(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            command = s_nail(host, "-c", "liming@sina.com", "renping@sina.com")
            await program(*command, octets=BODY.encode(), HOME=str(tmp_path))
            for mailbox in ("renping@sina.com", "liming@sina.com"):
                message = await parsed(host, mailbox)
                assert message["Content-Transfer-Encoding"] == "8bit"
                assert (message["Subject"], text_of(message)) == (SUBJECT, BODY)
                assert str(message["Cc"]) == "liming@sina.com"

    run(scenario)


@pytest.mark.system("s-nail", "s-nail")
def test_s_nail_shows_why_a_recipient_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            command = s_nail(host, "nobody@sina.com")
            said = await program(*command, octets=BODY.encode(), HOME=str(tmp_path))
            assert "550 5.1.1" in said
            assert await host.messages() == {}

    run(scenario)


# -- Net::SMTP, of Perl

_NET_SMTP = r"""
use strict; use Net::SMTP;
my ($host, $port, $sender, @files) = @ARGV;
my $smtp = Net::SMTP->new($host, Port => $port, Hello => 'perl.example', Timeout => 30) or die "no session: $@";
for my $file (@files) {
    my ($name) = $file =~ m{([^/]+)$};
    open(my $in, '<:raw', $file) or die; local $/; my $content = <$in>;
    $smtp->mail($sender, Bits => 8) or die "MAIL: " . $smtp->message;
    my @taken = $smtp->to(split(/,/, $ENV{RECIPIENTS} // "$name\@box.test"), { SkipBad => 1, Notify => ['FAILURE'] });
    print "taken: @taken\n", $smtp->code, " ", $smtp->message;
    $smtp->data($content) or die "DATA: " . $smtp->message;
    print $smtp->code, " ", $smtp->message;
}
$smtp->quit or die;
"""


def net_smtp(host: Host, *files: Path) -> tuple[str | Path, ...]:
    """A command line that sends each file to the recipient of its name, in one session."""
    place = host.endpoint
    return ("perl", "-e", _NET_SMTP, place.host, str(place.port), "langrui@sohu.com", *files)


@pytest.mark.system("perl", "perl")
@pytest.mark.parametrize("text", [CATCHING, SUBMISSION], ids=["mx", "submission"])
def test_net_smtp(tmp_path: Path, text: str) -> None:
    for name, message in WITH_HEAD.items():
        (tmp_path / name).write_bytes(message)

    async def scenario() -> None:
        async with opened(text, tmp_path / "host") as host:
            said = await program(*net_smtp(host, *(tmp_path / name for name in WITH_HEAD)))
            assert said.count(" queued as ") == len(WITH_HEAD)
            await arrived(host, WITH_HEAD)

    run(scenario)


@pytest.mark.system("perl", "perl")
def test_net_smtp_skips_a_recipient_that_is_refused(tmp_path: Path) -> None:
    (tmp_path / "message").write_bytes(MESSAGES["utf-8"])

    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            recipients = "nobody@sina.com,renping@sina.com,langrui@elsewhere.test,liming@sina.com"
            said = await program(*net_smtp(host, tmp_path / "message"), RECIPIENTS=recipients)
            assert "taken: renping@sina.com liming@sina.com\n" in said
            found = await host.messages()
            assert sorted(found) == ["liming@sina.com", "renping@sina.com"]
            for (octets,) in found.values():
                assert behind_trace(octets) == MESSAGES["utf-8"]

    run(scenario)


# -- nodemailer, of Node.js

NODEMAILER = "/usr/share/nodejs/nodemailer/package.json"
_NODEMAILER = """
const nodemailer = require('/usr/share/nodejs/nodemailer');
const {port, pool, messages} = JSON.parse(require('fs').readFileSync(0));
const transport = nodemailer.createTransport({host: '127.0.0.1', port, pool, name: 'node.example', ignoreTLS: true});
for (const each of messages) if (each.raw !== undefined) each.raw = Buffer.from(each.raw, 'base64');
Promise.all(messages.map(each => transport.sendMail(each))).then(
    found => console.log(JSON.stringify(found)), error => console.log(JSON.stringify({error: error.message}))
).finally(() => transport.close());
"""


async def nodemailer(host: Host, *messages: dict[str, Any], pool: bool = False) -> Any:
    """What nodemailer says of each message, or its error."""
    given = json.dumps({"port": host.endpoint.port, "pool": pool, "messages": messages})
    return json.loads(await program("node", "-e", _NODEMAILER, octets=given.encode()))


def raw(message: bytes, *recipients: str) -> dict[str, Any]:
    """A whole message, for nodemailer."""
    from base64 import b64encode

    return {"envelope": {"from": "langrui@sohu.com", "to": recipients}, "raw": b64encode(message).decode()}


@pytest.mark.system("nodejs", "node")
@pytest.mark.system("node-nodemailer", NODEMAILER)
@pytest.mark.parametrize("pool", [False, True], ids=["a session each", "pool"])
def test_nodemailer(tmp_path: Path, pool: bool) -> None:
    async def scenario() -> None:
        async with opened(CATCHING, tmp_path / "host") as host:
            sent = [raw(message, f"{name}@box.test") for name, message in WITH_HEAD.items()]
            for found in await nodemailer(host, *sent, pool=pool):
                assert found["rejected"] == []
                assert " queued as " in found["response"]
            await arrived(host, WITH_HEAD)

    run(scenario)


@pytest.mark.system("nodejs", "node")
@pytest.mark.system("node-nodemailer", NODEMAILER)
def test_nodemailer_composes_and_is_refused_one_recipient(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            written = {
                "from": '"郎锐" <langrui@sohu.com>',
                "to": ["renping@sina.com", "nobody@sina.com"],
                "bcc": "liming@sina.com",
                "subject": SUBJECT,
                "text": BODY,
                "attachments": [{"filename": "诗.txt", "content": BODY}],
            }
            (found,) = await nodemailer(host, written)
            assert found["accepted"] == ["renping@sina.com", "liming@sina.com"]
            assert found["rejected"] == ["nobody@sina.com"]
            assert "550 5.1.1 " in found["rejectedErrors"][0]["response"]
            message = await parsed(host, "liming@sina.com")
            text, attachment = message.iter_parts()
            assert message["Subject"] == SUBJECT
            assert text_of(text) == BODY
            assert (attachment.get_filename(), text_of(attachment)) == ("诗.txt", BODY)

    run(scenario)


@pytest.mark.system("nodejs", "node")
@pytest.mark.system("node-nodemailer", NODEMAILER)
def test_nodemailer_asks_for_smtputf8(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(CATCHING, tmp_path / "host") as host:
            message = raw(MESSAGES["chinese-fields"], "任平@box.test")
            message["envelope"]["from"] = "郎锐@sohu.com"
            (found,) = await nodemailer(host, message)
            assert found["accepted"] == ["任平@box.test"]
            octets = await host.only_message()
            assert octets.startswith("Return-Path: <郎锐@sohu.com>\r\n".encode())
            assert behind_trace(octets) == MESSAGES["chinese-fields"]

    run(scenario)


# -- PHPMailer, of PHP

PHPMAILER = "/usr/share/php/libphp-phpmailer/autoload.php"
_PHPMAILER = r"""
require '/usr/share/php/libphp-phpmailer/autoload.php';
$given = json_decode(stream_get_contents(STDIN), true);
$mail = new PHPMailer\PHPMailer\PHPMailer(true);
$mail->isSMTP();
$mail->Host = '127.0.0.1'; $mail->Port = $given['port']; $mail->SMTPAutoTLS = false; $mail->Helo = 'php.example';
$mail->SMTPKeepAlive = true; $mail->CharSet = 'utf-8'; $mail->Encoding = $given['encoding'];
$mail->setFrom('langrui@sohu.com', '郎锐');
foreach ($given['to'] as $to) $mail->addAddress($to);
$mail->Subject = $given['subject']; $mail->Body = $given['body'];
foreach ([1, 2] as $time) {
    try { $mail->send(); echo "sent: ", $mail->getSMTPInstance()->getLastTransactionID(), "\n"; }
    catch (Exception $e) { echo "failed: ", $e->getMessage(), "\n"; }
}
$mail->smtpClose();
"""


async def phpmailer(host: Host, *to: str, encoding: str = "8bit") -> list[str]:
    """What PHPMailer says of a message that it sends twice, in one session."""
    given = {"port": host.endpoint.port, "to": to, "encoding": encoding, "subject": SUBJECT, "body": BODY}
    return (await program("php", "-r", _PHPMAILER, octets=json.dumps(given).encode())).splitlines()


@pytest.mark.system("php-cli", "php")
@pytest.mark.system("libphp-phpmailer", PHPMAILER)
@pytest.mark.parametrize("encoding", ["8bit", "quoted-printable", "base64"])
def test_phpmailer(tmp_path: Path, encoding: str) -> None:
    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            said = await phpmailer(host, "renping@sina.com", "liming@sina.com", encoding=encoding)
            assert len(said) == 2
            assert all(line.startswith("sent: ") for line in said), said
            found = await host.messages()
            assert {mailbox: len(messages) for mailbox, messages in found.items()} == {
                "renping@sina.com": 2,
                "liming@sina.com": 2,
            }
            for octets in found["renping@sina.com"]:
                message = email.message_from_bytes(behind_trace(octets), policy=default)
                assert isinstance(message, EmailMessage)
                assert message["Content-Transfer-Encoding"] == encoding
                assert (message["Subject"], text_of(message).rstrip("\n")) == (SUBJECT, BODY.rstrip("\n"))

    run(scenario)


@pytest.mark.system("php-cli", "php")
@pytest.mark.system("libphp-phpmailer", PHPMAILER)
def test_phpmailer_names_the_recipient_that_is_refused(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with opened(TWO_MAILBOXES, tmp_path / "host") as host:
            said = await phpmailer(host, "renping@sina.com", "nobody@sina.com")
            wanted = "failed: SMTP Error: The following recipients failed: nobody@sina.com: Mailbox does not exist"
            assert [line for line in said if line] == [wanted] * 2
            assert {mailbox: len(messages) for mailbox, messages in (await host.messages()).items()} == {
                "renping@sina.com": 2
            }

    run(scenario)
