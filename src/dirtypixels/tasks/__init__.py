"""What the image is for: classifiers, and the joint model of a restoration unit and a head."""

from dirtypixels.tasks.classifier import Classifier, classifier, imagenet_indices
from dirtypixels.tasks.joint import JointModel

__all__ = ["Classifier", "JointModel", "classifier", "imagenet_indices"]
