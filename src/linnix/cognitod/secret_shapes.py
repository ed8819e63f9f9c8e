r"""What counts as a secret in a command line.

Owns the patterns, in named groups that a configuration may switch off, and the hints without which none of them can
match. Refuses to be clever about programs in general: those that take a secret behind a short flag are known by name.
Invariant: every text in which a pattern matches has one of ``HINTS`` in it, in any case.

Patterns err towards hiding: a value behind a flag that sounds secret is hidden, even if it is a default. In each, group
1 is what stays, the rest of the match is hidden. Words are separated by NUL; a word may be a whole shell script.
"""

from __future__ import annotations

import re
from typing import Final

Pattern = re.Pattern[bytes]

#: A text is looked at closely when one of these is in it.
HINTS: Final = (
    *(
        b"pass pwd secret token key auth credential bearer cookie psk user_pw owner_pw input_pw literal sudo"
        b" :// jdbc: sig= signature :aa"
        b" akia asia ghp_ gho_ ghu_ ghs_ ghr_ github_pat_ glpat- xox xapp- sk- sk_ rk- rk_ aiza ya29. eyj hf_ npm_"
        b" pypi- dop_v1_ hvs. sg. dckr_pat_ tskey- shpat_ atatt whsec_ hooks.slack webhooks"
        b" mysql mariadb mongo redis-cli login curl lftp smbclient rpcclient ldap ipmitool snmp sqlcmd sqlplus cqlsh"
        b" openssl mosquitto_ freerdp zip rar 7z"
    ).split(),
    b"http\0",
    b"https\0",
    b"bcp\0",
)

_NAME: Final = (
    rb"(?>[\w.-]*(?:passw(?:or)?d|passphrase|passwd|\bpass\b|_pass\b|-pass\b"
    rb"|(?:store|key|db|user|root|admin|sudo|my|ldap|smtp|mail|ftp|http|proxy|auth|bind|cert|ssl|jks|p12|login)pass\b"
    rb"|pwd|[_-]psk\b|\bpsk\b|_pw\b|secret|token(?!iz|s\b)|api[_-]?key|access[_-]?key|account[_-]?key|private[_-]?key"
    rb"|secret[_-]?key|auth[_-]?key|signing[_-]?key|encryption[_-]?key|signature|bearer|credentials?)"
    rb"(?:[\w.]|-(?!file|path|dir))*+)"
)
_NOT_A_PATH: Final = rb"(?<!file)(?<!path)(?<!dir)"
_SHELL_WORD: Final = rb"(?:\"[^\"\0]*\"?|'[^'\0]*'?|[^\0\s\"'&;|]+)"

