"""Charsets of mail: what a label means, and what text octets are that have a wrong label or none.

Labels are read as browsers read them (the WHATWG Encoding Standard), with those that only mail has: a label of a small
charset means the largest one that contains it (gb2312 → GB18030, iso-8859-1 → windows-1252), because that is what
programs send under it.  A guess says that it is one.

All work is linear in the length of the text; a guess looks at its first 64 KiB.
"""

from __future__ import annotations

import codecs
import re
from collections.abc import Sequence
from functools import lru_cache
from typing import Final, NamedTuple

from posthouse.message.reading.letter_frequencies import likely_charset

__all__ = ["Decoded", "codec_of", "decode", "guess"]

_LOOKED_AT: Final = 65_536
#: Bits for each letter at which a text of one octet for each letter is no text of two, whatever its pairs look like.
_CERTAIN_BITS: Final = 5.3
#: Python's codecs in the order in which they are tried, by label: its letters and digits, in lower case.
_CODECS: Final[dict[str, tuple[str, ...]]] = {
    **dict.fromkeys(("utf8", "xutf8", "utf8mb4", "unicode20utf8", "unicode11utf8", "utf8sig"), ("utf-8",)),
    **dict.fromkeys(("unicode11utf7", "utf7", "csutf7", "unicode20utf7", "xunicode20utf7"), ("utf-7",)),
    **dict.fromkeys(("latin1", "iso88591", "l1", "cp1252", "windows1252", "win1252", "xcp1252", "ansi"), ("cp1252",)),
    **dict.fromkeys(("cp819", "ibm819", "iso885911987", "isoir100", "csisolatin1", "88591"), ("cp1252",)),
    **dict.fromkeys(("iso88599", "latin5", "l5", "cp1254", "windows1254"), ("cp1254",)),
    **dict.fromkeys(("iso885911", "tis620", "windows874", "dos874", "cp874", "tis62025332"), ("cp874",)),
    **dict.fromkeys(("iso88598i", "iso88598e", "logical", "visual", "hebrew"), ("iso8859_8",)),
    **dict.fromkeys(("iso88596i", "iso88596e", "arabic", "asmo708"), ("iso8859_6",)),
    **dict.fromkeys(("gb2312", "gbk", "gb18030", "cp936", "ms936", "windows936", "xgbk", "euccn"), ("gb18030",)),
    **dict.fromkeys(("gb231280", "chinese", "xcp936", "csgb2312", "isoir58", "csiso58gb231280"), ("gb18030",)),
    **dict.fromkeys(("hzgb2312", "hz", "hzgb"), ("hz",)),
    **dict.fromkeys(("big5", "big5hkscs", "cnbig5", "xxbig5", "csbig5", "cp950", "ms950"), ("cp950", "big5hkscs")),
    **dict.fromkeys(("shiftjis", "sjis", "xsjis", "mskanji", "windows31j", "cp932", "ms932"), ("cp932",)),
    **dict.fromkeys(("csshiftjis", "cswindows31j", "xmscp932", "xshiftjis", "ibm943"), ("cp932",)),
    **dict.fromkeys(("eucjp", "xeucjp", "xeuc", "ujis", "cseucpkdfmtjapanese"), ("euc_jp", "euc_jis_2004")),
    **dict.fromkeys(("iso2022jp", "csiso2022jp", "iso2022jpms", "cp50220", "cp50221"), ("iso2022_jp_ext",)),
    **dict.fromkeys(("iso2022jp1", "iso2022jp2", "iso2022jp3", "iso2022jp2004"), ("iso2022_jp_2", "iso2022_jp_2004")),
    **dict.fromkeys(("euckr", "ksc56011987", "ksc56011989", "ksc5601", "korean", "cp949", "uhc"), ("cp949",)),
    **dict.fromkeys(("ms949", "windows949", "cseuckr", "isoir149", "csksc56011987", "ks"), ("cp949",)),
    **dict.fromkeys(("iso2022kr", "csiso2022kr"), ("iso2022_kr",)),
    **dict.fromkeys(("koi8r", "koi8", "koi", "cskoi8r", "xkoi8r"), ("koi8_r",)),
    **dict.fromkeys(("koi8u", "koi8ru"), ("koi8_u",)),
    **dict.fromkeys(("windows1251", "cp1251", "xcp1251", "win1251", "ansi1251", "cyrillicwindows"), ("cp1251",)),
    **dict.fromkeys(("macintosh", "macroman", "xmacroman", "mac", "csmacintosh"), ("mac_roman",)),
    **dict.fromkeys(("xmaccyrillic", "xmacukrainian", "maccyrillic"), ("mac_cyrillic",)),
    **dict.fromkeys(("cp850", "ibm850", "csibm850", "dos850"), ("cp850",)),
    **{f"windows{n}": (f"cp{n}",) for n in (1250, 1253, 1255, 1256, 1257, 1258)},
    **{f"win{n}": (f"cp{n}",) for n in (1250, 1253, 1255, 1256, 1257, 1258)},
    **dict.fromkeys(("utf16", "unicode", "csunicode", "iso10646ucs2", "ucs2"), ("utf-16",)),
}
#: Labels that say nothing: the octets are looked at.
_SILENT: Final = frozenset(
    {"", "usascii", "ascii", "ansix341968", "unknown", "unknown8bit", "xunknown", "8bit", "7bit"}
)
_SILENT_TOO: Final = frozenset({"default", "defaultcharset", "xuserdefined", "binary", "none", "charset", "iso646us"})
#: Codecs of Python that are no charset of text, or that execute escapes of a programming language.
_NO_CHARSETS: Final = frozenset(
    {"idna", "punycode", "unicode-escape", "raw-unicode-escape", "undefined", "mbcs", "oem"}
)
_NOT_IN_A_NAME: Final = re.compile(r"[^a-z0-9]+")
_ISO_2022_JP: Final = re.compile(rb"\x1b(?:\$[@B]|\([BJI])")
_ISO_2022_KR: Final = b"\x1b$)C"
_HIGH_PAIR: Final = re.compile(rb"[\x81-\xfe][\x40-\xfe]")
_HIGH: Final = re.compile(rb"[\x80-\xff]")


