"""What the image is for: classifiers, joint models of a restoration unit and a head, ensembles of such models."""

from dirtypixels.tasks.classifier import Classifier, class_names, classifier, imagenet_indices
from dirtypixels.tasks.ensemble import Ensemble, Selection, fit_temperature, select
from dirtypixels.tasks.joint import JointModel

__all__ = [
    "Classifier",
    "Ensemble",
    "JointModel",
    "Selection",
    "class_names",
    "classifier",
    "fit_temperature",
    "imagenet_indices",
    "select",
]


def __dir__() -> list[str]:
    return __all__
