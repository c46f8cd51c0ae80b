"""Several models for several kinds of light: all are run, and the most confident one gives the label."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

import torch
from scipy import optimize
from torch import Tensor, nn

from dirtypixels import checks
from dirtypixels.observation import Observation
from dirtypixels.tasks.joint import JointModel

COOLEST, HOTTEST = 0.01, 100.0
"""The temperatures between which `fit_temperature` searches."""


class Selection(NamedTuple):
    """What an ensemble says of N images.

    Args:
        label: of the most confident model, (N,), int64.
        confidence: its probability, (N,), in [1/K, 1].
        member: whose label it is, (N,), int64 in [0, M - 1].
        log_probabilities: that member's, of all labels, (N, K).
    """

    label: Tensor
    confidence: Tensor
    member: Tensor
    log_probabilities: Tensor


def fit_temperature(logits: Tensor, labels: Tensor) -> float:
    """The temperature that makes the confidences of a classifier most likely, on images that it was not trained on.

    ``T = argmin_T -sum_n log softmax(logits_n / T)[labels_n]``

    The sum is convex in 1/T and has one minimum in log T, found as the root of its derivative. The minimum is at 0
    where every label has the highest logit, and at infinity where the labels' logits are on average no higher than all
    logits are; then the answer is the end of the range searched, 0.01 or 100. Equal logits say nothing about T: the
    answer is 1.

    Args:
        logits: (N, K), floating point, finite, N and K at least 1.
        labels: (N,), integers in [0, K - 1].

    Returns:
        In [0.01, 100]: above 1 for a classifier that is too sure of itself.

    Raises:
        TypeError: logits are not floating point, or labels not integers.
        ValueError: logits are empty or not finite, a shape does not fit, or a label is out of range.

    Source: Guo, Pleiss, Sun and Weinberger 2017, sec. 4.2, eq. 9.

    >>> logits = torch.tensor([[4.0, 0.0], [4.0, 0.0], [4.0, 0.0]])  # always sure of the first class
    >>> round(fit_temperature(logits, torch.tensor([0, 0, 1])), 2)  # which is right in two of three: 4 / log 2
    5.77
    """
    checks.is_tensor("logits", logits)
    checks.has_shape("logits", logits, ("N", "K"))
    count, classes = logits.shape
    if not count or not classes:
        raise ValueError(f"logits must hold at least one image and one class; found shape {tuple(logits.shape)}")
    checks.is_finite("logits", logits)
    if not isinstance(labels, Tensor) or labels.is_floating_point() or labels.dtype == torch.bool:
        found = labels.dtype if isinstance(labels, Tensor) else type(labels).__name__
        raise TypeError(f"labels must be an integer tensor; found {found}")
    checks.has_shape("labels", labels, (count,))
    checks.in_range("labels", labels, 0, classes - 1)

    # Below the highest logit, which changes no probability and keeps the exponentials from overflowing.
    below = logits.detach().double().cpu()
    below = below - below.amax(1, keepdim=True)
    if not below.any():
        return 1.0
    own = below.gather(1, labels.cpu().to(torch.int64)[:, None])[:, 0].mean()

    def slope(log_temperature: float) -> float:
        """The derivative by 1/T, of the mean: what the model expects of the labels' logits minus what they are."""
        expected = (below * torch.softmax(below / math.exp(log_temperature), 1)).sum(1).mean()
        return float(expected - own)

    coolest, hottest = math.log(COOLEST), math.log(HOTTEST)
    if slope(coolest) <= 0:
        return COOLEST
    if slope(hottest) >= 0:
        return HOTTEST
    return math.exp(float(optimize.brentq(slope, coolest, hottest, xtol=1e-10)))


