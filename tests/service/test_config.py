"""The configuration file: the design's example works, and every mistake is told at once, in place, with a remedy."""

from __future__ import annotations

import os
from pathlib import Path

import msgspec
import pytest

from posthouse.core import SettingError
from posthouse.net.stream import Endpoint
from posthouse.service import ConfigError
from posthouse.service.config.advice import advice, surroundings
from posthouse.service.config.docs import settings
from posthouse.service.config.mail_types import DeliverySetting, ViaSetting
from posthouse.service.config_file import default_config, load, parse, table_of

DESIGN_EXAMPLE = """
hostname = "mail.example.org"
data_dir = "/var/lib/posthouse"

[[listener]]
bind = "127.0.0.1:2525"
kind = "mx"                  # "mx" | "submission" | "lmtp"
tls  = "off"                 # "off" | "starttls" | "implicit"

[relay]
trusted_networks = ["127.0.0.0/8", "::1/128"]

[[domain]]
name = "hold.test"           # a domain that is ours
deliver = "discard"          # "maildir:PATH" | "mailbox" | "lmtp://host:port" | "discard" | "python:module:object"

[[domain]]
name = "sina.com"
deliver = "maildir:/var/mail/{domain}/{local}"
mailboxes = ["renping"]      # or "any"; left out, accounts and aliases decide ("discard" takes any); postmaster always exists

[[route]]
to  = "sink.test"            # a domain, "*.domain" or "*"
via = "smtp://127.0.0.1:2600"   # or "mx", "smtps://user:pass@host", "lmtp://host:port"

[console]
bind = "127.0.0.1:8025"

[spool]
url = "sqlite"               # in data_dir; later "postgresql://…" for a cluster
"""  # noqa: E501 - word for word


def faults(text: str) -> list[str]:
    """The problems of a configuration, as people read them."""
    with pytest.raises(ConfigError) as caught:
        parse(text)
    assert str(caught.value) == "\n".join(str(each) for each in caught.value.problems)
    return [str(each) for each in caught.value.problems]


def only_fault(text: str) -> str:
    (found,) = faults(text)
    return found


def test_the_designs_example() -> None:
    config = parse(DESIGN_EXAMPLE)
    assert config.hostname == "mail.example.org"
    assert config.data_dir == "/var/lib/posthouse"
    (listener,) = config.listener
    assert (listener.bind, listener.kind, listener.tls) == (Endpoint("127.0.0.1", 2525), "mx", "off")
    assert config.trusts("127.0.0.9")
    assert config.trusts("::1")
    assert not config.trusts("192.0.2.1")
    hold, sina = config.domain
    assert (hold.name, hold.deliver, hold.mailboxes) == ("hold.test", DeliverySetting("discard"), None)
    assert sina.deliver == DeliverySetting("maildir", "/var/mail/{domain}/{local}")
    assert sina.mailboxes == ("renping",)
    (route,) = config.route
    assert (route.to, route.via) == ("sink.test", ViaSetting("smtp", "127.0.0.1:2600"))
    assert config.console.bind == Endpoint("127.0.0.1", 8025)


def test_how_maildirs_are_written() -> None:
    domain = '[[domain]]\nname = "x.test"\ndeliver = "maildir:/m/{local}"\n'
    (usual,) = parse(domain).domain
    assert (usual.maildir_line_ends, usual.maildir_mode, usual.maildir_owner) == ("lf", 0o600, "")
    config = parse(domain + 'maildir_line_ends = "crlf"\nmaildir_mode = "0660"\nmaildir_owner = "vmail:1000"')
    (domain_settings,) = config.domain
    assert domain_settings.maildir_line_ends == "crlf"
    assert (domain_settings.maildir_mode, domain_settings.maildir_owner) == (0o660, "vmail:1000")


def test_without_a_file_everything_is_caught_and_nothing_leaves() -> None:
    config = default_config()
    (listener,) = config.listener
    assert listener.bind == Endpoint("127.0.0.1", 1025)
    assert config.console.bind == Endpoint("127.0.0.1", 8025)
    (domain,) = config.domain
    assert (domain.name, domain.deliver, domain.mailboxes) == ("*", DeliverySetting("mailbox"), ("any",))
    assert config.route == ()
    assert config.relay.trusted_networks == ()


