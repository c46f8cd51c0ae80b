"""Temperatures against a brute-force search, and ensembles against the rule written out."""

from __future__ import annotations

import copy
import math
import re
from typing import Any

import numpy as np
import pytest
import torch
from scipy import special
from torch import Tensor, nn

from dirtypixels.observation import Observation
from dirtypixels.tasks import Ensemble, JointModel, Selection, fit_temperature, select


def drawn(count: int, classes: int, temperature: float, seed: int = 0) -> tuple[Tensor, Tensor]:
    """Labels that follow softmax(logits / temperature) exactly."""
    draw = torch.Generator().manual_seed(seed)
    logits = 3 * torch.randn(count, classes, generator=draw, dtype=torch.float64)
    labels = torch.multinomial((logits / temperature).softmax(1), 1, generator=draw)[:, 0]
    return logits, labels


def loss(logits: Tensor, labels: Tensor, temperature: float) -> float:
    """Mean negative log likelihood, with SciPy."""
    scaled = special.log_softmax(logits.double().numpy() / temperature, axis=1)
    return float(-scaled[np.arange(len(labels)), labels.numpy()].mean())


class Fixed(nn.Module):
    """A head that gives the signal's channels, averaged, as logits times a factor."""

    def __init__(self, factor: float, classes: int = 3) -> None:
        super().__init__()
        self.factor, self.classes = nn.Parameter(torch.tensor(factor)), classes

    def forward(self, image: Tensor) -> Tensor:
        return self.factor * image.mean((2, 3))[:, : self.classes]


def observation(batch: int = 5, seed: int = 0) -> Observation:
    signal = torch.rand(batch, 3, 4, 4, generator=torch.Generator().manual_seed(seed))
    return Observation(signal, torch.full((batch, 1, 1, 1), 0.01), torch.full((batch, 1, 1, 1), 0.01))


