"""Which parts of the address space can be given back without losing anything."""

from __future__ import annotations

import subprocess
import sys

from linnix.cognitod import heap

SMAPS = """\
55d0c0000000-55d0c0001000 r--p 00000000 fe:00 12 /usr/bin/python3.11
Rss:                   4 kB
Anonymous:             0 kB
VmFlags: rd mr mw me
55d0c0001000-55d0c0003000 r-xp 00001000 fe:00 12 /usr/lib/a library (deleted)
Rss:                   8 kB
Anonymous:             0 kB
55d0c0003000-55d0c0004000 r--p 00003000 fe:00 12 /usr/bin/python3.11
Rss:                   4 kB
Anonymous:             4 kB
55d0c0004000-55d0c0005000 rw-p 00004000 fe:00 12 /usr/bin/python3.11
Anonymous:             0 kB
7f0000000000-7f0000001000 r--s 00001000 00:0f 1038 anon_inode:bpf-map
Anonymous:             0 kB
7f0000001000-7f0000002000 r--p 00000000 00:00 0
Anonymous:             0 kB
7ffd00000000-7ffd00001000 r-xp 00000000 00:00 0 [vdso]
Anonymous:             0 kB
"""


def test_only_unwritten_private_parts_of_files_are_given_back() -> None:
    assert list(heap.clean_areas(SMAPS)) == [(0x55D0C0000000, 0x55D0C0001000), (0x55D0C0001000, 0x55D0C0003000)]


def test_a_program_goes_on_after_it_gave_back_its_text() -> None:
    script = """
import numpy, re, ssl
from linnix.cognitod import heap
def rss(): return int(open("/proc/self/statm").read().split()[1])
heap.keep_little()
before = rss()
heap.give_back()
print(rss() < before, sum(numpy.arange(10)), re.sub("a", "b", "banana"), ssl.create_default_context().check_hostname)
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)

    assert done.stdout == "True 45 bbnbnb True\n"
