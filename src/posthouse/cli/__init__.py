"""The command line: one module per group of commands, imported when the command is used and not before.

``posthouse --help`` imports click and this file only.  The table below has each command's module and its line in the
overview, so that the overview imports no command; a test compares the lines with those of the commands.

Every error ends in ``main``: one sentence on standard error and an exit code of sysexits.h (``cli.exit_codes``), with a
traceback only after ``--debug``.

Standard output that cannot be written is no error of a command that has acted: ``send`` has sent, and a script that saw
a failure would send again.  So those commands (``ACTS``) end with the code of what they did, and standard error says
that their output is lost.  For every other command the output is the work: 74, or 141 if its reader has gone.

Over budget: one module for each group of commands, and what they share.
"""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence

import click

from posthouse import __version__

__all__ = ["ACTS", "COMMANDS", "language", "main", "posthouse"]

#: Command → (module, its attribute, its line in the overview), in the order they are shown.
COMMANDS: dict[str, tuple[str, str, str]] = {
    "demo": ("demo", "demo", "Watch a message pass two mail servers, line by line."),
    "run": ("run", "run", "Run the daemon; without a configuration it catches all mail."),
    "reload": ("reload", "reload", "Have a running daemon read its configuration again."),
    "send": ("send", "send", "Compose a message, or take a ready one, and send it."),
    "sendmail": ("sendmail", "sendmail", "Take a message as sendmail does: -t, -i, -f, -bs …"),
    "probe": ("probe", "probe", "Show what a mail server offers: extensions, TLS, certificate, logins."),
    "inbox": ("inbox", "inbox", "Read what was delivered into the local inboxes."),
    "queue": ("queue", "queue", "Show the mail in the queue, and change it."),
    "monitor": ("operator.monitoring", "monitor", "Show the daemon at work: numbers, sessions, dialogues, metrics."),
    "explain": (
        "explain",
        "explain",
        "Explain a message, an address, a reply code, a command or a setting.",
    ),
    "check": ("check", "check", "Check a configuration, an address, a domain or a message before it is used."),
    "report": ("operator.dmarc_reports", "report", "Sum up what other hosts report about the mail of a domain."),
    "user": ("user", "user", "Show and change the accounts that may log in."),
    "dkim": ("dkim", "dkim", "Make, show and rotate the keys with which mail is signed."),
    "fault": ("catching.fault", "fault", "Switch faults on and off while the catcher runs."),
    "sink": ("sink", "sink", "Receive mail, count it and drop it; fail on demand."),
    "bench": ("bench", "bench", "Send many messages and measure."),
}

#: Names of ``sendmail`` by which programs start it (``__main__``); the overview does not list them.
_OTHER_NAMES = ("mailq", "newaliases")

#: Commands that change something or keep running: their exit code tells what was done, whatever became of their output.
ACTS = frozenset(
    (
        "dkim keygen",
        "dkim rotate",
        "fault off",
        "fault on",
        "inbox again",
        "inbox delete",
        "inbox export",
        "inbox import",
        "inbox mark",
        "inbox rebuild",
        "inbox release",
        "inbox send",
        "inbox tag",
        "inbox undo",
        "queue drop",
        "queue hold",
        "queue pause",
        "queue release",
        "queue reroute",
        "queue resume",
        "queue retry",
        "queue undo",
        "reload",
        "run",
        "send",
        "sendmail",
        "sink",
        "user add",
        "user change",
        "user inboxes",
        "user operator",
        "user passwd",
        "user remove",
        "user token-add",
        "user token-remove",
    )
)