def test_the_catcher_has_a_directory_of_its_own() -> None:
    assert parse("").data_dir != default_config().data_dir
    assert default_config().data_dir == f"{parse('').data_dir}-catcher"


def test_an_empty_file_is_safe() -> None:
    config = parse("")
    assert all(each.bind.host == "127.0.0.1" for each in config.listener)
    assert not config.trusts("127.0.0.1")
    assert config.domain == ()
    assert advice(config)


def test_all_mistakes_are_told_together() -> None:
    found = faults("""
        hostnam = "mail.example.org"
        [relay]
        trusted_networks = ["127.0.0.0/8", "10.0.0.1/8", 7]
        [[listener]]
        bind = "127.0.0.1:25"
        [[listener]]
        bind = "nonsense"
        [[domain]]
        name = "example.org"
        aliases = { info = ["bob", "a b"], sales = [] }
    """)
    assert [each.partition(": ")[2].partition(": ")[0] for each in found] == [
        "hostnam",
        "listener[1].bind",
        "relay.trusted_networks[1]",
        "relay.trusted_networks[2]",
        "domain[0].aliases.info[1]",
        "domain[0].aliases.sales",
    ]
    assert found[0] == 'posthouse.toml: hostnam: there is no such setting; did you mean "hostname"?'
    assert all("; " in each for each in found), "each names its remedy"


