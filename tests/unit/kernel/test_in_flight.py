"""How many requests a disk has, by its own account."""

from pathlib import Path

from linnix.cognitod.kernel.blame_io import read_in_flight

VDA = 254 << 20


def test_requests_of_both_directions_are_counted(tmp_path: Path) -> None:
    place = tmp_path / "dev/block/254:0"
    place.mkdir(parents=True)
    (place / "inflight").write_text("       3       14\n")

    assert read_in_flight(VDA, tmp_path) == 17


def test_a_disk_that_has_gone_has_none(tmp_path: Path) -> None:
    assert read_in_flight(VDA, tmp_path) == 0