def select(logits: Tensor, temperatures: Tensor) -> Selection:
    """The answer of the most confident of several models, image by image.

    ``m_n = argmax_m max_k p_mnk``, ``p_mn = softmax(logits_mn / T_m)``

    Confidences are compared as log odds, which tell 1 - 1e-9 from 1 - 1e-12 also in single precision. Of equally
    confident members the first one answers.

    Args:
        logits: (M, N, K), floating point, finite, M and K at least 1.
        temperatures: (M,), > 0; 1 for a model that is not calibrated.

    Raises:
        TypeError: logits or temperatures are not floating-point tensors.
        ValueError: a shape does not fit, there is no model or no class, a logit is not finite, or a temperature is
            not finite and above 0.

    Source: Diamond et al. 2017, sec. 8 (run all models, take the label with the highest confidence).

    >>> logits = torch.tensor([[[1.0, 0.0]], [[0.0, 3.0]]])  # of two models, for one image
    >>> found = select(logits, torch.ones(2))
    >>> found.label.tolist(), found.member.tolist()
    ([1], [1])
    """
    checks.is_tensor("logits", logits)
    checks.has_shape("logits", logits, ("M", "N", "K"))
    members, count, classes = logits.shape
    if not members or not classes:
        raise ValueError(f"logits must hold at least one model and one class; found shape {tuple(logits.shape)}")
    checks.is_finite("logits", logits)
    checks.is_tensor("temperatures", temperatures)
    checks.has_shape("temperatures", temperatures, (members,))
    _above_zero(temperatures)
    scaled = logits / temperatures.to(logits)[:, None, None]
    best, labels = scaled.max(2)
    others = scaled.masked_fill(torch.arange(classes, device=logits.device) == labels[..., None], -math.inf)
    member = (best - others.logsumexp(2)).argmax(0)
    image = torch.arange(count, device=logits.device)
    log_probabilities = scaled[member, image].log_softmax(1)
    label = labels[member, image]
    return Selection(label, log_probabilities[image, label].exp(), member, log_probabilities)


class Ensemble(nn.Module):
    """Models for different light or lenses, of which the most confident one answers, image by image.

    ``forward(obs)_n = log softmax(model_m(obs)_n / T_m)``, m the member with the highest confidence on image n

    Args:
        models: at least one; all with the same classes in the same order.
        temperatures: one for each, > 0, see `fit_temperature`; 1 for a model that is not calibrated.

    Raises:
        TypeError: a model is not a JointModel.
        ValueError: there is no model, or not one finite temperature above 0 for each.

    Source: Diamond et al. 2017, sec. 8; temperatures: Guo et al. 2017, sec. 4.2.

    >>> from dirtypixels.tasks import classifier
    >>> heads = [classifier("test_efficientnet", weights=None, num_classes=2) for _ in range(2)]
    >>> ensemble = Ensemble([JointModel(None, head) for head in heads], temperatures=[1.0, 1.5]).eval()
    >>> obs = Observation(torch.rand(3, 3, 32, 32), torch.full((3, 1, 1, 1), 0.01), torch.full((3, 1, 1, 1), 0.02))
    >>> ensemble.predictions(obs).label.shape
    torch.Size([3])
    """

    temperatures: Tensor

    def __init__(self, models: Sequence[JointModel], temperatures: Sequence[float] | Tensor) -> None:
        super().__init__()
        if not len(models):
            raise ValueError("models must hold at least one model; found none")
        for model in models:
            if not isinstance(model, JointModel):
                raise TypeError(f"models must be JointModels; found {type(model).__name__}")
        found = torch.as_tensor(temperatures, dtype=torch.float32).detach().clone()
        checks.has_shape("temperatures", found, (len(models),))
        _above_zero(found)
        self.models = nn.ModuleList(models)
        self.register_buffer("temperatures", found)

    def predictions(self, obs: Observation) -> Selection:
        """Labels, confidences, and whose they are.

        Raises:
            TypeError: obs is not an Observation.
            ValueError: the models do not have the same number of classes.
        """
        logits = [model(obs) for model in self.models]
        shapes = [tuple(found.shape) for found in logits]
        if len(set(shapes)) > 1:
            raise ValueError(f"models must have the same classes; found logits of shapes {shapes}")
        return select(torch.stack(logits), self.temperatures)

    def forward(self, obs: Observation) -> Tensor:
        """Log-probabilities of the most confident member, (B, K).

        Raises:
            As `predictions`.
        """
        return self.predictions(obs).log_probabilities


def _above_zero(temperatures: Tensor) -> None:
    checks.is_finite("temperatures", temperatures)
    if not bool((temperatures > 0).all()):
        raise ValueError(f"temperatures must be above 0; found {temperatures.tolist()}")
