"""Low-level units from their description in a recipe."""

from __future__ import annotations

from functools import partial
from typing import overload

from torch import nn

from dirtypixels import restore
from dirtypixels.recipe import AnyUnit, Classical, Deblur, ProximalGradient, ResidualCNN, UNet, Unit
from dirtypixels.restore import ClassicalUnit, CoarseToFine, Deblurrer, Denoiser, Unrolled
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
def build_unit(recipe: Unit) -> Denoiser: ...


@overload
def build_unit(recipe: Deblur) -> Deblurrer: ...


@overload
def build_unit(recipe: AnyUnit | Classical) -> nn.Module: ...


def build_unit(recipe: AnyUnit | Classical) -> nn.Module:
    """A new low-level unit as a recipe describes it.

    Raises:
        ValueError: parts that do not go together, such as a fixed prior that is to know the noise.
    """
    if isinstance(recipe, Classical):
        return ClassicalUnit(recipe.method)
    if isinstance(recipe, UNet):
        return restore.SignalUNet(width=recipe.width, depth=recipe.depth, noise_maps=recipe.noise_maps)
    if isinstance(recipe, ResidualCNN):
        return restore.ResidualCNN(width=recipe.width, depth=recipe.depth)
    if isinstance(recipe, ProximalGradient):
        return restore.ProximalGradient(
            iterations=recipe.iterations, width=recipe.width, depth=recipe.depth, blur=recipe.blur
        )
    if isinstance(recipe, Deblur):
        return Deblurrer(_solver(recipe), weighting=recipe.weighting)
    if recipe.scales == 1:
        return Denoiser(_solver(recipe))
    return Denoiser(CoarseToFine([_solver(recipe) for _ in range(recipe.scales)]))


def _solver(recipe: Unit | Deblur) -> Unrolled:
    return Unrolled(
        recipe.algorithm,
        recipe.layers,
        tied=recipe.tied,
        filters=dct_filters(recipe.filter_size) if recipe.filters == "dct" else gradient_filters(),
        prox=partial(_prox, recipe),
        first=partial(_prox, recipe, skip=False) if recipe.start == "zero" and not recipe.tied else None,
        beta=recipe.beta,
        growth=1.0 if recipe.tied else recipe.growth,
        color=recipe.color,
        features=recipe.features,
        **({"gap": recipe.gap} if isinstance(recipe, Unit) else {}),
    )


def _prox(recipe: Unit | Deblur, channels: int, features: int = 0, skip: bool = True) -> Prox:
    if recipe.prior == "cnn":
        return PointwiseCNN(channels, recipe.hidden, features=features, skip=skip)
    if recipe.prior == "cnn3":
        return ConvolutionalCNN(channels, recipe.hidden, features=features, skip=skip)
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
