"""What the optional probes share with user space has one layout on both sides, as the compiler's own BTF says."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from linnix.cognitod import events
from linnix.cognitod.kernel import latency, oom, preflight, sockets, syncs, tcp
from support.btf import Btf, Layout

BPF = Path(events.__file__).parent / "bpf"


def of_dtype(dtype: np.dtype[np.void]) -> Layout:
    assert dtype.fields is not None
    return Layout(dtype.itemsize, {name: (field[1], field[0].itemsize) for name, field in dtype.fields.items()})


@pytest.mark.parametrize(
    ("made", "struct", "dtype"),
    [
        ("runqueue", "linnix_histogram", latency.HISTOGRAM),
        ("runqueue", "linnix_histograms", latency.HISTOGRAMS),
        ("block_latency", "linnix_histograms", latency.HISTOGRAMS),
        ("oom", "linnix_oom", oom.OOM),
        ("oom", "linnix_oom_books", oom.OOM_BOOKS),
        ("tcp", "linnix_tcp_key", tcp.TCP_KEY),
        ("tcp", "linnix_tcp_counts", tcp.TCP_COUNTS),
        ("tcp", "linnix_tcp_books", tcp.TCP_BOOKS),
        ("tcp", "linnix_tcp_reads", tcp.TCP_READS),
        ("sockets", "linnix_socket_key", sockets.SOCKET_KEY),
        ("sockets", "linnix_socket_counts", sockets.SOCKET_COUNTS),
        ("sockets", "linnix_socket_books", sockets.SOCKET_BOOKS),
        ("syncs", "linnix_sync_key", syncs.SYNC_KEY),
        ("syncs", "linnix_sync_books", syncs.SYNC_BOOKS),
        ("layout", "linnix_blocked", events.BLOCKED),
    ],
)
def test_a_dtype_of_a_probe_has_the_size_and_every_member_of_its_struct(
    made: str, struct: str, dtype: np.dtype[np.void]
) -> None:
    assert of_dtype(dtype) == Btf(preflight.object_dir({}) / f"{made}.bpf.o").struct(struct)


def test_kinds_of_tcp_trouble_have_the_numbers_that_the_programs_write() -> None:
    header = (BPF / "sights.h").read_text()
    written = {name: int(number) for name, number in re.findall(r"LINNIX_TCP_(\w+) = (\d+)", header)}

    assert written.pop("KINDS") == len(tcp.TCP_KINDS)
    singular = {kind.replace("resets", "reset").removesuffix("s").upper(): at for at, kind in enumerate(tcp.TCP_KINDS)}
    assert singular == written


def test_the_ring_of_kills_is_mapped_in_the_size_in_which_it_is_made() -> None:
    found = re.search(r"#define OOMS_BYTES \((\d+) << (\d+)\)", (BPF / "oom.bpf.c").read_text())
    assert found is not None
    assert int(found[1]) << int(found[2]) == oom.RING_BYTES
