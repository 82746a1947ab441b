"""Answers of handlers as replies (RFC 5321 §4.2): what a handler returned, or raised, and what the client is told.

| a handler returns or raises | the reply |
|---|---|
| ``None`` | 250 2.0.0 OK |
| a text that begins with a reply code: ``"451 4.2.0 later"`` | that reply |
| any other text: ``"queued as 17"`` | 250 2.0.0 with this text |
| a ``Reply`` of 2yz, 4yz or 5yz | this reply |
| ``Reject`` | its reply, 554 5.7.1 if it has none |
| ``Defer`` | its reply, 451 4.3.0 if it has none |
| any other exception, any other value, no answer in time | 451 4.3.0, and a record in the log |
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from posthouse.core import LocalError, NotDelivered, Reply

__all__ = ["CRASHED", "OK", "TOO_LATE", "joined", "reply_of", "reply_of_text"]

OK: Final = Reply(250, "2.0.0", "OK")
#: RFC 3463: X.3.0, other or undefined mail system status.  Says nothing of the fault, which is for the log.
CRASHED: Final = Reply(451, "4.3.0", "Something went wrong here; try again later")
TOO_LATE: Final = Reply(451, "4.3.0", "This takes too long now; try again later")

_STATUS: Final = re.compile(r"([245][0-9]{2})(?: +([245]\.[0-9]{1,3}\.[0-9]{1,3}))?(?: +(.*))?", re.DOTALL)
_LONGEST: Final = 400  # characters of a handler's text
_MOST_LINES: Final = 20


def reply_of(answer: object) -> Reply:
    """The reply to what a handler returned.  Raises ``LocalError`` for what is no answer."""
    if answer is None:
        return OK
    if isinstance(answer, NotDelivered):
        answer = answer.reply
    if isinstance(answer, Reply):
        if not 200 <= answer.code <= 299 and not 400 <= answer.code <= 599:
            raise LocalError(f"a handler answered {answer.code}; answer with a reply of 2yz, 4yz or 5yz")
        return answer._replace(text=_short(answer.text))
    if isinstance(answer, str):
        return reply_of_text(answer)
    raise LocalError(
        f"a handler returned {type(answer).__name__}; return None, a text or a Reply, or raise Reject or Defer"
    )


def reply_of_text(text: str) -> Reply:
    """The reply that a text stands for."""
    found = _STATUS.fullmatch(text.strip())
    if found is None:
        return OK._replace(text=_short(text) or OK.text)
    code, enhanced, said = int(found[1]), found[2] or "", found[3] or ""
    if not enhanced or enhanced[0] != found[1][0]:  # RFC 2034 §4: the first digits are alike
        said = f"{enhanced} {said}".strip() if enhanced else said
        enhanced = f"{found[1][0]}.0.0"
    return Reply(code, enhanced, _short(said) or ("OK" if code < 400 else "Not accepted"))


def _short(text: str) -> str:
    return "\n".join(text.strip()[:_LONGEST].splitlines())


def joined(replies: Sequence[tuple[str, Reply]]) -> Reply:
    """The one reply of SMTP for several recipients, each given as its address and its reply.

    If all are accepted, it is the first that says more than OK.  Else it is a refusal, so that none is lost unseen: 4yz
    if one recipient may work later, else 5yz.  A refusal of some names them, and says that the others have the message.
    """
    refused = [(address, reply) for address, reply in replies if not reply.positive]
    if not refused:
        return next((reply for _, reply in replies if reply != OK), OK)
    first = next((reply for _, reply in refused if reply.transient), refused[0][1])
    if len(refused) == len(replies) and len({reply for _, reply in refused}) == 1:
        return first
    lines = [f"{address}: {reply.text.splitlines()[0] if reply.text else reply.code}" for address, reply in refused]
    lines = [*lines[:_MOST_LINES], *([f"and {len(lines) - _MOST_LINES} more"] if len(lines) > _MOST_LINES else [])]
    taken = len(replies) - len(refused)
    end = f"Refused: {len(refused)} of {len(replies)} recipients" + (f"; {taken} have the message" if taken else "")
    return first._replace(text="\n".join([*lines, end]))
