"""Programs of other authors log in, in clear on loopback, after STARTTLS, and over implicit TLS, with every mechanism
that they know.

They trust the certificate that the daemon made for itself and check it: OpenSSL (curl, Node.js, Perl, PHP, Python) and
GnuTLS (msmtp, mutt).
"""

from __future__ import annotations

import asyncio
import base64
import smtplib
import ssl
from pathlib import Path
from urllib.parse import quote

import aiosmtplib
import pytest

from .doors import ACCOUNT, DOORS, MESSAGE, PASSWORD, TOKEN, Doors, entered, with_doors
from .peers import program, run

SENDER, RECIPIENT = ACCOUNT, "renping@sina.com"
LF = MESSAGE.replace(b"\r\n", b"\n")
IO_SOCKET_SSL = "/usr/share/perl5/IO/Socket/SSL.pm"
AUTHEN_SASL = "/usr/share/perl5/Authen/SASL.pm"
DIGEST_HMAC = "/usr/share/perl5/Digest/HMAC_MD5.pm"


# -- openssl s_client: by hand


async def s_client(doors: Doors, door: str, *lines: str, quiet: bool = True, more: tuple[str, ...] = ()) -> str:
    """What s_client shows of a dialogue."""
    starttls = ("-starttls", "smtp", "-name", "by.hand.example") if door == "starttls" else ()
    trust = ("-CAfile", doors.trusted, "-verify_return_error", "-verify_hostname", "localhost")
    command = ("openssl", "s_client", "-connect", f"127.0.0.1:{doors[door].port}", "-crlf", *starttls, *trust, *more)
    typed = "".join(f"{line}\n" for line in lines).encode()
    return await program(*command, *(("-quiet",) if quiet else ()), octets=typed)


@pytest.mark.system("openssl", "openssl")
@pytest.mark.parametrize("version", ["-tls1_2", "-tls1_3"])
def test_openssl_s_client_typed_by_hand(tmp_path: Path, version: str) -> None:
    secret = base64.b64encode(f"\0{ACCOUNT}\0{PASSWORD}".encode()).decode()
    typed = MESSAGE.decode().replace("\r\n.", "\r\n..").split("\r\n")[:-1]
    lines = ["EHLO by.hand.example", f"AUTH PLAIN {secret}", f"MAIL FROM:<{SENDER}>", f"RCPT TO:<{RECIPIENT}>", "DATA"]

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            for door in ("starttls", "implicit"):
                said = await s_client(doors, door, *lines, *typed, ".", "QUIT", more=(version,))
                assert "235 2.7.0" in said
                assert "250 2.0.0 Ok: queued as" in said
                assert "221 2.0.0" in said
            await entered(doors, [("starttls", "PLAIN"), ("implicit", "PLAIN")])

    run(scenario)


# -- swaks


