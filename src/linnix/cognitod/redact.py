"""Takes passwords, tokens and keys out of command lines before anything keeps or serves them.

Owns what counts as a secret. Refuses to be clever about programs in general: a few that take a secret behind a short
flag are known by name. Invariants: what follows the used bytes of a text is zero (a record's memory may hold leftovers
of another); and no Python object is made for a text in which nothing looks like a secret.

It errs towards hiding: a value behind a flag that sounds secret is replaced, even if it is a default.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

import numpy as np

from linnix.cognitod.events import ARGV_LEN, FILENAME_LEN, Array

HIDDEN = b"***"

#: A text is looked at closely when one of these is in it, in any case.
_HINTS = (
    b"pass pwd secret token key auth credential bearer cookie :// akia asia ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat-"
    b" xox sk- sk_ aiza eyj hf_ npm_ mysql mariadb mongo redis-cli login curl smbclient ldap ipmitool zip 7z"
).split()

_NAME = (
    rb"[\w.-]*(?:passw(?:or)?d|passphrase|passwd|\bpass\b|_pass\b|-pass\b|pwd|secret|token(?!iz|s\b)|api[_-]?key|apikey"
    rb"|access[_-]?key|private[_-]?key|secret[_-]?key|auth[_-]?key|credentials?)(?:[\w.]|-(?!file|path|dir))*"
)
_NOT_A_PATH = rb"(?<!file)(?<!path)(?<!dir)"
_SHELL_WORD = rb"(?:\"[^\"\0]*\"|'[^'\0]*'|[^\0\s\"'&;|]+)"

#: Pattern and replacement. Words are separated by NUL; a word may be a whole shell script.
_RULES: tuple[tuple[re.Pattern[bytes], bytes], ...] = (
    # headers, also inside scripts
    (re.compile(rb"(?i)((?:proxy-)?authorization\s*[:=]\s*)[^\0\"'\r\n]+"), rb"\1***"),
    (re.compile(rb"(?i)\b((?:x-[\w-]*(?:token|key|secret)|api-key|(?:set-)?cookie)\s*:\s*)[^\0\"'\r\n]+"), rb"\1***"),
    (re.compile(rb"(?i)\b(bearer\s+)[\w.~+/=-]{6,}"), rb"\1***"),
    # user:password@ in a URL
    (re.compile(rb"(\b[A-Za-z][\w+.-]*://[^/\0\s:@\"']*):[^/\0\s\"']+@"), rb"\1:***@"),
    # --password=x, PASSWORD=x, token:x as a word of its own; then the value reaches to the end of the word
    (re.compile(rb"(?i)((?:^|(?<=\0))-{0,2}" + _NAME + _NOT_A_PATH + rb"[=:]\s*)[^\0]+"), rb"\1***"),
    # --password x as two words
    (re.compile(rb"(?i)((?:^|(?<=\0))-{1,2}" + _NAME + _NOT_A_PATH + rb"\0)[^\0-][^\0]*"), rb"\1***"),
    # the same inside a script or a query string
    (re.compile(rb"(?i)((?<=[\s\"'&?;,{])-{0,2}" + _NAME + _NOT_A_PATH + rb"\"?(?:=|:\s*))" + _SHELL_WORD), rb"\1***"),
    (re.compile(rb"(?i)((?<=[\s\"'])-{1,2}" + _NAME + _NOT_A_PATH + rb"\s+)(?!-)" + _SHELL_WORD), rb"\1***"),
    # openssl -passin pass:x
    (re.compile(rb"(\bpass:)[^\0\s]+"), rb"\1***"),
    # tokens that are known by their looks
    (
        re.compile(
            rb"\b(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abposr]-[\w-]{8,}"
            rb"|sk[-_][\w-]{16,}|AIza[\w-]{30,}|eyJ[\w-]{8,}\.[\w-]{8,}\.?[\w-]*|hf_\w{16,}|npm_\w{16,})"
        ),
        HIDDEN,
    ),
    (re.compile(rb"-----BEGIN [A-Z ]*PRIVATE KEY-----[^\0]*"), HIDDEN),
)

_SEPARATOR = rb"(?=[\0\s])"
_START = rb"(?:^|(?<=[/\0\s]))"
#: Programs that take a secret behind a short flag: program, flag with what may stand between it and the secret, secret.
_PROGRAMS: tuple[tuple[re.Pattern[bytes], re.Pattern[bytes]], ...] = tuple(
    (re.compile(_START + program + _SEPARATOR), re.compile(rb"((?<=[\0\s])" + flag + rb")" + secret))
    for program, flag, secret in (
        (rb"(?:mysql|mariadb)[\w-]*", rb"-p", rb"[^\0\s]+"),  # attached; `-p` alone asks
        (rb"(?:sshpass|mongo\w*)", rb"-p[\0\s]?", rb"[^\0\s-][^\0\s]*"),
        (
            rb"(?:docker|podman|nerdctl|buildah|skopeo|helm|az|oc)",
            rb"(?<=login[\0\s])(?:[^\0]+\0)*?-p[\0\s]",
            rb"[^\0\s]+",
        ),
        (rb"redis-cli", rb"-a[\0\s]?", rb"[^\0\s]+"),
        (rb"curl", rb"(?:-u|--user|-U|--proxy-user)[\0\s=]?[^\0\s:-][^\0\s:]*:", rb"[^\0\s]+"),
        (rb"smbclient", rb"-U[\0\s]?[^\0\s%]+%", rb"[^\0\s]+"),
        (rb"ldap\w+", rb"-w[\0\s]?", rb"[^\0\s]+"),
        (rb"ipmitool", rb"-P[\0\s]?", rb"[^\0\s]+"),
        (rb"(?:zip|unzip|7z\w*)", rb"-[pP][\0\s]?", rb"[^\0\s-][^\0\s]*"),
    )
)


def redact(argv: bytes) -> bytes:
    """A command line, words separated by NUL, without its secrets."""
    for program, secret in _PROGRAMS:
        if (found := program.search(argv)) is not None:
            argv = argv[: found.end()] + secret.sub(rb"\1***", argv[found.end() :])
    for pattern, replacement in _RULES:
        argv = pattern.sub(replacement, argv)
    return argv


class Redactor:
    """Redacts the texts of a batch. ``extra``: regular expressions whose whole match is replaced too."""

    def __init__(self, extra: Iterable[str] = ()) -> None:
        self._extra = [re.compile(pattern.encode()) for pattern in extra]

    def __call__(self, texts: Array) -> Array:
        """The same texts (dtype EXEC_TEXT) without secrets; only those that may hold one are rewritten."""
        if not len(texts):
            return texts
        texts = texts.copy()
        used = np.minimum(texts["argv_len"], ARGV_LEN)
        lines = np.zeros((len(texts), ARGV_LEN + 1), np.uint8)  # a NUL between two texts: no match spans both
        lines[:, :-1] = np.ascontiguousarray(texts["argv"]).view(np.uint8).reshape(len(texts), ARGV_LEN)
        lines[np.arange(ARGV_LEN + 1) >= used[:, None]] = 0
        names = np.ascontiguousarray(texts["filename"]).view(np.uint8).reshape(len(texts), FILENAME_LEN)
        names[np.arange(FILENAME_LEN) >= np.minimum(texts["filename_len"], FILENAME_LEN)[:, None]] = 0
        texts["filename"] = names.view(f"S{FILENAME_LEN}").reshape(-1)
        texts["argv"] = np.ascontiguousarray(lines[:, :-1]).view(f"V{ARGV_LEN}").reshape(-1)
        for at in self._suspects(lines):
            before = lines[at, : used[at]].tobytes()
            after = redact(before)
            for pattern in self._extra:
                after = pattern.sub(HIDDEN, after)
            if after != before:
                _rewrite(texts, at, after)
        return texts

    def _suspects(self, lines: np.ndarray[tuple[int, int], np.dtype[np.uint8]]) -> list[int]:
        stride = lines.shape[1]
        buffer = lines.tobytes()
        lower = buffer.lower()
        found: set[int] = set()
        for hint in _HINTS:
            at = lower.find(hint)
            while at >= 0:
                row = at // stride
                found.add(row)
                at = lower.find(hint, (row + 1) * stride)
        for pattern in self._extra:
            found.update(hit.start() // stride for hit in pattern.finditer(buffer))
        return sorted(found)


def _rewrite(texts: Array, at: int, argv: bytes) -> None:
    cut = int(texts["argv_total"][at]) - int(texts["argv_len"][at])
    kept = argv[:ARGV_LEN]
    texts["argv"][at] = np.void(kept.ljust(ARGV_LEN, b"\0"))
    texts["argv_len"][at] = len(kept)
    texts["argv_total"][at] = len(argv) + max(cut, 0)
