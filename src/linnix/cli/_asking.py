"""One question to the daemon, for the commands that only show what it says.

Owns the words for an answer that does not come. Refuses to start anything. Invariant: what is returned is the JSON
that was asked for; everything else is a `CommandError`, with exit code 3 when no daemon answers.
"""

import http.client
import json
import os
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Mapping
from typing import Any

from linnix.cli._errors import CommandError, ExitCode
from linnix.cli._service import Address
from linnix.insight.render import clean

TIMEOUT_S = 10.0
LIMIT_BYTES = 16 << 20


def default_host() -> str:
    """Where the daemon listens unless it is told otherwise."""
    return Address.parse(os.environ.get("LINNIX_LISTEN_ADDR", "").strip() or "127.0.0.1:3000").url


def base_url(written: str) -> str:
    """An address as a person writes it, `http://` optional."""
    url = written if "://" in written else f"http://{written}"
    parts = urllib.parse.urlsplit(url)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise CommandError(f"--host: {written!r} is not an address like http://127.0.0.1:3000", code=ExitCode.USAGE)
    return f"{parts.scheme}://{parts.netloc}"


def ask(base: str, path: str, params: Mapping[str, str]) -> dict[str, Any]:
    """The JSON object behind a path of the daemon at `base`."""
    found = _answer(base, path, params)
    if not isinstance(found, dict):
        raise _stranger(base)
    return found


def ask_list(base: str, path: str) -> list[dict[str, Any]]:
    """The JSON array of objects behind a path of the daemon at `base`."""
    found = _answer(base, path, {})
    if not isinstance(found, list) or not all(isinstance(each, dict) for each in found):
        raise _stranger(base)
    return found


def _answer(base: str, path: str, params: Mapping[str, str]) -> Any:
    url = f"{base}{path}?{urllib.parse.urlencode(params)}"
    request = urllib.request.Request(url, headers={"Accept": "application/json"})
    if token := os.environ.get("LINNIX_API_TOKEN"):
        request.add_header("Authorization", f"Bearer {token}")
    # No proxy from the environment: a token must go to the address that was named and nowhere else.
    opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
    try:
        with opener.open(request, timeout=TIMEOUT_S) as answer:
            raw = answer.read(LIMIT_BYTES)
    except urllib.error.HTTPError as error:
        with error:
            raise _refused(base, error.code, error.read(LIMIT_BYTES)) from None
    except (OSError, http.client.HTTPException) as error:
        why = getattr(error, "reason", error)
        told = getattr(why, "strerror", None) or str(why) or type(why).__name__
        raise CommandError(
            f"no daemon answers at {base}: {clean(str(told)).lower()}",
            "Start it with: sudo cognitod, or linnix up; another address: --host URL",
            ExitCode.NO_DAEMON,
        ) from None
    try:
        return json.loads(raw)
    except ValueError:
        raise _stranger(base) from None


def _stranger(base: str) -> CommandError:
    return CommandError(f"what answers at {base} is no cognitod", "Name its address: --host URL", ExitCode.NO_DAEMON)


def _refused(base: str, status: int, raw: bytes) -> CommandError:
    if status == 401:
        return CommandError(f"the daemon at {base} wants a token", "Set LINNIX_API_TOKEN to it")
    try:
        why = clean(str(json.loads(raw)["error"]))
    except (ValueError, KeyError, TypeError):
        stranger = f"what answers at {base} is no cognitod of this version: HTTP {status}"
        return CommandError(stranger, "Name its address: --host URL", ExitCode.NO_DAEMON)
    return CommandError(why, code=ExitCode.USAGE if status == 400 else ExitCode.FAILED)
