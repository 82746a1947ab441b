"""The spool on SQLite: one directory on one machine, shared by several processes."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.spool.sqlite.spool import SqliteQueue
    from posthouse.spool.sqlite.storage.durability import Durable

__all__ = ["Durable", "SqliteQueue"]

__getattr__ = lazily(__name__, {"spool": "SqliteQueue", "storage.durability": "Durable"})
