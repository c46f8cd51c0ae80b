"""Names of classes for people."""

from __future__ import annotations

import re
from collections.abc import Sequence

from timm.data import ImageNetInfo


def class_names(classes: Sequence[str]) -> tuple[str, ...]:
    """Class names as a person would say them: WordNet identifiers such as "n01440764" by their first English name.

    Names that are no WordNet identifier of ImageNet stay as they are.
    """
    if not any(re.fullmatch(r"n\d{8}", name) for name in classes):
        return tuple(classes)
    info = ImageNetInfo()
    known = {info.index_to_label_name(i): info.index_to_description(i) for i in range(info.num_classes())}
    return tuple(known[name].split(",")[0] if name in known else name for name in classes)
