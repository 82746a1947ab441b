"""Charsets of mail: what labels mean, what wrong labels hide, and guesses."""

from __future__ import annotations

import codecs

import pytest
from hypothesis import given
from hypothesis import strategies as st

import posthouse
from posthouse.message.reading.charsets import codec_of, decode, guess

JAPANESE = "日本語のテキストです。"
CHINESE = "你好，这是一封信，里面有很多汉字。"
KOREAN = "안녕하세요, 이것은 편지입니다."
TAIWANESE = "您好，這是一封信，裡面有許多漢字與標點。"
RUSSIAN = "Здравствуйте, это обычное письмо с несколькими словами."
GERMAN = "Grüße aus Köln, schöne Straße"


@pytest.mark.parametrize(
    ("label", "text", "codec"),
    [
        ("UTF-8", "é", "utf-8"),
        ("utf8", "é", "utf-8"),
        ("'utf-8'", "é", "utf-8"),
        ("iso-8859-1", "é", "latin-1"),
        ("latin1", "é", "cp1252"),
        ("windows-1252", "€", "cp1252"),
        ("iso-8859-15", "€", "iso8859-15"),
        ("cp-850", "é", "cp850"),
        ("gb2312", CHINESE, "gb18030"),
        ("x-gbk", CHINESE, "gbk"),
        ("GB18030", "𠀀", "gb18030"),
        ("big5", TAIWANESE, "big5"),
        ("cp950", "€", "cp950"),
        ("shift_jis", JAPANESE, "shift_jis"),
        *((label, "①㈱", "cp932") for label in ("cp932", "windows-31j", "ms932", "x-sjis", "Shift_JIS")),
        ("euc-jp", JAPANESE, "euc_jp"),
        ("iso-2022-jp", JAPANESE, "iso2022_jp"),
        ("iso2022jp", JAPANESE, "iso2022_jp"),
        ("euc-kr", "똠", "cp949"),
        ("ks_c_5601-1987", KOREAN, "euc_kr"),
        ("iso-2022-kr", KOREAN, "iso2022_kr"),
        ("koi8-r", RUSSIAN, "koi8_r"),
        ("windows-1251", RUSSIAN, "cp1251"),
        ("hz-gb-2312", "你好", "hz"),
        ("unicode-1-1-utf-7", "é", "utf-7"),
        ("macintosh", "é", "mac_roman"),
        ("iso-8859-8-i", "שלום", "iso8859_8"),
        ("tis-620", "สวัสดี", "cp874"),
    ],
)
def test_labels(label: str, text: str, codec: str) -> None:
    found = decode(text.encode(codec), label)
    assert (found.text, found.guessed, found.damaged) == (text, False, False)


def test_octets_without_a_character_in_windows_1252_are_controls_as_browsers_have_it() -> None:
    assert decode(b"\x80\x81", "iso-8859-1").text == "€\x81"


def test_iso_2022_jp_with_characters_of_windows() -> None:
    octets = b"\x1b$B" + bytes((0x2D, 0x21)) + b"\x1b(B ok \x1b(I1\x1b(B"  # circled digit one, half-width katakana
    found = decode(octets, "iso-2022-jp")
    assert (found.text, found.damaged) == ("① ok ｱ", False)


@pytest.mark.parametrize(
    "label", ["raw-unicode-escape", "unicode_escape", "idna", "punycode", "zlib", "rot13", "undefined"]
)
def test_what_python_decodes_and_is_no_charset_is_no_label(label: str) -> None:
    assert codec_of(label) == ()
    assert decode(b"C:\\Users\\x", label).text == "C:\\Users\\x"


@pytest.mark.parametrize("label", ["", "us-ascii", "x-unknown", "unknown-8bit", "no-such-thing", "\x00", "ü" * 300])
def test_a_label_that_says_nothing_leads_to_a_guess(label: str) -> None:
    found = decode("é".encode(), label)
    assert (found.text, found.charset, found.guessed) == ("é", "utf-8", True)


def test_utf_8_under_a_wrong_label_is_read_and_marked() -> None:
    found = decode("日本語".encode(), "euc-jp")
    assert (found.text, found.guessed) == ("日本語", True)


def test_octets_that_are_wrong_in_their_charset_are_lost_and_it_is_said() -> None:
    found = decode(b"ok \xff\xff", "euc-kr")
    assert found.damaged
    assert found.text.startswith("ok ")


@pytest.mark.parametrize(
    ("text", "codec"),
    [
        (JAPANESE, "cp932"),
        (JAPANESE, "euc_jp"),
        (JAPANESE, "iso2022_jp"),
        (CHINESE, "gb18030"),
        (TAIWANESE, "cp950"),
        (KOREAN, "cp949"),
        (KOREAN, "iso2022_kr"),
        (RUSSIAN, "cp1251"),
        (RUSSIAN, "koi8_r"),
        (GERMAN, "cp1252"),
        (GERMAN, "utf-8"),
        (CHINESE, "utf-8"),
    ],
)
def test_guesses(text: str, codec: str) -> None:
    found = guess(text.encode(codec))
    assert (found.text, found.guessed) == (text, True)