_OVERVIEW = {
    "en": """\
Posthouse {version}: an SMTP system (RFC 5321).
  posthouse demo                 two mail servers relay and deliver a message; every line is explained
  posthouse run                  catch all mail sent to 127.0.0.1:1025; nothing leaves this machine
  posthouse send --from me@sohu.com --to you@sina.com --subject hello --text "Hello!"

{commands}

posthouse COMMAND --help says more. Listings take --json. Settings: posthouse run --config posthouse.toml.
""",
    "zh": """\
Posthouse {version}（驿站）：SMTP 系统（RFC 5321）。
  posthouse demo                 两台邮件服务器中转并投递一封信，逐行解释
  posthouse run                  接收发往 127.0.0.1:1025 的所有邮件，不会离开本机
  posthouse send --from me@sohu.com --to you@sina.com --subject 你好 --text "你好！"

{commands}

posthouse COMMAND --help 查看详细说明；列表命令都支持 --json；用 posthouse run --config posthouse.toml 指定配置。
""",
}


_CHINESE = {
    "demo": "看一封信经过两台邮件服务器，逐行解释。",
    "run": "运行守护进程；没有配置时接收所有邮件。",
    "reload": "让运行中的守护进程重新读取配置。",
    "send": "撰写一封邮件（或使用现成的邮件）并发送。",
    "sendmail": "像 sendmail 那样接收一封邮件：-t、-i、-f、-bs 等选项。",
    "probe": "查看邮件服务器提供什么：扩展、TLS、证书和登录方式。",
    "inbox": "阅读投递到本地邮箱的邮件。",
    "queue": "查看并处理队列里的邮件。",
    "monitor": "查看守护进程的运行情况：数字、会话及其内容、指标。",
    "explain": "解释一封邮件的经过、一个地址的去向、一个应答码、一条命令或一项设置。",
    "check": "事先检查配置、地址或邮件。",
    "user": "查看并管理可以登录的账户。",
    "dkim": "生成、查看并轮换为邮件签名的密钥。",
    "report": "汇总其他主机对某个域的邮件所作的报告。",
    "fault": "在截留服务器运行时开启或关闭故障。",
    "sink": "接收、计数并丢弃邮件；可按要求出错。",
    "bench": "大量发送邮件并测量。",
}


class _Lazy(click.Group):
    """The group of all commands, found by the table above."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS and cmd_name not in _OTHER_NAMES:
            return None
        module, attribute, _ = COMMANDS.get(cmd_name) or ("sendmail", cmd_name, "")
        found: click.Command = getattr(importlib.import_module(f"posthouse.cli.{module}"), attribute)
        return found

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if args and args[0] not in (*COMMANDS, *_OTHER_NAMES) and not args[0].startswith("-"):
            import difflib

            close = difflib.get_close_matches(args[0], COMMANDS, n=1, cutoff=0.5)
            hint = f"did you mean `posthouse {close[0]}`?" if close else "`posthouse` alone lists them"
            raise click.UsageError(f"there is no command {args[0]!r}; {hint}")
        return super().resolve_command(ctx, args)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, _, line) in COMMANDS.items()])


def _version(ctx: click.Context, option: click.Parameter, wanted: bool) -> None:
    """Print the version, and whether the build is compiled."""
    if wanted and not ctx.resilient_parsing:
        from posthouse.core._mypyc import compiled

        click.echo(f"posthouse {__version__}" + (", compiled" if compiled() else ""))
        ctx.exit()


@click.group(cls=_Lazy, invoke_without_command=True, context_settings={"help_option_names": ["-h", "--help"]})
@click.option(
    "--version", "-V", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version."
)
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.pass_context
def posthouse(ctx: click.Context, debug: bool) -> None:
    """Posthouse: an SMTP system. It sends, receives, relays and delivers mail."""
    if ctx.invoked_subcommand is None:
        width = max(map(len, COMMANDS))
        lang = language()
        shown = _CHINESE if lang == "zh" else {name: line for name, (_, _, line) in COMMANDS.items()}
        lines = "\n".join(f"  {name.ljust(width)}  {line}" for name, line in shown.items())
        click.echo(_OVERVIEW[lang].format(version=__version__, commands=lines), nl=False)


def language(wanted: str | None = None) -> str:
    """``en`` or ``zh``: the language asked for, else that of the environment."""
    if wanted:
        return wanted
    spoken = next((value for name in ("LC_ALL", "LC_MESSAGES", "LANG") if (value := os.environ.get(name))), "")
    return "zh" if spoken.lower().startswith("zh") else "en"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command, and return its exit code.  Never raises; shows a traceback only with ``--debug``."""
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given[:1] or bool(os.environ.get("POSTHOUSE_DEBUG"))
    try:
        _refuse_undecodable(given)
        code = posthouse.main(given, prog_name="posthouse", standalone_mode=False)
        code = code if isinstance(code, int) else 0
    except Exception as error:
        if debug and not isinstance(error, click.ClickException):
            import traceback

            traceback.print_exception(error)
        code = _end(error)
    except KeyboardInterrupt:
        code = 130
    except SystemExit:  # click ends so when the reader of the output has gone
        code = 141
    return _with_output(given, code)


