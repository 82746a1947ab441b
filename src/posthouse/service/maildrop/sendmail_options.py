"""Options of ``sendmail``, as sendmail, Postfix and Exim have them and programs write them.

They are read as getopt reads them: several in one word (``-ti``), a value behind its letter or in the next word
(``-fann``, ``-f ann``), ``--`` for the end.  Options that steer a queue or a log of sendmail's own are taken and have
no effect, so that a program that passes them goes on working; what would change what is sent, and is not understood,
is an error.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.core import Notify, Ret

__all__ = ["MODES", "SendmailOptions", "WrongUsage", "read_options"]

#: Letters whose value may be in the next word, and letters whose value is always in the same word.
_WITH_VALUE: Final = "ABCFLMNORVXbefhmopr"
_ATTACHED: Final = "dq"
#: Letters that one meets and that mean something only to sendmail itself.
_FLAGS: Final = "GIUacinstvx"

#: What ``-b`` asks for.
MODES: Final = {
    "m": "send",
    "s": "smtp",
    "p": "list",
    "i": "aliases",
}
_OTHER_MODES: Final = {
    "d": "start the daemon with `posthouse run --config FILE`",
    "D": "start the daemon with `posthouse run --config FILE`",
    "l": "start the daemon with `posthouse run --config FILE`",
    "v": "ask `posthouse check address ADDRESS`",
    "t": "ask `posthouse explain ADDRESS`",
    "a": "speak SMTP, with -bs",
    "h": "ask `posthouse queue list`",
    "H": "ask `posthouse queue list`",
}
_NOTIFY: Final = {"success": Notify.SUCCESS, "failure": Notify.FAILURE, "delay": Notify.DELAY}


class WrongUsage(ValueError):
    """The options cannot be followed; one sentence with the remedy."""


class SendmailOptions(NamedTuple):
    """What a call of sendmail asks for.

    ``mode`` is send, smtp, list, aliases or run (the queue).  ``sender`` is None if it was not given, "" for the null
    sender.  ``ignored`` has options that were passed over and that might have been meant to have an effect.
    ``queue_filter`` selects the mail of ``-q``.
    """

    mode: str = "send"
    sender: str | None = None
    full_name: str | None = None
    recipients: tuple[str, ...] = ()
    gathers: bool = False
    dots: bool = True
    gateway: bool = False
    verbose: bool = False
    notify: Notify | None = None
    ret: Ret | None = None
    envid: str | None = None
    config_file: str = ""
    data_dir: str = ""
    maildrop: str = ""
    queue_filter: str = ""
    ignored: tuple[str, ...] = ()


def read_options(arguments: Sequence[str], name: str = "sendmail") -> SendmailOptions:
    """Read the arguments of a program called ``name``: sendmail, mailq or newaliases.  Raises ``WrongUsage``."""
    found = SendmailOptions(mode={"mailq": "list", "newaliases": "aliases"}.get(name, "send"))
    at, closed = 0, False
    while at < len(arguments):
        word = arguments[at]
        if word == "--":
            at, closed = at + 1, True
            break
        if word.startswith("--"):
            found, at = _long(found, arguments, at)
            continue
        if not word.startswith("-") or word == "-":
            break
        found, at = _cluster(found, arguments, at)
    late = next((each for each in arguments[at:] if each.startswith("-")), "")
    if late and not closed:
        raise WrongUsage(f"{late} stands behind a recipient; write options first, and -- before an address like it")
    return found._replace(recipients=tuple(arguments[at:]))


def _long(found: SendmailOptions, arguments: Sequence[str], at: int) -> tuple[SendmailOptions, int]:
    """The options of Posthouse itself: ``--config FILE``, ``--data-dir DIR``, ``--maildrop DIR``."""
    name, equals, value = arguments[at].partition("=")
    if name not in ("--config", "--data-dir", "--maildrop"):
        raise WrongUsage(f"there is no option {name}; there are --config, --data-dir, --maildrop and those of sendmail")
    if not equals:
        at += 1
        value = arguments[at] if at < len(arguments) else ""
    if not value:
        raise WrongUsage(f"{name} has no value; write one behind it")
    if name == "--config":
        return found._replace(config_file=value), at + 1
    return (found._replace(data_dir=value) if name == "--data-dir" else found._replace(maildrop=value)), at + 1


def _cluster(found: SendmailOptions, arguments: Sequence[str], at: int) -> tuple[SendmailOptions, int]:
    """One word of options."""
    word = arguments[at]
    place = 1
    while place < len(word):
        letter = word[place]
        place += 1
        if letter in _ATTACHED or letter in _WITH_VALUE:
            value = word[place:]
            if not value and letter in _WITH_VALUE:
                at += 1
                if at >= len(arguments):
                    raise WrongUsage(f"-{letter} has no value; write one behind it")
                value = arguments[at]
            return _valued(found, letter, value), at + 1
        if letter not in _FLAGS:
            raise WrongUsage(f"there is no option -{letter}; see `posthouse sendmail --help`")
        found = _flag(found, letter)
    return found, at + 1


def _flag(found: SendmailOptions, letter: str) -> SendmailOptions:
    if letter == "i":
        return found._replace(dots=False)
    if letter == "t":
        return found._replace(gathers=True)
    if letter == "G":
        return found._replace(gateway=True)
    if letter == "v":
        return found._replace(verbose=True)
    if letter == "I":
        return found._replace(mode="aliases")
    return found


def _valued(found: SendmailOptions, letter: str, value: str) -> SendmailOptions:
    if letter in "fr":
        return found._replace(sender="" if value.strip() == "<>" else value)
    if letter == "F":
        return found._replace(full_name=value)
    if letter == "b":
        return _mode(found, value)
    if letter == "o":
        return _set(found, value)
    if letter == "N":
        return found._replace(notify=_notify(value))
    if letter == "R":
        return found._replace(ret=_ret(value))
    if letter == "V":
        return found._replace(envid=value)
    if letter == "C":
        return found._replace(config_file=value)
    if letter == "q":
        return _queue(found, value)
    if letter == "B" and value.upper() not in ("7BIT", "8BITMIME"):
        raise WrongUsage(f"-B {value} is no kind of body; write 7BIT or 8BITMIME")
    if letter == "O":
        return found._replace(ignored=(*found.ignored, f"-O {value}"))
    return found  # what has no effect here, and the kind of body, which the content shows


def _mode(found: SendmailOptions, value: str) -> SendmailOptions:
    if value[:1] in MODES:
        return found._replace(mode=MODES[value[:1]])
    remedy = _OTHER_MODES.get(value[:1], "there are -bm, -bs, -bp and -bi")
    raise WrongUsage(f"-b{value} is not offered; {remedy}")


#: Options -o of old that are passed over without a word: delivery and error modes, hops, me too.
_HARMLESS: Final = frozenset("dehmw")


def _set(found: SendmailOptions, value: str) -> SendmailOptions:
    """``-oi`` is ``-i``, ``-ot`` is ``-t``; the others say how sendmail is to queue and to report."""
    letter = value[:1]
    if letter == "i":
        return found._replace(dots=False)
    if letter == "t":
        return found._replace(gathers=True)
    if letter in _HARMLESS:
        return found
    return found._replace(ignored=(*found.ignored, f"-o{value}"))


def _queue(found: SendmailOptions, value: str) -> SendmailOptions:
    """``-q`` tries what waits now, ``-qRdomain`` mail to a domain; ``-q15m`` asks for a daemon, which runs already."""
    kinds = {"R": "domain", "S": "from", "I": "id"}
    if value[:1] in kinds and len(value) > 1:
        wanted = value[1:].replace("\\", "\\\\").replace('"', '\\"')
        sign = ":" if value[0] == "I" else "~"
        return found._replace(mode="run", queue_filter=f'{kinds[value[0]]}{sign}"{wanted}"')
    if value and not value[:1].isdigit():
        raise WrongUsage(f"-q{value} selects no mail; write -q, -qI ID, -qR DOMAIN or -qS SENDER in one word")
    return found._replace(mode="run", queue_filter="" if not value else "-")


def _notify(value: str) -> Notify:
    made = Notify.NEVER
    words = [each.strip().lower() for each in value.split(",")]
    if words == ["never"]:
        return made
    for word in words:
        if word not in _NOTIFY:
            raise WrongUsage(f"-N {value} is no list of success, failure and delay, or never")
        made |= _NOTIFY[word]
    return made


def _ret(value: str) -> Ret:
    try:
        return {"full": Ret.FULL, "hdrs": Ret.HDRS}[value.lower()]
    except KeyError:
        raise WrongUsage(f"-R {value} is neither full nor hdrs") from None
