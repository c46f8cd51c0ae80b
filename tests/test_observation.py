"""Observation: what it holds, what it refuses, and how it is taken apart and put together."""

from __future__ import annotations

import dataclasses
import re
from typing import Any

import pytest
import torch
from torch import Tensor

from dirtypixels import Observation


def parts(batch: int = 3, channels: int = 3, height: int = 4, width: int = 5) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(0)

    def random(*shape: int) -> Tensor:
        return torch.rand(*shape, generator=generator)

    psf = random(batch, channels, 3, 5)
    return {
        "signal": random(batch, channels, height, width),
        "alpha": random(batch, 1, 1, 1),
        "sigma": random(batch, channels, 1, 1),
        "psf": psf / psf.sum((-2, -1), keepdim=True),
        "cfa": (random(batch, channels, height, width) > 0.5).float(),
    }


@pytest.mark.parametrize(
    ("batch", "channels", "height", "width"), [(1, 1, 1, 1), (3, 3, 4, 5), (2, 4, 7, 2), (0, 3, 4, 4)]
)
def test_any_size(batch: int, channels: int, height: int, width: int) -> None:
    obs = Observation(**parts(batch, channels, height, width))
    assert len(obs) == batch
    assert obs.signal.shape == (batch, channels, height, width)


def test_psf_and_cfa_may_be_absent_or_shared_by_the_batch() -> None:
    given = parts()
    assert Observation(given["signal"], given["alpha"], given["sigma"]).psf is None
    shared = Observation(**given | {"psf": given["psf"][:1, :1], "cfa": given["cfa"][:1]})
    assert shared[2].psf is shared.psf
    assert shared[2].cfa is shared.cfa


def test_raises_where_it_would_be_changed() -> None:
    with pytest.raises(dataclasses.FrozenInstanceError):
        Observation(**parts()).signal = torch.zeros(1, 1, 1, 1)  # type: ignore[misc]


@pytest.mark.parametrize(
    ("name", "change", "kind", "message"),
    [
        ("signal", lambda v: v.numpy(), TypeError, "signal must be a torch.Tensor; found ndarray"),
        ("signal", lambda v: v.int(), TypeError, "signal must be a floating-point tensor; found torch.int32"),
        ("signal", lambda v: v[0], ValueError, "signal must have shape (B, C, H, W); found (3, 4, 5)"),
        ("signal", lambda v: v / 0, ValueError, "signal must be finite; found 180 NaN or infinite of 180 values"),
        ("alpha", lambda v: 0.1, TypeError, "alpha must be a torch.Tensor; found float"),
        ("alpha", lambda v: v[:1], ValueError, "alpha must have shape (3, 1|3, 1, 1); found (1, 1, 1, 1)"),
        ("alpha", lambda v: v.flatten(), ValueError, "alpha must have shape (3, 1|3, 1, 1); found (3,)"),
        ("alpha", lambda v: 0 * v - 1, ValueError, "alpha must be at least 0; found -1"),
        ("sigma", lambda v: v[:, :2], ValueError, "sigma must have shape (3, 1|3, 1, 1); found (3, 2, 1, 1)"),
        ("sigma", lambda v: v * torch.nan, ValueError, "sigma must be finite; found 9 NaN or infinite of 9 values"),
        ("sigma", lambda v: 0 * v - 0.5, ValueError, "sigma must be at least 0; found -0.5"),
        ("psf", lambda v: v.double().long(), TypeError, "psf must be a floating-point tensor; found torch.int64"),
        ("psf", lambda v: v[:2], ValueError, "psf must have shape (1|3, 1|3, kh, kw); found (2, 3, 3, 5)"),
        ("psf", lambda v: v[..., :4], ValueError, "psf must have odd height and width; found 3 x 4"),
        ("psf", lambda v: -v, ValueError, "psf must be at least 0; found values from"),
        ("psf", lambda v: 2 * v, ValueError, "psf must sum to 1; found sums from 2 to 2"),
        ("cfa", lambda v: v.bool(), TypeError, "cfa must be a floating-point tensor; found torch.bool"),
        ("cfa", lambda v: v[..., :1], ValueError, "cfa must have shape (1|3, 3, 4, 5); found (3, 3, 4, 1)"),
        ("cfa", lambda v: v + 1, ValueError, "cfa must be in [0, 1]; found values from 1 to 2"),
    ],
)
def test_raises_and_says_why(name: str, change: Any, kind: type[Exception], message: str) -> None:
    given = parts()
    with pytest.raises(kind, match=re.escape(message)):
        Observation(**given | {name: change(given[name])})


def test_to_moves_every_field() -> None:
    moved = Observation(**parts()).to(torch.float64)
    assert {getattr(moved, f.name).dtype for f in dataclasses.fields(moved)} == {torch.float64}
    assert Observation(*(parts()[name] for name in ("signal", "alpha", "sigma"))).to(torch.float64).psf is None


@pytest.mark.parametrize("index", [0, 2, -1, -3, slice(1, 3), slice(None, None, 2), slice(0, 0)])
def test_some_of_the_batch(index: int | slice) -> None:
    given = parts()
    some, obs = Observation(**given)[index], Observation(**given)
    for field in dataclasses.fields(obs):
        wanted = getattr(obs, field.name)[index]
        wanted = wanted[None] if isinstance(index, int) else wanted
        torch.testing.assert_close(getattr(some, field.name), wanted, rtol=0, atol=0)


@pytest.mark.parametrize("index", [3, -4])
def test_raises_for_an_index_beyond_the_batch(index: int) -> None:
    with pytest.raises(IndexError, match=re.escape(f"index must be in [-3, 2]; found {index}")):
        Observation(**parts())[index]


def test_iterating_ends_and_joins_to_the_same() -> None:
    obs = Observation(**parts())
    images = list(obs)  # type: ignore[call-overload]
    assert [len(image) for image in images] == [1, 1, 1]
    joined = Observation.cat(images)
    for field in dataclasses.fields(obs):
        torch.testing.assert_close(getattr(joined, field.name), getattr(obs, field.name), rtol=0, atol=0)


def test_cat_spells_out_what_a_part_shares() -> None:
    given = parts()
    one, other = (
        Observation(**given | {"psf": given["psf"][:1].clone(), "cfa": given["cfa"][:1].clone()}) for _ in range(2)
    )
    joined = Observation.cat([one, other])
    assert joined.psf is not None
    assert joined.cfa is not None
    torch.testing.assert_close(joined.psf, given["psf"][:1].expand(6, -1, -1, -1), rtol=0, atol=0)
    torch.testing.assert_close(joined.cfa, given["cfa"][:1].expand(6, -1, -1, -1), rtol=0, atol=0)


def test_cat_keeps_once_what_all_parts_share() -> None:
    given = parts()
    shared = Observation(**given | {"psf": given["psf"][:1], "cfa": given["cfa"][:1]})
    joined = Observation.cat([shared, shared[1], shared])
    assert len(joined) == 7
    torch.testing.assert_close(joined.psf, given["psf"][:1], rtol=0, atol=0)
    torch.testing.assert_close(joined.cfa, given["cfa"][:1], rtol=0, atol=0)


def test_raises_for_nothing_to_join_and_half_a_psf() -> None:
    given = parts()
    with pytest.raises(ValueError, match="parts must hold at least one Observation; found none"):
        Observation.cat([])
    with pytest.raises(ValueError, match="psf must be set in all parts or in none; found it in 1 of 2"):
        Observation.cat([Observation(**given), Observation(**given | {"psf": None})])
