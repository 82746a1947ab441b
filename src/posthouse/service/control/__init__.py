"""The control socket: a running daemon offers the operations on it."""

__all__: list[str] = []