def test_a_hint_decides_where_octets_do_not() -> None:
    octets = "ЭКВАЙРИНГ".encode("cp1251")
    assert guess(octets, ["no-such", "utf-8", "windows-1251"]).text == "ЭКВАЙРИНГ"


def test_a_byte_order_mark_is_believed() -> None:
    assert guess(codecs.BOM_UTF8 + b"\xff").damaged


@given(st.binary(max_size=60), st.text(max_size=12), st.lists(st.sampled_from(["utf-8", "gbk", "koi8-r"]), max_size=2))
def test_anything_is_decoded(octets: bytes, label: str, hints: list[str]) -> None:
    assert isinstance(decode(octets, label, hints).text, str)


@given(st.text(max_size=40), st.sampled_from(["utf-8", "gb18030", "utf-16"]))
def test_what_was_encoded_is_read_back(text: str, charset: str) -> None:
    clean = text.encode("utf-8", "ignore").decode()
    assert decode(clean.encode(charset), charset).text == clean


def test_half_a_character_is_none() -> None:
    """UTF-7 can spell a surrogate without the other, which no program can write in UTF-8."""
    halved, whole = decode(b"a+2AA-b", "utf-7"), decode(b"+2D3cqg-", "utf-7")
    assert (halved.text, halved.damaged) == ("a\ufffdb", True)
    assert (whole.text, whole.damaged) == ("\U0001f4aa", False)
    assert posthouse.read(b"Subject: =?utf-7?q?+2AA-?=\n\n").subject == "\ufffd"


@pytest.mark.parametrize(
    ("text", "charset"),
    [
        ("Zażółć gęślą jaźń i przyjdź jutro", "cp1250"),
        ("Zażółć gęślą jaźń i przyjdź jutro", "iso8859_2"),
        ("Příliš žluťoučký kůň úpěl ďábelské ódy", "cp1250"),
        ("Jó napot, a szállítás időpontja megváltozott, köszönjük a türelmét", "cp1250"),
        ("Şirketimizin yeni ürünleri için görüşmek üzere, iyi günler dileğiyle", "cp1254"),
        ("Ačiū už laišką, susitiksime šeštadienį", "cp1257"),
        ("Καλημέρα σας, η παράδοση θα γίνει αύριο", "cp1253"),
        ("שלום רב, החשבונית מצורפת להודעה זו", "cp1255"),
        ("مرحبا، نرفق لكم الفاتورة الخاصة بالطلب", "cp1256"),
        ("สวัสดีครับ ใบแจ้งหนี้อยู่ในเอกสารแนบ", "cp874"),
        ("Добрый день, счёт во вложении", "cp1251"),
        ("Добрый день, счёт во вложении", "koi8_r"),
        ("Доброго дня, їхній рахунок у вкладенні є", "koi8_u"),
        ("Le café est fermé à Noël, déjà prévenu", "cp1252"),
        ("Grüße aus Köln, schöne Straße", "cp1252"),
        ("eine Fläche von 100 m² und 40 m³", "cp1252"),
        ("Þór á Íslandi", "cp1252"),
    ],
)
def test_text_without_a_label_is_read_by_how_frequent_its_letters_are(text: str, charset: str) -> None:
    octets = text.encode(charset)
    found = guess(octets)
    assert found.text == text
    assert found.guessed
    assert not found.damaged
    assert guess(octets * 3_000).text[: len(text)] == text


def test_one_odd_octet_does_not_make_a_western_text_polish() -> None:
    assert guess(b"40 m\xb3").text == "40 m³"


@pytest.mark.parametrize("charset", ["cp1251", "koi8_r"])
@pytest.mark.parametrize(
    "text", ["ПРИГЛАШЕНИЕ НА ОТКРЫТИЕ ВЫСТАВКИ", "СРОЧНО: СЧЁТ НА ОПЛАТУ ЗА ИЮЛЬ", "ДОГОВОР ПОСТАВКИ № 12"]
)
def test_capitals_are_as_frequent_as_small_letters(text: str, charset: str) -> None:
    """In KOI8-R and windows-1251 the capitals of one are the small letters of the other."""
    octets = text.encode(charset, "ignore")
    assert guess(octets).text == octets.decode(charset)


def test_greek_capitals_are_no_russian() -> None:
    assert guess("ΤΙΜΟΛΟΓΙΟ ΓΙΑ ΤΗΝ ΠΑΡΑΓΓΕΛΙΑ".encode("cp1253")).text == "ΤΙΜΟΛΟΓΙΟ ΓΙΑ ΤΗΝ ΠΑΡΑΓΓΕΛΙΑ"
