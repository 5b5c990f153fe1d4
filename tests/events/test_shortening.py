"""Texts that are shortened for people."""

import pytest

from events.shortening import shortened


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("", ""),
        ("one two", "one two"),
        ("one two th", "one two th"),
        ("one two thr", "one two…"),
        ("one two three four", "one two…"),
        ("one two t\nfour", "one two t…"),
        ("one\n\ntwo\n\nthree", "one\n\ntwo…"),
        ("onetwothreefour", "onetwothr…"),
        (" netwothreefour", " netwothr…"),
        ("one twothreefour", "one twoth…"),
    ],
)
def test_a_text_that_is_cut_ends_with_a_whole_word_and_an_ellipsis(text: str, shown: str) -> None:
    assert shortened(text, 10) == shown
    assert len(shown) <= 10
    assert shortened(shown, 10) == shown
