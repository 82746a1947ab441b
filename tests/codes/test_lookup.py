"""The catalogue of reply codes: complete against the RFCs' lists, whole in both languages, honest where it guesses."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator

import pytest

from posthouse.codes import BasicCode, EnhancedCode, Text, Whose
from posthouse.codes.code_lookup import (
    ALL_BASIC,
    ALL_ENHANCED,
    REGISTRY,
    explain_enhanced,
    explain_reply,
    guess_enhanced,
    guess_reply,
    lookup,
    near,
    sentence,
)
from posthouse.core import Reply

# RFC 5321 §4.2.3.
RFC_5321 = (
    "211 214 220 221 250 251 252 354 421 450 451 452 455 500 501 502 503 504 550 551 552 553 554 555"
)  # fmt: skip
# RFC 4954 §4 and §6, RFC 3207 §4 (454, 530 again), RFC 5248 §2.4, RFC 7504.
LATER = "235 334 432 454 530 534 535 538 523 521 556"
# Seen in the wild, defined by no RFC.
WILD = "541"
# Codes of a door that Posthouse has not opened (AUTH, STARTTLS), or never gives.
PEERS_ONLY = "432 455 523 534 541"

# The IANA registry (RFC 5248): how many details each subject has, and X.0.0 alone in its subject.
LAST_DETAIL = {"0": 0, "1": 10, "2": 4, "3": 6, "4": 7, "5": 6, "6": 10, "7": 30}

# Rows whose RFC names the associated reply codes beside the description.
ASSOCIATED = {
    "3.6": (250, 251),  # RFC 6710 §10
    "6.7": (550, 553),  # RFC 6531 §4.2
    "6.8": (252, 550, 553),
    "6.9": (550,),
    "7.10": (523,),  # RFC 5248 §2.4
    "7.13": (525,),
    "7.14": (535, 554),
    "7.15": (450, 550),  # RFC 6710 §10
    "7.16": (552,),
    "7.29": (550,),  # RFC 8617 §10.4
    "7.30": (550,),  # RFC 8689 §7
}

SOURCE = re.compile(r"RFC [0-9]{3,4} §[0-9]+(\.[0-9]+)*\Z")


def numbers(words: str) -> list[int]:
    return [int(word) for word in words.split()]


def texts_of(entry: BasicCode | EnhancedCode) -> Iterator[Text]:
    yield from (entry.title, entry.meaning, entry.next_step, entry.whose.label)
    if isinstance(entry, BasicCode) and entry.occasion is not None:
        yield entry.occasion
    if entry.note is not None:
        yield entry.note


GUESSES = [guess_reply(code) for code in (299, 399, 499, 512, 571)]
GUESSES_ENHANCED = [guess_enhanced(code) for code in ("2.9.9", "4.1.99", "5.3.1", "5.999.999")]
EVERYTHING = [
    *ALL_BASIC.values(),
    *ALL_ENHANCED.values(),
    *(entry for entry in (*GUESSES, *GUESSES_ENHANCED) if entry is not None),
]


def test_every_basic_code_of_the_rfcs_is_there() -> None:
    assert sorted(ALL_BASIC) == sorted(numbers(f"{RFC_5321} {LATER} {WILD}"))
    assert list(ALL_BASIC) == sorted(ALL_BASIC)
    assert all(entry.code == code for code, entry in ALL_BASIC.items())


def test_every_row_of_the_registry_is_there_once() -> None:
    wanted = [f"{subject}.{detail}" for subject, last in LAST_DETAIL.items() for detail in range(last + 1)]
    assert list(REGISTRY) == wanted
    assert len(REGISTRY) == 81


@pytest.mark.parametrize(("number", "basic"), ASSOCIATED.items())
def test_associated_reply_codes_are_the_rfcs(number: str, basic: tuple[int, ...]) -> None:
    assert REGISTRY[number].basic == basic


def test_a_row_has_the_classes_of_its_associated_reply_codes() -> None:
    for row in REGISTRY.values():
        assert row.classes, row.number
        assert set(row.classes) <= {2, 4, 5}, row.number
        assert {code // 100 for code in row.basic} <= set(row.classes), row.number


def test_each_row_stands_in_each_of_its_classes() -> None:
    assert set(ALL_ENHANCED) == {f"{digit}.{row.number}" for row in REGISTRY.values() for digit in row.classes}
    for code, entry in ALL_ENHANCED.items():
        assert entry.code == code
        assert entry.registered
        assert all(basic // 100 == int(code[0]) for basic in entry.basic)


def test_codes_that_rfc_3463_ties_to_one_class() -> None:
    assert REGISTRY["1.5"].classes == (2,)  # "should be used for positive delivery reports"
    assert REGISTRY["1.9"].classes == (2,)  # RFC 3886 §3.3.4: exclusively 2.1.9
    for number in ("3.1", "4.1", "4.2", "4.5"):  # "useful only as a persistent transient error"
        assert REGISTRY[number].classes == (4,)
    for number in ("1.2", "1.3", "1.6", "2.3", "3.4", "5.2", "6.1", "7.2", "7.3", "7.4"):  # "only ... permanent"
        assert REGISTRY[number].classes == (5,)


@pytest.mark.parametrize("entry", EVERYTHING, ids=lambda entry: str(entry.code))
def test_every_text_is_whole_in_both_languages(entry: BasicCode | EnhancedCode) -> None:
    for text in texts_of(entry):
        for words in text:
            assert words == words.strip()
            assert words
            assert not any(unicodedata.category(char) in ("Cc", "Cf", "Zl", "Zp", "Co", "Cn") for char in words)
        assert text.en.isprintable()
        assert re.search(r"[\u4e00-\u9fff]", text.zh)
        assert not re.search(r"[\u4e00-\u9fff，。；：]", text.en)
        assert not re.search(r"[\u4e00-\u9fff][,;:.]", text.zh), "Chinese text takes full-width punctuation"
    for text in (entry.meaning, entry.next_step):
        assert text.en.endswith(".")
        assert text.zh.endswith("。")
    assert SOURCE.match(entry.source), entry.source


def test_no_two_entries_share_a_title() -> None:
    basic = [entry.title for entry in ALL_BASIC.values()]
    rows = [row.title for row in REGISTRY.values()]
    assert len(set(basic)) == len(basic)
    assert len({title.en for title in rows}) == len(rows)
    assert len({title.zh for title in rows}) == len(rows)


def test_positive_codes_are_nobodys_fault_and_negative_ones_somebodys() -> None:
    for entry in EVERYTHING:
        positive = str(entry.code)[0] in "23"
        assert (entry.whose is Whose.NOBODY) is positive, entry.code


def test_a_basic_code_has_an_occasion_or_is_peers_only() -> None:
    assert [code for code, entry in ALL_BASIC.items() if entry.peers_only] == sorted(numbers(PEERS_ONLY))
    for code in numbers(PEERS_ONLY):
        assert ALL_BASIC[code].note is not None, f"{code} must say why only peers send it"


def test_only_what_no_rfc_defines_is_unregistered() -> None:
    assert [code for code, entry in ALL_BASIC.items() if not entry.registered] == numbers(WILD)


def test_mappings_cannot_be_changed() -> None:
    with pytest.raises(TypeError):
        ALL_BASIC[250] = ALL_BASIC[550]  # type: ignore[index]
    with pytest.raises(TypeError):
        del ALL_ENHANCED["5.1.1"]  # type: ignore[attr-defined]
    with pytest.raises(AttributeError):
        ALL_BASIC[250].code = 251  # type: ignore[misc]


def test_explain_knows_its_own_codes_and_no_others() -> None:
    known = explain_reply(550)
    assert known is not None
    assert known.code == 550
    enhanced = explain_enhanced("5.1.1")
    assert enhanced is not None
    assert enhanced.basic == (550,)
    assert explain_reply(599) is None
    assert explain_reply(-1) is None
    assert explain_enhanced("5.3.1") is None
    assert explain_enhanced("5.1") is None
    assert explain_enhanced("") is None


@pytest.mark.parametrize(
    ("code", "english"),
    [(299, "carried out"), (335, "more input"), (471, "may succeed later"), (512, "will fail again"), (571, "fail")],
)
def test_an_unknown_code_is_read_by_its_first_digit(code: int, english: str) -> None:
    guess = guess_reply(code)
    assert guess is not None
    assert not guess.registered
    assert guess.peers_only
    assert str(code) in guess.meaning.en
    assert "not a code that any RFC defines" in guess.meaning.en
    assert english in guess.meaning.en


def test_the_second_digit_speaks_where_the_rfc_gives_it_a_meaning() -> None:
    connection, silent = guess_reply(425), guess_reply(435)
    assert connection is not None
    assert silent is not None
    assert "connection" in connection.meaning.en
    assert "its second" not in silent.meaning.en


@pytest.mark.parametrize("code", [-1, 0, 99, 100, 199, 600, 999, 5500])
def test_a_number_outside_the_range_is_no_code(code: int) -> None:
    assert guess_reply(code) is None


def test_a_row_in_a_class_no_rfc_means_is_explained_by_the_row() -> None:
    guess = guess_enhanced("5.3.1")
    assert guess is not None
    assert not guess.registered
    assert guess.meaning == ALL_ENHANCED["4.3.1"].meaning
    assert guess.note is not None
    assert "4.3.1" in guess.note.en


def test_an_unknown_detail_is_read_by_its_subject_and_an_unknown_subject_by_its_class() -> None:
    detail, subject = guess_enhanced("5.7.99"), guess_enhanced("4.9.1")
    assert detail is not None
    assert subject is not None
    assert "security or policy" in detail.meaning.en
    assert "not registered" in detail.meaning.en
    assert "may succeed later" in subject.meaning.en
    assert "its second" not in subject.meaning.en


@pytest.mark.parametrize(
    "code", ["", "5", "5.1", "3.1.1", "5.1.1.1", "5.1.1111", "5.1.1 ", "5.1.1\n", "x.1.1", "５.1.1"]
)
def test_what_is_not_of_the_form_is_no_enhanced_code(code: str) -> None:
    assert guess_enhanced(code) is None


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("550", [550]),
        (" 550 \n", [550]),
        ("5.1.1", ["5.1.1"]),
        ("550 5.1.1 User unknown", [550, "5.1.1"]),
        ("550-5.7.26 one\r\n550 5.7.26 two", [550, "5.7.26"]),
        ("250-mail.example\n250-SIZE 1000\n250 HELP", [250]),
        ("host mx.example[192.0.2.7] said: 451 4.7.1 greylisted (in reply to RCPT TO)", [451, "4.7.1"]),
        ("Diagnostic-Code: smtp; 554 5.4.6 loop", [554, "5.4.6"]),
        ("Status: 5.2.2", ["5.2.2"]),
        ("sent 300 bytes to 192.0.2.250 and 4.2.2.1 with Exim 4.99.1", []),
        ("421", [421]),
        ("599 5.9.9", [599, "5.9.9"]),
        ("5.3.1", ["5.3.1"]),
        ("600", []),
        ("5.1.1.3", []),
        ("hello", []),
        ("", []),
        ("５５０", []),
    ],
)
def test_lookup_finds_the_codes_of_a_text(text: str, codes: list[int | str]) -> None:
    assert [entry.code for entry in lookup(text)] == codes


@pytest.mark.parametrize(
    ("text", "codes"),
    [
        ("55x", [550, 551, 552, 553, 554, 555, 556]),
        ("55z", [550, 551, 552, 553, 554, 555, 556]),
        ("3yz", [334, 354]),
        ("4.4.x", ["4.4.0", "4.4.1", "4.4.2", "4.4.3", "4.4.4", "4.4.5", "4.4.6", "4.4.7"]),
        ("4.4", ["4.4.0", "4.4.1", "4.4.2", "4.4.3", "4.4.4", "4.4.5", "4.4.6", "4.4.7"]),
        ("x.1.1", ["4.1.1", "5.1.1"]),
        ("X.1.10", ["5.1.10"]),
        ("2.1.*", ["2.1.0", "2.1.5", "2.1.9"]),
        ("5.99.x", []),
    ],
)
def test_lookup_takes_families(text: str, codes: list[int | str]) -> None:
    assert [entry.code for entry in lookup(text)] == codes


def test_lookup_marks_what_it_guesses() -> None:
    assert [entry.registered for entry in lookup("550 5.1.1 no")] == [True, True]
    assert [entry.registered for entry in lookup("599 5.9.9 no")] == [False, False]


def test_lookup_looks_at_a_bounded_part_of_a_text() -> None:
    assert lookup("x" * 100_000 + "\n550 5.1.1 no") == []


@pytest.mark.parametrize(
    ("text", "code"),
    [
        ("600", "500"),
        ("553.", "553"),
        ("5,1,1", "5.1.1"),
        ("mailbox full", "5.2.2"),
        ("邮箱已满", "4.2.2"),
        ("relaying denied", "5.7.1"),
        ("too many recipients", "4.5.3"),
        ("灰名单 SPF", "5.7.23"),
    ],
)
def test_near_suggests_what_was_meant(text: str, code: str) -> None:
    suggestions = near(text)
    assert code in suggestions
    assert len(suggestions) <= 5


@pytest.mark.parametrize("text", ["", "   ", "qqqq", "??", "a"])
def test_near_is_silent_where_nothing_is_near(text: str) -> None:
    assert near(text) == ()


def test_near_suggests_only_codes_that_exist() -> None:
    for text in ("55", "5.1.99", "mailbox", "认证", "邮件", "x" * 100_000, "9" * 100_000):
        for code in near(text):
            assert any(str(entry.code) == code for entry in lookup(code))


@pytest.mark.parametrize(
    ("reply", "code"),
    [
        (Reply(220), 220),
        (Reply(250), 250),
        (Reply(250, "2.0.0"), 250),
        (Reply(250, "2.1.5"), "2.1.5"),
        (Reply(250, "2.1.0"), "2.1.0"),
        (Reply(354), 354),
        (Reply(550, "5.1.1"), "5.1.1"),
        (Reply(550, "5.7.1"), "5.7.1"),
        (Reply(452, "4.5.3"), "4.5.3"),
        (Reply(552, "5.3.4"), "5.3.4"),
        (Reply(503, "5.5.1"), 503),  # 503 already says more than "invalid command"
        (Reply(551, "5.1.6"), 551),
        (Reply(452, "4.3.0"), 452),  # X.y.0 adds nothing to a code that names its reason
        (Reply(550, "5.1.99"), 550),
        (Reply(550, "4.2.2"), 550),  # RFC 2034 §4: the classes must agree
        (Reply(550, "rubbish"), 550),
    ],
)
def test_the_sentence_comes_from_the_code_that_says_more(reply: Reply, code: int | str) -> None:
    entry = ALL_BASIC[code] if isinstance(code, int) else ALL_ENHANCED[code]
    assert entry.meaning.en.startswith(sentence(reply, "en"))
    assert entry.meaning.zh.startswith(sentence(reply, "zh"))


def test_the_sentence_is_one_line_and_one_sentence_in_the_language_asked_for() -> None:
    for entry in ALL_BASIC.values():
        english, chinese = sentence(Reply(entry.code), "en"), sentence(Reply(entry.code), "zh-CN")
        assert english.endswith(".")
        assert english.count(". ") == 0
        assert chinese.endswith("。")
        assert chinese.count("。") == 1
    for code in ALL_ENHANCED:
        basic = 250 if code[0] == "2" else int(code[0]) * 100 + 50
        assert sentence(Reply(basic, code), "en").count(". ") == 0


def test_the_reply_to_the_content_says_who_is_responsible() -> None:
    done = Reply(250, "2.0.0", "queued as 1")
    assert "responsible" in sentence(done, "en", content_over=True)
    assert "负责" in sentence(done, "zh", content_over=True)
    refused = Reply(552, "5.3.4")
    assert sentence(refused, "en", content_over=True) == sentence(refused, "en")


def test_the_sentence_of_an_unknown_code_admits_it() -> None:
    assert "599" in sentence(Reply(599), "en")
    assert "599" in sentence(Reply(599), "zh")
    assert sentence(Reply(999), "en") == "This is no reply code that SMTP uses."
    row = REGISTRY["3.1"]
    assert row.meaning.en.startswith(sentence(Reply(550, "5.3.1"), "en"))


def test_said_takes_language_tags() -> None:
    text = Text("yes", "是")
    assert text.said("zh_CN.UTF-8") == text.said("ZH") == "是"
    assert text.said("en") == text.said("de") == text.said("") == "yes"