@pytest.mark.system("swaks", "swaks")
def test_swaks_logs_in(tmp_path: Path) -> None:
    wanted = [(door, mechanism) for door in DOORS for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5")]
    stuffed = MESSAGE.replace(b"\r\n.", b"\r\n..") + b".\r\n"

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            for door, mechanism in wanted:
                flags = {"clear": (), "starttls": ("--tls",), "implicit": ("--tls-on-connect",)}[door]
                if flags:
                    flags += ("--tls-verify", "--tls-ca-path", doors.trusted, "--tls-sni", "localhost")
                place = ("--server", "localhost", "--port", str(doors[door].port), "--helo", "swaks.example")
                login = ("--auth", mechanism, "--auth-user", ACCOUNT, "--auth-password", PASSWORD)
                addresses = ("--from", SENDER, "--to", RECIPIENT, "--no-data-fixup", "--data", "-")
                said = await program("swaks", *place, *flags, *login, *addresses, octets=stuffed)
                assert "235 2.7.0" in said, said
            await entered(doors, wanted)

    run(scenario)


@pytest.mark.system("swaks", "swaks")
def test_swaks_with_a_wrong_password_or_without_tls(tmp_path: Path) -> None:
    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            place = ("--server", "localhost", "--port", str(doors["starttls"].port), "--helo", "swaks.example")
            login = ("--auth", "PLAIN", "--auth-user", ACCOUNT, "--auth-password", "gu3ss")
            said = await program("swaks", "--tls", *place, *login, "--from", SENDER, "--to", RECIPIENT, code=28)
            assert "535 5.7.8" in said
            said = await program("swaks", *place, "--from", SENDER, "--to", RECIPIENT, code=23)
            assert "530 5.7.0 Must issue a STARTTLS command first" in said
            assert await doors.host.messages() == {}

    run(scenario)


# -- curl


@pytest.mark.system("curl", "curl")
@pytest.mark.parametrize("mechanisms", [("PLAIN", "LOGIN", "CRAM-MD5", "OAUTHBEARER"), ("XOAUTH2",)])
def test_curl_logs_in(tmp_path: Path, mechanisms: tuple[str, ...]) -> None:
    """It takes OAUTHBEARER for a token wherever that is offered."""
    wanted = [(door, mechanism) for door in DOORS for mechanism in mechanisms]
    (tmp_path / "message").write_bytes(MESSAGE)

    async def scenario() -> None:
        async with with_doors(tmp_path / "host", mechanisms) as doors:
            for door, mechanism in wanted:
                scheme = "smtps" if door == "implicit" else "smtp"
                url = f"{scheme}://localhost:{doors[door].port}/curl.example"
                tls = ("--cacert", doors.trusted, *(("--ssl-reqd",) if door == "starttls" else ()))
                if mechanism in ("XOAUTH2", "OAUTHBEARER"):
                    login = ("--user", ACCOUNT, "--oauth2-bearer", TOKEN)
                else:
                    login = ("--user", f"{ACCOUNT}:{PASSWORD}")
                addresses = ("--mail-from", SENDER, "--mail-rcpt", RECIPIENT, "--upload-file", tmp_path / "message")
                options = ("--login-options", f"AUTH={mechanism}", "--silent", "--show-error")
                await program("curl", url, *tls, *login, *options, *addresses)
            await entered(doors, wanted)

    run(scenario)


# -- msmtp (GnuTLS)


@pytest.mark.system("msmtp", "msmtp")
def test_msmtp_logs_in(tmp_path: Path) -> None:
    methods = ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "xoauth2", "oauthbearer")
    wanted = [(door, method) for door in DOORS for method in methods]

    async def scenario() -> None:
        async with with_doors(tmp_path / "host") as doors:
            for door, method in wanted:
                secret = TOKEN if "oauth" in method else PASSWORD
                settings = {
                    "host": "localhost",
                    "port": doors[door].port,
                    "domain": "msmtp.example",
                    "from": SENDER,
                    "auth": method,
                    "user": ACCOUNT,
                    "password": secret,
                    "tls": "off" if door == "clear" else "on",
                    "tls_starttls": "on" if door == "starttls" else "off",
                    **({} if door == "clear" else {"tls_trust_file": doors.trusted}),
                    **dict.fromkeys(("set_from_header", "set_date_header", "set_msgid_header"), "off"),
                }
                file = tmp_path / "msmtprc"
                file.write_text("account default\n" + "".join(f"{k} {v}\n" for k, v in settings.items()))
                file.chmod(0o600)
                await program("msmtp", f"--file={file}", "--", RECIPIENT, octets=LF)
            await entered(doors, [(door, method.upper()) for door, method in wanted])

    run(scenario)


# -- mutt (GnuTLS, GNU SASL) and s-nail (OpenSSL)


@pytest.mark.system("mutt", "mutt")
def test_mutt_logs_in(tmp_path: Path) -> None:
    mechanisms = ("plain", "login", "cram-md5", "scram-sha-1", "scram-sha-256", "oauthbearer", "xoauth2")
    wanted = [(door, mechanism) for door in DOORS for mechanism in mechanisms]

    async def scenario() -> None:
        async with with_doors(tmp_path / "host") as doors:
            for door, mechanism in wanted:
                scheme = "smtps" if door == "implicit" else "smtp"
                settings = {
                    "smtp_url": f"{scheme}://langrui%40sohu.com@localhost:{doors[door].port}",
                    "smtp_authenticators": mechanism,
                    "smtp_pass": PASSWORD,
                    "smtp_oauth_refresh_command": f"echo {TOKEN}",
                    "ssl_starttls": "yes" if door == "starttls" else "no",
                    "ssl_force_tls": "no" if door == "clear" else "yes",
                    "certificate_file": doors.trusted,
                    "from": SENDER,
                    "hostname": "mutt.example",
                    "copy": "no",
                }
                lines = (f"set {name} = '{value}'\n" for name, value in settings.items())
                (tmp_path / "muttrc").write_text("".join(lines), "utf-8")
                command = ("mutt", "-n", "-F", tmp_path / "muttrc", "-s", "through the door", "--", RECIPIENT)
                await program(*command, octets=b".\nRCPT is a word, .dot\n..\n", HOME=str(tmp_path))
            await entered(doors, [(door, mechanism.upper()) for door, mechanism in wanted], unchanged=False)

    run(scenario)


@pytest.mark.system("s-nail", "s-nail")
def test_s_nail_logs_in(tmp_path: Path) -> None:
    """What it calls oauthbearer is XOAUTH2; it does not do that in clear."""
    wanted = [(door, mechanism) for door in DOORS for mechanism in ("plain", "login", "cram-md5", "oauthbearer")]
    wanted.remove(("clear", "oauthbearer"))

    async def scenario() -> None:
        async with with_doors(tmp_path / "host") as doors:
            for door, mechanism in wanted:
                scheme = "smtps" if door == "implicit" else "smtp"
                secret = TOKEN if "oauth" in mechanism else PASSWORD
                quoted = quote(secret, safe="")
                settings = {
                    "v15-compat": "yes",
                    "mta": f"{scheme}://langrui%40sohu.com:{quoted}@localhost:{doors[door].port}",
                    "smtp-auth": mechanism,
                    **({"smtp-use-starttls": "yes"} if door == "starttls" else {}),
                    "tls-ca-file": doors.trusted,
                    "tls-ca-no-defaults": "yes",
                    "tls-verify": "strict",
                    "from": SENDER,
                    "hostname": "snail.example",
                    "sendwait": "yes",
                    "save": "",
                    "DEAD": "/dev/null",
                }
                flags = tuple(f"-S{name}={value}" for name, value in settings.items())
                command = ("s-nail", "-:/", "-#", *flags, "-s", "through the door", RECIPIENT)
                said = await program(*command, octets=b".\nRCPT is a word, .dot\n..\n", HOME=str(tmp_path))
                assert "error" not in said.lower(), said
            names = [(door, "XOAUTH2" if each == "oauthbearer" else each.upper()) for door, each in wanted]
            await entered(doors, names, unchanged=False)

    run(scenario)


