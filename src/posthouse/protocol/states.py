"""State table of the SMTP dialogue: the legal commands of each state, and the state after each reply (RFC 5321 §4.1.4).

In SMTP the *reply* changes the state, not the command: MAIL answered 250 opens a transaction, MAIL answered 550 does
not.  So the table's key is (state, input) and its value has the state after each class of reply: ``done`` for 2yz,
``more`` for 3yz (DATA's 354, AUTH's 334), ``failed`` for 4yz and 5yz.  A negative reply leaves the state, with these
exceptions, which are written once, in ``_failed``: the reply to QUIT closes; a greeting that refuses leaves nothing but
QUIT; and the final reply to content ends the transaction whatever its code.  421 closes in every state.

Both roles use the table.  A missing key means that the input is illegal.  The state diagram in the manual is drawn from
the table, and a test covers each cell in both roles.

RSET is legal at any time (RFC 5321 §4.1.1.5), so GREETED and READY have it too.  A refused BDAT chunk ends the
transaction (RFC 3030 §2: the client must start anew, and only RSET, QUIT or NOOP make sense), which saves a state
*chunks after a refused one*.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import NamedTuple

from posthouse.core import Reply

__all__ = ["COMMANDS", "CommandRow", "Input", "LAW", "Move", "State", "after", "may"]


class State(enum.StrEnum):
    """The states of a dialogue."""

    CONNECTED = "connected"  # the channel is open, the greeting has not been said
    REFUSED = "refused"  # greeted with 554: nothing but QUIT makes sense
    GREETED = "greeted"
    READY = "ready"  # HELO, EHLO or LHLO done, no transaction
    SENDER = "sender"  # MAIL done
    RECIPIENTS = "recipients"  # at least one RCPT done
    CONTENT = "content"  # after 354
    CHUNKS = "chunks"  # between BDATs
    AUTHENTICATING = "authenticating"  # after 334
    SWITCHING = "switching"  # STARTTLS agreed, TLS not up yet
    CLOSED = "closed"

    __hash__ = str.__hash__  # an enumeration's own is a function in Python, and the law is looked up with every line


class Input(enum.StrEnum):
    """The inputs of the table: the verbs of the RFCs, and inputs that are not commands."""

    GREETING = "(greeting)"
    HELO = "HELO"
    EHLO = "EHLO"
    LHLO = "LHLO"
    MAIL = "MAIL"
    RCPT = "RCPT"
    DATA = "DATA"
    CONTENT_END = "(end of content)"
    BDAT = "BDAT"
    BDAT_LAST = "BDAT LAST"
    RSET = "RSET"
    NOOP = "NOOP"
    QUIT = "QUIT"
    VRFY = "VRFY"
    EXPN = "EXPN"
    HELP = "HELP"
    AUTH = "AUTH"
    AUTH_LINE = "(auth line)"
    STARTTLS = "STARTTLS"
    TLS_UP = "(TLS is up)"

    __hash__ = str.__hash__


class Move(NamedTuple):
    """The state after a reply: ``done`` after 2yz, ``more`` after 3yz (None if that class is illegal), ``failed`` after
    4yz and 5yz."""

    done: State | None
    more: State | None
    failed: State


#: Inputs whose final reply ends the transaction whatever its code.
_FINAL = frozenset({Input.CONTENT_END, Input.BDAT_LAST, Input.BDAT, Input.AUTH_LINE})


def _failed(state: State, given: Input) -> State:
    """The state after a negative reply."""
    if given is Input.QUIT:  # whatever is said to it, the client leaves
        return State.CLOSED
    if given is Input.GREETING:
        return State.REFUSED
    return State.READY if given in _FINAL else state


def _law() -> dict[tuple[State, Input], Move]:
    done = {
        (State.CONNECTED, Input.GREETING): State.GREETED,
        (State.CONTENT, Input.CONTENT_END): State.READY,
        (State.AUTHENTICATING, Input.AUTH_LINE): State.READY,
        (State.SWITCHING, Input.TLS_UP): State.GREETED,
        (State.READY, Input.MAIL): State.SENDER,
        (State.READY, Input.AUTH): State.READY,
        (State.READY, Input.STARTTLS): State.SWITCHING,
        # RFC 3207 §4 allows STARTTLS after EHLO only; before it there is no offer to take up.
        (State.SENDER, Input.RCPT): State.RECIPIENTS,
        (State.RECIPIENTS, Input.RCPT): State.RECIPIENTS,
        (State.RECIPIENTS, Input.BDAT): State.CHUNKS,
        (State.RECIPIENTS, Input.BDAT_LAST): State.READY,
        (State.CHUNKS, Input.BDAT): State.CHUNKS,
        (State.CHUNKS, Input.BDAT_LAST): State.READY,
        (State.GREETED, Input.RSET): State.GREETED,
        (State.REFUSED, Input.QUIT): State.CLOSED,
    }
    talking = (State.GREETED, State.READY, State.SENDER, State.RECIPIENTS, State.CHUNKS)
    for state in talking:
        for same in (Input.NOOP, Input.HELP, Input.VRFY, Input.EXPN):
            done[state, same] = state
        done[state, Input.QUIT] = State.CLOSED
        if state is not State.CHUNKS:  # between chunks only RSET leaves the transaction
            for greet in (Input.HELO, Input.EHLO, Input.LHLO):
                done[state, greet] = State.READY
        if state is not State.GREETED:
            done[state, Input.RSET] = State.READY
    more = {
        (State.READY, Input.AUTH): State.AUTHENTICATING,
        (State.AUTHENTICATING, Input.AUTH_LINE): State.AUTHENTICATING,
        (State.RECIPIENTS, Input.DATA): State.CONTENT,
    }
    return {cell: Move(done.get(cell), more.get(cell), _failed(*cell)) for cell in done | more}


#: (state, input) → where the reply leads.
LAW = MappingProxyType(_law())


class CommandRow(NamedTuple):
    """A row of the second table: the properties of a command.

    ``argument`` "none", "optional" or "required"; ``ends_group``: nothing may be pipelined behind it until its reply
    is here (RFC 2920 §3.1); ``before_tls``, ``before_auth``: allowed where TLS or AUTH is required and not done yet
    (RFC 3207 §4, RFC 4954 §6).
    """

    argument: str
    ends_group: bool
    before_tls: bool
    before_auth: bool


#: One row per command.
COMMANDS = MappingProxyType(
    {
        Input.HELO: CommandRow("required", ends_group=True, before_tls=True, before_auth=True),
        Input.EHLO: CommandRow("required", ends_group=True, before_tls=True, before_auth=True),
        Input.LHLO: CommandRow("required", ends_group=True, before_tls=True, before_auth=True),
        Input.MAIL: CommandRow("required", ends_group=False, before_tls=False, before_auth=False),
        Input.RCPT: CommandRow("required", ends_group=False, before_tls=False, before_auth=False),
        Input.DATA: CommandRow("none", ends_group=True, before_tls=False, before_auth=False),
        Input.BDAT: CommandRow("required", ends_group=False, before_tls=False, before_auth=False),
        Input.RSET: CommandRow("none", ends_group=False, before_tls=True, before_auth=True),
        Input.NOOP: CommandRow("optional", ends_group=True, before_tls=True, before_auth=True),
        Input.QUIT: CommandRow("none", ends_group=True, before_tls=True, before_auth=True),
        Input.VRFY: CommandRow("required", ends_group=True, before_tls=False, before_auth=False),
        Input.EXPN: CommandRow("required", ends_group=True, before_tls=False, before_auth=False),
        Input.HELP: CommandRow("optional", ends_group=True, before_tls=True, before_auth=True),
        Input.AUTH: CommandRow("required", ends_group=True, before_tls=False, before_auth=True),
        Input.STARTTLS: CommandRow("none", ends_group=True, before_tls=True, before_auth=True),
    }
)


def may(state: State, given: Input) -> bool:
    """True if ``given`` is legal in ``state``."""
    return (state, given) in LAW


def after(state: State, given: Input, reply: Reply) -> State | None:
    """The state after ``reply`` to ``given``; None if that class of reply may not follow.

    ``given`` must be legal in ``state``.
    """
    code = reply.code
    if code == 421:  # RFC 5321 §3.8: may come at any time, and closes
        return State.CLOSED
    if not 200 <= code < 600:
        return None
    move = LAW[state, given]
    return move.done if code < 300 else move.more if code < 400 else move.failed
