"""The disk under the SQLite spool: schema, connections, durability, the writer thread, content files, recovery."""

__all__: list[str] = []
