"""What the image is for: classifiers, and the joint model of a restoration unit and a head."""

from dirtypixels.tasks.classifier import Classifier, classifier, imagenet_indices
from dirtypixels.tasks.joint import JointModel
from dirtypixels.tasks.names import class_names

__all__ = ["Classifier", "JointModel", "class_names", "classifier", "imagenet_indices"]
