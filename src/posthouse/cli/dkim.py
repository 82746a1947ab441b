"""``posthouse dkim``: the keys with which mail is signed."""

from __future__ import annotations

from collections.abc import Callable

import click

from posthouse.cli import language
from posthouse.cli.context import DaemonOptions, operate, with_daemon, with_zone, zone_text
from posthouse.cli.output import as_json as print_json
from posthouse.cli.output import aware, say, table, with_json, with_lang

__all__ = ["dkim"]

_NONE = "There are no DKIM keys; make the first with: posthouse dkim keygen DOMAIN"


@click.group(short_help="Make, show and rotate the keys with which mail is signed.")
def dkim() -> None:
    """Make, show and rotate the keys with which mail is signed (DKIM)."""


@dkim.command("keygen", short_help="Make the first DKIM key of a domain.")
@click.argument("domain")
@click.option(
    "--algorithm",
    type=click.Choice(["rsa", "ed25519", "both"]),
    default="rsa",
    help="rsa, which all receivers know; ed25519; or both, and mail is signed twice.",
)
@click.option("--selector", default="", metavar="NAME", help="The selector; without it, the date and a letter.")
@with_daemon
@with_lang
@with_json
def keygen(
    domain: str,
    algorithm: str,
    selector: str,
    config_file: str | None,
    data_dir: str | None,
    lang: str | None,
    as_json: bool,
) -> None:
    """Make the first DKIM key of DOMAIN, and show the record to publish.

    Submitted mail whose author is in DOMAIN is signed from now on.
    """
    options = DaemonOptions(config_file, data_dir)
    found = operate("dkim keygen", options, domain=domain, algorithm=algorithm, selector=selector)
    if as_json:
        print_json(found)
        return
    said = _in(lang)
    for each in found:
        say(said("the key {} of {} was made; publish this record:", each.selector, each.domain), "green")
        say(each.zone)


@dkim.command("show", short_help="Show the DKIM keys and their DNS records.")
@click.argument("domain", required=False, default="")
@click.option("--records", is_flag=True, help="Print the records that are to be published, as lines of a zone file.")
@with_daemon
@with_lang
@with_json
def show(
    domain: str, records: bool, config_file: str | None, data_dir: str | None, lang: str | None, as_json: bool
) -> None:
    """Show the DKIM keys of DOMAIN, or of every domain, and their DNS records."""
    found = operate("dkim show", DaemonOptions(config_file, data_dir), domain=domain)
    if as_json:
        print_json(found)
        return
    if records:
        for each in found:
            if each.state != "removable":
                click.echo(each.zone)
        return
    said = _in(lang)
    table(
        [said(each) for each in ("DOMAIN", "SELECTOR", "KEY", "STATE", "UNTIL", "MADE")],
        (
            (
                each.domain,
                each.selector,
                f"{each.algorithm} {each.bits}" if each.algorithm == "rsa" else each.algorithm,
                said(each.state),
                "" if each.until is None else aware(each.until),
                aware(each.made),
            )
            for each in found
        ),
        empty=said(_NONE),
        styles="green - - - dim dim",
    )


@dkim.command("rotate", short_help="Make the next DKIM keys of a domain, and remove those that have had their time.")
@click.argument("domain")
@click.option(
    "--days", type=click.IntRange(0, 365), default=2, help="Days until the new keys sign, for their records to spread."
)
@with_daemon
@with_lang
@with_json
def rotate(
    domain: str, days: int, config_file: str | None, data_dir: str | None, lang: str | None, as_json: bool
) -> None:
    """Make the next keys of DOMAIN, one for each algorithm that it has.

    Publish their records at once: they sign when the days have passed. The keys of today then stay published for 14
    days more, and a later rotation removes them.
    """
    found = operate("dkim rotate", DaemonOptions(config_file, data_dir), domain=domain, days=days)
    if as_json:
        print_json(found)
        return
    said = _in(lang)
    for each in found.keys:
        if each.state == "next" or (not days and each.state == "signing"):
            if each.until is None:
                text = said("the key {} of {} signs now; publish this record:", each.selector, each.domain)
            else:
                when = aware(each.until)
                text = said("the key {} of {} signs from {} on; publish this record:", each.selector, each.domain, when)
            say(text, "green")
            say(each.zone)
    for name in found.removed:
        say(said("a key was removed; remove its record {} as well", name), "yellow")


@dkim.command("check", short_help="Compare the DKIM keys with the DNS.")
@click.argument("domain", required=False, default="")
@with_zone
@with_daemon
@with_lang
@with_json
def check(
    domain: str, zone: str | None, config_file: str | None, data_dir: str | None, lang: str | None, as_json: bool
) -> int:
    """Compare the DKIM keys of DOMAIN, or of every domain, with the DNS, and say what to publish.

    The exit code is 69 where mail is signed with a key that receivers cannot find.
    """
    found = operate("dkim check", DaemonOptions(config_file, data_dir), domain=domain, zone=zone_text(zone))
    code = 0 if all(each.usable for each in found) else 69
    if as_json:
        print_json(found)
        return code
    said = _in(lang)
    table(
        [said(each) for each in ("DOMAIN", "SELECTOR", "STATE", "PUBLISHED")],
        ((each.domain, each.selector, said(each.state), said(each.published)) for each in found),
        empty=said(_NONE),
        styles="green - - -",
    )
    for each in found:
        for sentence in each.advice:
            say(said(sentence), "yellow")
    return code


def _in(lang: str | None) -> Callable[..., str]:
    """What says a text in the language that is asked for."""
    from posthouse.service.mailauth.texts.auth_words import auth_words

    return auth_words(language(lang))
