"""No secret of a known shape survives, whatever stands around it, and wherever the text was cut off."""

from __future__ import annotations

import re

import numpy as np
import pytest
from cognitod_make import text
from hypothesis import given, settings
from hypothesis import strategies as st

from linnix.cognitod import redact
from linnix.cognitod.events import ARGV_LEN
from linnix.cognitod.exec_texts import words
from linnix.cognitod.redact import Redactor
from linnix.cognitod.secret_shapes import CUT, GROUPS, HINTS

#: Secrets are of letters that no shape and no filler uses, so that any piece of one is recognised.
SECRET = st.text("QXZJ0123456789", min_size=8, max_size=24).filter(lambda made: made.strip("0123456789") != "")
FILLER = st.lists(st.sampled_from(["-v", "run", "--level=3", "a/b.c", "host", "&", "--x", "é"]), max_size=4)

SHAPES = [
    ("tool", "--password={}"),
    ("tool", "--password", "{}"),
    ("tool", "-password", "{}"),
    ("tool", "--db-pass={}"),
    ("tool", "--dbpass", "{}"),
    ("tool", "--client-secret={}"),
    ("tool", "--access-token", "{}"),
    ("tool", "--api_key={}"),
    ("tool", "--oauth2-bearer", "{}"),
    ("tool", "--wifi-psk={}"),
    ("tool", "--config.smtp.password={}"),
    ("docker", "run", "-e", "DB_PASSWORD={}", "img"),
    ("docker", "run", "--env=DB_PASSWORD={}", "img"),
    ("docker", "run", "-eDB_PASSWORD={}", "img"),
    ("docker", "login", "-u", "me", "-p", "{}", "reg"),
    ("helm", "install", "--set", "auth.user=me,auth.password={}", "x"),
    ("helm", "install", "--set=auth.password={}", "x"),
    ("terraform", "apply", "-var=db_password={}"),
    ("terraform", "apply", "-var", "db_password={}"),
    ("mount", "-o", "username=me,password={}", "//h/s"),
    ("env", "PGPASSWORD={}", "psql"),
    ("sh", "-c", "PGPASSWORD={} psql -h db"),
    ("sh", "-c", "cd /x && API_TOKEN='{}' ./run"),
    ("sh", "-c", "run --password {} --x"),
    ("sh", "-c", 'run --password="{}" --x'),
    ("sh", "-c", 'curl -d \'{{"password": "{}"}}\' h'),
    ("sh", "-c", "echo {} | sudo -S id"),
    ("sh", "-c", "printf '{}' | docker login --password-stdin"),
    ("sh", "-c", "mysql -uroot -p{} db"),
    ("sh", "-c", "curl -u me:{} https://h"),
    ("java", "-Djavax.net.ssl.keyStorePassword={}"),
    ("keytool", "-storepass", "{}", "-keypass", "{}"),
    ("psql", "postgres://me:{}@h/db"),
    ("psql", "host=h user=me password={}"),
    ("redis-cli", "-u", "redis://:{}@h"),
    ("redis-cli", "-a", "{}", "ping"),
    ("git", "clone", "https://oauth2:{}@h/x.git"),
    ("git", "clone", "https://{0}{0}@h/x.git"),
    ("git", "config", "github.token", "{}"),
    ("npm", "config", "set", "//r.example/:_authToken={}"),
    ("aws", "configure", "set", "aws_secret_access_key", "{}"),
    ("java", "jdbc:sqlserver://h;user=me;password={};x=1"),
    ("java", "jdbc:oracle:thin:me/{}@h:1521/x"),
    ("java", "jdbc:postgresql://h/db?user=me&password={}&x=1"),
    ("az", "AccountName=x;AccountKey={};Endpoint=y"),
    ("curl", "https://h/x?sig={}&y=1"),
    ("curl", "https://h/x?y=1&access_token={}"),
    ("curl", "https://h/o?X-Amz-Signature={}"),
    ("curl", "https://hooks.slack.com/services/T0/B0/{}"),
    ("curl", "https://discord.com/api/webhooks/123/{}"),
    ("curl", "-H", "Authorization: Bearer {}"),
    ("curl", "-H", "Authorization: Basic {}"),
    ("curl", "-H", "X-Api-Key: {}"),
    ("curl", "-H", "X-Vault-Token: {}"),
    ("curl", "-H", "Cookie: sid={}"),
    ("curl", "-u", "me:{}", "h"),
    ("curl", "--user=me:{}", "h"),
    ("curl", "-ume:{}", "h"),
    ("http", "-a", "me:{}", "h"),
    ("https", "--auth=me:{}", "h"),
    ("lftp", "-u", "me,{}", "h"),
    ("mysql", "-p{}", "db"),
    ("mysqladmin", "password", "{}"),
    ("sshpass", "-p{}", "ssh", "h"),
    ("sshpass", "-p", "{}", "ssh", "h"),
    ("mongosh", "-p", "{}", "db"),
    ("cqlsh", "-p", "{}", "h"),
    ("smbclient", "-U", "me%{}", "//h/s"),
    ("ldapsearch", "-w", "{}", "-b", "x"),
    ("ipmitool", "-U", "me", "-P", "{}", "power"),
    ("snmpget", "-c", "{}", "h"),
    ("snmpget", "-A", "{}", "h"),
    ("sqlcmd", "-U", "me", "-P", "{}"),
    ("sqlplus", "me/{}@db"),
    ("mosquitto_pub", "-u", "me", "-P", "{}", "-t", "x"),
    ("ssh-keygen", "-N", "{}", "-f", "x"),
    ("openssl", "enc", "-k", "{}"),
    ("openssl", "rsa", "-passin", "pass:{}"),
    ("openssl", "passwd", "-6", "{}"),
    ("htpasswd", "-nb", "me", "{}"),
    ("wpa_passphrase", "net", "{}"),
    ("nmcli", "dev", "wifi", "connect", "net", "password", "{}"),
    ("xfreerdp", "/u:me", "/p:{}"),
    ("zip", "-P", "{}", "x.zip", "x"),
    ("7z", "x", "-p{}", "x.7z"),
    ("rar", "x", "-hp{}", "x.rar"),
    ("vault", "login", "{}"),
    ("kubectl", "create", "secret", "generic", "x", "--from-literal=anything={}"),
    ("kubectl", "create", "secret", "generic", "x", "--from-literal", "anything={}"),
    ("pdftk", "x.pdf", "output", "y.pdf", "user_pw", "{}"),
    ("x", "-----BEGIN OPENSSH PRIVATE KEY-----\n{}\n-----END"),
]
LOOKS = [
    "AKIA{:Q<16.16}",
    "ghp_{:Q<36}",
    "github_pat_{:Q<36}",
    "glpat-{:Q<20}",
    "xoxb-{:Q<20}",
    "xapp-{:Q<20}",
    "sk-{:Q<20}",
    "sk_live_{:Q<20}",
    "rk_live_{:Q<20}",
    "AIza{:Q<35}",
    "ya29.{:Q<20}",
    "eyJ{0:Q<20}.{0:Q<20}.{0:Q<20}",
    "hf_{:Q<20}",
    "npm_{:Q<20}",
    "pypi-{:Q<20}",
    "dop_v1_{:Q<20}",
    "hvs.{:Q<20}",
    "SG.{0:Q<20}.{0:Q<20}",
    "dckr_pat_{:Q<20}",
    "tskey-{:Q<20}",
    "shpat_{:Q<20}",
    "ATATT{:Q<20}",
    "whsec_{:Q<20}",
    "AGE-SECRET-KEY-1{:Q<20}",
    "123456789:AA{:Q<33}",
]


