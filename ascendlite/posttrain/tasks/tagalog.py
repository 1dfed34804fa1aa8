"""Arithmetic in Tagalog number words: the words of 0 to 999, reading them back, and problems with an exact verifier.

Spellings follow the orthography of the Komisyon sa Wikang Filipino; the verifier also takes the common variants
(`dalawang daan` for `dalawandaan`, `at` for `'t`). Negative numbers are `negatibong ...`.
"""

from __future__ import annotations

import random
import re

UNITS = ("sero", "isa", "dalawa", "tatlo", "apat", "lima", "anim", "pito", "walo", "siyam")
TEENS = (
    "sampu", "labing-isa", "labindalawa", "labintatlo", "labing-apat", "labinlima", "labing-anim", "labimpito", "labingwalo", "labinsiyam",
)  # fmt: skip
TENS = ("", "", "dalawampu", "tatlumpu", "apatnapu", "limampu", "animnapu", "pitumpu", "walumpu", "siyamnapu")
HUNDREDS = (
    "", "isandaan", "dalawandaan", "tatlondaan", "apat na raan", "limandaan", "anim na raan", "pitondaan", "walondaan", "siyam na raan",
)  # fmt: skip
_VARIANTS = {
    "isang daan": 100, "sandaan": 100, "dalawang daan": 200, "tatlong daan": 300, "limang daan": 500, "pitong daan": 700, "walong daan": 800,
    "wala": 0, "labing isa": 11, "labing apat": 14, "labing anim": 16,
}  # fmt: skip
_NEGATIVE = "negatibong "


def number_words(n: int) -> str:
    """A number from -999 to 999 in words.

    >>> number_words(23), number_words(115), number_words(-40)
    ("dalawampu't tatlo", 'isandaan at labinlima', 'negatibong apatnapu')
    """
    if not -999 <= n <= 999:
        raise ValueError(f"number_words: {n} is beyond the words that are known here, -999 to 999")
    if n < 0:
        return _NEGATIVE + number_words(-n)
    hundreds, rest = divmod(n, 100)
    tens, unit = divmod(rest, 10)
    if rest < 20:
        small = UNITS[rest] if rest < 10 else TEENS[rest - 10]
    else:
        small = TENS[tens] + (f"'t {UNITS[unit]}" if unit else "")
    if not hundreds:
        return small
    return HUNDREDS[hundreds] + (f" at {small}" if rest else "")


def _table() -> dict[str, int]:
    words = {word: value for value, word in enumerate(UNITS)}
    words |= {word: value + 10 for value, word in enumerate(TEENS)}
    words |= {word: value * 10 for value, word in enumerate(TENS) if word}
    words |= {word: value * 100 for value, word in enumerate(HUNDREDS) if word}
    return words | _VARIANTS


_VALUES = _table()


def read_number(text: str) -> int | None:
    """The number that Tagalog words say; None where they say none.

    >>> read_number("Dalawampu't tatlo."), read_number("isang daan at lima"), read_number("aso")
    (23, 105, None)
    """
    plain = " ".join(re.sub(r"[.!?]+\s*$", "", text.strip().casefold().replace("\u2019", "'")).split())
    sign = 1
    if plain.startswith(_NEGATIVE):
        plain, sign = plain.removeprefix(_NEGATIVE), -1
    parts = re.split(r"'t | at ", plain)
    values = [_VALUES.get(part) for part in parts]
    if not 1 <= len(values) <= 3 or None in values:
        return None
    found = [value for value in values if value is not None]
    if len(found) > 1 and not _descends(found):
        return None
    return sign * sum(found)


def _descends(values: list[int]) -> bool:
    """Whether hundreds come before tens before units, none twice: `lima at lima` is no number."""
    places = [2 if value >= 100 else 1 if value >= 10 else 0 for value in values]
    whole = all(value % 100 == 0 for value, place in zip(values, places, strict=True) if place == 2)
    round_tens = all(value % 10 == 0 for value in values[:-1])
    return whole and round_tens and 0 not in values and all(a > b for a, b in zip(places, places[1:], strict=False))


# ---- problems, worked digit by digit

WORDS_OF = {"+": "dagdagan ng", "-": "bawasan ng"}
END_OF_WORK = "</think>"


def problem(rng: random.Random, most: int = 99, signs: str = "+-") -> tuple[int, str, int]:
    """Two numbers and what to do with them; the result is never negative."""
    sign = rng.choice(signs)
    a, b = rng.randint(1, most), rng.randint(1, most)
    return (b, sign, a) if sign == "-" and b > a else (a, sign, b)


def question(a: int, sign: str, b: int) -> str:
    """The problem in words.

    >>> question(23, "+", 11)
    "dalawampu't tatlo dagdagan ng labing-isa"
    """
    return f"{number_words(a)} {WORDS_OF[sign]} {number_words(b)}"


def result(a: int, sign: str, b: int) -> int:
    """The number that is asked for."""
    return a + b if sign == "+" else a - b


def worked(a: int, sign: str, b: int) -> str:
    """What units and tens give, then the answer; numbers up to 99. What is carried shows in the units, what is borrowed is gone from the tens.

    >>> worked(47, "+", 35)
    "labindalawa, pitumpu</think>walumpu't dalawa"
    >>> worked(42, "-", 7)
    "lima, tatlumpu</think>tatlumpu't lima"
    """
    borrowed = 10 if sign == "-" and a % 10 < b % 10 else 0
    units = result(a % 10 + borrowed, sign, b % 10)
    tens = result(a // 10 * 10 - borrowed, sign, b // 10 * 10)
    return f"{number_words(units)}, {number_words(tens)}{END_OF_WORK}{number_words(result(a, sign, b))}"


def final_answer(completion: str) -> str:
    """What stands behind the work."""
    return completion.rpartition(END_OF_WORK)[2]


def score(completion: str, answer: int) -> float:
    """1 for the right number in words, 0 for anything else; the work is not looked at."""
    return float(read_number(final_answer(completion)) == answer)
