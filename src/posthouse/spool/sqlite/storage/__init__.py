"""The SQLite spool's door to the disk: schema, connections, durability, the writer thread, content files, recovery."""

__all__: list[str] = []
