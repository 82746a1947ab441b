"""Faults by address: a recipient whose local part is one of these words asks for its own failure.

So a program is tried against a failing server without any setting: it sends to ``tempfail+3@example.com``.  The catcher
(``posthouse run`` without a configuration) and the sink know these addresses; a daemon with a configuration does not.

    local part  =  WORD [PLACE] ["+" NUMBER] ["+" anything]

``WORDS`` and ``PLACES`` are the whole table; the manual (docs/testing.md) is compared with it.  What follows the number
makes addresses different, as in ``tempfail+3+ann``: each address is counted by itself.
"""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, NamedTuple

from posthouse.core import Address, Reply
from posthouse.sandbox.faulty_policy import Moment, Strike

__all__ = ["AddressFault", "AddressFaults", "AddressWord", "PLACES", "WORDS", "parse_address_fault"]


class AddressWord(NamedTuple):
    """A word of the table.

    Args:
        word: As it is written; CODE stands for three digits.
        meaning: What the server does, in one sentence.
        number: What ``+NUMBER`` means.
        reply: The reply, None where the fault is none.
        times: How often it strikes without a number; 0 for always.
    """

    word: str
    meaning: str
    number: str
    reply: Reply | None = None
    times: int = 0


_TIMES: Final = "how many times, then all is well; without it, always"

WORDS: Final = (
    AddressWord("tempfail", "It answers 451 4.3.0.", _TIMES, Reply(451, "4.3.0", "Failing on demand; try again")),
    AddressWord("permfail", "It answers 550 5.1.1.", _TIMES, Reply(550, "5.1.1", "Failing on demand, for good")),
    AddressWord(
        "greylist",
        "It answers 451 4.7.1 the first time, as a server with greylisting does.",
        "how many times; without it, once",
        Reply(451, "4.7.1", "Greylisted on demand; try again"),
        1,
    ),
    AddressWord("mailbox-full", "It answers 552 5.2.2.", _TIMES, Reply(552, "5.2.2", "Mailbox is full, on demand")),
    AddressWord(
        "reply-CODE",
        "It answers CODE, which is 400 to 599; 421 ends the session.",
        _TIMES,
        Reply(400, "", "Answered on demand"),
    ),
    AddressWord("slow", "It answers late.", "seconds, at most 300; without it, 5"),
    AddressWord("drop", "It cuts the connection and says nothing.", _TIMES),
)
#: Place in a word → the stage and what it means there.
PLACES: Final = {
    "": ("rcpt", "in answer to RCPT, for this recipient alone"),
    "-at-data": ("data", "in answer to DATA, for the whole message"),
    "-after-data": ("end", "after the content, for the whole message; in LMTP for this recipient"),
}

_SECONDS: Final = 5.0
_MOST_SECONDS: Final = 300.0
#: Addresses whose strikes are counted; of more, the one that was counted longest ago is forgotten.
_MOST_COUNTED: Final = 10_000
_BY_WORD: Final = {each.word: each for each in WORDS}
_BEGINNINGS: Final = frozenset(each[:4] for each in _BY_WORD)
_NAMES: Final = "|".join(each for each in _BY_WORD if each != "reply-CODE")
_BEHIND: Final = "|".join(filter(None, PLACES))
_LOCAL: Final = re.compile(
    rf"(?:({_NAMES})|reply-([45][0-9]{{2}}))({_BEHIND})?(?:\+([0-9]{{1,6}}))?(?:\+.*)?", re.DOTALL
)


class AddressFault(NamedTuple):
    """The fault that an address asks for: at which ``stage``, what, and how many ``times`` (0: always)."""

    stage: str
    strike: Strike
    times: int = 0


def parse_address_fault(local: str) -> AddressFault | None:
    """The fault that a local part asks for; None if it is an ordinary one.  Case does not matter."""
    found = _LOCAL.fullmatch(local.lower())
    if found is None:
        return None
    name, code, place, digits = found.groups()
    word = _BY_WORD[name or "reply-CODE"]
    stage, _ = PLACES[place or ""]
    number = int(digits) if digits else None
    why = f"the recipient {(name or f'reply-{code}') + (place or '')}@ asks for it"
    if word.word == "slow":
        seconds = _SECONDS if number is None else min(float(number), _MOST_SECONDS)
        return AddressFault(stage, Strike(delay=seconds, why=why))
    times = word.times if number is None else number
    if number == 0:
        return None  # no times
    if word.word == "drop":
        return AddressFault(stage, Strike(drop=True, why=why), times)
    reply = word.reply
    assert reply is not None
    if code:
        reply = reply._replace(code=int(code), enhanced=f"{code[0]}.0.0")
    return AddressFault(stage, Strike(reply=reply, why=why), times)


class AddressFaults:
    """The faults that recipients ask for by their addresses; a ``FaultSource`` for all sessions of one server."""

    by_recipient = True

    def __init__(self) -> None:
        self._struck: OrderedDict[str, int] = OrderedDict()

    def strike(self, moment: Moment) -> Strike | None:
        """The fault of the first recipient that asks for one at this stage, and has not had it often enough."""
        for address in moment.recipients:
            fault = parse_address_fault(address.local)
            if fault is not None and fault.stage == moment.stage and self._counts(address, fault.times):
                return fault.strike
        return None

    def watches(self, stage: str, recipients: Sequence[Address] = ()) -> bool:
        """Whether a recipient may be asking for a fault, by the first letters of its address."""
        for address in recipients:  # noqa: SIM110 (a generator costs more than all the rest)
            if address.local[:4].lower() in _BEGINNINGS:
                return True
        return False

    def _counts(self, address: Address, times: int) -> bool:
        """Count a strike of an address; False if it has had ``times`` already."""
        if not times:
            return True
        key = str(address).lower()
        struck = self._struck.get(key, 0)
        if struck >= times:
            return False
        self._struck[key] = struck + 1
        self._struck.move_to_end(key)
        if len(self._struck) > _MOST_COUNTED:
            self._struck.popitem(last=False)
        return True
