"""Descriptors: the limit is raised or sessions are fewer, and a process without descriptors says so."""

from __future__ import annotations

import subprocess
import sys

import pytest
from msgspec.structs import replace

from posthouse.net.descriptors import exhausted, raise_limit
from posthouse.service.config.model import Config
from posthouse.service.config_file import default_config
from posthouse.service.process.descriptor_limit import OUT_OF_DESCRIPTORS, DescriptorWatch, fitted, wanted

CONFIG = default_config("/nowhere")


def sessions(config: Config) -> int:
    return sum(each.max_connections for each in config.listener)


def test_the_defaults_ask_for_more_than_the_usual_soft_limit() -> None:
    assert wanted(CONFIG) > 1024
    assert fitted(CONFIG, wanted(CONFIG)) == (CONFIG, "")


def test_where_the_limit_cannot_be_raised_fewer_sessions_are_accepted() -> None:
    config, problem = fitted(CONFIG, 1024)
    assert sessions(config) == 1024 - 100 - 3 * 200
    assert problem.startswith("this process may open 1,024 files only, so its listeners accept 324 sessions instead of")
    assert f"{wanted(CONFIG):,}" in problem


def test_some_sessions_are_accepted_however_low_the_limit_is() -> None:
    two = replace(CONFIG, listener=(*CONFIG.listener, replace(CONFIG.listener[0], name="other", max_connections=1)))
    config, _ = fitted(two, 64)
    assert [each.max_connections for each in config.listener] == [15, 1]


_PROCESS = """
import resource, os
from posthouse.net.descriptors import exhausted, raise_limit
resource.setrlimit(resource.RLIMIT_NOFILE, (50, 80))
assert raise_limit(40) == 50
assert raise_limit(70) == 70
assert raise_limit(1000) == 80 == resource.getrlimit(resource.RLIMIT_NOFILE)[0]
assert not exhausted()
held = []
try:
    while True:
        held.append(os.dup(0))
except OSError:
    pass
assert exhausted()
os.close(held.pop())
assert not exhausted()
print("done")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="Windows has no such limit")
def test_the_limit_is_raised_as_far_as_the_system_allows() -> None:
    done = subprocess.run([sys.executable, "-c", _PROCESS], capture_output=True, text=True, timeout=60, check=False)
    assert done.stdout == "done\n", done.stderr


def test_a_process_without_descriptors_says_so_once_a_minute(monkeypatch: pytest.MonkeyPatch) -> None:
    told: list[str] = []
    moments = iter([0.0, *map(float, range(0, 180, 5))])
    watch = DescriptorWatch(told.append, lambda: next(moments))
    watch()
    assert told == []
    assert not exhausted()
    assert raise_limit(0) > 0
    monkeypatch.setattr("posthouse.service.process.descriptor_limit.exhausted", lambda: True)
    for _ in range(36):
        watch()
    assert told == [OUT_OF_DESCRIPTORS] * 3