class TestFitTemperature:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    @pytest.mark.parametrize("temperature", [0.3, 1.0, 2.7])
    def test_no_temperature_is_more_likely(self, temperature: float, dtype: torch.dtype) -> None:
        logits, labels = drawn(400, 5, temperature)
        logits = logits.to(dtype)
        found = fit_temperature(logits, labels)
        best = loss(logits, labels, found)
        grid = np.geomspace(0.01, 100, 401)
        assert best <= min(loss(logits, labels, t) for t in grid) + 1e-12
        assert best <= min(loss(logits, labels, found * f) for f in (1 - 1e-3, 1 + 1e-3))

    @pytest.mark.parametrize("temperature", [0.5, 1.0, 3.0])
    def test_the_true_temperature_is_recovered(self, temperature: float) -> None:
        logits, labels = drawn(4000, 6, temperature)
        # The estimate's standard error from Fisher's information for 1/T: the variance of the labels' logits.
        p = (logits / temperature).softmax(1)
        information = ((p * logits**2).sum(1) - (p * logits).sum(1) ** 2).sum()
        error = temperature**2 / math.sqrt(float(information))
        assert error < 0.1 * temperature
        assert abs(fit_temperature(logits, labels) - temperature) < 4 * error

    def test_it_grows_with_the_logits_and_does_not_see_what_is_added_to_them(self) -> None:
        logits, labels = drawn(300, 4, 1.5)
        found = fit_temperature(logits, labels)
        assert fit_temperature(5 * logits, labels) == pytest.approx(5 * found, rel=1e-8)
        shifts = 1000 * torch.randn(300, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
        assert fit_temperature(logits + shifts, labels) == pytest.approx(found, rel=1e-8)

    def test_logits_that_overflow_an_exponential(self) -> None:
        logits, labels = drawn(300, 4, 1.0)
        found = fit_temperature(40 * logits, labels)
        assert found == pytest.approx(40 * fit_temperature(logits, labels), rel=1e-8)

    def test_where_all_are_right_the_answer_is_the_lower_end(self) -> None:
        logits, _ = drawn(50, 4, 1.0)
        assert fit_temperature(logits, logits.argmax(1)) == 0.01
        assert fit_temperature(1e6 * logits, logits.argmax(1)) == 0.01

    def test_where_the_labels_are_the_least_likely_the_answer_is_the_upper_end(self) -> None:
        logits, _ = drawn(50, 4, 1.0)
        assert fit_temperature(logits, logits.argmin(1)) == 100

    @pytest.mark.parametrize("logits", [torch.full((3, 4), 7.3), torch.randn(5, 1)])
    def test_equal_logits_say_nothing(self, logits: Tensor) -> None:
        assert fit_temperature(logits, torch.zeros(len(logits), dtype=torch.int64)) == 1

    def test_arguments_stay_as_they_are(self) -> None:
        logits, labels = drawn(20, 3, 1.0)
        logits.requires_grad_()
        before = logits.clone(), labels.clone()
        fit_temperature(logits, labels)
        assert torch.equal(logits, before[0])
        assert torch.equal(labels, before[1])

    @pytest.mark.parametrize(
        ("logits", "labels", "error", "message"),
        [
            ([[1.0]], torch.tensor([0]), TypeError, "logits must be a torch.Tensor; found list"),
            (torch.ones(2, 3).long(), torch.tensor([0, 1]), TypeError, "logits must be a floating-point tensor"),
            (torch.ones(2), torch.tensor([0, 1]), ValueError, r"logits must have shape \(N, K\); found \(2,\)"),
            (torch.ones(0, 3), torch.empty(0).long(), ValueError, r"at least one image and one class; .* \(0, 3\)"),
            (torch.ones(2, 0), torch.tensor([0, 1]), ValueError, r"at least one image and one class; .* \(2, 0\)"),
            (torch.tensor([[1.0, math.nan]]), torch.tensor([0]), ValueError, "logits must be finite; found 1 NaN"),
            (torch.tensor([[1.0, math.inf]]), torch.tensor([0]), ValueError, "logits must be finite"),
            (torch.ones(2, 3), [0, 1], TypeError, "labels must be an integer tensor; found list"),
            (torch.ones(2, 3), torch.tensor([0.0, 1.0]), TypeError, "labels must be an integer tensor; found torch.fl"),
            (torch.ones(2, 3), torch.tensor([True, False]), TypeError, "integer tensor; found torch.bool"),
            (torch.ones(2, 3), torch.tensor([0]), ValueError, r"labels must have shape \(2\); found \(1,\)"),
            (
                torch.ones(2, 3),
                torch.tensor([0, 3]),
                ValueError,
                r"labels must be in \[0, 2\]; found values from 0 to 3",
            ),
            (torch.ones(2, 3), torch.tensor([-1, 0]), ValueError, r"labels must be in \[0, 2\]"),
        ],
    )
    def test_raises_for_what_does_not_fit(self, logits: Any, labels: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=message):
            fit_temperature(logits, labels)


class TestSelect:
    @pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
    def test_the_rule_written_out(self, dtype: torch.dtype) -> None:
        logits = torch.randn(3, 40, 5, generator=torch.Generator().manual_seed(0), dtype=dtype)
        temperatures = torch.tensor([0.8, 1.0, 1.25])
        found = select(logits, temperatures)
        assert isinstance(found, Selection)
        p = special.softmax(logits.double().numpy() / temperatures.numpy()[:, None, None], axis=2)
        for n in range(40):
            m = int(p[:, n].max(1).argmax())
            assert int(found.member[n]) == m
            assert int(found.label[n]) == int(p[m, n].argmax())
            assert float(found.confidence[n]) == pytest.approx(p[m, n].max(), rel=1e-5)
            assert np.allclose(found.log_probabilities[n].double().numpy(), np.log(p[m, n]), atol=1e-5)
        assert len(set(found.member.tolist())) == 3
        assert found.log_probabilities.dtype == dtype

    def test_one_model_with_temperature_1_is_a_softmax(self) -> None:
        logits = torch.randn(1, 6, 4, generator=torch.Generator().manual_seed(0))
        found = select(logits, torch.ones(1))
        assert torch.allclose(found.log_probabilities, logits[0].log_softmax(1))
        assert torch.equal(found.label, logits[0].argmax(1))
        assert not found.member.any()

    def test_a_lower_temperature_wins_with_the_same_logits(self) -> None:
        logits = torch.randn(1, 6, 4).expand(2, 6, 4)
        assert select(logits, torch.tensor([2.0, 0.5])).member.tolist() == [1] * 6

    def test_confidences_that_round_to_1_are_told_apart(self) -> None:
        logits = torch.tensor([[[30.0, 0.0, 0.0]], [[0.0, 60.0, 0.0]], [[0.0, 0.0, 45.0]]])
        assert (logits.softmax(2).amax(2) == 1).all()
        assert select(logits, torch.ones(3)).label.tolist() == [1]

    def test_of_equals_the_first_answers(self) -> None:
        logits = torch.tensor([[[2.0, 0.0]], [[0.0, 2.0]]])
        assert select(logits, torch.ones(2)).member.tolist() == [0]

    @pytest.mark.parametrize("shape", [(2, 0, 3), (2, 4, 1)])
    def test_no_images_and_one_class(self, shape: tuple[int, ...]) -> None:
        found = select(torch.zeros(shape), torch.ones(2))
        assert found.log_probabilities.shape == shape[1:]
        assert found.confidence.tolist() == [1.0] * shape[1] if shape[2] == 1 else found.confidence.numel() == 0

    @pytest.mark.parametrize(
        ("logits", "temperatures", "error", "message"),
        [
            ([1.0], torch.ones(1), TypeError, "logits must be a torch.Tensor"),
            (torch.ones(2, 3), torch.ones(2), ValueError, r"logits must have shape \(M, N, K\)"),
            (torch.ones(0, 2, 3), torch.ones(0), ValueError, r"at least one model and one class; .* \(0, 2, 3\)"),
            (torch.ones(1, 2, 0), torch.ones(1), ValueError, "at least one model and one class"),
            (torch.full((1, 2, 3), math.nan), torch.ones(1), ValueError, "logits must be finite"),
            (torch.ones(2, 2, 3), [1.0, 1.0], TypeError, "temperatures must be a torch.Tensor"),
            (torch.ones(2, 2, 3), torch.ones(2).long(), TypeError, "temperatures must be a floating-point tensor"),
            (torch.ones(2, 2, 3), torch.ones(3), ValueError, r"temperatures must have shape \(2\); found \(3,\)"),
            (
                torch.ones(2, 2, 3),
                torch.tensor([1.0, 0.0]),
                ValueError,
                r"temperatures must be above 0; .*\[1.0, 0.0\]",
            ),
            (torch.ones(1, 2, 3), torch.tensor([math.inf]), ValueError, "temperatures must be finite"),
        ],
    )
    def test_raises_for_what_does_not_fit(
        self, logits: Any, temperatures: Any, error: type[Exception], message: str
    ) -> None:
        with pytest.raises(error, match=message):
            select(logits, temperatures)


class TestEnsemble:
    def models(self, *factors: float) -> list[JointModel]:
        return [JointModel(None, Fixed(factor)) for factor in factors]

    def test_log_probabilities_are_those_of_the_most_confident(self) -> None:
        models, obs = self.models(3.0, -2.0, 5.0), observation()
        ensemble = Ensemble(models, [1.5, 0.2, 2.0])
        logits = torch.stack([model(obs) for model in models])
        expected = select(logits, torch.tensor([1.5, 0.2, 2.0]))
        assert torch.equal(ensemble(obs), expected.log_probabilities)
        assert all(torch.equal(a, b) for a, b in zip(ensemble.predictions(obs), expected, strict=True))
        assert torch.allclose(ensemble(obs).exp().sum(1), torch.ones(5))

    def test_images_are_classified_one_by_one(self) -> None:
        ensemble, obs = Ensemble(self.models(3.0, -2.5), [1.0, 1.0]), observation(12)
        together = ensemble.predictions(obs)
        assert len(set(together.member.tolist())) == 2
        for n in range(12):
            alone = Observation(obs.signal[n : n + 1], obs.alpha[n : n + 1], obs.sigma[n : n + 1])
            assert torch.allclose(ensemble(alone)[0], together.log_probabilities[n])

    def test_temperatures_are_saved_and_move_with_the_models(self) -> None:
        ensemble = Ensemble(self.models(1.0, 2.0), torch.tensor([0.5, 3.0]))
        again = Ensemble(self.models(0.0, 0.0), [1.0, 1.0])
        again.load_state_dict(ensemble.state_dict())
        assert torch.equal(again(observation()), ensemble(observation()))
        assert ensemble.double().temperatures.dtype == torch.float64
        assert "temperatures" not in dict(ensemble.named_parameters())

    def test_forward_leaves_it_as_it_was_and_the_callers_temperatures_are_copied(self) -> None:
        temperatures = torch.tensor([1.0, 2.0])
        ensemble = Ensemble(self.models(1.0, 2.0), temperatures)
        temperatures.zero_()
        before = copy.deepcopy(ensemble.state_dict())
        ensemble(observation())
        assert all(torch.equal(value, before[name]) for name, value in ensemble.state_dict().items())

    def test_gradients_reach_the_member_that_answers(self) -> None:
        ensemble = Ensemble(self.models(9.0, 1.0), [1.0, 1.0])
        ensemble(observation())[:, 0].sum().backward()
        first, second = (model.head.factor.grad for model in ensemble.models)
        assert first.abs() > 0
        assert second is None or second == 0

    @pytest.mark.parametrize(
        ("make", "error", "message"),
        [
            (lambda: Ensemble([], []), ValueError, "models must hold at least one model; found none"),
            (lambda: Ensemble([nn.Identity()], [1.0]), TypeError, "models must be JointModels; found Identity"),
            (lambda: Ensemble([JointModel(None, Fixed(1.0))], [1.0, 2.0]), ValueError, "have shape (1); found (2,)"),
            (lambda: Ensemble([JointModel(None, Fixed(1.0))], [-1.0]), ValueError, "temperatures must be above 0"),
            (lambda: Ensemble([JointModel(None, Fixed(1.0))], [math.nan]), ValueError, "temperatures must be finite"),
        ],
    )  # fmt: skip
    def test_raises_for_what_does_not_fit(self, make: Any, error: type[Exception], message: str) -> None:
        with pytest.raises(error, match=re.escape(message)):
            make()

    def test_raises_for_models_with_other_classes(self) -> None:
        ensemble = Ensemble([JointModel(None, Fixed(1.0)), JointModel(None, Fixed(1.0, classes=2))], [1.0, 1.0])
        with pytest.raises(ValueError, match=r"models must have the same classes; found .*\(5, 3\), \(5, 2\)"):
            ensemble(observation())

    def test_raises_for_a_tensor(self) -> None:
        with pytest.raises(TypeError, match="obs must be an Observation; found Tensor"):
            Ensemble(self.models(1.0), [1.0])(torch.rand(1, 3, 4, 4))