_HEADERS = (
    rb"(?i)((?:proxy-)?authorization\s*+[:=]\s*+)[^\0\"'\r\n]+",
    rb"(?i)\b((?:x-[\w-]*(?:token|key|secret)|api-key|(?:set-)?cookie)\s*+:\s*+)[^\0\"'\r\n]+",
    rb"(?i)\b(bearer\s++)[\w.~+/=-]{6,}",
)
_URLS = (
    # ``@`` stays, and so does the user's name
    rb"(\b[A-Za-z][\w+.-]*://[^/\0\s:@\"']*:)[^/\0\s\"']+(?=@)",
    rb"(\bhttps?://)[^/\0\s:@\"']{16,}(?=@)",  # a token in the place of a name
    rb"(\bjdbc:oracle:thin:[^/\0\s]*/)[^@\0\s]+(?=@)",
    rb"(\bhooks\.slack\.com/services/)[^\0\s\"']+",
    rb"(\bdiscord(?:app)?\.com/api/webhooks/\d+/)[\w-]+",
    rb"(?i)([?&](?:sig|signature|x-amz-signature|x-goog-signature)=)[^&\0\s\"']+",
)
_NAMES = (
    # --password=x, PASSWORD=x, token:x as a word of its own; then the value reaches to the end of the word
    rb"(?i)((?:^|(?<=\0))-{0,2}" + _NAME + _NOT_A_PATH + rb"[=:]\s*)[^\0]+",
    # --password x as two words
    rb"(?i)((?:^|(?<=\0))-{1,2}" + _NAME + _NOT_A_PATH + rb"\0)[^\0-][^\0]*",
    # the same inside a script, a query string, a list, or behind another flag (--env=PASSWORD=x)
    rb"(?i)((?<=[\s\"'&?;,{(\[|:/=])-{0,2}" + _NAME + _NOT_A_PATH + rb"\"?(?:=|:\s*))" + _SHELL_WORD,
    rb"(?i)((?<=[\s\"'])-{1,2}" + _NAME + _NOT_A_PATH + rb"\s+)(?!-)" + _SHELL_WORD,
    # openssl -passin pass:x
    rb"(\bpass:)[^\0\s]+",
    # kubectl create secret generic x --from-literal=any-name=x
    rb"((?:^|(?<=[\0\s]))--from-literal[=\0\s][^=\0\s]*=)" + _SHELL_WORD,
    # aws configure set aws_secret_access_key x, git config github.token x, nmcli … password x, pdftk … user_pw x
    rb"(?i)((?:^|(?<=[\0\s]))(?:configure|config|set|nmcli|pdftk)[\0\s](?:[^\0\s]+[\0\s]){0,9}?"
    + _NAME
    + rb"[\0\s]+)[^\0\s-][^\0\s]*",
    # echo x | sudo -S
    rb"((?:^|(?<=[\0\s;&(]))(?:echo|printf)\s++)[^|\0]++(?=\|\s*+(?:sudo|su|passwd|chpasswd|docker|podman|gpg|openssl)\b)",
)
#: Tokens that are known by their looks.
_TOKENS = (
    rb"(\b)(?:(?:AKIA|ASIA)[0-9A-Z]{16}|gh[pousr]_\w{16,}|github_pat_\w{16,}|glpat-[\w-]{16,}|xox[abeoprs]-[\w-]{8,}"
    rb"|xapp-[\w-]{16,}|[rs]k[-_][\w-]{16,}|AIza[\w-]{30,}|ya29\.[\w-]{16,}|eyJ[\w-]{8,}\.[\w-]{8,}\.?[\w-]*|hf_\w{16,}"
    rb"|npm_\w{16,}|pypi-[\w-]{16,}|dop_v1_\w{16,}|hvs\.[\w-]{16,}|SG\.[\w-]{16,}\.[\w-]{16,}|dckr_pat_[\w-]{16,}"
    rb"|tskey-[\w-]{16,}|shpat_\w{16,}|ATATT[\w-]{16,}|whsec_\w{16,})",
    rb"()-----BEGIN [A-Z ]*PRIVATE KEY-----[^\0]*",
    rb"(\b(?:bot)?\d{8,10}:)AA[\w-]{30,}",  # Telegram
    rb"(?i)()AGE-SECRET-KEY-1\w+",
)
#: What a secret looks like whose end was cut off with the text.
_CUT = {
    "urls": (rb"(\b[A-Za-z][\w+.-]*://[^/\0\s:@\"']*:)[^/@\0\s\"']+\Z",),
    "tokens": (
        rb"(\b)(?:AKIA|ASIA|gh[pousr]_|github_pat_|glpat-|xox[abeoprs]-|xapp-|[rs]k[-_]|AIza|ya29\.|eyJ|hf_|npm_|pypi-|dop_v1_"
        rb"|hvs\.|SG\.|dckr_pat_|tskey-|shpat_|ATATT|whsec_)[\w.-]*\Z",
        rb"()-----BEGIN [A-Z ]*PRIV[^\0]*\Z",
    ),
}

GROUPS: Final[dict[str, tuple[Pattern, ...]]] = {
    name: tuple(map(re.compile, patterns))
    for name, patterns in {
        "headers": _HEADERS,
        "urls": _URLS,
        "names": _NAMES,
        "tokens": _TOKENS,
        "programs": (),
    }.items()
}
CUT: Final[dict[str, tuple[Pattern, ...]]] = {name: tuple(map(re.compile, each)) for name, each in _CUT.items()}

