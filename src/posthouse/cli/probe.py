"""``posthouse probe``: what a mail server offers, whether its certificate is right, what a sender could do there."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import say, with_json, with_lang
from posthouse.cli.server_options import chosen_server, with_login

if TYPE_CHECKING:
    from posthouse.codes import Said
    from posthouse.sending import ProbeReport

__all__ = ["probe", "url_of"]

_WIDTH = 13


@click.command(short_help="Show what a mail server offers: extensions, TLS, certificate, logins.")
@click.argument("host")
@with_login
@click.option("--transcript", is_flag=True, help="Show the dialogue, each line explained.")
@with_lang
@with_json
def probe(**given: Any) -> int:
    """Show what a mail server offers, whether its certificate is right, and what a sender could do there.

    HOST is a name or address with or without a port (25; 465 speaks TLS from the first octet), or a URL as --server of
    `posthouse send` takes it. STARTTLS is used where it is offered. With a name and password the login is tried too.
    Nothing is sent.

    The exit code is 0 if a sender could work there as it should: TLS with a certificate that is verified, and the
    login, if one was given. It is 69 if not, and 77 if the login was refused.
    """
    server = chosen_server(url_of(given["host"].strip()), given)
    said: list[Said] = []
    hear = None
    if given["transcript"]:
        from posthouse.cli.transcript import listener

        hear = listener(given["lang"], said, shows=not given["as_json"])
    report = asyncio.run(_probe(server, hear))
    if given["as_json"]:
        print_json(_facts(report, said if given["transcript"] else None))
    else:
        _show(report)
    if not report.faults:
        return exit_codes.OK
    return exit_codes.NOPERM if server.user and report.verified and not report.login else exit_codes.UNAVAILABLE


def url_of(text: str) -> str:
    """The URL of what is to be probed; where it has no scheme, by its port.  Where STARTTLS is not offered, the probe
    says so."""
    if "://" in text or text.startswith("lmtp:"):
        return text
    text = _in_brackets(text)
    return (
        f"smtps://{text}" if text.endswith(":465") else f"smtp+starttls://{text}" + ("" if _has_port(text) else ":25")
    )


def _in_brackets(text: str) -> str:
    """An IPv6 address that stands alone, as it is written in a URL."""
    return f"[{text}]" if text.count(":") > 1 and set(text.lower()) <= set("0123456789abcdef:.") else text


def _has_port(text: str) -> bool:
    host, colon, port = text.rpartition(":")
    return bool(colon) and port.isdigit() and (":" not in host or host.endswith("]"))


async def _probe(server: Any, transcript: Callable[[str, str], None] | None) -> ProbeReport:
    from posthouse.sending import probe as examine

    return await examine(server, transcript=transcript)


# Output --------------------------------------------------------------------------------------------------------------


def _show(report: ProbeReport) -> None:
    say(f"{report.url}  {report.peer}", "bold")
    _row("greeting", str(report.greeting))
    if not report.implicit:
        _row("in clear", ", ".join(report.in_clear) or "no extensions")
    tls = report.tls
    if tls is None:
        _row("TLS", "none", "yellow")
    else:
        began = "from the first octet" if report.implicit else "by STARTTLS"
        _row("TLS", f"{tls.text} ({tls.bits} bits), {began}")
        _row("inside TLS", ", ".join(report.inside) or "no extensions")
    certificate = report.certificate
    if certificate is not None:
        _row("certificate", f"for {', '.join(certificate.names) or 'no name'}")
        _row("issued by", certificate.issuer)
        _row("valid", f"{certificate.not_before:%Y-%m-%d} to {certificate.not_after:%Y-%m-%d}")
        _row("SHA-256", certificate.fingerprint)
        _row("verdict", *(("verified", "green") if report.verified else ("not verified", "red")))
    _row("logins", ", ".join(sorted(report.capabilities.auth)) or "none offered")
    if report.login:
        _row("logged in", f"as {report.server.user}, by {report.login}", "green")
    click.echo()
    for sentence in report.faults:
        say(f"{sentence[:1].upper()}{sentence[1:]}.", "red")
    for sentence in _abilities(report):
        say(sentence)


def _row(name: str, text: str, style: str = "") -> None:
    say(f"{name:<{_WIDTH}}{text}", style)


def _abilities(report: ProbeReport) -> list[str]:
    """What a sender could do there, in sentences."""
    offered, found = report.capabilities, []
    if report.verified:
        found.append(f"A program sends by {report.url}: the server has proved its name.")
    in_clear = sorted(report.in_clear_mechanisms & {"PLAIN", "LOGIN"})
    if in_clear and not report.implicit:
        found.append(f"It offers {' and '.join(in_clear)} in clear, where a password could be read on its way.")
    if any(each.startswith("SCRAM-") for each in offered.auth):
        found.append("A login need not show the password (SCRAM).")
    size = offered.size
    limit = f"messages of up to {size:,} octets" if size else "messages of any size, as far as it says"
    able = [limit]
    for keyword, what in (
        ("8BITMIME", "8-bit content"),
        ("SMTPUTF8", "addresses in any script"),
        ("CHUNKING", "content in counted chunks (BDAT)"),
        ("PIPELINING", "commands without waiting for each reply"),
        ("DSN", "requests for delivery reports"),
        ("REQUIRETLS", "requests for TLS on the whole way"),
    ):
        if offered.has(keyword):
            able.append(what)
    found.append(f"It takes {', '.join(able)}.")
    return found


def _facts(report: ProbeReport, said: list[Said] | None) -> dict[str, Any]:
    tls, certificate = report.tls, report.certificate
    facts: dict[str, Any] = {
        "url": report.url,
        "peer": report.peer,
        "greeting": str(report.greeting),
        "implicit_tls": report.implicit,
        "in_clear": list(report.in_clear),
        "inside_tls": list(report.inside),
        "tls": None if tls is None else {"version": tls.version, "cipher": tls.cipher, "bits": tls.bits},
        "certificate": None
        if certificate is None
        else {
            "subject": certificate.subject,
            "names": list(certificate.names),
            "issuer": certificate.issuer,
            "not_before": certificate.not_before.isoformat(),
            "not_after": certificate.not_after.isoformat(),
            "sha256": certificate.fingerprint,
        },
        "verified": report.verified,
        "mechanisms": sorted(report.capabilities.auth),
        "login": report.login,
        "faults": list(report.faults),
        "abilities": _abilities(report),
    }
    if said is not None:
        facts["transcript"] = [{"who": s.who, "text": s.text, "explanation": s.explanation} for s in said]
    return facts
