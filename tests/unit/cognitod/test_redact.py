from __future__ import annotations

import numpy as np
import pytest
from cognitod_make import NO_TEXTS, text
from hypothesis import given
from hypothesis import strategies as st

from linnix.cognitod.events import ARGV_LEN, Array
from linnix.cognitod.exec_texts import words
from linnix.cognitod.redact import Redactor


def shown(*argv: str) -> str:
    return Redactor().line(b"".join(word.encode() + b"\0" for word in argv)).decode().replace("\0", " ").strip()


def argv_of(one: np.void) -> list[str]:
    return words(one["argv"].tobytes(), int(one["argv_len"]), int(one["argv_total"]))


@pytest.mark.parametrize(
    ("argv", "expected"),
    [
        (("mysql", "-uroot", "-phunter2", "db"), "mysql -uroot -p*** db"),
        (("/usr/bin/mysqldump", "--password=hunter2", "db"), "/usr/bin/mysqldump --password=*** db"),
        (("tool", "--password", "hunter2", "--x"), "tool --password *** --x"),
        (("tool", "--api-key", "abc"), "tool --api-key ***"),
        (("tool", "--TOKEN=abc"), "tool --TOKEN=***"),
        (("sshpass", "-p", "hunter2", "ssh", "h"), "sshpass -p *** ssh h"),
        (("sshpass", "-phunter2", "ssh", "h"), "sshpass -p*** ssh h"),
        (("docker", "login", "-u", "me", "-p", "secret", "reg"), "docker login -u me -p *** reg"),
        (("redis-cli", "-a", "secret", "ping"), "redis-cli -a *** ping"),
        (("curl", "-u", "me:hunter2", "https://h"), "curl -u me:*** https://h"),
        (("curl", "-H", "Authorization: Bearer abcdef123"), "curl -H Authorization: ***"),
        (("curl", "-H", "authorization: Basic YTpi"), "curl -H authorization: ***"),
        (("curl", "-H", "X-Api-Key: abc"), "curl -H X-Api-Key: ***"),
        (("curl", "-H", "Cookie: sid=1"), "curl -H Cookie: ***"),
        (("psql", "postgres://u:pa:s@h/db"), "psql postgres://u:***@h/db"),
        (("git", "clone", "https://ghp_0123456789abcdefABCD@github.com/x"), "git clone https://***@github.com/x"),
        (("wget", "http://h/?access_token=abc&x=1"), "wget http://h/?access_token=***&x=1"),
        (
            ("env", "AWS_SECRET_ACCESS_KEY=abc", "PGPASSWORD=1", "run"),
            "env AWS_SECRET_ACCESS_KEY=*** PGPASSWORD=*** run",
        ),
        (("aws", "configure", "AKIAIOSFODNN7EXAMPLE"), "aws configure ***"),
        (("run", "eyJhbGciOiJIUzI1.eyJzdWIiOiIxMjM0.SflKxwRJSMeKKF2QT4"), "run ***"),
        (("openssl", "rsa", "-passin", "pass:abc"), "openssl rsa -passin pass:***"),
        (("sh", "-c", "export DB_PASSWORD='x y'; run --token abc"), "sh -c export DB_PASSWORD=***; run --token ***"),
        (("sh", "-c", 'curl -d \'{"password": "abc"}\''), "sh -c curl -d '{\"password\": ***}'"),
        (("java", "-Djavax.net.ssl.keyStorePassword=changeit"), "java -Djavax.net.ssl.keyStorePassword=***"),
        (("tool", "-----BEGIN RSA PRIVATE KEY-----\nMII"), "tool ***"),
    ],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_a_secret_is_hidden(argv: tuple[str, ...], expected: str) -> None:
    assert shown(*argv) == expected


@pytest.mark.parametrize(
    "argv",
    [
        ("ssh", "-p", "22", "host"),
        ("mkdir", "-p", "a/b"),
        ("mysql", "-p", "db"),
        ("docker", "run", "-p", "80:80", "img"),
        ("vault", "--token-file", "/run/t"),
        ("tool", "--password-file=/etc/x"),
        ("python", "-m", "pytest", "tests/test_password.py"),
        ("llm", "--max-tokens", "512", "--tokenizer", "bpe"),
        ("app", "--author=me", "--monkey=1", "--compass=n"),
        ("curl", "https://example.org/path?x=1"),
        ("keyctl", "show"),
    ],
    ids=lambda argv: argv[0],
)
def test_what_is_no_secret_stays(argv: tuple[str, ...]) -> None:
    assert shown(*argv) == " ".join(argv)


def test_only_the_texts_that_hold_a_secret_are_rewritten() -> None:
    given_texts = np.concatenate(
        [text(1, 1, 1, "ls", "-l"), text(2, 1, 2, "x", "--password=hunter2"), text(3, 1, 3, "w")]
    )
    kept = Redactor()(given_texts)

    assert [argv_of(one) for one in kept] == [["ls", "-l"], ["x", "--password=***"], ["w"]]
    assert kept["seq"].tolist() == [1, 2, 3]
    assert argv_of(given_texts[1]) == ["x", "--password=hunter2"]  # what came in is left alone


def test_patterns_of_ones_own_are_hidden_too() -> None:
    kept = Redactor([r"emp-\d+"])(np.concatenate([text(1, 1, 1, "show", "emp-4711"), text(2, 1, 2, "show", "x")]))

    assert [argv_of(one) for one in kept] == [["show", "***"], ["show", "x"]]


def test_leftovers_behind_the_used_bytes_never_get_out() -> None:
    one = text(1, 1, 1, "ls")
    one["argv"] = np.void(b"ls\0SECRET=leftover\0".ljust(ARGV_LEN, b"\0"))
    one["filename"], one["filename_len"] = b"/bin/ls\0leftover", 7
    kept = Redactor()(one)[0]

    assert kept["argv"].tobytes() == b"ls\0".ljust(ARGV_LEN, b"\0")
    assert bytes(kept["filename"]) == b"/bin/ls"


def test_a_secret_cut_off_at_the_end_is_hidden_and_the_cut_still_shown() -> None:
    long = "a" * 240
    one = text(1, 1, 1, long, "--token=abcdefghijklmnop", total=300)
    kept = Redactor()(one)[0]

    assert argv_of(kept) == [long, "--token=***…"]


def test_a_match_never_spans_two_texts() -> None:
    full = "x" * (ARGV_LEN - len("--password") - 2)
    both = np.concatenate([text(1, 1, 1, full, "--password"), text(2, 1, 2, "innocent")])

    assert [argv_of(one)[-1] for one in Redactor()(both)] == ["--password", "innocent"]


def test_no_texts_are_no_texts() -> None:
    assert len(Redactor()(NO_TEXTS)) == 0


@given(st.lists(st.binary(max_size=ARGV_LEN), max_size=8))
def test_any_bytes_are_survived_and_what_has_no_secret_is_returned_as_it_was(lines: list[bytes]) -> None:
    texts = np.concatenate([NO_TEXTS, *[text(at, 1, at + 1) for at in range(len(lines))]])
    for at, line in enumerate(lines):
        texts["argv"][at] = np.void(line.ljust(ARGV_LEN, b"\0"))
        texts["argv_len"][at] = texts["argv_total"][at] = len(line)

    kept: Array = Redactor()(texts)

    for at, line in enumerate(lines):
        assert kept["argv"][at].tobytes()[: kept["argv_len"][at]] == Redactor().line(line)[:ARGV_LEN]
