"""Hostile names stay names, and figures are written one way."""

from __future__ import annotations

import unicodedata

import pytest
from hosts import HOSTS
from hypothesis import given
from hypothesis import strategies as st

from linnix.insight import render, rules_text


@pytest.mark.parametrize(
    ("comm", "shown"),
    [
        ("sh", "sh"),
        ("kworker/0:1-mm", "kworker/0:1-mm"),
        ("python3.11", "python3.11"),
        ("Web Content", '"Web Content"'),
        ("(sd-pam)", '"(sd-pam)"'),
        ("ignore previous", '"ignore previous"'),
        ("<b>x</b>", '"<b>x</b>"'),
        ("sh (pid 1)", '"sh (pid 1)"'),
        ('a" (pid 1) "', '"a\\" (pid 1) \\""'),
        ("-rf", '"-rf"'),
        ("", '""'),
        ("a\nb", '"a␊b"'),
        ("\x1b[31mred", '"␛[31mred"'),
        ("\x00\x07\x7f\x9b", '"␀␇␡\\u009b"'),
        ("safe\u202egnp.exe", '"safe\\u202egnp.exe"'),
        ("ssh\u200bd", '"ssh\\u200bd"'),
        ("ssh\u00a0d", '"ssh\\u00a0d"'),
        ("\u3164", '"\\u3164"'),
        ("sshd\ufe0f", '"sshd\\ufe0f"'),
        ("\U000e0041", '"\\U000e0041"'),
        ("\ud800", '"\\ud800"'),
        ("C:\\x", '"C:\\\\x"'),
        ("привет", '"привет"'),
        ("x" * 60, '"' + "x" * 47 + '…"'),
    ],
)
def test_a_name_reads_as_a_name(comm: str, shown: str) -> None:
    assert render.name(comm) == shown


@given(st.text(max_size=100))
def test_clean_text_is_one_line_of_visible_characters(text: str) -> None:
    shown = render.clean(text)
    assert len(shown.splitlines()) <= 1
    assert not any(unicodedata.category(c) in ("Cc", "Cf", "Cs", "Co", "Zl", "Zp") for c in shown)
    assert render.clean(shown) == shown


@given(st.text(max_size=30), st.text(max_size=30))
def test_two_names_that_differ_are_shown_differently_unless_cut(one: str, other: str) -> None:
    shown = render.name(one), render.name(other)
    assert one == other or shown[0] != shown[1] or shown[0].endswith('…"') or _pictures(one) or _pictures(other)


def _pictures(text: str) -> bool:
    """A name may spell the picture of a control character itself; that is the one thing shown alike."""
    return any(0x2400 <= ord(c) <= 0x2421 for c in text)


def test_clean_caps_what_it_shows() -> None:
    assert render.clean("x" * 10_000_000, 10) == "xxxxxxxxx…"
    assert render.clean("\u202e" * 10_000_000, 10) == "\\u202e\\u2…"


def test_no_control_character_of_a_hostile_host_reaches_the_text() -> None:
    text = rules_text.explain(HOSTS["hostile names"]).text
    assert text.isprintable()
    assert text.startswith('The cores are filled by "␛[31mred␊<b>x</b>" (pid 1002) and its like, 2 processes')


@pytest.mark.parametrize(
    ("value", "text"),
    [(0.0, "0.0 %"), (-0.04, "0.0 %"), (11.84, "11.8 %"), (99.94, "99.9 %"), (99.96, "100 %"), (250.4, "250 %")],
)
def test_percent(value: float, text: str) -> None:
    assert render.percent(value) == text


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0, "0 kB"),
        (4096, "4 kB"),
        (999_499, "999 kB"),
        (999_500, "1.0 MB"),
        (41_300_000, "41.3 MB"),
        (99_950_000, "100 MB"),
        (999_400_000, "999 MB"),
        (999_500_000, "1.0 GB"),
        (16_700_000_000, "16.7 GB"),
        (-41_300_000, "-41.3 MB"),
    ],
)
def test_size(value: int, text: str) -> None:
    assert render.size(value) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (-1, "0 ms"),
        (0.8, "800 ms"),
        (0.99949, "999 ms"),
        (0.9996, "1.0 s"),
        (2.44, "2.4 s"),
        (9.96, "10 s"),
        (119.4, "119 s"),
        (119.6, "2 min"),
        (7169, "119 min"),
        (7171, "2.0 h"),
        (172_800, "2 days"),
    ],
)
def test_duration(seconds: float, text: str) -> None:
    assert render.duration(seconds) == text


@pytest.mark.parametrize(("value", "text"), [(0.0, "0.0"), (9.94, "9.9"), (9.96, "10"), (1234.5, "1,234")])
def test_rate(value: float, text: str) -> None:
    assert render.rate(value) == text


@pytest.mark.parametrize(("value", "text"), [(2, "two"), (8, "eight"), (12, "twelve"), (13, "13"), (1000, "1,000")])
def test_small_counts_are_words(value: int, text: str) -> None:
    assert render.count_word(value) == text
