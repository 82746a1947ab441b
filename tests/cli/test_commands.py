"""The commands without processes: what they take, what they print, how they fail."""

from __future__ import annotations

import asyncio
import email.utils
import errno
import importlib
import json
import re
import subprocess
import sys
from datetime import UTC, datetime
from pathlib import Path

import click
import pytest

from posthouse import __version__, core
from posthouse.cli import ACTS, COMMANDS, exit_codes
from posthouse.cli import posthouse as root
from posthouse.cli.output import width_of
from posthouse.cli.probe import url_of
from posthouse.client.model import LoginFailed, SessionRefused, TlsUnavailable
from posthouse.core._mypyc import compiled
from posthouse.net.hosts import NoSuchHost
from posthouse.service import OPERATIONS


def every_command() -> list[tuple[str, click.Command]]:
    found = []
    context = click.Context(root)
    for name in root.list_commands(context):
        command = root.get_command(context, name)
        assert command is not None
        if isinstance(command, click.Group):
            found += [(f"{name} {each}", sub) for each, sub in command.commands.items()]
        else:
            found.append((name, command))
    return found


# The whole -----------------------------------------------------------------------------------------------------------


def test_no_arguments_give_an_overview_of_one_screen(ran) -> None:
    got = ran()
    assert got.code == 0
    assert all(name in got.out for name in COMMANDS)
    assert len(got.out.splitlines()) <= 24
    assert max(map(len, got.out.splitlines())) <= 120


