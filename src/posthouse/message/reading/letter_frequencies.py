"""The charset of text that has one octet for each letter, by how frequent its letters beyond ASCII are.

A guess compares languages, not charsets: the octet E8 is an ``è`` of French in windows-1252 and a ``č`` of Czech in
windows-1250, and what stands beside it decides.  A language's table has its letters by the bits that each costs,
-log2 of its share among the language's letters beyond ASCII, counted in the translations of free programs.

The language whose letters cost the fewest bits gives the charset.  Another charset than windows-1252 must save
3.5 bits, so that one odd octet, as in ``100 m³``, does not make a western text Polish.
"""

from __future__ import annotations

import re
from functools import cache
from typing import Final

__all__ = ["likely_charset"]

_UNKNOWN: Final = 14  # bits of a character that the language does not have
_SIGN: Final = 8  # of a sign that stands in texts of all languages
_CAPITAL: Final = 2  # more than the small letter
_WITHIN: Final = 5  # more for a capital behind a letter
_SHOUTING: Final = 1  # more for a text of capitals, once: a letter of it is as frequent as the small one
_WHISPERED: Final = 4  # more for a small letter in such a text
_MARGIN: Final = 3.5  # bits that a text must save against windows-1252
_USUAL: Final = "cp1252"
_SIGNS: Final = frozenset("\xa0«»„“”‚‘’–—…·•§©®°€№º")
_POWERS: Final = frozenset("²³")  # they stand behind a letter, as in m³
_POWER: Final = 5

#: Charsets, whether the letters of the alphabet are all beyond ASCII, and letters by bits.
_LANGUAGES: Final = (
    (("cp1252",), False, "1é 4èàê 6ôî 7çá 8âï 9íùš 10óûëúžüœ 11ñãö 12ìä"),  # French
    (("cp1252",), False, "1ü 2ä 3ö 4ß 6éá 7í 8šóð 9úžèñâãô 10àæýõïêòìçë 11î 12þå"),  # German
    (("cp1252",), False, "1ó 2á 3í 4úéñ 8¿¡ 10º 11ü"),  # Spanish
    (("cp1252",), False, "2ãç 3áí 4éó 5úõê 7âà 8º 10ô 11ª"),  # Portuguese
    (("cp1252",), False, "1è 2à 4òéù 5á 6í 7šìóúž 8üâãñö 9êë 10çäôîå 11ïøýæõ"),  # Italian
    (("cp1252",), False, "1ä 2öå 7áé 8í 9šó 10úžèüâñã 11ôàçê 12ëì"),  # Swedish, Finnish
    (("cp1252",), False, "1æ 2øå 4é 8áíž 9šöóçúü 10èôäâëã 11àêðïñ 12òõì"),  # Danish, Norwegian
    (("cp1252",), False, "2ðí 3áó 4úýæ 5öþ 6é 10ñâëèô 11ãùü 12çêà"),  # Icelandic
    (("cp1250", "iso8859_2"), False, "2ł 3żęąśóć 5ń 6ź 9éá 10íšč 11žäşúöă 12ô"),  # Polish
    (("cp1250", "iso8859_2"), False, "2íá 3ř 4čéýžěš 5ů 7ú 8óň 9ťľôä 10ďĺŕ"),  # Czech, Slovak
    (("cp1250", "iso8859_2"), False, "2áé 3íó 4öő 5üú 6ű 11č 12š"),  # Hungarian
    (("cp1250",), False, "1ă 2ţ 3şî 5â 11áé 12óí"),  # Romanian
    (("cp1250",), False, "2čš 3žć 4đ 7ô 10éá"),  # Croatian, Slovene
    (("cp1254",), False, "1ı 3çşüğ 4ö 9áé 10í 11âó 12úñ"),  # Turkish
    (("cp1257",), False, "2šėų 3žį 4ąč 5ū 6ę"),  # Lithuanian
    (("cp1257",), False, "2āē 3īš 5ļūņ 6žķ 7ģ 8č"),  # Latvian
    (("cp1251", "koi8_r"), True, "3ое 4аинтрс 5лвкпдму 6язьыйб 7чгжфцхю 8шщ 9эё 11ъ"),  # Russian
    (("cp1251", "koi8_u"), True, "3а 4ноиетвір 5кслдпумяз 6бьйгч 7жцхєф 8шюї 9щґ"),  # Ukrainian
    (("cp1251",), True, "3ае 4ниотр 5свдкплзм 6ъябу 7чгжйфц 8шщх 9ю"),  # Bulgarian
    (("cp1253",), True, "3α 4οετινσρ 5μηπκυςλίγδ 6ήέάόχωθ 7φύ 8βώξζ 10ψ 12ϊ"),  # Greek
    (("cp1255",), True, "3יו 4התלמראנ 5בשקפדסג 6טעחםןכצ 7ז 8ךץ 9ף"),  # Hebrew
    (("cp1256",), True, "3ال 4يمروت 5ةنفدسعب 6حقكجصأطهخ 7إشذغزض 8ىثئ 9ءظؤ 10ـ 11آ"),  # Arabic
    (  # Thai
        ("cp874",),
        True,
        "4ารอกน 5มเ่้ลงดัีติสบย 6วแไ์ทคขปหจพูะช 7ืโซำุใฟถ 8็ณผภธษ 9ฐึฮญ 10ศ 11ฉฤฝๆ",
    ),
)
_HIGH: Final = re.compile(rb"[\x80-\xff]")
_BEHIND_A_LETTER: Final = re.compile(rb"(?<=[a-zA-Z\xb0-\xff])[\x80-\xff]")
_BESIDE_ASCII: Final = re.compile(rb"(?<=[a-zA-Z])[\x80-\xff]|[\x80-\xff](?=[a-zA-Z])")


