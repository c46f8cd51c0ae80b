"""Low-level units as a recipe describes them: an unrolled algorithm, its filters, its prior, and what it knows; or, to
compare with, a network that others use, told apart by its `kind`.
"""

from __future__ import annotations

from functools import partial
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator

from dirtypixels import checks
from dirtypixels.recipe.parts import Count, Part, Positive

Color = Literal["opponent", "coupled", "shared", "own", "merged"]

BEFORE_START = {"start": "identity", "growth": 1.0}
"""What descriptions of units mean that were written before these keys came."""


class Solver(Part):
    """What the units have in common.

    algorithm: one iteration of it is a layer; "prior_gradient" goes along the prior's gradient in place of its prox.
    filters: to start from: "dct", filter_size^2 - 1 of them, or "gradient", differences to the next row and column.
    prior: "cnn" is the paper's, with kernels of 1 x 1; "cnn3" has kernels of 3 x 3; "rbf" is separable, with Gaussians
        (shrinkage fields); "l1", "tv" and "hyper_laplacian" are fixed, with `weight`.
    hidden: width of the networks among the priors.
    start: of the priors "cnn" and "cnn3": "zero" starts that of the first layer near zero, without a skip, and the
        others near the identity; "identity" all of them there, as in versions before this key. Tied layers always do.
    color: "opponent" has own weights for brightness and two opponent colors, "coupled" filters over all three channels;
        the paper's are "shared", which treats the channels alike, "own", with weights for each, and "merged", which
        sums their responses.
    beta: starting value of the coupling between image and prior in the first layer.
    growth: of the coupling from layer to layer; tied layers have one coupling.
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
    start: Literal["zero", "identity"] = "zero"
    color: Color = "opponent"
    beta: Positive = 1.0
    growth: Positive = 4.0
    features: int = Field(default=0, ge=0)

    @field_validator("filter_size")
    @classmethod
    def _odd(cls, size: int) -> int:
        if size % 2 == 0:
            raise ValueError(f"must be odd; found {size}")
        return size


class Unit(Solver):
    """The low-level unit of conditions without blur, a denoiser.

    scales: on which the image is restored, coarse to fine; each further one has layers and weights of its own, and a
        quarter of the pixels.
    gap: rows and columns by which an image is continued to a periodic one.

    >>> Unit(layers=2, prior="tv", weight=0.1).algorithm
    'hqs'
    """

    scales: Count = 1
    gap: Count = 8


class Deblur(Solver):
    """The low-level unit of blurred conditions, which deblurs and denoises.

    weighting: of the data term by the noise that the capture knows: not at all, by image, or by pixel, majorized or
        solved exactly (slower).

    >>> Deblur(weighting="image").filters
    'dct'
    """

    start: Literal["zero", "identity"] = "identity"
    growth: Positive = 1.0
    color: Color = "merged"
    weighting: Literal["none", "image", "pixel", "pixel_exact"] = "image"


class Classical(Part):
    """A low-level unit that is not trained: BM3D or non-local means for conditions without blur, deconvolution by a
    hyper-Laplacian prior ("hqs") for blurred ones.

    >>> Classical(method="bm3d").method
    'bm3d'
    """

    method: Literal["nlm", "bm3d", "hqs"]


class Network(Part):
    """What the networks have in common: they restore three channels together.

    width: channels of the inner layers, in a U-Net of those of its first level.
    depth: how many convolutions, or how often a U-Net halves height and width.

    >>> isinstance(UNet(kind="unet"), Network), isinstance(Unit(), Network)
    (True, False)
    """

    kind: str
    width: Count
    depth: Count


class UNet(Network):
    """A U-Net on the signal, see `restore.SignalUNet`. In blurred conditions it restores without knowing the PSF.

    noise_maps: whether it is given each image's alpha and sigma.

    >>> UNet(kind="unet", noise_maps=True).width
    32
    """

    kind: Literal["unet"]
    width: Count = 32
    depth: Count = 3
    noise_maps: bool = False


class ResidualCNN(Network):
    """A plain CNN on the stabilized signal, see `restore.ResidualCNN`. In blurred conditions it knows no PSF.

    >>> ResidualCNN(kind="residual_cnn").depth
    11
    """

    kind: Literal["residual_cnn"]
    width: Count = 32
    depth: int = Field(default=11, ge=2)


class ProximalGradient(Network):
    """Proximal-gradient iterations on the image, each with a U-Net, see `restore.ProximalGradient`.

    blur: whether it knows the PSF; it must in blurred conditions, and cannot in others.

    >>> ProximalGradient(kind="proximal_gradient").iterations
    4
    """

    kind: Literal["proximal_gradient"]
    iterations: Count = 4
    width: Count = 16
    depth: Count = 2
    blur: bool = False


NETWORKS: dict[str, type[Network]] = {
    "unet": UNet,
    "residual_cnn": ResidualCNN,
    "proximal_gradient": ProximalGradient,
}


def part_for(default: type[Part], value: object) -> type[Part]:
    """Which part describes a unit: the network of the value's `kind`, or `default` where it names none.

    Raises:
        ValueError: there is no such kind.

    >>> part_for(Unit, {"kind": "unet"}).__name__, part_for(Unit, {"layers": 2}).__name__
    ('UNet', 'Unit')
    """
    if not isinstance(value, dict) or "kind" not in value:
        return default
    checks.one_of("kind (left out for an unrolled unit)", value["kind"], NETWORKS)
    return NETWORKS[value["kind"]]


def _by_kind(default: type[Part], value: object) -> object:
    # Read here as the one part that is meant; a union would complain of each of its members.
    return value if isinstance(value, Part) else part_for(default, value).model_validate(value)


_AnyNetwork = UNet | ResidualCNN | ProximalGradient
AnyUnit = Unit | Deblur | _AnyNetwork
#: the unit of conditions without blur, and the one of blurred conditions
SharpUnit = Annotated[Unit | _AnyNetwork, BeforeValidator(partial(_by_kind, Unit))]
BlurredUnit = Annotated[Deblur | _AnyNetwork, BeforeValidator(partial(_by_kind, Deblur))]
