"""The operations on the local inboxes, which ``operations.inboxes`` runs."""

from __future__ import annotations

from typing import Final

from posthouse.service.operations.inboxes.changing import CHANGING_OPERATIONS
from posthouse.service.operations.inboxes.linking import LINKING_OPERATIONS
from posthouse.service.operations.inboxes.listing import LISTING_OPERATIONS
from posthouse.service.operations.inboxes.moving import MOVING_OPERATIONS
from posthouse.service.operations.inboxes.reading import READING_OPERATIONS
from posthouse.service.operations.inboxes.waiting import WAITING_OPERATIONS

__all__ = ["INBOX_OPERATIONS"]

#: All of them.
INBOX_OPERATIONS: Final = (
    *LISTING_OPERATIONS,
    *READING_OPERATIONS,
    *LINKING_OPERATIONS,
    *WAITING_OPERATIONS,
    *CHANGING_OPERATIONS,
    *MOVING_OPERATIONS,
)