# -- Net::SMTP, of Perl

_NET_SMTP = r"""
use strict; use Net::SMTP; use Authen::SASL qw(Perl);
my ($door, $port, $mechanism, $ca, $user, $password, $to) = @ARGV;
my $content = do { local $/; <STDIN> };
my %tls = (SSL_verify_mode => 1, SSL_ca_file => $ca, SSL_verifycn_name => 'localhost', SSL_verifycn_scheme => 'smtp');
my $smtp = Net::SMTP->new('localhost', Port => $port, Hello => 'perl.example', Timeout => 30,
    $door eq 'implicit' ? (SSL => 1, %tls) : ()) or die "no session: $@";
if ($door eq 'starttls') { $smtp->starttls(%tls) or die "STARTTLS: " . $smtp->message; }
my %callbacks = (user => $user, authname => $user, pass => $password);
my $sasl = Authen::SASL->new(mechanism => $mechanism, callback => \%callbacks);
$smtp->auth($sasl) or die "AUTH: " . $smtp->code . " " . $smtp->message;
$smtp->mail($user) && $smtp->to($to) && $smtp->data($content) or die $smtp->message;
$smtp->quit or die;
"""


@pytest.mark.system("perl", "perl")
@pytest.mark.system("libio-socket-ssl-perl", IO_SOCKET_SSL)
@pytest.mark.system("libauthen-sasl-perl", AUTHEN_SASL)
@pytest.mark.system("libdigest-hmac-perl", DIGEST_HMAC)
def test_net_smtp_logs_in(tmp_path: Path) -> None:
    wanted = [(door, mechanism) for door in DOORS for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5")]

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            for door, mechanism in wanted:
                given = (door, str(doors[door].port), mechanism, doors.trusted, ACCOUNT, PASSWORD, RECIPIENT)
                await program("perl", "-e", _NET_SMTP, *given, octets=MESSAGE)
            await entered(doors, wanted)

    run(scenario)


# -- Python's own, and the one for asyncio


def test_smtplib_logs_in(tmp_path: Path) -> None:
    wanted = [(door, mechanism) for door in DOORS for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5")]

    def send(doors: Doors, door: str, mechanism: str) -> None:
        context = ssl.create_default_context(cafile=doors.trusted)
        context.verify_flags |= ssl.VERIFY_X509_STRICT  # the default from Python 3.13 on
        port, name = doors[door].port, "smtplib.example"
        server = (
            smtplib.SMTP_SSL("localhost", port, name, timeout=30, context=context)
            if door == "implicit"
            else smtplib.SMTP("localhost", port, name, timeout=30)
        )
        with server:
            if door == "starttls":
                server.starttls(context=context)
            server.ehlo()
            server.user, server.password = ACCOUNT, PASSWORD
            object_of = {"PLAIN": server.auth_plain, "LOGIN": server.auth_login, "CRAM-MD5": server.auth_cram_md5}
            assert server.auth(mechanism, object_of[mechanism])[0] == 235
            assert server.sendmail(SENDER, [RECIPIENT], MESSAGE) == {}

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            for door, mechanism in wanted:
                await asyncio.to_thread(send, doors, door, mechanism)
            await entered(doors, wanted)

    run(scenario)


def test_aiosmtplib_logs_in(tmp_path: Path) -> None:
    wanted = [(door, mechanism) for door in DOORS for mechanism in ("PLAIN", "LOGIN", "CRAM-MD5")]

    async def scenario() -> None:
        async with with_doors(tmp_path) as doors:
            context = ssl.create_default_context(cafile=doors.trusted)
            for door, mechanism in wanted:
                server = aiosmtplib.SMTP(
                    hostname="localhost",
                    port=doors[door].port,
                    local_hostname="aio.example",
                    use_tls=door == "implicit",
                    start_tls=door == "starttls",
                    tls_context=context,
                    timeout=30,
                )
                async with server:
                    if not server.last_ehlo_response:
                        await server.ehlo()
                    login = {
                        "PLAIN": server.auth_plain,
                        "LOGIN": server.auth_login,
                        "CRAM-MD5": server.auth_crammd5,
                    }[mechanism]
                    await login(ACCOUNT, PASSWORD)
                    refused, _ = await server.sendmail(SENDER, [RECIPIENT], MESSAGE)
                    assert refused == {}
            await entered(doors, wanted)

    run(scenario)
