"""The spool on SQLite: one directory on one machine, shared by several processes."""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.spool.sqlite.spool import SqliteSpool
    from posthouse.spool.sqlite.storage.durability import Durable

__all__ = ["Durable", "SqliteSpool"]

__getattr__ = lazily(__name__, {"spool": "SqliteSpool", "storage.durability": "Durable"})
