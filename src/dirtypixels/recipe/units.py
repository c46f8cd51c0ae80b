"""Low-level units as a recipe describes them."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from dirtypixels.recipe.parts import Count, Part


class Unit(Part):
    """The low-level unit of conditions without blur, a denoiser: unrolled half-quadratic splitting."""

    layers: Count = 1
    tied: bool = False
    filter_size: int = Field(default=5, ge=3)
    hidden: Count = 24
    #: size of what the unit learns of the noise level that it is told; 0 for a unit that is told nothing
    features: int = Field(default=0, ge=0)
    gap: Count = 8


class Deblur(Part):
    """The low-level unit of blurred conditions, which deblurs and denoises: unrolled half-quadratic splitting.

    colour: "merged" sums the responses over the channels in the prox; "shared" treats each channel alike.
    weighting: of the data term by the noise that the capture knows: not at all, by image, or by pixel.
    """

    layers: Count = 1
    tied: bool = False
    filter_size: int = Field(default=5, ge=3)
    hidden: Count = 24
    #: size of what the unit learns of the noise level that it is told; 0 for a unit that is told nothing
    features: int = Field(default=0, ge=0)
    colour: Literal["shared", "merged"] = "merged"
    weighting: Literal["none", "image", "pixel"] = "image"
