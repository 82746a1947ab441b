"""The settings in force, with the origin of each."""

from __future__ import annotations

import tomllib

import pytest

from posthouse.service import default_config, parse
from posthouse.service.operations.setup.origins import values_in_force

TEXT = """
hostname = "mx.here.test"
[relay]
max_hops = 100
retry_first = "10m"
[[listener]]
bind = "127.0.0.1:2525"
kind = "mx"
[[domain]]
name = "here.test"
mailboxes = ["ann"]
[domain.lists.all]
members = ["ann"]
"""


@pytest.mark.parametrize(
    ("name", "value", "origin"),
    [
        ("hostname", '"mx.here.test"', "file"),
        ("relay.max_hops", "100", "file"),  # the default, but written
        ("relay.retry_first", '"10m"', "file"),
        ("relay.retry_max", '"4h"', "default"),
        ("listener[0].bind", '"127.0.0.1:2525"', "file"),
        ("listener[0].tls", '"off"', "default"),
        ("domain[0].lists.all.members", '["ann"]', "file"),
        ("domain[0].lists.all.owner", '"postmaster"', "default"),
        ("console.enabled", "false", "default"),
    ],
)
def test_a_value_has_its_origin(name: str, value: str, origin: str) -> None:
    found = {each.name: each for each in values_in_force(parse(TEXT), tomllib.loads(TEXT))}
    assert (found[name].value, found[name].origin) == (value, origin)
    assert found[name].help


def test_what_no_file_has_was_given_or_made_up_here(tmp_path: object) -> None:
    found = {each.name: each for each in values_in_force(default_config(str(tmp_path)), {})}
    assert found["accounts"].origin == "given"
    assert found["hostname"].origin == "environment"


def test_a_file_that_was_changed_since_is_not_the_origin() -> None:
    found = {each.name: each for each in values_in_force(parse(TEXT), tomllib.loads(TEXT.replace("10m", "20m")))}
    assert found["relay.retry_first"].origin == "given"
