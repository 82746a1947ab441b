"""The spool on SQLite: one directory on one machine, shared by several processes.

Over budget: one module for each part of the contract, and ``storage`` holds what lies below SQL.
"""

from typing import TYPE_CHECKING

from posthouse.core._lazy import lazily

if TYPE_CHECKING:
    from posthouse.spool.sqlite.spool import SqliteSpool
    from posthouse.spool.sqlite.storage.durability import Durable

__all__ = ["Durable", "SqliteSpool"]

__getattr__ = lazily(__name__, {"spool": "SqliteSpool", "storage.durability": "Durable"})
