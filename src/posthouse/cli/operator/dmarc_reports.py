"""``posthouse report``: what other hosts report about the mail of a domain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from posthouse.cli import exit_codes
from posthouse.cli.context import operate
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import moment, say, table, with_json

__all__ = ["report"]

_SHOWN = 20  # sources of a domain


@click.group(short_help="Sum up what other hosts report about the mail of a domain.")
def report() -> None:
    """Sum up what other hosts report about the mail of a domain."""


@report.command("dmarc", short_help="Sum up DMARC aggregate reports.")
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--all", "show_all", is_flag=True, help=f"Show every source, not only the first {_SHOWN} of a domain.")
@with_json
def dmarc(files: Sequence[str], show_all: bool, as_json: bool) -> int:
    """Sum up DMARC aggregate reports: which hosts use a domain as the author, and whether their mail passes.

    FILE is a report (XML, or packed with gzip or zip), a message with a report attached, or a directory of such files.
    A report that is there twice counts once. The exit code is 65 if a file has no report, 66 if one cannot be opened.
    """
    found = operate("report dmarc", files="\n".join(files))
    if as_json:
        print_json(found)
    else:
        for number, each in enumerate(found.domains):
            if number:
                click.echo()
            _show(each, len(each.sources) if show_all else _SHOWN)
    for each in found.unused:
        say(f"{each.path} has no report: {each.problem}.", "yellow", err=True)
    if not found.unused:
        return exit_codes.OK
    return exit_codes.DATAERR if all(each.readable for each in found.unused) else exit_codes.NOINPUT


def _show(found: Any, shown: int) -> None:
    share = f"{100 * found.passed / found.messages:.1f} %" if found.messages else "none"
    say(f"{found.domain}  {found.messages} messages, {share} passed DMARC", "bold")
    policy = f"p={found.policy or 'none'}"
    if found.subdomains not in ("", found.policy):
        policy += f" sp={found.subdomains}"
    testing = ", which is being tested (t=y)" if found.testing else ""
    several = "report" if found.reports == 1 else "reports"
    names = ", ".join(found.reporters[:5]) + (" …" if len(found.reporters) > 5 else "")
    say(f"{policy}{testing}; {found.reports} {several} by {names}, {moment(found.begin)} to {moment(found.end)}")
    for error in found.errors:
        say(f"receivers say: {error}", "yellow")
    rows = (
        (
            each.source_ip,
            each.header_from,
            each.messages,
            each.messages - each.passed,
            each.dkim,
            each.spf,
            each.quarantined + each.rejected,
            " ".join(dict.fromkeys((*each.signed_by[:3], *each.sent_as[:3]))),
        )
        for each in found.sources[:shown]
    )
    headings = ("SOURCE", "AUTHOR", "MESSAGES", "FAILED", "DKIM", "SPF", "REFUSED", "AUTHENTICATED AS")
    table(headings, rows, empty="the reports have no records")
    left = len(found.sources) - shown
    if left > 0:
        say(f"{left} more sources; --all shows them.")