@pytest.mark.parametrize(
    ("text", "place", "words"),
    [
        ("hostname = 5", "hostname", "not text"),
        ('hostname = "a b"', "hostname", "domain name"),
        ('[[listener]]\nbind = ":25"', "listener[0].bind", "0.0.0.0:25"),
        ('[[listener]]\nbind = "127.0.0.1:99999"', "listener[0].bind", "no port 99999"),
        ('[[listener]]\nbind = "example.org:25"', "listener[0].bind", "no IP address"),
        ('[[listener]]\nkind = "mx"', "listener[0].bind", "missing"),
        ('[[listener]]\nbind = "127.0.0.1:1"\nkind = "mxx"', "listener[0].kind", '"mx"?'),
        ('[[listener]]\nbind = "127.0.0.1:1"\ntls_required = true', "listener[0].tls", "TLS is off"),
        ('[[listener]]\nbind = "127.0.0.1:1"\nauth = "yes"', "listener[0].auth", "not one of the choices"),
        ('[[listener]]\nbind = "127.0.0.1:1"\nvrfy = "yes"', "listener[0].vrfy", "without quotes"),
        ('[[listener]]\nbind = "127.0.0.1:1"\nmax_message_size = "1KB"', "listener[0].max_message_size", "65536"),
        ('[[listener]]\nbind = "127.0.0.1:1"\nmax_recipients = true', "listener[0].max_recipients", "whole number"),
        ('[listener]\nbind = "127.0.0.1:1"', "listener", "[[listener]]"),
        ('[relay]\nretry_first = "soon"', "relay.retry_first", '"5m"'),
        ('[relay]\nretry_first = "5h"', "relay.retry_first", "longer than the longest"),
        ('[relay]\nsource = "example.org"', "relay.source", "no IP address"),
        ('[[domain]]\nname = "x.test"\ndeliver = "smtps://a"', "domain[0].deliver", "not available in this version"),
        ('[[domain]]\nname = "x.test"\ndeliver = "maildir:/m/{user}"', "domain[0].deliver", "{user}"),
        ('[[domain]]\nname = "x.test"\ndeliver = "maildir:/m"', "domain[0].deliver", "{local}"),
        ('[[domain]]\nname = "x.test"\nmaildir_line_ends = "cr"', "domain[0].maildir_line_ends", '"crlf"'),
        ('[[domain]]\nname = "x.test"\nmaildir_mode = 600', "domain[0].maildir_mode", "in quotes"),
        ('[[domain]]\nname = "x.test"\nmaildir_mode = "0666"', "domain[0].maildir_mode", "change them"),
        ('[[domain]]\nname = "x.test"\nmaildir_mode = "0755"', "domain[0].maildir_mode", '"0660"'),
        ('[[domain]]\nname = "x.test"\nmaildir_mode = "0060"', "domain[0].maildir_mode", '"0600"'),
        ('[[domain]]\nname = "x.test"\nmaildir_owner = "a b"', "domain[0].maildir_owner", "user:group"),
        ('[[domain]]\nname = "x.test"\ndeliver = "discard"\nquota = "1MB"', "domain[0].quota", "not counted"),
        ('[[domain]]\nname = "x.test"\nmailboxes = "bob"', "domain[0].mailboxes", '"any"'),
        ('[[domain]]\nname = "x.test"\npaused = ["bob"]', "domain[0].paused", "no mailbox"),
        ('[[domain]]\nname = "x.test"\nmoved = { bob = "" }', "domain[0].moved.bob", "no mailbox"),
        ('[[domain]]\nname = "x.test"\n[[domain]]\nname = "X.TEST"', "domain[1].name", "two domains"),
        ('[[domain]]\nname = "*"\naliases = { a = "b@x.test" }', "domain[0]", "need a domain"),
        ('[[route]]\nto = "x.test"\nvia = "smtps://u:p@h"', "route[0].via", "write user and password_file"),
        ('[[route]]\nto = "x.test"\nvia = "smtp://h:465"', "route[0].via", "smtps://"),
        ('[[route]]\nto = "x.test"\ntls = "always"', "route[0].tls", '"verify"'),
        ('[[route]]\nto = "x.test"\nvia = "smtps://h"\ntls = "off"', "route[0].tls", "TLS in any case"),
        ('[[route]]\nto = "x.test"\nvia = "smtp+starttls://h"\ntls = "opportunistic"', "route[0].tls", "in any case"),
        ('[[route]]\nto = "x.test"\nvia = "lmtp://h"\ntls = "verify"', "route[0].tls", "LMTP"),
        ('[[route]]\nto = "x.test"\ntls = "require"\nca = "/ca.pem"', "route[0].ca", 'tls = "verify"'),
        ('[[route]]\nto = "x.test"\ntls = "off"\nca = "/ca.pem"', "route[0].ca", "no TLS"),
        ('[[route]]\nto = "x.test"\ntls_key = "/k.pem"', "route[0].tls_key", "tls_cert"),
        ('[[route]]\nto = "x.test"\nvia = "smtps://h"\nuser = "u"', "route[0].user", "password_file"),
        ('[[route]]\nto = "x.test"\nvia = "smtps://h"\npassword_env = "P"', "route[0].password_env", "write user"),
        ('[[route]]\nto = "x.test"\nuser = "u"\npassword_env = "P"', "route[0].user", "mail exchangers"),
        (
            '[[route]]\nto = "x.test"\nvia = "smtp://h"\ntls = "opportunistic"\nuser = "u"\npassword_env = "P"',
            "route[0].tls",
            "cannot be taken away",
        ),
        ('[[route]]\nto = "x.test"\n[[route]]\nto = "x.test"', "route[1].to", "keep one"),
        ('[[domain]]\nname = "x.test"\n[[route]]\nto = "x.test"', "route[0].to", "is a [[domain]] as well"),
        ('[[domain]]\nname = "*"\n[[route]]\nto = "*"', "route[0].to", "never used"),
        ('[spool]\nurl = "postgresql://x"', "spool.url", "not available in this version"),
        ('[spool]\nurl = "mysql"', "spool.url", '"sqlite"'),
        ('[dns]\nnameservers = ["ns.example.org"]', "dns.nameservers[0]", "127.0.0.1:5353"),
        ('[log]\nformat = "xml"', "log.format", '"json"'),
        ("relay = 5", "relay", "not a table"),
        (
            '[[listener]]\nbind = "127.0.0.1:1"\n[[listener]]\nbind = "127.0.0.1:1"',
            "listener[1].bind",
            "another port",
        ),
    ],
)
def test_a_mistake(text: str, place: str, words: str) -> None:
    found = only_fault(text)
    assert found.startswith(f"posthouse.toml: {place}: ")
    assert words in found
    assert "; " in found, "it names its remedy"


def test_text_that_is_not_toml_names_the_line() -> None:
    assert "line 2" in only_fault('hostname = "x.test"\nrelay = =\n')


