"""Secrets of AUTH: in no transcript, log line or traceback, however wrongly a client has said them."""

from __future__ import annotations

import asyncio
import base64
import sys
import types
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from posthouse.net import SystemClock
from posthouse.service import Daemon, EventLog, parse
from posthouse.service.accounts import AccountFile

from .test_daemon import Talk

SECRET = "Sup3rs3cret/%pw"


def b64(text: str) -> str:
    return base64.b64encode(text.encode()).decode()


B64 = b64(SECRET)
NAME64 = b64("ann@x.test")
PLAIN = b64(f"\0ann@x.test\0{SECRET}")
GUESS = b64(f"\0ann@x.test\0{SECRET}x")
TOKEN = b64(f"user=ann@x.test\x01auth=Bearer {SECRET.replace('%', '')}\x01\x01")
#: What must be nowhere: the secret, and base64 of what has it.
HIDDEN = (SECRET, SECRET.replace("%", ""), B64, PLAIN, GUESS, TOKEN, B64[:12])
TEXT = """
data_dir = "{root}"
hostname = "mx.test"
accounts = "{accounts}"
[[listener]]
bind = "127.0.0.1:0"
name = "clear"
kind = "submission"
tls = "starttls"
max_errors = 100
mechanisms = ["SCRAM-SHA-256", "PLAIN", "LOGIN", "XOAUTH2"]
[[domain]]
name = "x.test"
mailboxes = "any"
"""
DIALOGUES: dict[str, Sequence[str]] = {
    "plain": (f"AUTH PLAIN {PLAIN}",),
    "wrong": (f"AUTH PLAIN {GUESS}",),
    "lower case": (f"auth plain {GUESS}",),
    "after a challenge": ("AUTH PLAIN", GUESS),
    "login": ("AUTH LOGIN", NAME64, B64),
    "login with a name": (f"AUTH LOGIN {NAME64}", B64),
    "a password at the name prompt": ("AUTH LOGIN", B64, B64),
    "a password as the initial name": (f"AUTH LOGIN {B64}", B64),
    "a password as the name of PLAIN": (f"AUTH PLAIN {b64(f'{chr(0)}{SECRET}{chr(0)}x')}",),
    "a password as the authorisation name": (f"AUTH PLAIN {b64(f'{SECRET}{chr(0)}ann@x.test{chr(0)}{SECRET}')}",),
    "not in base64": (f"AUTH PLAIN {SECRET}", "AUTH LOGIN", SECRET),
    "unknown mechanism": (f"AUTH FOO {PLAIN}", f"AUTH {PLAIN}", f"AUTH {SECRET}", f"AUTH {B64} {B64}"),
    "two blanks": (f"AUTH  PLAIN {GUESS}", f"AUTH PLAIN  {GUESS}", f"AUTH\tPLAIN {GUESS}"),
    "no blank": (f"AUTHPLAIN {PLAIN}", f"AUTH{B64}", f"AUTH-PLAIN {PLAIN}", f"AUTH=PLAIN {PLAIN}"),
    "blanks in front": (f" AUTH PLAIN {PLAIN}", f"\tAUTH PLAIN {PLAIN}"),
    "another argument": (f"AUTH PLAIN {PLAIN} {SECRET}", f"AUTH PLAIN = {SECRET}"),
    "without waiting, and refused": ("AUTH NTLM", NAME64, B64, SECRET, PLAIN),
    "after a cancel": ("AUTH LOGIN", "*", B64, SECRET),
    "after the end": ("AUTH LOGIN", NAME64, B64, B64),
    "a line too long": ("AUTH LOGIN", B64 * 2_000),
    "a command too long": (f"AUTH PLAIN {PLAIN * 1_000}",),
    "a token": (f"AUTH XOAUTH2 {TOKEN}", ""),
    "second login": (f"AUTH PLAIN {PLAIN}", f"AUTH PLAIN {PLAIN}", "AUTH LOGIN", B64),
    "scram": (f"AUTH SCRAM-SHA-256 {PLAIN}", f"AUTH SCRAM-SHA-256 {b64(f'n,,n={B64},r=x')}", "*"),
}


class Heard:
    """All that a daemon tells: lines of its log, in both formats, and of its transcripts."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def log(self, style: str) -> EventLog:
        return EventLog(SystemClock(), style, self.lines.append)

    def transcript(self, listener: str) -> object:
        return lambda side, line: self.lines.append(f"{side}: {line}")


def dialogue(root: Path, lines: Sequence[str], *, style: str = "text", accounts: str = "file") -> list[str]:
    """Say these lines in one session; returns all that was told of it."""
    heard = Heard()

    async def run() -> None:
        async with asyncio.timeout(60):
            text = TEXT.format(root=root, accounts=accounts)
            daemon = Daemon(parse(text), log=heard.log(style), transcript=heard.transcript)  # type: ignore[arg-type]
            await daemon.start()
            try:
                talk = await Talk.to(daemon, "clear")
                await talk.reply()
                await talk.say("EHLO client.test")
                for line in lines:
                    assert await talk.say(line)
                await talk.say("QUIT")
                await talk.close()
            finally:
                await daemon.drain(0.5)

    asyncio.run(run())
    return heard.lines


@pytest.fixture
def root(tmp_path: Path) -> Path:
    AccountFile(tmp_path).add("ann@x.test", SECRET, (), 0.0)
    return tmp_path


@pytest.mark.parametrize("style", ["text", "json"])
@pytest.mark.parametrize("name", DIALOGUES)
def test_no_secret_is_told(root: Path, name: str, style: str) -> None:
    told = dialogue(root, DIALOGUES[name], style=style)
    assert any("EHLO client.test" in line for line in told), "there is a transcript"
    found = [line for line in told for hidden in HIDDEN if hidden in line]
    assert not found


def test_commands_of_other_sessions_are_shown(root: Path) -> None:
    told = dialogue(root, ["NOOP x", "FOO bar", "AUTH NTLM", "VRFY ann", "NOOP again"])
    for line in ("S: NOOP x", "S: FOO bar", "S: AUTH NTLM (credentials)", "S: VRFY ann", "S: NOOP again"):
        assert line in told


@pytest.mark.parametrize(("name", "is_shown"), [("ann@x.test", True), ("nobody@x.test", False), (SECRET, False)])
def test_a_failed_name_is_in_the_log_only_if_it_is_an_account(root: Path, name: str, is_shown: bool) -> None:
    guess = b64(f"\0{name}\0wrong")
    told = dialogue(root, [f"AUTH PLAIN {guess}"])
    (line,) = (each for each in told if "refused" in each and "command=AUTH" in each)
    assert (name in line) is is_shown
    assert "127.0.0.1" in line, "what fail2ban needs"


class Failing:
    """Accounts whose code fails with what it was asked in its exception."""

    def check_password(self, user: str, password: str) -> bool:
        raise KeyError(f"no {user} with {password}")


@pytest.fixture
def failing() -> Iterator[str]:
    module = types.ModuleType("posthouse_test_failing")
    module.__dict__["Failing"] = Failing
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(sys.modules, module.__name__, module)
        yield "python:posthouse_test_failing:Failing"


@pytest.mark.parametrize("style", ["text", "json"])
def test_an_exception_of_your_own_code_is_named_and_not_quoted(root: Path, failing: str, style: str) -> None:
    told = dialogue(root, [f"AUTH PLAIN {PLAIN}"], style=style, accounts=failing)
    assert any("check_password raised KeyError" in line and "test_secrets.py" in line for line in told)
    assert not [line for line in told for hidden in HIDDEN if hidden in line]
