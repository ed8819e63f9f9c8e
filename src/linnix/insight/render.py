"""How untrusted text and measured numbers are shown: one spelling for terminals, text and logs.

Owns the cleaning of names (``comm`` is fifteen bytes of an attacker's choice) and the rounding of figures. Refuses to
decide what is said. Invariant: the result of ``clean`` is one line without control, bidirectional, invisible or
escape characters, and ``name`` reads as a name whatever is in it.
"""

from __future__ import annotations

import re
import unicodedata

NAME_LIMIT = 48
LABEL_LIMIT = 120

_PLAIN_NAME = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+:@/#-]*", re.ASCII)

# Letters and marks that take no ink: neither category Cf nor a space, yet they hide or join text.
_INVISIBLE = frozenset(
    [0x034F, 0x115F, 0x1160, 0x17B4, 0x17B5, 0x2800, 0x3164, 0xFFA0, *range(0x180B, 0x1810), *range(0xFE00, 0xFE10)]
)
# Or surrogates, unassigned, private: fonts draw these as they like.
_HIDDEN_CATEGORIES = frozenset(["Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"])


OWN_MARK = ", Linnix's own"


def _visible(char: str) -> str:
    code = ord(char)
    if 0x20 <= code < 0x7F:
        return char
    if code < 0x20:
        return chr(0x2400 + code)  # the Unicode picture of that control: ESC is ␛, newline is ␊
    if code == 0x7F:
        return "␡"
    category = unicodedata.category(char)
    if category in _HIDDEN_CATEGORIES or category == "Zs" or code in _INVISIBLE or 0xE0100 <= code <= 0xE01EF:
        return f"\\u{code:04x}" if code <= 0xFFFF else f"\\U{code:08x}"
    return char


def _cap(text: str, limit: int) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"


def clean(text: str, limit: int = 4096) -> str:
    """``text`` as one harmless line of at most ``limit`` characters; what is hidden becomes visible."""
    # Cut before and after: a megabyte of input must not cost a megabyte of work.
    return _cap("".join(_visible(char) for char in text[: limit + 1]), limit)


def name(comm: str, limit: int = NAME_LIMIT) -> str:
    """A process name as it stands in a sentence: bare when it is an ordinary word, else in double quotes."""
    if len(comm) <= limit and _PLAIN_NAME.fullmatch(comm) and any(char.isalpha() for char in comm):
        return comm  # without a letter it would read as a figure
    escaped = (("\\" + char) if char in '"\\' else _visible(char) for char in comm[: limit + 1])
    return '"' + _cap("".join(escaped), limit) + '"'


def process(comm: str, pid: int, own: bool = False) -> str:
    """``sh (pid 42)``; one of Linnix's own is marked: ``cognitod (pid 7, Linnix's own)``."""
    return f"{name(comm)} (pid {pid}{OWN_MARK if own else ''})"


def label(text: str) -> str:
    """A cgroup path or unit name: as ``name``, longer."""
    return name(text, LABEL_LIMIT)


def percent(value: float) -> str:
    """One decimal below 100, none above: ``11.8 %``, ``250 %``."""
    rounded = round(value, 1)
    return f"{rounded + 0.0:.1f} %" if abs(rounded) < 100 else f"{rounded:.0f} %"


def size(value: float) -> str:
    """Bytes in decimal units: ``512 kB``, ``41.3 MB``, ``1.7 GB``."""
    magnitude = abs(value)
    if magnitude < 999_500:
        return f"{value / 1e3:.0f} kB"
    if magnitude < 99_950_000:
        return f"{value / 1e6:.1f} MB"
    if magnitude < 999_500_000:
        return f"{value / 1e6:.0f} MB"
    return f"{value / 1e9:.1f} GB"


def speed(bytes_per_s: float) -> str:
    """Bytes a second: ``512 kB/s``, ``41.3 MB/s``."""
    return f"{size(bytes_per_s)}/s"


def microseconds(value: float) -> str:
    """A latency: ``340 us``, ``2.4 ms``, ``1.2 s``."""
    if value < 999.5:
        return f"{max(value, 0.0):.0f} us"
    return f"{value / 1e3:.1f} ms" if value < 99_950 else duration(value / 1e6)


def duration(seconds: float) -> str:
    """``800 ms``, ``2.4 s``, ``12 s``, ``3 min``, ``5.5 h``, ``12 days``."""
    if seconds < 0.9995:
        return f"{max(seconds, 0.0) * 1e3:.0f} ms"
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    if seconds < 119.5:
        return f"{seconds:.0f} s"
    if seconds < 119.5 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86400:.0f} days"


def rate(per_second: float) -> str:
    """A rate without its unit: one decimal below 10."""
    return f"{per_second:.1f}" if abs(per_second) < 9.95 else f"{per_second:,.0f}"


def count(value: float) -> str:
    """A whole number with thousands marked."""
    return f"{value:,.0f}"


def load(value: float) -> str:
    """A load average, as in uptime."""
    return f"{value:.2f}"


_SMALL = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve")


def count_word(value: float) -> str:
    """Small counts as words, for the subject of a sentence: ``eight``, ``13``."""
    whole = int(value)
    return _SMALL[whole] if 0 <= whole < len(_SMALL) else count(whole)
