"""Where somebody has to live to be meant: ``unit=``, ``cgroup=``, ``container=``, ``pod=`` and ``namespace=``.

Owns what such a word matches. Refuses to look for anybody: a word becomes a test of a home. Invariant: a home of which
nothing is known matches nothing.
"""

from __future__ import annotations

from collections.abc import Callable

from linnix.cognitod.api.errors import bad_request
from linnix.cognitod.model import Home

KEYS = ("unit", "cgroup", "container", "pod", "namespace")

#: The beginning of a container's id is enough from this length on, as in the runtimes' own commands.
MIN_ID = 4


def test(key: str, value: str) -> Callable[[Home], bool]:
    """Whether a home is in what ``value`` names. A pod that is not ``NAMESPACE/NAME`` is a 400."""
    match key:
        case "unit":
            return lambda home: home.unit == value or f"/{value}/" in f"{home.cgroup or ''}/"
        case "cgroup":
            path = "/" + value.strip("/")
            below = path if path == "/" else path + "/"
            return lambda home: home.cgroup is not None and (home.cgroup == path or home.cgroup.startswith(below))
        case "container":
            begins = value if len(value) >= MIN_ID else None
            return lambda home: (
                home.container is not None
                and (home.container_name == value or (begins is not None and home.container.startswith(begins)))
            )
        case "pod":
            namespace, slash, name = value.partition("/")
            if not (namespace and slash and name):
                raise bad_request("pod", value, "NAMESPACE/NAME")
            return lambda home: home.namespace == namespace and home.pod == name
        case "namespace":
            return lambda home: home.namespace == value
        case _:
            raise ValueError(f"not one of {', '.join(KEYS)}: {key!r}")


def any_of(tests: list[Callable[[Home], bool]]) -> Callable[[Home], bool]:
    """Whether a home passes one of these."""
    return lambda home: any(passes(home) for passes in tests)
