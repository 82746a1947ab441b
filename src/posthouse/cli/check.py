"""``posthouse check``: check a configuration, an address, a domain or a message before it is used."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import click

from posthouse.cli import exit_codes, language
from posthouse.cli.context import DaemonOptions, not_empty, operate, operate_here, with_daemon, with_zone, zone_text
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import say, table, with_json, with_lang
from posthouse.core.errors import SettingError

if TYPE_CHECKING:
    from posthouse.message.lint import Finding

__all__ = ["check"]

_PARTS = ("spf", "dkim", "arc", "dmarc", "advice")  # of the answer about a message's authentication
_COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}


@click.group(short_help="Check a configuration, an address, a domain or a message before it is used.")
def check() -> None:
    """Check a configuration, an address, a domain or a message before it is used."""


@check.command("config", short_help="Check a configuration file: every error, and what may not be intended.")
@click.argument("file", callback=not_empty)
@with_json
def config(file: str, as_json: bool) -> int:
    """Check a configuration file: every error, and what may not be intended."""
    found = operate("check config", path=file)
    if as_json:
        print_json(found)
        return _code(found)
    for problem in found.problems:
        say(problem, "red")
    for sentence in found.advice:
        say(sentence, "yellow")
    if found.usable:
        say(f"{file} can be used.", "green")
        return 0
    several = f"these {len(found.problems)} errors are" if len(found.problems) > 1 else "this error is"
    say(f"{file} cannot be used until {several} corrected.", "bold red")
    return _code(found)


@check.command("settings", short_help="Show the settings in force, and where each value comes from.")
@click.argument("search", default="")
@click.option("--changed", is_flag=True, help="Only settings that differ from their default.")
@with_daemon
@with_json
def settings(search: str, changed: bool, config_file: str | None, data_dir: str | None, as_json: bool) -> None:
    """Show the settings in force, and where each value comes from: the file, the default, the environment, or
    the command line (given).

    A running daemon is asked; without one, the configuration that is named decides. SEARCH is a text in the name, the
    value or the help of a setting.
    """
    report = operate("check settings", DaemonOptions(config_file, data_dir), search=search, changed=changed)
    if as_json:
        print_json(report)
        return
    if report.problem:
        say(report.problem, "yellow", err=True)
    rows = ((each.name, each.value, each.origin) for each in report.settings)
    table(("SETTING", "VALUE", "ORIGIN"), rows, empty="no setting has this text")


@check.command("findings", short_help="Show what may not be intended in the settings in force.")
@with_daemon
@with_json
def findings(config_file: str | None, data_dir: str | None, as_json: bool) -> int:
    """Show what may not be intended in the settings in force, and which certificates end within 21 days.

    A running daemon is asked. The exit code is 1 if there is something.
    """
    found = operate("check findings", DaemonOptions(config_file, data_dir))
    if as_json:
        print_json(found)
    else:
        for sentence in (*found.machine, *found.advice):
            say(sentence, "yellow")
        if not found.machine and not found.advice:
            say("Nothing was found.", "green")
    return 1 if found.machine or found.advice else 0


def _code(found: Any) -> int:
    return exit_codes.OK if found.usable else exit_codes.CONFIG if found.readable else exit_codes.NOINPUT


@check.command("address", short_help="Show where a message to an address would go, and why.")
@click.argument("address", nargs=-1, required=True)
@with_daemon
@with_json
def address(address: tuple[str, ...], config_file: str | None, data_dir: str | None, as_json: bool) -> int:
    """Show where a message to an address would go, and why.

    The configuration that is named decides; without one, that of the running daemon.

    Invalid addresses are reported, and the others are still checked; the exit code is then 65.
    """
    options = DaemonOptions(config_file, data_dir)
    found = [_checked(options, each) for each in address]
    wrong = any(isinstance(each, dict) for each in found)
    if as_json:
        print_json(found)
        return 65 if wrong else 0
    for number, each in enumerate(found):
        if number:
            click.echo()
        if isinstance(each, dict):
            say(f"{each['address']}  invalid address", "bold red")
            say(each["problem"])
            continue
        say(f"{each.address}  {each.kind}", "bold")
        say(f"{each.explanation}  RCPT from outside the trusted networks is answered {each.reply}.")
        if each.ends:
            table(("RECIPIENT", "GOES TO", "BECAUSE"), ((end.recipient, end.target, end.reason) for end in each.ends))
    return 65 if wrong else 0


def _checked(options: DaemonOptions, address: str) -> Any:
    """The operation's answer, or the error in the address."""
    from posthouse.service import ConfigError

    try:
        return operate("check address", options, address=address)
    except ConfigError:  # the addresses are not at fault
        raise
    except SettingError as problem:
        return {"address": address, "kind": "invalid", "problem": str(problem)}


