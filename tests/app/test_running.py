"""``posthouse run --app``: which applications it finds, and what it says of the others."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Sequence
from types import ModuleType

import pytest

import posthouse
from posthouse import SettingError
from posthouse.app import App, load_app, serve_app

from .app_harness import run

PAIR = ("a@b.example", ["x@y.example"])


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    made = ModuleType("a_program")
    monkeypatch.setitem(sys.modules, made.__name__, made)
    return made


def test_an_application_is_found_by_its_name(module: ModuleType) -> None:
    module.inner = ModuleType("inner")  # type: ignore[attr-defined]
    module.inner.app = App()
    assert load_app("a_program:inner.app") is module.inner.app


@pytest.mark.parametrize(
    ("target", "cause"),
    [
        ("a_program", 'names no application; write it as "module:object"'),
        ("a_program:", "names no application"),
        ("a_program:nothing", 'has no "nothing"'),
        ("no_such_program:app", 'there is no module "no_such_program"'),
        ("a_program:number", '"number" of "a_program" is int and no App'),
    ],
)
def test_what_is_no_application_is_told(module: ModuleType, target: str, cause: str) -> None:
    module.number = 17  # type: ignore[attr-defined]
    with pytest.raises(SettingError, match=cause) as told:
        load_app(target)
    assert str(told.value).startswith(f"--app {target}: ")


def test_an_application_without_handlers_is_not_served() -> None:
    with pytest.raises(SettingError, match="no handler"):
        run(serve_app(App(), ["127.0.0.1:0"], asyncio.Event()))


def test_all_places_are_told_when_they_listen() -> None:
    app = App()
    app.message(lambda message: None)
    told: list[str] = []

    async def served() -> None:
        stop = asyncio.Event()

        def ready(places: object) -> None:
            told.extend(places)  # type: ignore[call-overload]
            stop.set()

        await serve_app(app, ["127.0.0.1:0", "127.0.0.1:0"], stop, ready=ready)

    run(served())
    assert len({*told}) == 2


def test_an_application_may_speak_lmtp() -> None:
    app = App()
    taken: list[bytes] = []
    app.message(lambda message: taken.append(message.as_bytes()))

    async def served() -> posthouse.SendResult:
        stop = asyncio.Event()
        places: list[str] = []
        listening = asyncio.Event()

        def ready(found: Sequence[str]) -> None:
            places.extend(found)
            listening.set()

        serving = asyncio.create_task(serve_app(app, ["127.0.0.1:0"], stop, lmtp=True, ready=ready))
        await listening.wait()
        result = await posthouse.asend(
            b"Subject: hi\r\n\r\nhi\r\n", f"lmtp://{places[0]}", envelope=PAIR, transcript=True
        )
        stop.set()
        await serving
        return result

    result = run(served())
    assert result.ok
    assert any(line.startswith("S: LHLO") for line in result.transcript)
    assert len(taken) == 1
