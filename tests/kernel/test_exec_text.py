"""What an exec ran is told up to the end of its arguments, and not a byte beyond."""

from pathlib import Path

from linnix.cognitod.events import ARGV_LEN, FILENAME_LEN, Array
from linnix.cognitod.kernel import BpfSight
from support.watching import Seen, watch


def text_of(seen: Seen) -> Array:
    """The text of the first exec of the command."""
    told = seen.of(seen.pid)[1]
    found = seen.texts[seen.texts["seq"] == told["text_seq"]]
    assert [(int(row["pid"]), int(row["start_ns"])) for row in found] == [(seen.pid, int(told["start_ns"]))]
    return found[0]


def test_arguments_are_told_as_given_and_the_environment_behind_them_is_not(sight: BpfSight) -> None:
    seen = watch(sight, ["/bin/sh", "-c", ":", "häns el"], {"PASSWORD": "correct horse battery staple"})
    text = text_of(seen)
    given = "\0".join(("/bin/sh", "-c", ":", "häns el", "")).encode()

    assert text["filename"] == b"/bin/sh"
    assert int(text["filename_len"]) == len(b"/bin/sh")
    assert (int(text["argv_len"]), int(text["argv_total"])) == (len(given), len(given))
    assert bytes(text["argv"]) == given.ljust(ARGV_LEN, b"\0")


def test_arguments_beyond_the_bound_are_cut_and_their_true_size_told(sight: BpfSight) -> None:
    given = "\0".join(("true", *("x" * 99 for _ in range(50)), "")).encode()
    text = text_of(watch(sight, ["true", *("x" * 99 for _ in range(50))]))

    assert (int(text["argv_len"]), int(text["argv_total"])) == (ARGV_LEN, len(given))
    assert bytes(text["argv"]) == given[:ARGV_LEN]


def test_a_long_file_name_is_cut(sight: BpfSight, programs: Path, tmp_path: Path) -> None:
    deep = tmp_path / ("d" * 150)
    deep.mkdir()
    program = deep / "renamed"
    program.symlink_to(programs / "lifecycle")
    text = text_of(watch(sight, [str(program), "quit"]))

    assert bytes(text["filename"]) == str(program).encode()[: FILENAME_LEN - 1]
    assert int(text["filename_len"]) == FILENAME_LEN - 1