def _refuse_undecodable(given: Sequence[str]) -> None:
    """Raise for an argument that is not UTF-8: no address, filter or text could be made of it, nor an error shown."""
    for number, argument in enumerate(given, 1):
        if not argument.isascii() and any("\ud800" <= sign <= "\udfff" for sign in argument):
            from posthouse.cli import exit_codes

            remedy = "type it in a terminal whose character set is UTF-8, or rename the file"
            raise exit_codes.CommandFailed(f"argument {number} ({argument}) is not UTF-8; {remedy}", exit_codes.DATAERR)


def _with_output(given: Sequence[str], code: int) -> int:
    """The exit code, when the output has been written as far as it could be."""
    raw = getattr(getattr(sys.stdout, "buffer", None), "raw", None)
    try:
        sys.stdout.flush()
    except OSError as error:
        failure: OSError | None = error
    else:
        failure = getattr(raw, "failure", None)
    if failure is None:
        return code
    why = failure.strerror or str(failure)
    words = [each for each in given if not each.startswith("-")]
    if " ".join(words[:1]) in ACTS or " ".join(words[:2]) in ACTS:
        _complain(f"posthouse: standard output could not be written ({why}); the exit code tells what was done")
        return code
    if isinstance(failure, BrokenPipeError):
        return 141 if code == 0 else code
    _complain(f"posthouse: standard output cannot be written ({why}); name another file, or make room")
    return 74 if code == 0 else code


def _end(error: Exception) -> int:
    """Print the error in one sentence, and return the exit code."""
    if isinstance(error, BrokenPipeError):
        # The reader of the output has gone; without this the interpreter would report it at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)
        return 141
    if isinstance(error, click.exceptions.Abort):
        return 130
    if isinstance(error, click.UsageError):
        place = error.ctx.command_path if error.ctx is not None else "posthouse"
        text = error.format_message().rstrip(".").replace("a valid integer range", "a whole number")
        more = "" if "posthouse" in text else f"; see `{place} --help`"
        _complain(f"{place}: {text[:1].lower()}{text[1:]}{more}")
        return 64
    if isinstance(error, click.ClickException):
        _complain(f"posthouse: {error.format_message()}")
        return 66 if isinstance(error, click.FileError) else 64
    if isinstance(error, ModuleNotFoundError) and (package := (error.name or "").partition(".")[0]) != "posthouse":
        remedy = "install it from the project's directory: pip install '.[daemon]'"
        _complain(f"posthouse: this command needs {package}; {remedy}")
        return 69
    from posthouse.cli import exit_codes

    code = exit_codes.of(error)
    if code == exit_codes.SOFTWARE:
        _complain(f"posthouse: an error in Posthouse ({type(error).__name__}: {error}); see posthouse --debug")
    elif remedy := exit_codes.remedy(error):
        _complain(f"posthouse: {error}; {remedy}")
    elif isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        _complain(f"posthouse: {place}{error.strerror or error}")
    else:
        _complain(f"posthouse: {error}")
    return code


def _complain(sentence: str) -> None:
    from posthouse.core.escapes import escaped_lines

    click.echo(escaped_lines(sentence), err=True)
