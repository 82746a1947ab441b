"""The daemon: the one constructor of real things, its supervisor, its event log."""

__all__: list[str] = []