def likely_charset(octets: bytes) -> tuple[str, float]:
    """Python's name of the charset, and the bits that a letter beyond ASCII costs in it.

    The octets must have one beyond ASCII.  The work is linear in their number.
    """
    counts = _counts(_HIGH, octets)
    behind = _counts(_BEHIND_A_LETTER, octets)
    beside = _counts(_BESIDE_ASCII, octets)
    letters = sum(counts.values())
    costs: dict[str, int] = {}
    for number, (charsets, alphabet, _) in enumerate(_LANGUAGES):
        for charset in charsets:
            usual, within, shouted = _bits(number, charset)
            cost = sum([count * usual[octet] for octet, count in counts.items()])
            cost += sum([count * within[octet] for octet, count in behind.items()])
            cost = min(cost, _SHOUTING + sum([count * shouted[octet] for octet, count in counts.items()]))
            if alphabet:  # its words have no ASCII letters in them
                cost += sum(beside.values()) * _UNKNOWN
            costs[charset] = min(cost, costs.get(charset, cost))
    best = min(costs, key=lambda charset: costs[charset])
    if costs[_USUAL] - costs[best] < _MARGIN:
        best = _USUAL
    return best, costs[best] / letters


def _counts(pattern: re.Pattern[bytes], octets: bytes) -> dict[int, int]:
    counts: dict[int, int] = {}
    found = b"".join(pattern.findall(octets))
    for octet in set(found):
        counts[octet] = found.count(octet)
    return counts


@cache
def _bits(number: int, charset: str) -> tuple[list[int], list[int], list[int]]:
    """For each octet the bits of its character in a language, what is added where it stands behind a letter, and the
    bits in a text of capitals."""
    letters: dict[str, int] = {}
    for group in _LANGUAGES[number][2].split():
        those = group.lstrip("0123456789")
        letters.update(dict.fromkeys(those, int(group[: len(group) - len(those)])))
    bits: list[int] = []
    within: list[int] = []
    shouted: list[int] = []
    for octet in range(256):
        character = bytes((octet,)).decode(charset, "replace")
        small = character.lower()
        capital = small != character
        known = letters.get(small)
        if known is None:
            known = _SIGN if character in _SIGNS else _POWER if character in _POWERS else _UNKNOWN
        bits.append(known + _CAPITAL * capital)
        within.append(_WITHIN * capital)
        shouted.append(known + _WHISPERED * (character.upper() != character))
    return bits, within, shouted