@check.command("message", short_help="Check a message against the standards and what large receivers demand.")
@click.argument("file", callback=not_empty)
@click.option("--bulk/--no-bulk", default=None, help="The message goes to many. Default: as its fields say.")
@click.option("--strict", is_flag=True, help="End with 1 for warnings too.")
@click.option(
    "--ip", metavar="ADDRESS", callback=not_empty, help="The host that sends it: also check SPF, DKIM, ARC and DMARC."
)
@click.option("--from", "mail_from", metavar="ADDRESS", help="The sender in MAIL FROM; empty for a bounce.")
@click.option("--helo", metavar="NAME", default="", help="The name that the host gives in HELO or EHLO.")
@with_zone
@with_daemon
@with_lang
@with_json
def message(
    file: str,
    bulk: bool | None,
    strict: bool,
    ip: str | None,
    mail_from: str | None,
    helo: str,
    zone: str | None,
    config_file: str | None,
    data_dir: str | None,
    lang: str | None,
    as_json: bool,
) -> int:
    """Check a message against the standards and what large receivers demand; FILE may be - for standard input.

    Each finding has its line, its rule and a remedy. The exit code is 1 if there are errors, with --strict also if
    there are warnings.

    With --ip or --zone, SPF (only with --ip), DKIM, ARC and DMARC are checked as a receiver does it, and what to
    publish is shown. --zone takes the DNS records from a file, so that they can be tried before they are published.
    The configuration says which DNS servers are asked.
    """
    import time

    from posthouse.message.lint import Level, lint_message

    if ip is None and (mail_from is not None or helo):
        raise click.UsageError("--from and --helo are for SPF, which needs the address of the host: add --ip")
    try:
        octets = _octets_of(file)
    except OSError as error:
        say(
            f"{file} cannot be read: {error.strerror or error}; give the path of a file that holds a message.", err=True
        )
        return exit_codes.NOINPUT
    found = lint_message(octets, now=time.time(), bulk=bulk)
    auth = None
    if ip is not None or zone is not None:
        auth = operate_here(
            "check message",
            DaemonOptions(config_file, data_dir),
            message=octets.decode("latin-1"),
            ip=ip or "",
            mail_from=mail_from or "",
            helo=helo,
            zone=zone_text(zone),
        )
    if as_json:
        listed = [each._asdict() for each in found]
        print_json(listed if auth is None else {"findings": listed} | {name: getattr(auth, name) for name in _PARTS})
    else:
        _show_findings(file, found, language(lang))
        if auth is not None:
            _show_authentication(auth, _in(lang))
    grave = (Level.ERROR, Level.WARNING) if strict else (Level.ERROR,)
    levels = {str(each.level) for each in found} | {each.level for each in (auth.advice if auth else ())}
    return 1 if levels & set(map(str, grave)) else exit_codes.OK


def _in(lang: str | None) -> Callable[..., str]:
    """What says a text of message authentication in the language that is asked for."""
    from posthouse.service.mailauth.texts.auth_words import auth_words

    return auth_words(language(lang))


