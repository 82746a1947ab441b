"""Inboxes: what is kept of each message for lists and searches, the language of searches, rules, retention."""

__all__: list[str] = []
