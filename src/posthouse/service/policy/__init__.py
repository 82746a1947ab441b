"""The policy of a listener and its sessions, and the intake of messages into the spool."""

__all__: list[str] = []