class Decoded(NamedTuple):
    """Text and how it was found: Python's name of the charset, whether that is a guess, and whether octets were lost
    (they are U+FFFD then)."""

    text: str
    charset: str
    guessed: bool = False
    damaged: bool = False


@lru_cache(maxsize=256)
def codec_of(label: str) -> tuple[str, ...]:
    """Python's codecs for a label, in the order in which they are tried; () if the label says nothing or is unknown."""
    label = label.strip().strip("'\"").partition("*")[0].lower()
    key = _NOT_IN_A_NAME.sub("", label)[:40]
    if key in _SILENT or key in _SILENT_TOO:
        return ()
    if key in _CODECS:
        return _CODECS[key]
    for name in (label, key, key.removeprefix("x")):
        try:
            found = codecs.lookup(name[:40])
        except (LookupError, ValueError):
            continue
        # typeshed does not know the attribute, by which bytes.decode itself refuses codecs such as zlib.
        if getattr(found, "_is_text_encoding", True) and found.name not in _NO_CHARSETS:
            return (found.name,)
    return ()


_SURROGATE: Final = re.compile("[\ud800-\udfff]")


def decode(octets: bytes, label: str = "", hints: Sequence[str] = ()) -> Decoded:
    """The text of octets under a label; never raises.

    An unknown or wrong label leads to a guess; ``hints`` are labels that stand elsewhere in the message.
    """
    codecs_of_label = codec_of(label)
    for codec in codecs_of_label:
        text = _strictly(octets, codec)
        if text is not None and "7" in codec and _SURROGATE.search(text):  # UTF-7 can spell half a character
            return Decoded(_SURROGATE.sub("\ufffd", text), codec, damaged=True)
        if text is not None:
            return Decoded(text, codec)
    if octets.isascii() and b"\x1b" not in octets:
        return Decoded(
            octets.decode("ascii"), "ascii", bool(label) and not codecs_of_label and not _says_nothing(label)
        )
    if not codecs_of_label:
        return guess(octets, hints)
    if _strictly(octets, "utf-8") is not None:  # the most frequent of wrong labels
        return Decoded(octets.decode("utf-8"), "utf-8", guessed=True)
    text = octets.decode(codecs_of_label[0], "replace")
    return Decoded(_SURROGATE.sub("\ufffd", text), codecs_of_label[0], damaged=True)


def _says_nothing(label: str) -> bool:
    key = _NOT_IN_A_NAME.sub("", label.lower())
    return key in _SILENT or key in _SILENT_TOO


def _strictly(octets: bytes, codec: str) -> str | None:
    """The text if every octet is right in this charset, or None."""
    try:
        return octets.decode(codec)
    except (UnicodeError, ValueError):
        pass
    if codec == "cp1252":  # five octets have no character there; browsers take the control of that number
        return "".join(_CP1252[octet] for octet in octets)
    if codec.startswith("iso2022_jp"):
        return _iso_2022_jp(octets)
    return None


_CP1252: Final = [bytes((octet,)).decode("cp1252", "replace").replace("\ufffd", chr(octet)) for octet in range(256)]


def _iso_2022_jp(octets: bytes) -> str | None:
    """ISO-2022-JP with the characters that Windows adds to its rows (NEC and IBM extensions), or None."""
    made: list[str] = []
    at, kind = 0, b"("
    for match in [*_ISO_2022_JP.finditer(octets), None]:
        piece = octets[at : match.start()] if match is not None else octets[at:]
        try:
            if kind.startswith(b"$"):
                made.append(b"".join(map(_as_shift_jis, piece[::2], piece[1::2])).decode("cp932"))
            elif kind == b"(I":
                made.append(bytes(octet | 0x80 for octet in piece).decode("cp932"))
            else:
                made.append(piece.decode("ascii"))
        except (UnicodeError, ValueError):
            return None
        if match is not None:
            at, kind = match.end(), match[0][1:]
    return "".join(made)


