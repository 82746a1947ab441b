"""The policy a listener asks: who may send, which recipients are taken, and where content goes."""

__all__: list[str] = []
