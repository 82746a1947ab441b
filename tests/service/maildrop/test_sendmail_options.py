"""The options of sendmail as programs write them."""

from __future__ import annotations

import pytest

from posthouse.core import Notify, Ret
from posthouse.service.maildrop.sendmail_options import SendmailOptions, WrongUsage, read_options


@pytest.mark.parametrize(
    ("words", "made"),
    [
        ("-t -i", SendmailOptions(gathers=True, dots=False)),  # PHP
        ("-ti", SendmailOptions(gathers=True, dots=False)),
        ("-i a@x.example b", SendmailOptions(dots=False, recipients=("a@x.example", "b"))),  # git send-email
        ("-FCronDaemon -odi -oem -oi -t -froot", SendmailOptions(  # cron
            full_name="CronDaemon", dots=False, gathers=True, sender="root")),
        ("-FCronDaemon -i -B8BITMIME -oem root", SendmailOptions(
            full_name="CronDaemon", dots=False, recipients=("root",))),
        ("-oem -oi -f ann@x.example -- -b@x.example", SendmailOptions(  # mutt
            dots=False, sender="ann@x.example", recipients=("-b@x.example",))),
        ("-N success,delay -R hdrs -V id7 a", SendmailOptions(
            notify=Notify.SUCCESS | Notify.DELAY, ret=Ret.HDRS, envid="id7", recipients=("a",))),
        ("-N never a", SendmailOptions(notify=Notify.NEVER, recipients=("a",))),
        ("-f <> a", SendmailOptions(sender="", recipients=("a",))),
        ("-r ann a", SendmailOptions(sender="ann", recipients=("a",))),
        ("-bs", SendmailOptions(mode="smtp")),
        ("-bp", SendmailOptions(mode="list")),
        ("-bi", SendmailOptions(mode="aliases")),
        ("-bm -v -G a", SendmailOptions(verbose=True, gateway=True, recipients=("a",))),
        ("-q", SendmailOptions(mode="run")),
        ("-q15m", SendmailOptions(mode="run", queue_filter="-")),
        ("-qRx.example", SendmailOptions(mode="run", queue_filter='domain~"x.example"')),
        ("-qI72mg3hf8bz3yy", SendmailOptions(mode="run", queue_filter='id:"72mg3hf8bz3yy"')),
        ("-ot -om -oP5 a", SendmailOptions(gathers=True, recipients=("a",), ignored=("-oP5",))),
        ("-O DeliveryMode=b -x -n -X /dev/null -h 3 -p smtp -L tag -A m a", SendmailOptions(
            recipients=("a",), ignored=("-O DeliveryMode=b",))),
        ("-C /etc/p.toml a", SendmailOptions(config_file="/etc/p.toml", recipients=("a",))),
        ("--data-dir=/d --maildrop /m --config c a", SendmailOptions(
            data_dir="/d", maildrop="/m", config_file="c", recipients=("a",))),
        ("", SendmailOptions()),
    ],
)  # fmt: skip
def test_options(words: str, made: SendmailOptions) -> None:
    assert read_options(words.split()) == made


def test_the_empty_sender_is_the_null_sender() -> None:
    assert read_options(["-f", "", "a"]).sender == ""


def test_names_of_the_program() -> None:
    assert read_options([], "mailq").mode == "list"
    assert read_options([], "newaliases").mode == "aliases"


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("-Z", "no option -Z"),
        ("-f", "-f has no value"),
        ("-bd", "posthouse run"),
        ("-bv a", "posthouse check address"),
        ("-N sometimes a", "no list of success"),
        ("-R some a", "neither full nor hdrs"),
        ("-B 9BIT a", "no kind of body"),
        ("-qXx", "selects no mail"),
        ("a@x.example -f b@x.example", "-f stands behind a recipient"),
        ("--queue", "no option --queue"),
        ("--config", "--config has no value"),
    ],
)
def test_what_is_not_understood_is_said(words: str, said: str) -> None:
    with pytest.raises(WrongUsage, match=said):
        read_options(words.split())
