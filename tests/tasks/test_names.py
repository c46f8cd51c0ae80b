"""Names of classes for people."""

from __future__ import annotations

from dirtypixels.tasks import class_names


def test_wordnet_identifiers_become_their_first_english_name() -> None:
    # ImageNet-1k: "tench, Tinca tinca", "parachute, chute" and "toilet tissue, toilet paper, bathroom tissue".
    assert class_names(["n01440764", "n03888257", "n15075141"]) == ("tench", "parachute", "toilet tissue")


def test_other_names_stay_as_they_are() -> None:
    assert class_names(["stop", "speed limit 30", "n123", "N01440764"]) == (
        "stop",
        "speed limit 30",
        "n123",
        "N01440764",
    )
    assert class_names([]) == ()


def test_an_identifier_that_imagenet_does_not_have_stays() -> None:
    assert class_names(["n01440764", "n99999999", "stop, please"]) == ("tench", "n99999999", "stop, please")