def _show_authentication(auth: Any, said: Callable[..., str]) -> None:
    click.echo()
    rows = [] if auth.spf is None else [("SPF", auth.spf.result, auth.spf.domain, auth.spf.reason)]
    rows += [("DKIM", each.result, each.domain, each.reason) for each in auth.dkim.signatures]
    if auth.arc.result != "none":
        rows.append(("ARC", auth.arc.result, " ".join(auth.arc.sealers[:3]), auth.arc.reason))
    rows.append(("DMARC", auth.dmarc.result, auth.dmarc.author_domain, auth.dmarc.reason))
    heading = [said(each) for each in ("CHECK", "RESULT", "DOMAIN", "BECAUSE")]
    table(heading, ((*rest, said(reason)) for *rest, reason in rows), styles="bold - green -")
    if auth.spf is not None:
        for lookup in auth.spf.lookups:
            say(f"    {lookup}", "dim")
    _show_remedies(auth.advice, said)


def _show_remedies(findings: Sequence[Any], said: Callable[..., str]) -> None:
    for each in findings:
        say(f"{said(each.level)}: {said(each.text)}", _COLOURS[each.level])
        say(f"    {said(each.remedy)}")
        if each.publish:
            say(f"    {each.publish}")


@check.command("domain", short_help="Check the DNS records of a domain: MX, SPF, DKIM, DMARC and TLS.")
@click.argument("domain", callback=not_empty)
@click.option(
    "--selector", "selectors", metavar="NAME", multiple=True, help="The selector of a DKIM key; may be repeated."
)
@with_zone
@with_daemon
@with_lang
@with_json
def domain(
    domain: str,
    selectors: tuple[str, ...],
    zone: str | None,
    config_file: str | None,
    data_dir: str | None,
    lang: str | None,
    as_json: bool,
) -> int:
    """Check the DNS records by which DOMAIN receives mail and lets its mail be verified, and show what to publish.

    SPF is followed through every include, and its look-ups are counted. --zone takes the records from a file, so that
    they can be tried before they are published. The exit code is 1 if there are errors.
    """
    run = operate if zone is None else operate_here  # a zone may be too large for the control socket
    found = run(
        "check domain",
        DaemonOptions(config_file, data_dir),
        domain=domain,
        selectors=",".join(selectors),
        zone=zone_text(zone),
    )
    if as_json:
        print_json(found)
    else:
        said = _in(lang)
        for topic in found.topics:
            say(f"{topic.topic.upper():8} {said(topic.summary)}", "bold")
            for record in topic.records:
                say(f"    {record}", "dim")
            _show_remedies(topic.findings, said)
    levels = {each.level for topic in found.topics for each in topic.findings}
    return 1 if "error" in levels else exit_codes.OK


def _octets_of(path: str) -> bytes:
    if path == "-":
        if sys.stdin is None:
            raise OSError("standard input is closed")
        return sys.stdin.buffer.read()
    with open(path, "rb") as file:
        return file.read()


def _show_findings(file: str, found: Sequence[Finding], lang: str) -> None:
    name = "standard input" if file == "-" else file
    if lang == "zh":
        _show_findings_in_chinese(file, found)
        return
    for each in found:
        source = f" ({each.source})" if each.source else ""
        say(f"{name}:{each.line}: {each.level}: {each.text} [{each.rule}]", _COLOURS[each.level])
        say(f"    {each.remedy}{source}")
    if not found:
        say(f"{name}: nothing found.", "green")
        return
    counts = Counter(str(each.level) for each in found)
    parts = [f"{count} {level}{'' if count == 1 else 's'}" for level, count in counts.items()]
    say(f"{name}: {', '.join(parts)}.")


def _show_findings_in_chinese(file: str, found: Sequence[Finding]) -> None:
    from posthouse.service.operations.checks.lint_zh import chinese_lint_remedy, chinese_lint_text

    said, name = _in("zh"), "标准输入" if file == "-" else file
    for each in found:
        source = f"（{each.source}）" if each.source else ""
        text = chinese_lint_text(each.rule, each.text)
        say(f"{name}:{each.line}: {said(str(each.level))}: {text} [{each.rule}]", _COLOURS[each.level])
        say(f"    {chinese_lint_remedy(each.remedy)}{source}")
    counts = Counter(str(each.level) for each in found)
    parts = "，".join(f"{count} 个{said(level)}" for level, count in counts.items())
    say(f"{name}: {parts}。" if found else f"{name}: 没有发现问题。", "" if found else "green")