def test_a_password_is_not_repeated_in_the_error() -> None:
    assert "secret" not in only_fault('[[route]]\nto = "x.test"\nvia = "smtp://user:secret@host"')


def test_a_file(tmp_path: Path) -> None:
    path = tmp_path / "house.toml"
    with pytest.raises(ConfigError, match=r"house\.toml: the file cannot be read"):
        load(path)
    path.write_bytes(b'hostname = "\xff"')
    with pytest.raises(SettingError, match="not UTF-8"):
        load(path)
    path.write_text(DESIGN_EXAMPLE)
    assert load(path) == parse(DESIGN_EXAMPLE)


def test_ways_of_writing() -> None:
    config = parse("""
        [[listener]]
        bind = "[::1]:2525"
        max_message_size = "10MB"
        command_timeout = "5m"
        [[listener]]
        bind = "unix:/run/posthouse/lmtp"
        kind = "lmtp"
        data_timeout = 90
        [[listener]]
        bind = "127.0.0.1:0"
        [[listener]]
        bind = "127.0.0.1:0"
        name = "mx"
        [dns]
        nameservers = ["127.0.0.1:5353", "192.0.2.53"]
        [[domain]]
        name = "例子.test"
        deliver = "lmtp:/run/dovecot/lmtp"
        mailboxes = ["Bob", "any"]
        quota_action = "defer"
        [[route]]
        to = "*.Example.NET"
        via = "smtp://[2001:db8::1]"
    """)
    first, second, third, fourth = config.listener
    assert first.bind == Endpoint("::1", 2525)
    assert (first.max_message_size, first.command_timeout) == (10_000_000, 300.0)
    assert (second.bind, second.data_timeout) == (Endpoint("/run/posthouse/lmtp"), 90.0)
    assert [first.name, second.name, third.name, fourth.name] == ["mx-2", "lmtp", "mx-3", "mx"]
    assert config.dns.nameservers == (Endpoint("127.0.0.1", 5353), Endpoint("192.0.2.53", 53))
    assert config.domain[0].name == "xn--fsqu00a.test"
    assert config.domain[0].deliver == DeliverySetting("lmtp", "/run/dovecot/lmtp")
    assert config.domain[0].mailboxes == ("bob", "any")
    assert config.route[0].to == "*.example.net"
    assert config.route[0].via == ViaSetting("smtp", "[2001:db8::1]:25")


@pytest.mark.parametrize(
    ("host", "trusted"),
    [
        ("192.0.2.7", True),
        ("::ffff:192.0.2.7", True),
        ("192.0.3.7", False),
        ("2001:db8::5", True),
        ("fe80::1%eth0", False),
        ("", True),
        ("nonsense", False),
    ],
)
def test_trust(host: str, trusted: bool) -> None:
    assert parse('[relay]\ntrusted_networks = ["192.0.2.0/24", "2001:db8::/32"]').trusts(host) is trusted


def test_every_setting_is_documented() -> None:
    found = {each.path: each for each in settings()}
    assert all(each.text.endswith(".") or each.text.endswith(")") for each in found.values())
    assert all(each.type for each in found.values())
    assert found["listener[].bind"].default == ""
    assert found["listener[].kind"].type == '"mx" or "submission" or "lmtp"'
    assert found["listener[].max_message_size"].default == '"50MiB"'
    assert found["relay.retry_max"].default == '"4h"'
    assert "domain[].lists.NAME.owner" in found


def test_documented_defaults_are_the_real_ones() -> None:
    """Writing each documented default into a file changes nothing."""
    tables: dict[str, list[str]] = {}
    for each in settings():
        table, _, name = each.path.rpartition(".")
        if each.default and "NAME" not in table:
            tables.setdefault(table, []).append(f"{name} = {each.default}")
    given = {
        "listener[]": 'bind = "127.0.0.1:1025"',
        "domain[]": 'name = "x.test"',
        "route[]": 'to = "y.test"',
        "mailauth.exception[]": 'domain = "z.test"\nreason = "their list"',
        "mailauth.signing[]": 'author = "x.test"',
        "mailauth.batv[]": 'domain = "x.test"',
        "webhook[]": 'url = "https://x.test/"',
    }
    written, bare = [], []
    for table, lines in sorted(tables.items()):  # the settings without a table come first in a file
        header = f"[[{table.removesuffix('[]')}]]" if table.endswith("[]") else f"[{table}]" if table else ""
        need = given.get(table, "")
        bare.append(f"{header}\n{need}")
        own = [line for line in lines if not (table == "listener[]" and line.startswith("name"))]
        written.append("\n".join([header, need, *own]))
    assert parse("\n".join(written)) == parse("\n".join(bare))


