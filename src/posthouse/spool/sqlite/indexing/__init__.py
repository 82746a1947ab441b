"""The mail index on SQLite: a database beside that of the spool, with a lock of its own, so that no message waits for
it."""

__all__: list[str] = []
