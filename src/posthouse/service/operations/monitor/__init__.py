"""The operations on a running daemon as a whole: its sessions, its numbers, and the destinations that are paused."""

__all__: list[str] = []