def test_a_config_travels_as_json() -> None:
    text = msgspec.json.encode(parse(DESIGN_EXAMPLE), enc_hook=str)
    assert b"mail.example.org" in text


# What a person gets wrong with a file --------------------------------------------------------------------------------


def test_a_file_that_begins_with_a_byte_order_mark_is_read(tmp_path: Path) -> None:
    path = tmp_path / "posthouse.toml"
    path.write_text('\ufeffhostname = "mail.example.org"', encoding="utf-8")
    assert load(path).hostname == "mail.example.org"
    path.write_text('hostname = "mail.example.org"', encoding="utf-16")
    with pytest.raises(ConfigError, match="the file is UTF-16; save it as UTF-8"):
        load(path)


@pytest.mark.parametrize("text", ["a = " + "[" * 5000 + "]" * 5000, "a = " + "{b = " * 5000 + "1" + "}" * 5000])
def test_tables_nested_without_end_are_a_mistake_of_the_file(text: str) -> None:
    assert only_fault(text) == "posthouse.toml: lists or tables are nested too deeply; write them flat"


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[domain]]\nname = "x.test"\naliases = { bob.smith = ["x"] }', '"bob.smith" = …'),
        ('[[domain]]\nname = "x.test"\nmoved = { bob.smith = "x@y.test" }', '"bob.smith" = …'),
        ('[[domain]]\nname = "x.test"\n[domain.aliases]\nbob.smith = ["x"]', '"bob.smith" = …'),
        ('[[domain]]\nname = "x.test"\naliases = { 信息 = ["x"] }', '"信息" = …'),
        ('[[domain]]\nname = "x.test"\n[domain.aliases]\n信息 = ["x"]', '"信息" = …'),
        ('[[domain]]\nname = "x.test"\n[domain.aliases]\nbob+x = ["x"]', '"bob+x" = …'),
        ("[lists.team]\nmembers = []", '"lists" belongs into [[domain]]'),
        ('trusted_networks = ["10.0.0.0/8"]', '"trusted_networks" belongs into [relay]'),
        ('[aliases]\na = ["b"]', '"aliases" belongs into [[domain]]'),
    ],
)
def test_traps_of_toml_are_explained(text: str, words: str) -> None:
    assert words in only_fault(text)


def test_mistakes_in_several_tables_are_told_together_and_name_their_domain() -> None:
    found = faults("""
        [[listener]]
        bind = "nonsense"
        [[domain]]
        name = "good.test"
        aliases = { a = ["b"], b = ["a"] }
        [[domain]]
        name = "other.test"
        paused = ["nobody"]
        [[route]]
        to = "good.test"
    """)
    assert [each.split(": ")[1] for each in found] == [
        "listener[0].bind",
        "domain[1].paused",
        "domain[0].aliases.a",
        "domain[0].aliases.b",
        "route[0].to",
    ]
    assert '(in [[domain]] "other.test")' in only_fault('[[domain]]\nname = "other.test"\ndeliver = "nowhere"')


def test_what_could_not_be_checked_is_said() -> None:
    with pytest.raises(ConfigError) as caught:
        parse('[[domain]]\nname = "a.test"\nquota = "much"\naliases = { a = ["a"] }')
    assert "not followed" in caught.value.unchecked
    with pytest.raises(ConfigError) as caught:
        parse('hostname = "a b"\n[[domain]]\nname = "a.test"\naliases = { a = ["a"] }')
    assert caught.value.unchecked == ""
    assert len(caught.value.problems) == 2