def shown(argv: list[str], *, filename: str = "/bin/x", total: int | None = None) -> str:
    one = Redactor()(text(1, 1, 1, *argv, filename=filename, total=total))[0]
    told = words(one["argv"].tobytes(), int(one["argv_len"]), int(one["argv_total"]))
    return "\0".join([*told, bytes(one["filename"]).decode()])


def leaks(told: str) -> list[str]:
    """What of a secret's letters is left, marks and numbers of the shapes aside."""
    return re.findall(r"[QXZJ]", told.replace("X-Api", "").replace("X-Vault", "").replace("X-Amz", ""))


@pytest.mark.parametrize("shape", SHAPES, ids=" ".join)
@settings(max_examples=15)
@given(secret=SECRET, before=FILLER, after=FILLER)
def test_a_secret_never_survives(shape: tuple[str, ...], secret: str, before: list[str], after: list[str]) -> None:
    argv = [word.format(secret) for word in shape]
    if argv[0] in {"sh", "env"}:
        argv = [*before, *argv]
    told = shown([*argv, *(after if argv[0] not in {"htpasswd", "vault"} else [])])

    assert leaks(told) == []


@pytest.mark.parametrize("look", LOOKS)
@settings(max_examples=15)
@given(secret=SECRET, before=FILLER, after=FILLER, where=st.sampled_from(["{}", "--x={}", "a,{}", "run '{}' now"]))
def test_a_token_that_is_known_by_its_looks_never_survives(
    look: str, secret: str, before: list[str], after: list[str], where: str
) -> None:
    token = look.format(secret)

    assert leaks(shown([*before, where.format(token), *after], filename="/bin/x")) == []
    assert leaks(shown(["x"], filename=f"/tmp/{token}/run")) == []


