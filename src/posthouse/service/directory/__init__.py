"""The directory: domains, mailboxes, aliases and lists, and how a recipient expands."""

__all__: list[str] = []
