"""The policy of a listener and its sessions, and the intake of messages into the spool.

Over budget: one module for each question that a session asks, and for each limit that its listeners share.
"""

__all__: list[str] = []
