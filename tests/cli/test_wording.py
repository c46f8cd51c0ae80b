"""Messages of the library in the words of the command."""

from __future__ import annotations

import pytest

from dirtypixels.cli.wording import as_options, names_options


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("give black= in digital numbers", "give --black in digital numbers"),
        ("give black=63.5, unless light reached it", "give --black 63.5, unless light reached it"),
        ("so give white=4095", "so give --white 4095"),
        ("give cfa=, RGGB or BGGR", "give --cfa, RGGB or BGGR"),
        ("a curve needs it: give iso=", "a curve needs it: give --iso"),
        ('none; channels="G" takes green for all', "none; --channels G takes green for all"),
        ("base_iso=100 means that y = black = 3", "base_iso=100 means that y = black = 3"),
    ],
)
def test_arguments_become_options(text: str, expected: str) -> None:
    assert as_options(text) == expected


def test_a_command_that_refuses_names_options() -> None:
    @names_options
    def command(text: str, *, fails: bool) -> str:
        if fails:
            raise ValueError(text)
        return text

    assert command("give iso=", fails=False) == "give iso="
    with pytest.raises(ValueError, match=r"^give --iso$"):
        command("give iso=", fails=True)
