"""The state diagram of the page is that of the law."""

from __future__ import annotations

import xml.etree.ElementTree as ElementTree

from posthouse.protocol.states import LAW, Input, State
from posthouse.service.practice.diagram import edges, state_diagram, staying

SVG = "{http://www.w3.org/2000/svg}"


def drawn(text: str) -> ElementTree.Element:
    return ElementTree.fromstring(text)


def groups(root: ElementTree.Element, kind: str) -> list[ElementTree.Element]:
    return [each for each in root.iter(f"{SVG}g") if each.get("class", "").split()[0] == kind]


def words(group: ElementTree.Element, kind: str = "") -> set[str]:
    texts = [each for each in group.iter(f"{SVG}text") if not kind or each.get("class") == kind]
    rows = [row.text or "" for text in texts for row in (list(text) or [text])]
    return {word for row in rows for word in row.split(", ")}


def test_each_move_of_the_law_is_an_arrow_with_its_input() -> None:
    found = {
        (State(each.attrib["data-from"]), State(each.attrib["data-to"])): words(each)
        for each in groups(drawn(state_diagram()), "edge")
    }
    expected: dict[tuple[State, State], set[str]] = {}
    for (state, given), move in LAW.items():
        for to in (move.done, move.more):
            if to not in (None, state):
                expected.setdefault((state, to), set()).add(given.value)
    expected[State.CONNECTED, State.REFUSED] = {"5yz"}
    assert found == expected


def test_inputs_that_leave_a_state_stand_in_its_box() -> None:
    for each in groups(drawn(state_diagram()), "state"):
        state = State(each.attrib["data-state"])
        stays = {given.value for given in staying().get(state, [])}
        assert words(each, "stay") == stays, state
    assert Input.RCPT in staying()[State.RECIPIENTS]


def test_every_state_is_drawn_once_and_the_one_is_lit_where_one_is() -> None:
    root = drawn(state_diagram(State.SENDER, (State.READY, State.SENDER)))
    states = groups(root, "state")
    assert sorted(each.attrib["data-state"] for each in states) == sorted(each.value for each in State)
    assert [each.attrib["data-state"] for each in states if "here" in each.attrib["class"]] == ["sender"]
    lit = [each for each in groups(root, "edge") if "lit" in each.attrib["class"]]
    assert [(each.attrib["data-from"], each.attrib["data-to"]) for each in lit] == [("ready", "sender")]


def test_no_box_covers_another() -> None:
    boxes = [
        (rect.attrib, each.attrib["data-state"])
        for each in groups(drawn(state_diagram()), "state")
        for rect in each.iter(f"{SVG}rect")
    ]
    for at, (first, name) in enumerate(boxes):
        for second, other in boxes[at + 1 :]:
            apart = any(
                int(one[edge]) + int(one[side]) <= int(two[edge])
                for edge, side in (("x", "width"), ("y", "height"))
                for one, two in ((first, second), (second, first))
            )
            assert apart, (name, other)


def test_names_in_chinese_and_a_description_for_readers_of_screens() -> None:
    root = drawn(state_diagram(lang="zh"))
    assert root.attrib["role"] == "img"
    assert root.attrib["aria-label"] == "SMTP 会话的状态图"
    assert "已有收件人" in {text.text for text in root.iter(f"{SVG}text")}
    assert len(edges()) == len(groups(root, "edge"))
