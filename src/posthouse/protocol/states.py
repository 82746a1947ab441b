"""State table of the SMTP dialogue: the legal commands of each state, and the state after each reply (RFC 5321 §4.1.4).

In SMTP the *reply* changes the state, not the command: MAIL answered 250 opens a transaction, MAIL answered 550 does
not.  So the table's key is (state, input) and its value is the state after a positive reply: ``done`` for 2yz,
``more`` for 3yz (DATA's 354, AUTH's 334).  A negative reply leaves the state, with three exceptions that hold
everywhere and are written once, in ``after``: 421 and the reply to QUIT close; and the final reply to content ends
the transaction whatever its code.

Both roles use the table.  A missing key means that the input is illegal.  The state diagram in the manual is drawn from
the table, and a test covers each cell in both roles.

RSET is legal at any time (RFC 5321 §4.1.1.5), so GREETED and READY have it too.  A refused BDAT chunk ends the
transaction (RFC 3030 §2: the client must start anew, and only RSET, QUIT or NOOP make sense), which saves a state
*chunks after a refused one*.
"""

from __future__ import annotations

import enum
from types import MappingProxyType
from typing import Final, NamedTuple

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
    """The state after a positive reply: ``done`` after 2yz, ``more`` after 3yz; None if that class is illegal."""

    done: State | None
    more: State | None = None


def _law() -> dict[tuple[State, Input], Move]:
    law: dict[tuple[State, Input], Move] = {
        (State.CONNECTED, Input.GREETING): Move(State.GREETED),
        (State.CONTENT, Input.CONTENT_END): Move(State.READY),
        (State.AUTHENTICATING, Input.AUTH_LINE): Move(State.READY, State.AUTHENTICATING),
        (State.SWITCHING, Input.TLS_UP): Move(State.GREETED),
        (State.READY, Input.MAIL): Move(State.SENDER),
        (State.READY, Input.AUTH): Move(State.READY, State.AUTHENTICATING),
        (State.READY, Input.STARTTLS): Move(State.SWITCHING),
        # RFC 3207 §4 allows STARTTLS after EHLO only; before it there is no offer to take up.
        (State.SENDER, Input.RCPT): Move(State.RECIPIENTS),
        (State.RECIPIENTS, Input.RCPT): Move(State.RECIPIENTS),
        (State.RECIPIENTS, Input.DATA): Move(None, State.CONTENT),
        (State.RECIPIENTS, Input.BDAT): Move(State.CHUNKS),
        (State.RECIPIENTS, Input.BDAT_LAST): Move(State.READY),
        (State.CHUNKS, Input.BDAT): Move(State.CHUNKS),
        (State.CHUNKS, Input.BDAT_LAST): Move(State.READY),
        (State.GREETED, Input.RSET): Move(State.GREETED),
        (State.REFUSED, Input.QUIT): Move(State.CLOSED),
    }
    talking = (State.GREETED, State.READY, State.SENDER, State.RECIPIENTS, State.CHUNKS)
    for state in talking:
        for same in (Input.NOOP, Input.HELP, Input.VRFY, Input.EXPN):
            law[state, same] = Move(state)
        law[state, Input.QUIT] = Move(State.CLOSED)
        if state is not State.CHUNKS:  # between chunks only RSET leaves the transaction
            for greet in (Input.HELO, Input.EHLO, Input.LHLO):
                law[state, greet] = Move(State.READY)
        if state is not State.GREETED:
            law[state, Input.RSET] = Move(State.READY)
    return law


#: (state, input) → where a positive reply leads.
LAW = MappingProxyType(_law())

#: Inputs whose final reply ends the transaction whatever its code.
_FINAL = frozenset({Input.CONTENT_END, Input.BDAT_LAST, Input.BDAT, Input.AUTH_LINE})


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


# Looked up for each command and each reply: plain dictionary, and names without an attribute of a class.
_law_by_cell: Final = dict(LAW)
_CLOSED: Final = State.CLOSED
_QUIT: Final = Input.QUIT
_GREETING: Final = Input.GREETING


def may(state: State, given: Input) -> bool:
    """True if ``given`` is legal in ``state``."""
    return (state, given) in _law_by_cell


def after(state: State, given: Input, reply: Reply) -> State | None:
    """The state after ``reply`` to ``given``; None if that class of reply may not follow.

    ``given`` must be legal in ``state``.
    """
    code = reply.code
    if 200 <= code < 300:
        return _law_by_cell[state, given].done
    if code == 421:  # RFC 5321 §3.8: may come at any time, and closes
        return _CLOSED
    if 300 <= code < 400:
        return _law_by_cell[state, given].more
    if not 400 <= code < 600:
        return None
    if given is _QUIT:  # whatever is said to it, the client leaves
        return _CLOSED
    if given is _GREETING:
        return State.REFUSED
    return State.READY if given in _FINAL else state
