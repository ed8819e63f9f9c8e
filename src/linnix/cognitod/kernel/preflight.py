"""What eBPF needs from this host, each as a check with a remedy.

Owns the list of requirements. Refuses to try: loading is the only proof, and ``sight.open_sight`` is where that
happens. Invariant: a failed check says what to do about it, and checking needs no privilege and changes nothing.
"""

from __future__ import annotations

import os
import platform
import re
import resource
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from linnix.cognitod.kernel import libbpf

#: The BPF ring buffer and the task iterator are of 5.8; 5.10 is the oldest long-term kernel that has both.
MIN_KERNEL = (5, 8)
#: Since 5.11 BPF memory is accounted to the cgroup instead of RLIMIT_MEMLOCK.
_MEMLOCK_UNTIL = (5, 11)
#: From include/uapi/linux/capability.h.
CAPABILITIES = {"CAP_NET_ADMIN": 12, "CAP_SYS_ADMIN": 21, "CAP_SYS_RESOURCE": 24, "CAP_PERFMON": 38, "CAP_BPF": 39}
OBJECTS = ("lifecycle.bpf.o", "tasks.bpf.o")


@dataclass(frozen=True, slots=True)
class Check:
    """One requirement: ``detail`` is what was found, ``mend`` what to do when not ``ok``."""

    name: str
    ok: bool
    detail: str
    mend: str = ""

    def __str__(self) -> str:
        return f"{self.detail} ({self.mend})" if self.mend else self.detail


#: Where the running kernel says what types it has; its modules do beside it.
VMLINUX = Path("/sys/kernel/btf/vmlinux")


def object_dir(environ: Mapping[str, str] = os.environ) -> Path:
    """Where the compiled programs are: ``LINNIX_BPF_PATH``, else beside their sources in the package."""
    named = environ.get("LINNIX_BPF_PATH")
    return Path(named) if named else Path(__file__).parent.parent / "bpf"


def read_capabilities(proc: Path = Path("/proc")) -> frozenset[str]:
    """The effective capabilities of this process, of those that matter here."""
    found = re.search(r"^CapEff:\s*([0-9a-f]+)", (proc / "self/status").read_text(), re.MULTILINE)
    bits = int(found[1], 16) if found else 0
    return frozenset(name for name, bit in CAPABILITIES.items() if bits >> bit & 1)


def parse_release(release: str) -> tuple[int, int]:
    """``6.1.0-28-amd64`` → (6, 1); (0, 0) for what is no kernel release."""
    found = re.match(r"(\d+)\.(\d+)", release)
    return (int(found[1]), int(found[2])) if found else (0, 0)


def running_kernel() -> tuple[int, int]:
    """Version of the running kernel."""
    return parse_release(platform.release())


def checks(
    environ: Mapping[str, str] = os.environ,
    proc: Path = Path("/proc"),
    sys: Path = Path("/sys"),
    release: str | None = None,
) -> list[Check]:
    """All requirements, met or not, in the order in which one would mend them."""
    kernel = parse_release(platform.release() if release is None else release)
    capabilities = read_capabilities(proc)
    return [
        _switch(environ),
        _kernel(kernel),
        _btf(sys),
        _capabilities(capabilities, environ),
        _lockdown(sys),
        _memlock(kernel, capabilities),
        _library(),
        _objects(environ),
    ]


def _switch(environ: Mapping[str, str]) -> Check:
    if environ.get("LINNIX_BPF", "").lower() in ("off", "0", "no", "false"):
        return Check("switch", False, "eBPF is switched off by LINNIX_BPF=off", "unset LINNIX_BPF")
    return Check("switch", True, "not switched off")


def _kernel(kernel: tuple[int, int]) -> Check:
    told = f"kernel {kernel[0]}.{kernel[1]}"
    if kernel < MIN_KERNEL:
        return Check("kernel", False, f"{told} is older than 5.8", "boot a newer kernel")
    return Check("kernel", True, told)


def _btf(sys: Path) -> Check:
    path = sys / "kernel/btf/vmlinux"
    if not os.access(path, os.R_OK):
        return Check("btf", False, f"no kernel type information at {path}", "use a kernel with CONFIG_DEBUG_INFO_BTF=y")
    return Check("btf", True, str(path))


def _capabilities(capabilities: frozenset[str], environ: Mapping[str, str]) -> Check:
    if environ.get("LINNIX_SKIP_CAP_CHECK", "").strip():
        return Check("capabilities", True, "not checked (LINNIX_SKIP_CAP_CHECK)")
    if "CAP_SYS_ADMIN" in capabilities or {"CAP_BPF", "CAP_PERFMON"} <= capabilities:
        return Check("capabilities", True, ", ".join(sorted(capabilities)))
    missing = " and ".join(sorted({"CAP_BPF", "CAP_PERFMON"} - capabilities))
    return Check("capabilities", False, f"{missing} not granted", "run as root: sudo cognitod")


def _lockdown(sys: Path) -> Check:
    path = sys / "kernel/security/lockdown"
    try:
        text = path.read_text()
    except OSError:
        return Check("lockdown", True, "none")  # no such file: the module is not built in
    if "[confidentiality]" in text:
        return Check("lockdown", False, "kernel lockdown forbids BPF to read memory", "boot with lockdown=integrity")
    return Check("lockdown", True, text.strip())


def _memlock(kernel: tuple[int, int], capabilities: frozenset[str]) -> Check:
    if kernel >= _MEMLOCK_UNTIL:
        return Check("memlock", True, "not limited on this kernel")
    soft, _ = resource.getrlimit(resource.RLIMIT_MEMLOCK)
    if soft == resource.RLIM_INFINITY or "CAP_SYS_RESOURCE" in capabilities:
        return Check("memlock", True, "unlimited")
    return Check("memlock", False, f"locked memory is limited to {soft} bytes", "set LimitMEMLOCK=infinity")


def _library() -> Check:
    found = libbpf.find()
    if found is None:
        return Check("libbpf", False, "libbpf is not installed", "apt install libbpf1, dnf install libbpf or the like")
    return Check("libbpf", True, found)


def _objects(environ: Mapping[str, str]) -> Check:
    place = object_dir(environ)
    missing = [name for name in OBJECTS if not (place / name).is_file()]
    if missing:
        return Check("objects", False, f"no {' or '.join(missing)} in {place}", "build: python hatch_build.py")
    return Check("objects", True, str(place))


def traced(points: Iterable[str], types: Path = VMLINUX) -> set[str]:
    """Those of these tracepoints that the kernel has, or the module whose type information this is: each has a type of
    its own. None where that cannot be read.
    """
    try:
        told = types.read_bytes()
    except OSError:
        return set()
    return {point for point in points if f"\0btf_trace_{point}\0".encode() in told}
