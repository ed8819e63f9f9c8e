"""The maps of blame for CPU and their numpy mirrors are one layout. Needs no privilege."""

import re

import numpy as np

from linnix.cognitod.kernel import blame_cpu, cpu_pairs, preflight
from support.btf import Btf, Layout

PLACE = preflight.object_dir({})


def of_dtype(dtype: np.dtype[np.void]) -> Layout:
    assert dtype.fields is not None
    return Layout(dtype.itemsize, {name: (field[1], field[0].itemsize) for name, field in dtype.fields.items()})


def test_every_struct_has_the_layout_of_its_mirror() -> None:
    btf = Btf(PLACE / "blame_cpu.bpf.o")

    assert of_dtype(cpu_pairs.KEY) == btf.struct("blame_key")
    assert of_dtype(cpu_pairs.SUM) == btf.struct("blame_sum")
    assert cpu_pairs.PAIR.itemsize == btf.struct("blame_pair").size
    assert of_dtype(blame_cpu.CONTROL) == btf.struct("blame_control")
    assert of_dtype(blame_cpu.LANE) == btf.struct("blame_cpu")
    assert of_dtype(blame_cpu.SLOT) == btf.struct("blame_slot")


def test_sizes_and_meanings_have_the_numbers_that_the_programs_use() -> None:
    header = (PLACE / "blame_cpu.h").read_text()
    sizes = {name: int(number, 0) for name, number in re.findall(r"#define BLAME_(\w+) (\w+)", header)}
    meanings = {name: int(number) for name, number in re.findall(r"BLAME_(\w+) = (\d+)", header)}

    assert sizes == {
        "NEAR": blame_cpu.NEAR,
        "SLOTS": blame_cpu.SLOTS,
        "ANY_CPU": cpu_pairs.ANY_CPU,
        "CROWD": cpu_pairs.CROWD,
    }
    assert meanings == {
        "PROCESS": 0,
        "CGROUP": cpu_pairs.CGROUP,
        "QUOTA": cpu_pairs.QUOTA,
        "RAN": cpu_pairs.RAN,
        "SLEPT": cpu_pairs.SLEPT,
    }
