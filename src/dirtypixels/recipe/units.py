"""Low-level units as a recipe describes them: an unrolled algorithm, its filters, its prior, and what it knows."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dirtypixels.recipe.parts import Count, Part, Positive


class Solver(Part):
    """What the units have in common.

    algorithm: one iteration of it is a layer; "prior_gradient" goes along the prior's gradient in place of its prox.
    filters: to start from: "dct", filter_size^2 - 1 of them, or "gradient", differences to the next row and column.
    prior: "cnn" is the paper's, with kernels of 1 x 1; "cnn3" has kernels of 3 x 3; "rbf" is separable, with Gaussians
        (shrinkage fields); "l1", "tv" and "hyper_laplacian" are fixed, with `weight`.
    hidden: width of the networks among the priors.
    color: "shared" treats the channels alike, "own" has weights for each of three, "merged" sums their responses.
    beta: starting value of the coupling between image and prior.
    features: size of what the unit learns of the noise level that it is told; 0 for a unit that is told nothing.
    """

    algorithm: Literal["hqs", "ista", "fista", "admm", "chambolle_pock", "prior_gradient"] = "hqs"
    layers: Count = 1
    tied: bool = False
    filters: Literal["dct", "gradient"] = "dct"
    filter_size: int = Field(default=5, ge=3)
    prior: Literal["cnn", "cnn3", "unet", "rbf", "l1", "tv", "hyper_laplacian"] = "cnn"
    hidden: Count = 24
    weight: Positive = 1.0
    beta: Positive = 1.0
    features: int = Field(default=0, ge=0)

    @field_validator("filter_size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError(f"must be odd; found {size}")
        return size


class Unit(Solver):
    """The low-level unit of conditions without blur, a denoiser.

    gap: rows and columns by which an image is continued to a periodic one.

    >>> Unit(layers=2, prior="tv", weight=0.1).algorithm
    'hqs'
    """

    color: Literal["shared", "own", "merged"] = "shared"
    gap: Count = 8


class Deblur(Solver):
    """The low-level unit of blurred conditions, which deblurs and denoises.

    weighting: of the data term by the noise that the capture knows: not at all, by image, or by pixel, majorized or
        solved exactly (slower).

    >>> Deblur(weighting="image").filters
    'dct'
    """

    color: Literal["shared", "own", "merged"] = "merged"
    weighting: Literal["none", "image", "pixel", "pixel_exact"] = "image"


class Classical(Part):
    """A low-level unit that is not trained: BM3D or non-local means for conditions without blur, deconvolution by a
    hyper-Laplacian prior ("hqs") for blurred ones.

    >>> Classical(method="bm3d").method
    'bm3d'
    """

    method: Literal["nlm", "bm3d", "hqs"]
