"""Delivery to nowhere, for domains whose mail is set to ``discard``."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from posthouse.core import Outcome, Reply, Result
from posthouse.delivery.model import Deliverer, Delivery, all_of

__all__ = ["DiscardDeliverer"]

_DISCARDED = Reply(250, "2.0.0", "discarded")


class DiscardDeliverer(Deliverer):
    """A deliverer that takes everything and keeps nothing; ``target`` is only repeated in the outcome."""

    immediate: ClassVar[bool] = True

    async def deliver(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        return self.deliver_now(delivery, target)

    def deliver_now(self, delivery: Delivery, target: str) -> Sequence[Outcome]:
        reason = "discarded, as the configuration says"
        return all_of(delivery.recipients, Result.DELIVERED, reason, _DISCARDED, target)
