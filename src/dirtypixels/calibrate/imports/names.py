"""Names of cameras, which every program writes in its own way."""

from __future__ import annotations

_COMPANY = frozenset({"corporation", "corp.", "imaging", "co.", "co.ltd.", "ltd.", "company", "inc.", "ag"})


def plain_name(camera: str) -> str:
    """A name without case, without words of the company, and without the maker said twice."""
    words = [word for word in camera.casefold().replace(",", " ").split() if word not in _COMPANY]
    while len(words) > 1 and words[0] == words[1]:
        words = words[1:]
    return " ".join(words)


def same_camera(one: str, other: str) -> bool:
    """Whether two names can be those of one camera: alike but for case, blanks and company, or one without the maker.

    "NIKON CORPORATION NIKON D850", "NikonD850" and "D850" are one camera.
    """
    plain, words = zip(*((name, name.split()) for name in map(plain_name, (one, other))), strict=True)
    joined = ["".join(filter(str.isalnum, name)) for name in plain]
    shorter, longer = sorted(words, key=len)
    return joined[0] == joined[1] or (bool(shorter) and longer[-len(shorter) :] == shorter)
