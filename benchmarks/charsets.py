"""Guesses of a charset without a label: ours beside charset-normalizer and chardet.

    python benchmarks/charsets.py [--samples 300] [--json]

The texts are the translations that Django has in its catalogues (``django/conf/locale``), which are sentences of people
in many languages and no work of ours.  Each sample is a stretch of them, encoded in a charset that mail of that
language is in; a guess counts as right if it gives the same text back.  Subjects are short (about 20 characters), texts
long (about 400).  Time is processor time for one guess.  Programs that are not installed are left out.
"""

from __future__ import annotations

import argparse
import json
import random
import re
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Final, NamedTuple

sys.path.append(str(Path(__file__).resolve().parents[1] / "src"))  # behind a compiled copy, if one is named

from posthouse.message.reading.charsets import guess

#: Language, folder of its catalogue, and charsets.
_LANGUAGES: Final = (
    ("Chinese, simplified", "zh_Hans", ("gb18030",)),
    ("Chinese, traditional", "zh_Hant", ("cp950",)),
    ("Japanese", "ja", ("cp932", "euc_jp", "iso2022_jp")),
    ("Korean", "ko", ("cp949",)),
    ("Russian", "ru", ("cp1251", "koi8_r")),
    ("German", "de", ("cp1252",)),
    ("French", "fr", ("cp1252",)),
    ("Polish", "pl", ("cp1250",)),
    ("Greek", "el", ("cp1253",)),
    ("Turkish", "tr", ("cp1254",)),
    ("Hebrew", "he", ("cp1255",)),
    ("Arabic", "ar", ("cp1256",)),
    ("Thai", "th", ("cp874",)),
    ("any of these", "", ("utf-8",)),
)
_LENGTHS: Final = {"subject": 20, "text": 400}
_MESSAGE: Final = re.compile(r'^msgstr(?:\[\d\])? ((?:".*"\n)+)', re.MULTILINE)


class Row(NamedTuple):
    """How many of 100 guesses were right, and the microseconds of one, by program."""

    language: str
    charset: str
    kind: str
    right: dict[str, float]
    microseconds: dict[str, float]


def _programs() -> dict[str, Callable[[bytes], str | None]]:
    found: dict[str, Callable[[bytes], str | None]] = {"posthouse": lambda octets: guess(octets).text}
    try:
        from charset_normalizer import from_bytes
    except ImportError:
        pass
    else:

        def normalized(octets: bytes) -> str | None:
            best = from_bytes(octets).best()
            return None if best is None else str(best)

        found["charset-normalizer"] = normalized
    try:
        import chardet
    except ImportError:
        pass
    else:

        def detected(octets: bytes) -> str | None:
            name = chardet.detect(octets)["encoding"]
            return None if name is None else octets.decode(name, "replace")

        found["chardet"] = detected
    return found


def _sentences(folder: str) -> list[str]:
    import django

    every: list[str] = []
    for catalogue in sorted((Path(django.__file__).parent / "conf" / "locale").glob(f"{folder or '*'}/**/django.po")):
        for match in _MESSAGE.finditer(catalogue.read_text("utf-8")):
            text = "".join(json.loads(line) for line in match[1].splitlines())
            if not text.isascii() and "charset=" not in text:
                every.append(text.replace("\n", " "))
    return every


def _samples(sentences: list[str], codec: str, length: int, count: int, draw: random.Random) -> Iterator[bytes]:
    """Stretches of whole words that the charset has, with a character beyond ASCII in each."""
    while count:
        start = draw.randrange(len(sentences))
        text = " ".join(sentences[(start + i) % len(sentences)] for i in range(1 + length // 8))[:length]
        text = text.rpartition(" ")[0] or text
        try:
            octets = text.encode(codec)
        except UnicodeEncodeError:
            octets = text.encode(codec, "ignore")
        if octets.decode(codec).isascii():
            continue
        count -= 1
        yield octets


def measure(count: int) -> list[Row]:
    """All rows."""
    programs = _programs()
    rows: list[Row] = []
    for language, folder, codecs in _LANGUAGES:
        sentences = _sentences(folder)
        for codec in codecs:
            for kind, length in _LENGTHS.items():
                samples = [*_samples(sentences, codec, length, count, random.Random(7))]
                right: dict[str, float] = {}
                microseconds: dict[str, float] = {}
                for name, program in programs.items():
                    began = time.process_time()
                    given = [program(octets) for octets in samples]
                    microseconds[name] = (time.process_time() - began) / len(samples) * 1e6
                    hits = sum(text == octets.decode(codec) for text, octets in zip(given, samples, strict=True))
                    right[name] = 100 * hits / len(samples)
                rows.append(Row(language, codec, kind, right, microseconds))
    return rows


def main() -> None:
    """Measure, and print a table in Markdown or JSON."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--samples", type=int, default=300, help="guesses for each row")
    parser.add_argument("--json", action="store_true")
    given = parser.parse_args()
    rows = measure(given.samples)
    if given.json:
        print(json.dumps([row._asdict() for row in rows], indent=1))
        return
    names = [*rows[0].right]
    print("| language | charset | " + " | ".join(f"{name}: {kind}s" for name in names for kind in _LENGTHS) + " |")
    print("|---" * (2 + 2 * len(names)) + "|")
    for short, long in zip(rows[::2], rows[1::2], strict=True):
        cells = [f"{row.right[name]:.0f} %" for name in names for row in (short, long)]
        print(f"| {short.language} | {short.charset} | " + " | ".join(cells) + " |")
    for name in names:
        mean = [sum(row.microseconds[name] for row in part) / len(part) for part in (rows[::2], rows[1::2])]
        print(f"{name}: {mean[0]:,.0f} µs for a subject, {mean[1]:,.0f} µs for a text")


if __name__ == "__main__":
    main()
