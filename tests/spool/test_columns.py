"""The names of the columns, which rows are made by, are those of the tables."""

from __future__ import annotations

import sqlite3

import pytest

from posthouse.spool.sqlite.storage import schema


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("message", schema.MESSAGE_COLUMNS),
        ("recipient", schema.RECIPIENT_COLUMNS),
        ("story", schema.HISTORY_COLUMNS),
    ],
)
def test_columns_are_named_in_the_order_of_the_table(table: str, columns: tuple[str, ...]) -> None:
    connection = sqlite3.connect(":memory:")
    schema.create(connection)
    assert tuple(name for _, name, *_ in connection.execute(f"PRAGMA table_info({table})")) == columns
    connection.close()
