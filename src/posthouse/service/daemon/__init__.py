"""The daemon: its construction, its supervisor, its event log and its router."""

__all__: list[str] = []