# Directories ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("home", [None, "relative/home", ""])
def test_without_a_home_directory_nothing_is_put_into_the_current_one(
    monkeypatch: pytest.MonkeyPatch, home: str | None
) -> None:
    monkeypatch.delenv("XDG_DATA_HOME", raising=False)
    monkeypatch.setattr("pwd.getpwuid", lambda number: (_ for _ in ()).throw(KeyError(number)))
    if home is None:
        monkeypatch.delenv("HOME", raising=False)
    else:
        monkeypatch.setenv("HOME", home)
    for read in (default_config, lambda: parse("")):
        with pytest.raises(SettingError, match=r"no home directory .* --data-dir"):
            read()
    assert default_config("/somewhere").data_dir == "/somewhere"
    assert parse('data_dir = "/somewhere"').data_dir == "/somewhere"
    assert "data_dir" in only_fault('data_dir = "~/mail"')


def test_a_user_who_does_not_exist_has_no_directory() -> None:
    text = 'data_dir = "~nobodyhasthisname/mail"\n[[domain]]\nname = "x.test"\n'
    found = faults(text + 'deliver = "maildir:~nobodyhasthisname/{local}"')
    assert len(found) == 2
    assert all('there is no user "nobodyhasthisname"' in each for each in found)


def test_localhost_is_loopback() -> None:
    config = parse('[[listener]]\nbind = "localhost:2525"')
    assert config.listener[0].bind == Endpoint("127.0.0.1", 2525)
    both = '[[listener]]\nbind = "localhost:2525"\n[[listener]]\nbind = "127.0.0.1:2525"'
    assert "another port" in only_fault(both)


@pytest.mark.parametrize("written", ["lmtp:/run/lmtp", "lmtp:///run/lmtp"])
def test_a_socket_may_be_written_as_a_path_or_a_url(written: str) -> None:
    config = parse(f'[[domain]]\nname = "x.test"\ndeliver = "{written}"\n[[route]]\nto = "y.test"\nvia = "{written}"')
    assert config.domain[0].deliver == DeliverySetting("lmtp", "/run/lmtp")
    assert config.route[0].via == ViaSetting("lmtp", "/run/lmtp")
    assert str(config.route[0].via) == "lmtp:/run/lmtp"


# Advice about the machine --------------------------------------------------------------------------------------------


def test_nothing_is_said_about_a_configuration_that_finds_all_it_needs(tmp_path: Path) -> None:
    text = f'data_dir = "{tmp_path}/data"\n[[domain]]\nname = "x.test"\ndeliver = "maildir:{tmp_path}/{{local}}"'
    assert surroundings(parse(text), table_of(text, "x")) == []


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "There is no data_dir: mail is kept in"),
        ('data_dir = "spool"', "data_dir is a relative path: it is"),
        ('[[domain]]\nname = "x.test"\ndeliver = "maildir:mail/{local}"', "the Maildir is a relative path"),
        ('data_dir = "FILE/data"', "FILE is not a directory"),
        ('data_dir = "CLOSED/data"', "CLOSED cannot be written by you"),
        ('[[domain]]\nname = "x.test"\ndeliver = "maildir:CLOSED/{local}"', "CLOSED cannot be written by you"),
        ('[[listener]]\nbind = "0.0.0.0:2525"', "listener mx: 0.0.0.0:2525 is open to other hosts without TLS"),
        ('[[listener]]\nbind = "[::]:2525"', "open to other hosts"),
        ('[[route]]\nto = "*"\nvia = "smtps://h"\nca = "/nowhere.pem"', "route *: ca /nowhere.pem cannot be read"),
        (
            '[[route]]\nto = "*"\nvia = "smtps://h"\nuser = "u"\npassword_env = "POSTHOUSE_NO_SUCH"',
            "the environment variable POSTHOUSE_NO_SUCH is not set",
        ),
        (
            '[[route]]\nto = "*"\nvia = "smtps://h"\nuser = "u"\npassword_file = "FILE"',
            "every user of this machine can read",
        ),
        ('[[listener]]\nbind = "192.0.2.1:2525"', "192.0.2.1 is not an address of this machine"),
        ('[[listener]]\nbind = "unix:/no/such/place/s"', "the directory /no/such/place does not exist"),
        ('[[domain]]\nname = "x.test"\ndeliver = "python:no_such_module:f"', 'there is no module "no_such_module"'),
        ('[[domain]]\nname = "x.test"\ndeliver = "python:email.nothing:f"', 'there is no module "email.nothing"'),
        ('accounts = "python:no_such_module:f"', 'accounts: there is no module "no_such_module"; correct the name'),
        ('accounts = "dovecot:/nowhere/auth"', "accounts: there is no socket /nowhere/auth, so nobody can log in"),
        ('[spool]\nmin_free = "1000000GiB"', "less than min_free"),
    ],
)
def test_what_this_machine_does_not_have(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, text: str, words: str
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "file").write_text("")
    closed = tmp_path / "closed"
    closed.mkdir()
    real = os.access  # root may write everywhere
    monkeypatch.setattr("os.access", lambda path, mode: os.fspath(path) != str(closed) and real(path, mode))
    places = {"FILE": str(tmp_path / "file"), "CLOSED": str(closed)}
    for name, place in places.items():
        text, words = text.replace(name, place), words.replace(name, place)
    found = surroundings(parse(text), table_of(text, "x"))
    assert any(words in each for each in found), found


