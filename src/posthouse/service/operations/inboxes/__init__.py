"""The operations on the inboxes: lists and searches, one message, waiting, changes, and messages that move on."""

__all__: list[str] = []