def test_the_overview_speaks_chinese(ran, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG", "zh_CN.UTF-8")
    got = ran()
    assert "驿站" in got.out
    assert all(f"\n  {name} " in got.out for name in COMMANDS)
    assert not any(line in got.out for _, _, line in COMMANDS.values())


def test_the_version(ran) -> None:
    assert ran("--version").out == f"posthouse {__version__}{', compiled' if compiled() else ''}\n"


def test_the_table_says_what_the_commands_say() -> None:
    for name, (module, attribute, line) in COMMANDS.items():
        command = getattr(importlib.import_module(f"posthouse.cli.{module}"), attribute)
        assert command.name == name
        assert command.short_help == line


def test_every_operation_is_a_command() -> None:
    commands = {name for name, _ in every_command()}
    for name in OPERATIONS:
        assert name.removesuffix(" code") in commands, f"the operation {name!r} is no command"


def test_every_listing_takes_json() -> None:
    for name, command in every_command():
        if name not in ("run", "sendmail"):  # sendmail has the options of sendmail(8)
            assert "--json" in {option for parameter in command.params for option in parameter.opts}, name


def test_every_help_fits_a_terminal_of_80_columns() -> None:
    for name, command in every_command():
        *_, parent, last = ("posthouse", *name.split())
        context = click.Context(
            command, info_name=last, parent=click.Context(root, info_name=parent), terminal_width=80
        )
        wide = [line for line in command.get_help(context).splitlines() if width_of(line) > 80]
        assert not wide, (name, wide)


#: What takes longer to import than the whole of ``posthouse --help`` may.
HEAVY = ["asyncio", "cryptography", "dns", "email", "msgspec", "rich", "sqlite3", "ssl", "starlette", "uvloop"]


def test_help_imports_no_command_and_no_room() -> None:
    script = (
        "import sys; from posthouse.cli import main; main(['--help']); "
        "print(sorted(name for name in sys.modules if name.startswith('posthouse.')), "
        f"[name for name in {HEAVY} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.splitlines()[-1] == "['posthouse.cli'] []"
    for _, _, line in COMMANDS.values():
        assert line in " ".join(done.stdout.split())


#: Modules that sending one message to a named server does not need.
OTHERS = [
    *("idna", "ipaddress", "posthouse.sandbox.load", "posthouse.message.trace_fields", "posthouse.protocol.parsing"),
    *("posthouse.protocol.receiver", "posthouse.service.config.types", "posthouse.core.dns"),
]


def test_sending_to_a_server_imports_no_relay_and_no_storage() -> None:
    """It goes through the client alone.  Nobody listens there: found out when all that is needed is imported."""
    words = ["send", "--from", "a@sohu.com", "--to", "b@sina.com", "--subject", "hello", "--text", "hello"]
    script = (
        "import socket, sys; from posthouse.cli import main; door = socket.socket(); door.bind(('127.0.0.1', 0)); "
        f"code = main([*{words}, '--server', 'smtp://127.0.0.1:%d' % door.getsockname()[1]]); "
        "print(code, sorted({name.split('.')[1] for name in sys.modules if name.startswith('posthouse.')}), "
        f"[name for name in {HEAVY + OTHERS} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    rooms = ["cli", "client", "core", "message", "net", "protocol", "sending"]
    assert done.stdout == f"69 {rooms} []\n"
    assert "127.0.0.1:" in done.stderr


def test_a_missing_extra_is_named() -> None:
    script = (
        "import sys; sys.modules['msgspec'] = None; from posthouse.cli import main; sys.exit(main(['explain', '550']))"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 69
    remedy = "install it from the project's directory: pip install '.[daemon]'"
    assert done.stderr == f"posthouse: this command needs msgspec; {remedy}\n"


def test_without_click_there_is_a_sentence() -> None:
    script = "import sys; sys.modules['click'] = None; from posthouse.__main__ import main; main()"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 69
    assert "pip install '.[daemon]'" in done.stderr
    assert "Traceback" not in done.stderr


# Faults --------------------------------------------------------------------------------------------------------------


SEND = ["send", "--from", "a@b.org", "--to", "c@d.org"]


@pytest.mark.parametrize(
    ("arguments", "code", "sentence"),
    [
        (["sned"], 64, "did you mean `posthouse send`?"),
        (["xyzzy"], 64, "there is no command 'xyzzy'"),
        (["queue", "burn"], 64, "no such command 'burn'"),
        (["queue", "hold"], 64, "either a filter, such as domain:example.org, or --all"),
        (["queue", "hold", "--all", "age>1h"], 64, "either a filter"),
        (["queue", "reroute", "age>1h"], 64, "either --via smtp://host:port, or --undo"),
        (["queue", "show", "72jhzb4zx8tbr"], 65, "there is no spool here"),
        (["explain"], 64, "missing argument"),
        (["explain", "--lang", "fr", "550"], 64, "'fr' is not one of"),
        (["explain", "999"], 65, '"999" is no reply code'),
        (["explain", "a@b@"], 65, "is no mailbox"),
        (["explain", "nonsense"], 65, "a queue id, a Message-ID in angle brackets, an address, a reply code"),
        (["explain", "nonsense"], 65, "a command word (MAIL) or a setting (relay.max_hops)"),
        (["explain", "MAILL"], 65, "did you mean MAIL?"),
        (["explain", "relay.max_hosp"], 65, "max_hops"),
        (["explain", "<unknown@example.org>"], 65, "no message with the Message-ID <unknown@example.org> is known"),
        (["explain", "72jhzb4zx8tbr"], 65, "there is no spool here"),
        (["check", "address", "--config", "/nowhere.toml", "a@b.org"], 66, "cannot be read"),
        (["run", "--config", "/nowhere.toml"], 66, "cannot be read"),
        (["run", "--config", "/"], 66, "cannot be read (Is a directory)"),
        (["queue", "list", "--config", "/nowhere.toml"], 66, "cannot be read"),
        (["run", "--config", "/nowhere.toml", "--bind", "127.0.0.1:0"], 64, "--bind is for running without"),
        (["run", "--config", "/nowhere.toml", "--tls", "off"], 64, "--tls is for running without"),
        (["run", "--config", "/nowhere.toml", "--auth", "off"], 64, "--auth is for running without"),
        (["run", "--bind", "nowhere"], 65, "--bind"),
        (["run", "--bind", "example.org:25"], 65, "no IP address"),
        (["run", "--bind", "127.0.0.1:25", "--bind", "127.0.0.1:25"], 65, "given twice"),
        (["run", "--bind", ""], 64, "the value is empty"),
        (["run", "--tls", "off", "--bind", "192.0.2.1:2525"], 69, "with --bind HOST:PORT"),
        (["run", "--data-dir", ""], 64, "the value is empty"),
        (["run", "--config", ""], 64, "the value is empty"),
        (["inbox", "list", "--data-dir", ""], 64, "the value is empty"),
        (["queue", "list", "--data-dir", "~nobodyhasthisname/x"], 64, 'there is no user "nobodyhasthisname"'),
        (["bench", "--server", ""], 64, "the value is empty"),
        (["send", "--server", "", "--from", "a@b.org", "--to", "c@d.org", "--text", "x"], 64, "the value is empty"),
        (["bench", "--server", "127.0.0.1:1", "--to", "nobody"], 65, "the address has no domain; write user@domain\n"),
        (["sink", "--fail", "connect:450"], 65, "connect:421"),
        (["queue", "list"], 65, "there is no spool here"),
        (["inbox", "show", "0"], 64, "'0' is no number of a message; `posthouse inbox list` shows the numbers"),
        (["queue", "hold", ""], 64, "the filter is empty"),
        (["queue", "hold", "--yes", "  "], 64, "the filter is empty"),
        (["send"], 64, "--from ADDRESS"),
        (["send", "--from", "a@b.org"], 64, "--to ADDRESS"),
        (["send", "--from", "a@b.org", "--to", "c@d.org", "--server", "x", "--direct"], 64, "not both"),
        ([*SEND, "--text", "x", "--server", "gopher://x"], 65, '"gopher" is not a protocol'),
        (["send", "--from", "a@b.org", "--to", "nobody", "--text", "x"], 65, "is not a mailbox"),
        ([*SEND, "--text", "x", "--subject", "a\nBcc: x@y.org"], 65, "U+000A"),
        ([*SEND, "--text", "x", "--header", "X-Note"], 64, "has no colon"),
        ([*SEND, "--text", ""], 64, "the message is empty; say what to write: --text TEXT, --text-file FILE"),
        ([*SEND, "--text", " \n"], 64, "the message is empty"),
        ([*SEND, "--html", ""], 64, "the message is empty"),
        ([*SEND, "--text-file", "/dev/null"], 64, "the message is empty"),
        ([*SEND, "--raw", "/dev/null"], 64, "the message is empty: /dev/null has no text"),
        (["send", "--from", "a@b.org", "--to", "c@d.org", "--attach", "/nowhere"], 66, "/nowhere cannot be read"),
        (["send", "--from", "a@b.org", "--to", "c@d.org", "--raw", "-", "--subject", "x"], 64, "--subject cannot"),
        (
            [*SEND, "--text", "x", "--server", "127.0.0.1:1"],
            69,
            "refused the connection; see whether a server runs there",
        ),
        (["user", "add", "a", "--password-file", "/nowhere"], 66, "/nowhere: it cannot be read"),
        ([*SEND, "--text", "x", "--server", "host.invalid"], 68, "see whether the name is written right"),
        (["bench", "--server", "127.0.0.1:1"], 69, "refused the connection"),
        (["bench", "--server", "127.0.0.1", "--size", "big"], 64, "'big' is no size"),
        (["run", "--app", "no_such_program:app"], 65, 'there is no module "no_such_program"'),
        (["run", "--app", "x:app", "--auth", "required"], 64, "--auth is for the daemon"),
        (["run", "--app", "x:app", "--data-dir", "x"], 64, "--data-dir is for the daemon"),
        (["run", "--app", "x:app", "--tls", "starttls"], 64, "App(tls="),
        (["sink", "--fail", "rcpt:250"], 65, "this is not a failure"),
        (["sink", "--fail", "lunch:450"], 65, "connect, helo, mail, rcpt, data, end"),
        (["sink", "--fail", "rcpt:450@2"], 65, "from 0 to 1"),
        (["sink", "--bind", "nowhere"], 65, "--bind"),
        (["sink", "--bind", "192.0.2.1:25"], 69, "192.0.2.1:25"),
        (["demo", "--json"], 64, "needs --once"),
        (["check", "config", ""], 64, "the value is empty"),
        (["inbox", "wait", "--to", ""], 64, "the value is empty"),
        (["inbox", "wait", "--subject", ""], 64, "the value is empty"),
        (["inbox", "wait", "--to", "bob", "--timeout", "0"], 65, '"bob" is no inbox, whose name is an address'),
        (["inbox", "wait", "--timeout", "1m"], 64, "'1m' is not a whole number"),
        (["queue", "list", "--limit", "x"], 64, "'x' is not a whole number"),
        (["sink", "--bind", "192.0.2.1:25"], 69, "choose one of those that `ip address` shows"),
    ],
)
def test_a_fault_is_one_sentence_and_a_code(ran, arguments: list[str], code: int, sentence: str) -> None:
    got = ran(*arguments)
    assert (got.code, got.out) == (code, "")
    assert sentence in got.err
    assert len(got.err.splitlines()) == 1, got.err
    assert "Traceback" not in got.err


@pytest.mark.parametrize(
    "arguments",
    [
        ["explain"],
        ["inbox", "list"],
        ["inbox", "show"],
        ["queue", "list"],
        ["queue", "count"],
        ["queue", "hold"],
        ["queue", "show"],
        ["check", "address"],
        ["check", "config"],
        ["run", "--config"],
        ["run", "--bind"],
        ["sink", "--bind"],
        ["bench", "--server"],
        ["send", "--from"],
        ["send", "--from", "a@b.test", "--to", "c@d.test", "--subject"],
        ["demo", "--lang"],
        [],
    ],
)
@pytest.mark.parametrize("wrong", ["b\udcfccher@x.test", "to:b\udcc3", "\udcff"])
def test_an_argument_that_is_not_utf8_is_refused_by_every_command(ran, arguments: list[str], wrong: str) -> None:
    got = ran(*arguments, wrong)
    assert (got.code, got.out) == (65, "")
    assert f"argument {len(arguments) + 1} (" in got.err
    assert "is not UTF-8; type it in a terminal" in got.err
    assert "\\udc" in got.err
    assert got.err.count("\n") == 1


def test_commands_that_act_are_commands() -> None:
    """Their exit code tells what was done, also where their output cannot be written."""
    known = {name for name, _ in every_command()}
    assert known >= ACTS
    assert {name for name in known if name.startswith("queue ")} - ACTS == {
        f"queue {look}" for look in ("audit", "count", "list", "paused", "show", "sites", "summary", "undoable")
    }


def test_a_mistake_of_ours_is_owned_and_shown_on_request(ran, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object, **__: object) -> None:
        raise ZeroDivisionError("by nought")

    monkeypatch.setattr("posthouse.cli.explain.operate", broken)
    got = ran("explain", "550")
    assert got.code == exit_codes.SOFTWARE
    assert "an error in Posthouse (ZeroDivisionError: by nought)" in got.err
    assert "Traceback" not in got.err
    assert "Traceback" in ran("--debug", "explain", "550").err


def test_what_strangers_wrote_does_not_steer_the_terminal(ran) -> None:
    got = ran("explain", "\x1b[2Jhello")
    assert got.code == 65
    assert "\x1b" not in got.err


def _error(error: BaseException, cause: BaseException | None = None, **more: object) -> BaseException:
    error.__cause__ = cause
    vars(error).update(more)
    return error


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (exit_codes.CommandFailed("x", 66), 66),
        (core.SettingError("a wrong argument"), 65),
        (core.SettingError("a port that is taken", where="x"), 65),
        (_error(core.SettingError("a port that is taken"), OSError(98, "x")), 69),
        (_error(core.SettingError("a wrong setting"), problems=()), 78),
        (_error(core.SettingError("a file that cannot be read"), OSError(2, "x"), problems=()), 66),
        (core.LocalError("a value that cannot be sent"), 65),
        (core.Unreachable("no server"), 69),
        (core.Broken("the connection broke"), 75),
        (core.TimedOut("no answer"), 75),
        (core.RemoteError("nonsense was answered"), 76),
        (core.StorageBusy("behind"), 75),
        (core.StorageFull("the disk is full"), 74),
        (core.StorageError("the disk failed"), 74),
        (FileNotFoundError(2, "x"), 66),
        (PermissionError(13, "x"), 77),
        (OSError(5, "x"), 74),
        (ZeroDivisionError("x"), 70),
    ],
)
def test_the_exit_code_of_each_error(error: BaseException, code: int) -> None:
    assert exit_codes.of(error) == code


@pytest.mark.parametrize(
    ("error", "remedy"),
    [
        (NoSuchHost("there is no host x"), "see whether the name is written right"),
        (core.Unreachable("x refused the connection"), "see whether a server runs there, and whether this port"),
        (_error(core.Unreachable("x"), TimeoutError(errno.ETIMEDOUT, "x")), "a firewall may close this port"),
        (_error(core.Unreachable("x"), FileNotFoundError(errno.ENOENT, "x")), "start the server"),
        (_error(core.Unreachable("x"), OSError(errno.ENETUNREACH, "x")), "see whether this machine has a network"),
        (SessionRefused("x", core.Reply(421, "4.7.0", "busy")), "try again later"),
        (SessionRefused("x", core.Reply(554, "5.7.1", "no")), "its operator can say why"),
        (TlsUnavailable("x refused STARTTLS", core.Reply(454, "4.7.0", "not now")), "try again later"),
        (TlsUnavailable("x does not offer STARTTLS; something may have taken it out", None), ""),
        (core.TlsFailed("x ended the connection during the TLS handshake"), "its operator can say why"),
        (core.Broken("the peer closed the connection"), "see whether this port is one for mail"),
        (core.TimedOut("no answer"), "see whether the host is up"),
        (core.RemoteError("the peer sent a line that is no reply"), "see whether this port is one for mail"),
        (LoginFailed("the login was refused; check the name and the password", None), ""),
        (core.SettingError("wrong"), ""),
    ],
)
def test_the_remedy_where_a_server_is_none_for_mail(error: BaseException, remedy: str) -> None:
    said = exit_codes.remedy(error)
    assert remedy in said
    assert bool(said) == bool(remedy)


def test_the_url_of_a_host_to_probe() -> None:
    assert url_of("mail.example") == "smtp+starttls://mail.example:25"
    assert url_of("mail.example:465") == "smtps://mail.example:465"
    assert url_of("2001:db8::25") == url_of("[2001:db8::25]") == "smtp+starttls://[2001:db8::25]:25"
    assert url_of("[2001:db8::25]:587") == "smtp+starttls://[2001:db8::25]:587"
    assert url_of("lmtp:/run/lmtp.sock") == "lmtp:/run/lmtp.sock"
    assert url_of("smtp://::1") == "smtp://::1"


def test_the_manual_has_every_exit_code() -> None:
    text = (Path(__file__).parents[2] / "docs" / "cli.md").read_text("utf-8").partition("## Exit codes")[2]
    table = dict(re.findall(r"^\| ([0-9]+) \| (.*) \|$", text, re.MULTILINE))
    assert {int(code): meaning for code, meaning in table.items()} == exit_codes.MEANINGS


def test_every_exit_code_has_a_meaning() -> None:
    codes = {value for name, value in vars(exit_codes).items() if name.isupper() and isinstance(value, int)}
    assert codes == set(exit_codes.MEANINGS)


# Explaining and judging ----------------------------------------------------------------------------------------------


def test_explain_in_two_languages(ran) -> None:
    assert "No such mailbox" in ran("explain", "550 5.1.1 User unknown").out
    got = ran("explain", "550", "--lang", "zh")
    assert got.code == 0
    assert "邮箱不可用" in got.out


def test_explain_of_a_setting_in_two_languages(ran) -> None:
    assert "算作循环" in ran("explain", "relay.max_hops", "--lang", "zh").out
    assert "counts as looping" in ran("explain", "relay.max_hops").out


def test_explain_as_json(ran) -> None:
    whole = json.loads(ran("explain", "--json", "421").out)
    assert whole["kind"] == "code"
    (found,) = whole["codes"]
    assert found["code"] == "421"
    assert found["registered"] is True


def test_explain_a_family(ran) -> None:
    got = ran("explain", "5.1.x")
    assert got.code == 0
    assert len(got.out.splitlines()) > 3
    assert all(line.startswith("5.1.") for line in got.out.splitlines())


def test_check_config(ran, tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('hostnam = "mail.example.org"\n[relay]\nmax_hops = "many"\n')
    got = ran("check", "config", str(file))
    assert got.code == 78
    assert "hostname" in got.out
    assert "relay.max_hops" in got.out
    assert "these 2 errors are corrected" in got.out
    file.write_text('hostname = "mail.example.org"\n')
    assert ran("check", "config", str(file)).code == 0
    got = ran("check", "config", str(tmp_path / "nowhere.toml"))
    assert (got.code, "cannot be read" in got.out) == (66, True)
    file.write_text('[[domain]]\nname = "x.test"\nquota = "much"\n')
    assert "Aliases, lists and moved mailboxes were not followed yet" in ran("check", "config", str(file)).out
    file.write_text('hostname = "mail.example.org"\n')
    assert json.loads(ran("check", "config", "--json", str(file)).out)["usable"] is True


def test_check_message(ran, tmp_path: Path) -> None:
    file = tmp_path / "one.eml"
    file.write_bytes(b"From: ann@example.org\nTo: bob@example.com\nSubject: \x1b[2J\n\nhello\n")
    got = ran("check", "message", str(file))
    assert got.code == 1
    assert f"{file}:1: error: There is no Date field. [missing-date]" in got.out
    assert "Add a Date field. (RFC 5322 §3.6)" in got.out
    assert "1 error, 1 warning." in got.out or "1 warning, 1 error." in got.out
    found = json.loads(ran("check", "message", "--json", str(file)).out)
    assert {each["rule"] for each in found} == {"missing-date", "missing-message-id"}
    now = email.utils.format_datetime(datetime.now(UTC))
    file.write_bytes(file.read_bytes().replace(b"To:", f"Date: {now}\nTo:".encode()))
    assert ran("check", "message", str(file)).code == 0
    assert ran("check", "message", "--strict", str(file)).code == 1
    assert ran("check", "message", "--bulk", str(file)).code == 1
    file.write_bytes(file.read_bytes().replace(b"To:", b"Message-ID: <a@example.org>\nTo:"))
    assert ran("check", "message", "--strict", str(file)).out == f"{file}: nothing found.\n"
    got = ran("check", "message", str(tmp_path / "none.eml"))
    assert (got.code, "cannot be read: No such file" in got.err) == (66, True)


def test_check_address(ran, tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('hostname = "mx.sina.com"\n[[domain]]\nname = "sina.com"\nmailboxes = ["renping"]\n')
    got = ran("check", "address", "--config", str(file), "renping@sina.com", "nobody@sina.com", "a@example.org")
    assert got.code == 0
    assert "renping@sina.com  mailbox" in got.out
    assert "550 5.1.1" in got.out
    assert "550 5.7.1" in got.out
    found = json.loads(ran("check", "address", "--json", "--config", str(file), "renping@sina.com").out)
    assert found[0]["kind"] == "mailbox"


def test_what_is_no_address_is_said_and_the_others_are_judged(ran, tmp_path: Path) -> None:
    file = tmp_path / "posthouse.toml"
    file.write_text('hostname = "mx.sina.com"\n[[domain]]\nname = "sina.com"\nmailboxes = ["renping"]\n')
    got = ran("check", "address", "--config", str(file), "no-domain", "renping@sina.com")
    assert got.code == 65
    assert "no-domain  invalid address" in got.out
    assert "write user@domain" in got.out
    assert "renping@sina.com  mailbox" in got.out
    found = json.loads(ran("check", "address", "--json", "--config", str(file), "a b@sina.com").out)
    assert found[0]["kind"] == "invalid"
    assert found[0]["problem"]


def test_a_message_that_does_not_arrive_is_said_in_bounded_time(ran, monkeypatch: pytest.MonkeyPatch) -> None:
    async def never(daemons: object) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr("posthouse.cli.demo._travel", never)
    monkeypatch.setattr("posthouse.cli.demo._PATIENCE", 0.01)
    got = ran("demo", "--once")
    assert (got.code, got.out) == (75, "")
    assert "the message was not delivered within 0.01 seconds" in got.err
