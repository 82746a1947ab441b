"""Commands that look at a running daemon."""

__all__: list[str] = []
