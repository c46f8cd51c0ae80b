"""Low-level units from their description in a recipe."""

from __future__ import annotations

from functools import partial
from typing import overload

from dirtypixels.recipe import Classical, Deblur, Unit
from dirtypixels.restore import ClassicalUnit, Deblurrer, Denoiser, Unrolled
from dirtypixels.restore.filters import dct_filters, gradient_filters
from dirtypixels.restore.prox import (
    ConvolutionalCNN,
    HyperLaplacian,
    IsotropicTV,
    PointwiseCNN,
    Prox,
    RBFShrinkage,
    ResidualUNet,
    SoftThreshold,
)


@overload
def build_unit(recipe: Unit | Deblur) -> Denoiser | Deblurrer: ...


@overload
def build_unit(recipe: Classical) -> ClassicalUnit: ...


def build_unit(recipe: Unit | Deblur | Classical) -> Denoiser | Deblurrer | ClassicalUnit:
    """A new low-level unit as a recipe describes it.

    Raises:
        ValueError: parts that do not go together, such as a fixed prior that is to know the noise.
    """
    if isinstance(recipe, Classical):
        return ClassicalUnit(recipe.method)
    solver = Unrolled(
        recipe.algorithm,
        recipe.layers,
        tied=recipe.tied,
        filters=dct_filters(recipe.filter_size) if recipe.filters == "dct" else gradient_filters(),
        prox=partial(_prox, recipe),
        beta=recipe.beta,
        color=recipe.color,
        features=recipe.features,
        **({"gap": recipe.gap} if isinstance(recipe, Unit) else {}),
    )
    return Denoiser(solver) if isinstance(recipe, Unit) else Deblurrer(solver, weighting=recipe.weighting)


def _prox(recipe: Unit | Deblur, channels: int, features: int = 0) -> Prox:
    if recipe.prior == "cnn":
        return PointwiseCNN(channels, recipe.hidden, features=features)
    if recipe.prior == "cnn3":
        return ConvolutionalCNN(channels, recipe.hidden, features=features)
    if recipe.prior == "unet":
        return ResidualUNet(channels, recipe.hidden, features=features)
    if recipe.prior == "rbf":
        # Noise has standard deviation 1 in a stabilized signal, and some 0.1 in one that is deblurred.
        return RBFShrinkage(channels, reach=10.4 if isinstance(recipe, Unit) else 1.0, features=features)
    if features:
        raise ValueError(f"features must be 0 for the fixed prior {recipe.prior!r}; found {features}")
    if recipe.prior == "hyper_laplacian":
        return HyperLaplacian(weight=recipe.weight)
    return SoftThreshold(recipe.weight) if recipe.prior == "l1" else IsotropicTV(recipe.weight)
