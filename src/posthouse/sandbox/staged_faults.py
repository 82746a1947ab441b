"""Faults that a test asks for: ``sandbox.on("rcpt", to="slow@*").delay(5)``.

A fault is made by ``on``, and each of its methods adds to what it does and returns it.  Of several faults that match a
moment the newest strikes, so that a test may go beyond what its fixture has set up; one that has struck often enough
leaves the moment to those before it.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Sequence
from typing import Final

from posthouse.core import Address, LocalError, Reply, path_text
from posthouse.sandbox.faulty_policy import Moment, Strike
from posthouse.sandbox.wildcards import Wanted, fits

__all__ = ["Fault", "StagedFaults"]

#: Stages in their order in a session.
_STAGES: Final = ("connect", "helo", "auth", "mail", "rcpt", "data", "end")
_ALSO: Final = {"ehlo": "helo", "lhlo": "helo", "content": "end"}
#: What ``drop(after=…)`` may name → the stage in whose place the connection is cut.
_AFTER: Final = {**{each: each for each in _STAGES}, **_ALSO, "data": "end"}
_OPENING: Final = (421, 521, 554)  # replies that may refuse a connection (RFC 5321 §3.1, RFC 7504)
_REPLY: Final = re.compile(r"([2-5][0-9]{2})(?: ([245]\.[0-9]{1,3}\.[0-9]{1,3}))?(?: (.*))?", re.DOTALL)
_MOST_SECONDS: Final = 3_600.0


class Fault:
    """A fault of a sandbox; ``on`` makes it.

    Without ``delay``, ``reply``, ``drop`` or ``fail_times`` it does nothing.
    """

    def __init__(
        self, stage: str, to: Wanted | None, sender: Wanted | None, user: Wanted | None, forget: Callable[[Fault], None]
    ) -> None:
        self._stage = _ALSO.get(stage.lower(), stage.lower())
        if self._stage not in _STAGES:
            raise LocalError(f'"{stage}" is no stage of a session; the stages are {", ".join(_STAGES)}')
        reached = _STAGES.index(self._stage)
        if to is not None and reached < _STAGES.index("rcpt"):
            raise LocalError(
                f"no recipient is known at the stage {stage} yet; leave out to=, or write on('rcpt', to=…)"
            )
        if sender is not None and reached < _STAGES.index("mail"):
            raise LocalError(f"no sender is known at the stage {stage} yet; leave out sender=, or write on('mail', …)")
        if user is not None and self._stage != "auth":
            raise LocalError("user= belongs to the stage auth; write on('auth', user=…)")
        self._to, self._sender, self._user = to, sender, user
        self._forget = forget
        self._strike = Strike()
        self._times: int | None = None
        #: How often it has struck.
        self.strikes = 0

    def delay(self, seconds: float) -> Fault:
        """Answer ``seconds`` late, at most an hour.  A delay at ``data`` comes with the last reply."""
        if not 0 <= seconds <= _MOST_SECONDS:
            raise LocalError(f"a delay is 0 to {_MOST_SECONDS:,.0f} seconds, not {seconds}")
        self._strike = self._strike._replace(delay=float(seconds))
        return self

    def reply(self, reply: int | str | Reply, text: str = "") -> Fault:
        """Answer so: a code (``451``), or a whole reply (``"451 4.7.1 Greylisted"``).

        421 ends the session.  At ``end`` a reply of 4yz or 5yz keeps the message from being taken, and one of 2yz takes
        the place of the sandbox's.
        """
        self._strike = self._strike._replace(reply=self._checked(reply, text), drop=False)
        return self

    def drop(self, after: str | None = None, *, keep: bool = False) -> Fault:
        """Cut the connection in place of the reply to this stage, or to a later one.

        ``after="data"`` cuts it when the content has come: the client cannot know whether the message was taken
        (RFC 1047).  It was not, or with ``keep`` it was.
        """
        if after is not None:
            stage = _AFTER.get(after.lower())
            if stage is None:
                raise LocalError(f'"{after}" is no stage of a session; the stages are {", ".join(_STAGES)}')
            if _STAGES.index(stage) < _STAGES.index(self._stage):
                raise LocalError(f"{after} comes before {self._stage}; write on('{after}', …).drop()")
            self._stage = stage
        if keep and self._stage != "end":
            raise LocalError("only a message whose content has come can be kept; write drop(after='data', keep=True)")
        self._strike = self._strike._replace(drop=True, keep=keep, reply=None)
        return self

    def fail_times(self, times: int) -> Fault:
        """Strike the first ``times`` times only; without a reply or a drop, answer 451 (to a connection 421)."""
        if isinstance(times, bool) or times < 1:
            raise LocalError(f"a fault strikes once or more often, not {times} times; remove() ends it")
        self._times = times
        if self._strike == Strike():
            self._strike = Strike(reply=self._checked(421 if self._stage == "connect" else 451, ""))
        return self

    def remove(self) -> None:
        """End the fault."""
        self._forget(self)

    def matches(self, moment: Moment) -> bool:
        """Whether it strikes at this moment, if it has not struck often enough."""
        if moment.stage != self._stage or self._strike == Strike():
            return False
        if self._times is not None and self.strikes >= self._times:
            return False
        return (
            (self._to is None or any(fits(self._to, str(each)) for each in moment.recipients))
            and (self._sender is None or fits(self._sender, path_text(moment.sender)))
            and (self._user is None or fits(self._user, moment.user))
        )

    def strike(self) -> Strike:
        """What it does; counted."""
        self.strikes += 1
        return self._strike

    def _checked(self, given: int | str | Reply, text: str) -> Reply:
        if isinstance(given, Reply):
            reply = given
        else:
            found = _REPLY.fullmatch(str(given).strip())
            if found is None or (found[2] and found[2][0] != found[1][0]):
                raise LocalError(f'{given!r} is no reply; write a code such as 451, or "451 4.7.1 Try again later"')
            enhanced = found[2] or ("" if self._stage == "connect" else f"{found[1][0]}.0.0")
            reply = Reply(int(found[1]), enhanced, text or found[3] or "On demand")
        if self._stage == "connect" and reply.code not in _OPENING:
            raise LocalError(f"a connection is refused with 421, 521 or 554 (RFC 5321 section 3.1), not {reply.code}")
        if self._stage == "data" and reply.positive:
            raise LocalError(f"DATA is refused with 400 to 599, not {reply.code}")
        if 300 <= reply.code < 400:
            raise LocalError(
                f"{reply.code} asks for more, and there is no more to come here; write 200 to 299 or 400 on"
            )
        return reply


class StagedFaults:
    """The faults of one sandbox; a ``FaultSource``."""

    by_recipient = False

    def __init__(self) -> None:
        self._faults: tuple[Fault, ...] = ()  # replaced, never changed: the server reads it in another thread
        self._lock = threading.Lock()

    def on(
        self, stage: str, to: Wanted | None = None, sender: Wanted | None = None, user: Wanted | None = None
    ) -> Fault:
        """A new fault."""
        fault = Fault(stage, to, sender, user, self._remove)
        with self._lock:
            self._faults = (fault, *self._faults)
        return fault

    def clear(self) -> None:
        """End all faults."""
        self._faults = ()

    def _remove(self, fault: Fault) -> None:
        with self._lock:
            self._faults = tuple(each for each in self._faults if each is not fault)

    def strike(self, moment: Moment) -> Strike | None:
        found = next((each for each in self._faults if each.matches(moment)), None)
        return None if found is None else found.strike()

    def watches(self, stage: str, recipients: Sequence[Address] = ()) -> bool:
        return bool(self._faults)
