"""Reading the SQLite spool beside its writer: content, listings, searches and history."""

__all__: list[str] = []
