"""The kernel tier: real programs in the real kernel. Skips, with the reasons, only where eBPF cannot be used."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnix.cognitod.kernel import BpfSight, KernelError, checks, open_sight
from workloads.build import compile_c


def _required() -> bool:
    """Where a load that fails is a failure: CI and whoever asks for it, as root with BTF."""
    asked = os.environ.get("CI") == "true" or os.environ.get("LINNIX_REQUIRE_KERNEL") == "1"
    return asked and os.geteuid() == 0 and Path("/sys/kernel/btf/vmlinux").exists()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if Path(__file__).parent in item.path.parents:
            item.add_marker(pytest.mark.kernel)


@pytest.fixture(scope="session")
def ebpf() -> None:
    """Skips where eBPF cannot be used."""
    missing = [str(check) for check in checks() if not check.ok]
    if missing and not _required():
        pytest.skip("eBPF cannot be used here: " + "; ".join(missing))


@pytest.fixture
def sight(ebpf: None) -> Iterator[BpfSight]:
    """An attached sight."""
    try:
        opened = open_sight()
    except KernelError as error:
        if not _required() and error.errno in (1, 13):  # EPERM, EACCES: seccomp or an LSM forbids bpf(2)
            pytest.skip(f"eBPF is forbidden here: {error}")
        raise
    yield opened
    opened.close()


@pytest.fixture(scope="session")
def programs(ebpf: None, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the compiled workloads, and a link by which one runs under another name."""
    folder = tmp_path_factory.mktemp("programs")
    for name in ("lifecycle", "threads", "uring"):
        compile_c(name, folder)
    (folder / "renamed").symlink_to(folder / "lifecycle")
    return folder
