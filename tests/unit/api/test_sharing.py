"""Encoding once for many."""

from __future__ import annotations

from collections.abc import Iterator

from linnix.cognitod.api.sharing import KEPT, Sharing


class Encoder:
    """Counts what it was asked to make."""

    def __init__(self, *chunks: bytes) -> None:
        self.chunks = chunks
        self.made: list[bytes] = []

    def __call__(self) -> Iterator[bytes]:
        for chunk in self.chunks:
            self.made.append(chunk)
            yield chunk


def test_clients_at_their_own_pace_read_the_same_and_it_is_made_once_and_not_before_it_is_wanted() -> None:
    sharing, encode, item = Sharing(), Encoder(b"a", b"b", b"c"), object()
    quick, slow = sharing.chunks(item, encode), sharing.chunks(item, encode)

    assert [next(quick), next(quick), next(slow)] == [b"a", b"b", b"a"]
    assert encode.made == [b"a", b"b"]
    assert [list(quick), list(slow), list(sharing.chunks(item, encode))] == [[b"c"], [b"b", b"c"], [b"a", b"b", b"c"]]
    assert encode.made == [b"a", b"b", b"c"]


def test_another_item_is_encoded_for_itself_and_an_old_one_again() -> None:
    sharing, old, encode = Sharing(), object(), Encoder(b"old")
    assert list(sharing.chunks(old, encode)) == [b"old"]
    for at in range(KEPT):
        assert list(sharing.chunks(object(), Encoder(b"%d" % at))) == [b"%d" % at]

    assert list(sharing.chunks(old, encode)) == [b"old"]
    assert encode.made == [b"old", b"old"]


def test_what_is_forgotten_is_made_anew() -> None:
    sharing, item, encode = Sharing(), object(), Encoder(b"x")
    list(sharing.chunks(item, encode))
    sharing.forget()

    assert list(sharing.chunks(item, encode)) == [b"x"]
    assert encode.made == [b"x", b"x"]