@pytest.mark.parametrize(
    "shape",
    [("--password={}",), ("--password", "{}"), ("https://me:{}@h/x",), ("-H", "Authorization: Bearer {}"), ("ghp_{}",)],
    ids=" ".join,
)
@settings(max_examples=60)
@given(secret=st.text("QXZJ", min_size=16, max_size=40), left=st.integers(1, 60))
def test_a_secret_that_is_cut_off_never_survives(shape: tuple[str, ...], secret: str, left: int) -> None:
    argv = [word.format(secret) for word in shape]
    filler = "f" * max(1, ARGV_LEN - left - 2)

    assert leaks(shown([filler, *argv], total=4096)) == []


def test_every_group_can_be_switched_off() -> None:
    argv = b"curl\0-H\0Cookie: a\0-u\0me:b\0https://me:c@h\0--token=d\0sk-0123456789abcdef\0"
    hidden = {
        "headers": b"Cookie: ***",
        "urls": b"https://me:***@h",
        "names": b"--token=***",
        "tokens": b"\0***\0",
        "programs": b"-u\0me:***",
    }
    assert set(hidden) == set(GROUPS)
    assert CUT.keys() <= GROUPS.keys()
    for group, told in hidden.items():
        assert told in Redactor().line(argv)
        assert told not in Redactor(groups=GROUPS.keys() - {group}).line(argv)
    assert Redactor(groups=()).line(argv) == argv


def test_a_value_that_may_be_shown_is_shown() -> None:
    line = b"tool\0--password=changeit\0--token\0changeit2\0"

    assert Redactor(shown=["changeit"]).line(line) == b"tool\0--password=changeit\0--token\0***\0"


def test_patterns_of_ones_own_hold_for_the_file_too_and_win_over_what_may_be_shown() -> None:
    given_text = text(1, 1, 1, "emp-4711", "--token=emp-1", filename="/home/emp-4711/run")
    one = Redactor([r"emp-\d+"], shown=[r"emp-\d+"], groups=["names"])(given_text)[0]

    assert one["argv"].tobytes()[: one["argv_len"]] == b"***\0--token=***\0"
    assert bytes(one["filename"]) == b"/home/***/run"
    assert int(one["filename_len"]) == len(b"/home/***/run")


@given(st.lists(st.sampled_from([word for shape in SHAPES for word in shape] + LOOKS), max_size=6), st.data())
def test_what_has_no_hint_has_no_secret(argv: list[str], data: st.DataObject) -> None:
    """The search by hints is only an economy: it never changes the answer."""
    line = b"".join(word.encode() + b"\0" for word in argv)[:ARGV_LEN]
    pieces = sorted(data.draw(st.lists(st.integers(0, len(line)), min_size=2, max_size=2)))
    part = line[pieces[0] : pieces[1]]

    if not any(hint in part.lower() for hint in HINTS):
        assert Redactor().line(part, cut=True) == part


def test_many_texts_are_told_apart() -> None:
    texts = np.concatenate(
        [text(at, 1, at + 1, "x" * (at % 7), "--password=QQ" if at % 3 == 0 else "-v") for at in range(100)]
    )
    told = [words(one["argv"].tobytes(), int(one["argv_len"]), int(one["argv_total"]))[-1] for one in Redactor()(texts)]

    assert told == ["--password=***" if at % 3 == 0 else "-v" for at in range(100)]


def test_what_there_is_no_time_to_search_is_hidden_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(redact, "BUDGET_NS", -1)
    redactor = Redactor()
    told = redactor(np.concatenate([text(1, 1, 1, "x", "--password=QQ"), text(2, 1, 2, "ls", "-l")]))

    assert [words(one["argv"].tobytes(), int(one["argv_len"]), int(one["argv_total"])) for one in told] == [
        ["***"],
        ["ls", "-l"],
    ]
    assert redactor.unsearched == 1


def test_what_was_searched_once_needs_no_time(monkeypatch: pytest.MonkeyPatch) -> None:
    redactor = Redactor()
    first = redactor(text(1, 1, 1, "x", "--password=QQ"))
    monkeypatch.setattr(redact, "BUDGET_NS", -1)

    assert redactor(text(1, 1, 1, "x", "--password=QQ")).tobytes() == first.tobytes()
    assert redactor.unsearched == 0