def test_a_module_is_looked_for_without_being_imported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "my_package").mkdir()
    (tmp_path / "my_package" / "__init__.py").write_text("raise SystemExit")
    (tmp_path / "my_package" / "handlers.py").write_text("raise SystemExit")
    text = f'data_dir = "{tmp_path}"\n[[domain]]\nname = "x.test"\ndeliver = "python:my_package.handlers:f"'
    assert surroundings(parse(text), table_of(text, "x")) == []


def test_the_whole_example_can_be_used_as_it_is() -> None:
    config = load(Path(__file__).parents[2] / "examples" / "office.toml")
    assert advice(config) == []
    office, second = config.domain
    assert office.aliases["bob.smith"] == ("bob",)
    assert office.lists["team"].owner == "ann"
    assert second.mailboxes == ("any",)
    assert [str(each.via) for each in config.route] == ["smtp://192.0.2.25:25", "smtp://smarthost.example.net:25"]


def test_advice_names_proxies_that_anybody_is_and_a_pause_that_never_comes() -> None:
    text = '[[listener]]\nbind = "127.0.0.1:0"\n{}\n'
    for setting in ("proxy_networks", "xclient_networks", "xforward_networks"):
        said = advice(parse(text.format(f'{setting} = ["0.0.0.0/0"]')))
        assert any("anybody can claim any address" in each for each in said)
        said = advice(parse(text.format(f'{setting} = ["10.0.0.1"]')))
        assert not any("anybody can claim" in each for each in said)
    for kind, told in (("submission", True), ("mx", False)):
        said = advice(parse(text.format(f'kind = "{kind}"\ngreeting_pause = "3s"')))
        assert any("greeting_pause has no effect" in each for each in said) is told


@pytest.mark.parametrize(
    ("text", "remedy"),
    [
        ("hostname = mx.test", 'text is written in quotes: hostname = "mx.test"'),
        ("[relay]\nretry_first = 5m  # soon", 'text is written in quotes: retry_first = "5m"'),
        ("hostname = “mx.test”", 'write the straight quotes " in place of typographic ones'),
        ("hostname: mx.test", "a setting is written with =, as in hostname = …"),
        ("[[listener]]\nvrfy = yes", "yes is written true"),
        ("[[listener]]\nvrfy = False", "False is written false"),
        ('hostname = "a.test"\nhostname = "b.test"', "the name stands there a second time"),
        ("workers = 1\nworkers = 2", "the name stands there a second time"),
        ('[domain]\nname = "a.test"\n[domain]', "tables of one kind are [[name]]"),
        ('data_dir = "C:\\Users"', "a backslash in double quotes"),
        ('hostname = "mx.test', "close the quotes on the same line"),
        ('信息 = "x"', 'is quoted: "信息" = …'),
        ('{"hostname": "mx.test"}', "correct that line"),
    ],
)
def test_what_is_not_toml_is_said_with_a_remedy(text: str, remedy: str) -> None:
    with pytest.raises(ConfigError) as raised:
        parse(text)
    assert remedy in str(raised.value)
