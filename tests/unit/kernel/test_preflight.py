"""What is missing on a host is told with its remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from linnix.cognitod.kernel import preflight
from linnix.cognitod.kernel.errors import KernelError
from linnix.cognitod.kernel.preflight import Check


@pytest.fixture
def host(tmp_path: Path) -> Path:
    """A host with everything."""
    for name in ("proc/self/status", "sys/kernel/btf/vmlinux", *(f"bpf/{name}" for name in preflight.OBJECTS)):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()
    (tmp_path / "proc/self/status").write_text("Name:\tx\nCapEff:\t000001ffffffffff\n")
    return tmp_path


def found(host: Path, release: str = "6.1.0-28-amd64", **environ: str) -> dict[str, Check]:
    environ = {"LINNIX_BPF_PATH": str(host / "bpf"), **environ}
    return {check.name: check for check in preflight.checks(environ, host / "proc", host / "sys", release)}


def test_a_host_with_everything_passes_all_but_what_this_machine_itself_lacks(host: Path) -> None:
    assert {name for name, check in found(host).items() if not check.ok} <= {"libbpf"}


@pytest.mark.parametrize(
    ("release", "ok"), [("5.7.19", False), ("5.10.0-30-amd64", True), ("6.18.44", True), ("", False)]
)
def test_the_kernel_must_have_rings_and_iterators(host: Path, release: str, ok: bool) -> None:
    assert found(host, release)["kernel"].ok is ok


@pytest.mark.parametrize(
    ("effective", "ok"),
    [(1 << 21, True), (1 << 39 | 1 << 38, True), (1 << 39, False), (1 << 38, False), (0, False)],
)
def test_two_capabilities_or_the_old_one_are_enough(host: Path, effective: int, ok: bool) -> None:
    (host / "proc/self/status").write_text(f"CapEff:\t{effective:016x}\n")

    assert found(host)["capabilities"].ok is ok


def test_missing_capabilities_are_named(host: Path) -> None:
    (host / "proc/self/status").write_text("CapEff:\t0000000000000000\n")

    assert str(found(host)["capabilities"]) == "CAP_BPF and CAP_PERFMON not granted (run as root: sudo cognitod)"


def test_missing_type_information_is_told(host: Path) -> None:
    (host / "sys/kernel/btf/vmlinux").unlink()

    assert found(host)["btf"] == Check(
        "btf",
        False,
        f"no kernel type information at {host}/sys/kernel/btf/vmlinux",
        "use a kernel with CONFIG_DEBUG_INFO_BTF=y",
    )


def test_switched_off_is_told_with_the_way_back(host: Path) -> None:
    assert found(host, LINNIX_BPF="off")["switch"] == Check(
        "switch", False, "eBPF is switched off by LINNIX_BPF=off", "unset LINNIX_BPF"
    )


@pytest.mark.parametrize(
    ("lockdown", "ok"), [("none [integrity] confidentiality", True), ("none integrity [confidentiality]", False)]
)
def test_only_the_strict_lockdown_is_in_the_way(host: Path, lockdown: str, ok: bool) -> None:
    path = host / "sys/kernel/security/lockdown"
    path.parent.mkdir(parents=True)
    path.write_text(lockdown)

    assert found(host)["lockdown"].ok is ok


def test_missing_objects_are_named_with_the_way_to_make_them(host: Path) -> None:
    (host / "bpf/tasks.bpf.o").unlink()

    assert str(found(host)["objects"]) == f"no tasks.bpf.o in {host}/bpf (build: python hatch_build.py)"


def test_a_failed_call_says_which_with_what_errno_and_the_verifiers_last_words() -> None:
    log = "libbpf: prog 'x': BPF program load failed\n0: (85) call 1\nR1 invalid mem access\nprocessed 1 insns\n"
    error = KernelError.from_call("bpf_object__load", 13, log)

    assert str(error) == "bpf_object__load failed: Permission denied (EACCES): R1 invalid mem access"
    assert (error.call, error.errno, error.log) == ("bpf_object__load", 13, log)


def test_the_check_of_capabilities_can_be_skipped_and_says_so(host: Path) -> None:
    (host / "proc/self/status").write_text("CapEff:\t0000000000000000\n")

    check = found(host, LINNIX_SKIP_CAP_CHECK="1")["capabilities"]

    assert (check.ok, check.detail) == (True, "not checked (LINNIX_SKIP_CAP_CHECK)")
