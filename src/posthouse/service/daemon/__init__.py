"""The daemon: its construction, its supervisor, its event log and its router.

Over budget: one module for each part that the daemon makes, watches or replaces.
"""

__all__: list[str] = []