def _as_shift_jis(row: int, cell: int) -> bytes:
    """One character of JIS X 0208 in Shift_JIS.  Raises ``ValueError`` for octets that are none."""
    if not (0x21 <= row <= 0x7E and 0x21 <= cell <= 0x7E):
        raise ValueError
    lead = (row - 0x21) // 2 + 0x81
    second = cell + (0x1F if cell < 0x60 else 0x20) if row % 2 else cell + 0x7E
    return bytes((lead if lead < 0xA0 else lead + 0x40, second))


# -- guessing ----------------------------------------------------------------------------------------------------------


def guess(octets: bytes, hints: Sequence[str] = ()) -> Decoded:
    """The text of octets without a label: by what they say of themselves, by the hints, and by what is frequent."""
    if octets.startswith(codecs.BOM_UTF8):
        return Decoded(octets.decode("utf-8", "replace"), "utf-8", True, _strictly(octets, "utf-8") is None)
    if _ISO_2022_JP.search(octets, 0, _LOOKED_AT) and (text := _strictly(octets, "iso2022_jp_ext")) is not None:
        return Decoded(text, "iso2022_jp_ext", guessed=True)
    if _ISO_2022_KR in octets[:_LOOKED_AT] and (text := _strictly(octets, "iso2022_kr")) is not None:
        return Decoded(text, "iso2022_kr", guessed=True)
    if octets.isascii():
        return Decoded(octets.decode("ascii"), "ascii")
    if (text := _strictly(octets, "utf-8")) is not None:
        return Decoded(text, "utf-8", guessed=True)
    for hint in hints:
        for codec in codec_of(hint):
            if codec not in ("utf-8", "cp1252") and (text := _strictly(octets, codec)) is not None:
                return Decoded(text, codec, guessed=True)
    codec = _likely(octets[:_LOOKED_AT])
    text = _strictly(octets, codec)
    if text is None:
        return Decoded(octets.decode(codec, "replace"), codec, guessed=True, damaged=True)
    return Decoded(text, codec, guessed=True)


def _likely(octets: bytes) -> str:
    """The charset that octets beyond ASCII, which are no UTF-8, most likely are in."""
    high = len(_HIGH.findall(octets))
    if high > len(octets) * 0.98 and len(octets) < 4:  # nothing to go by
        return "cp1252"
    best, most = "", 0.55
    for codec, score in (
        ("cp932", _score_japanese(octets, "cp932")),
        ("euc_jp", _score_japanese(octets, "euc_jp")),
        ("gb18030", _score_pairs(octets, "gb18030", rb"[\xb0-\xd7][\xa1-\xfe]", 0.95)),
        ("cp949", _score_pairs(octets, "cp949", rb"[\xb0-\xc8][\xa1-\xfe]", 0.96)),
        ("cp950", _score_pairs(octets, "cp950", rb"[\xa4-\xc6][\x40-\x7e\xa1-\xfe]", 0.9)),
    ):
        if score > most:
            best, most = codec, score
    charset, bits = likely_charset(octets)
    return charset if not best or bits <= _CERTAIN_BITS else best


def _whole_pairs(octets: bytes, codec: str) -> bytes | None:
    """The octets without a character that the end cuts, if all of them are right in this charset."""
    for cut in (0, 1):
        try:
            octets[: len(octets) - cut].decode(codec)
        except (UnicodeError, ValueError):
            continue
        return octets[: len(octets) - cut]
    return None


def _score_pairs(octets: bytes, codec: str, frequent: bytes, weight: float) -> float:
    """How much of the text beyond ASCII is in a charset's frequent rows; 0 if an octet is wrong there."""
    whole = _whole_pairs(octets, codec)
    if whole is None:
        return 0.0
    pairs = _HIGH_PAIR.findall(whole)
    pattern = re.compile(frequent)
    return weight * sum(pattern.fullmatch(pair) is not None for pair in pairs) / len(pairs) if pairs else 0.0


def _score_japanese(octets: bytes, codec: str) -> float:
    """As ``_score_pairs`` for Japanese, of which kana are the sign: other languages have next to none of them."""
    whole = _whole_pairs(octets, codec)
    if whole is None:
        return 0.0
    beyond = [character for character in whole.decode(codec) if character > "\x7f"]
    # Half-width kana are not counted: the octets of other charsets look like them.
    kana = sum("\u3041" <= character <= "\u30fe" for character in beyond)
    others = sum("\u4e00" <= character <= "\u9fff" or "\u3000" <= character <= "\u3002" for character in beyond)
    return (kana + 0.9 * others) / len(beyond) if kana * 8 > len(beyond) else 0.0
