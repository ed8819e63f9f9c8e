"""Bytes of a process are those that the block layer served it: with O_DIRECT as they go, buffered ones after a sync.

On a loop device of the test's own, because on a disk others read and write as well.
"""

import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from linnix.cognitod.events import Array
from linnix.cognitod.kernel import BpfSight
from support.hidden import LIMIT_S, NeverCameError, tried_again

PAGE = 4096
SECTOR = 512
#: Prints what it had read before it began, so that loading Python itself is left out: all of that is made to stay.
SCRIPT = f"""
import ctypes, mmap, os, sys
device, written, read, direct = sys.argv[1], int(sys.argv[2]), int(sys.argv[3]), sys.argv[4] == "direct"
ctypes.CDLL(None).mlockall(3)  # MCL_CURRENT | MCL_FUTURE
page = mmap.mmap(-1, {PAGE})
page.write(b"x" * {PAGE})
before = [line.split()[1] for line in open("/proc/self/io") if line.startswith("read_bytes")][0]
fd = os.open(device, os.O_RDWR | (os.O_DIRECT if direct else 0))
for at in range(written):
    os.pwrite(fd, page, at * {PAGE})
os.fsync(fd)
for at in range(read):
    os.preadv(fd, [page], (1000 + 2 * at) * {PAGE})
os.close(fd)
print(before)
"""


@pytest.fixture
def device(tmp_path: Path) -> Iterator[str]:
    """A block device that nobody else uses."""
    image = tmp_path / "image"
    image.write_bytes(b"")
    os.truncate(image, 16 << 20)
    losetup = shutil.which("losetup") or "/sbin/losetup"
    made = subprocess.run([losetup, "--find", "--show", image], capture_output=True, text=True, check=False)
    if made.returncode:
        pytest.skip(f"no loop device can be had here: {made.stderr}")
    yield made.stdout.strip()
    subprocess.run([losetup, "--detach", made.stdout.strip()], check=True)


def served(device: str) -> tuple[int, int]:
    """Bytes read from and written to a device, as the block layer counts them."""
    parts = Path("/sys/block", Path(device).name, "stat").read_text().split()
    return int(parts[2]) * SECTOR, int(parts[6]) * SECTOR


def buried(sight: BpfSight, pid: int) -> Array:
    deadline_s = time.monotonic() + LIMIT_S
    while time.monotonic() < deadline_s:
        accounts = sight.drain().accounts
        if pid in accounts["pid"]:
            return accounts[accounts["pid"] == pid][0]
        time.sleep(0.05)
    raise NeverCameError(f"the account of {pid} never came")


def run(sight: BpfSight, device: str, written: int, read: int, how: str) -> tuple[int, int]:
    """Bytes read and written of the process that did so."""
    sight.drain()
    command = [sys.executable, "-S", "-c", SCRIPT, device, str(written), str(read), how]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        before = int(process.communicate()[0])
    account = buried(sight, process.pid)
    return int(account["read_bytes"]) - before, int(account["write_bytes"])


@tried_again
def test_o_direct_bytes_are_those_of_the_block_layer(sight: BpfSight, device: str) -> None:
    before = served(device)
    used = run(sight, device, 211, 101, "direct")
    after = served(device)

    assert used == (101 * PAGE, 211 * PAGE)
    assert (after[0] - before[0], after[1] - before[1]) == used


@tried_again
def test_buffered_bytes_are_those_of_the_block_layer_after_a_sync(sight: BpfSight, device: str) -> None:
    before = served(device)
    _, written = run(sight, device, 211, 0, "buffered")
    after = served(device)

    assert written == 211 * PAGE
    assert after[1] - before[1] == written


@tried_again
def test_what_the_dead_read_and_wrote_is_in_the_books(sight: BpfSight, device: str) -> None:
    before = sight.counters()
    used = run(sight, device, 37, 13, "direct")
    after = sight.counters()

    assert after.buried_read_bytes - before.buried_read_bytes >= used[0]
    assert after.buried_write_bytes - before.buried_write_bytes >= used[1]