_SEPARATOR: Final = rb"(?=[\0\s])"
_START: Final = rb"(?:^|(?<=[/\0\s]))"
#: Programs that take a secret behind a short flag or in a place of its own: program; what stays; the secret.
PROGRAMS: Final[tuple[tuple[Pattern, Pattern], ...]] = tuple(
    (re.compile(_START + program + _SEPARATOR), re.compile(rb"((?<=[\0\s])" + stays + rb")" + secret))
    for program, stays, secret in (
        (rb"(?:mysql|mariadb)[\w-]*", rb"-p", rb"[^\0\s]+"),  # attached; `-p` alone asks
        (rb"mysqladmin", rb"password[\0\s]", rb"[^\0\s-][^\0\s]*"),
        (rb"(?:sshpass|mongo\w*|cqlsh)", rb"-p[\0\s]?", rb"[^\0\s-][^\0\s]*"),
        (
            rb"(?:docker|podman|nerdctl|buildah|skopeo|helm|az|oc)",
            rb"(?<=login[\0\s])(?:[^\0]+\0)*?-p[\0\s]",
            rb"[^\0\s]+",
        ),
        (rb"vault", rb"login[\0\s](?:-[^\0\s]+[\0\s])*", rb"[^\0\s=-][^\0\s=]*(?=[\0\s]|\Z)"),
        (rb"redis-cli", rb"-a[\0\s]?", rb"[^\0\s]+"),
        (rb"curl", rb"(?:-u|--user|-U|--proxy-user)[\0\s=]?[^\0\s:-][^\0\s:]*:", rb"[^\0\s]+"),
        (rb"https?", rb"(?:-a|--auth)[\0\s=][^\0\s:-][^\0\s:]*:", rb"[^\0\s]+"),
        (rb"lftp", rb"(?:-u|--user)[\0\s]?[^\0\s,]+,", rb"[^\0\s]+"),
        (rb"(?:smbclient|rpcclient)", rb"-U[\0\s]?[^\0\s%]+%", rb"[^\0\s]+"),
        (rb"ldap\w+", rb"-w[\0\s]?", rb"[^\0\s]+"),
        (rb"ipmitool", rb"-P[\0\s]?", rb"[^\0\s]+"),
        (rb"snmp\w+", rb"-[AXc][\0\s]?", rb"[^\0\s]+"),
        (rb"(?:sqlcmd|bcp|mosquitto_\w+)", rb"-P[\0\s]?", rb"[^\0\s]+"),
        (rb"sqlplus", rb"(?:-\w+[\0\s])*[^\0\s/-][^\0\s/]*/", rb"[^\0\s@]+"),
        (rb"ssh-keygen", rb"-[NP][\0\s]", rb"[^\0\s]+"),
        (rb"openssl", rb"-[kK][\0\s]", rb"[^\0\s]+"),
        (rb"openssl[\0\s]passwd", rb"(?:-\w+[\0\s])*", rb"[^\0\s-][^\0\s]*"),
        (
            rb"htpasswd",
            rb"(?:-\w+[\0\s])*-\w*b\w*[\0\s](?:-\w+[\0\s])*(?:[^\0\s]+[\0\s]){1,2}",
            rb"[^\0\s]+(?=[\0\s]?\Z)",
        ),
        (rb"wpa_passphrase", rb"[^\0\s]+[\0\s]", rb"[^\0\s]+"),
        (rb"x?freerdp3?", rb"/p:", rb"[^\0\s]+"),
        (rb"(?:un)?rar", rb"-h?p", rb"[^\0\s-][^\0\s]*"),
        (rb"(?:zip|unzip|7z\w*)", rb"-[pP][\0\s]?", rb"[^\0\s-][^\0\s]*"),
    )
)
