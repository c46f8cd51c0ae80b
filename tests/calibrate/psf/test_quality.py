"""Which blocks are trusted, why not, and what they are filled with."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from dirtypixels.calibrate.psf.quality import Quality, block_diagnostics, filled


def good(rows: int = 3, columns: int = 4, channels: int = 3) -> Quality:
    shape = (rows, columns)
    return Quality(
        noise=np.full((*shape, channels), 0.03),
        misfit=np.zeros((*shape, channels)),
        residual=np.full((*shape, channels), 1.1),
        failed=np.full(shape, "", dtype=object),
    )


def spot(*shape: int) -> Any:
    psfs = np.zeros((*shape, 5, 5))
    psfs[..., 2, 2] = 1.0
    return psfs


class TestFilled:
    def test_the_trusted_stay(self) -> None:
        values = np.random.default_rng(0).random((3, 4, 2))
        np.testing.assert_array_equal(filled(values, np.ones((3, 4), dtype=bool)), values)

    def test_inverse_squares_of_the_distances_to_the_nearest_four(self) -> None:
        values = np.random.default_rng(0).random((3, 3))
        trusted = np.ones((3, 3), dtype=bool)
        trusted[1, 1] = False
        found = filled(values, trusted)
        assert found[1, 1] == pytest.approx((values[0, 1] + values[1, 0] + values[1, 2] + values[2, 1]) / 4)
        trusted[0, 0] = trusted[0, 1] = False
        # From (0, 0): at distance 1 (1, 0); squares of distance 4, 4, 5, 5, ...; all as near as the fourth count.
        near = [((1, 0), 1), ((0, 2), 4), ((2, 0), 4), ((1, 2), 5), ((2, 1), 5)]
        expected = sum(values[place] / d for place, d in near) / sum(1 / d for _, d in near)
        assert filled(values, trusted)[0, 0] == pytest.approx(expected)

    def test_means_of_psfs_are_psfs(self) -> None:
        psfs = np.random.default_rng(0).random((2, 3, 1, 5, 5))
        psfs /= psfs.sum((-2, -1), keepdims=True)
        trusted = np.array([[True, False, False], [False, True, False]])
        found = filled(psfs, trusted)
        np.testing.assert_allclose(found.sum((-2, -1)), 1.0)
        assert (found >= 0).all()

    def test_what_is_unknown_is_not_looked_at(self) -> None:
        values = np.array([[1.0, np.nan]])
        np.testing.assert_array_equal(filled(values, np.isfinite(values)), [[1.0, 1.0]])

    def test_raises_where_nothing_is_known(self) -> None:
        with pytest.raises(ValueError, match="at least one block"):
            filled(np.zeros((2, 2)), np.zeros((2, 2), dtype=bool))


class TestReasons:
    def test_none_where_all_is_well(self) -> None:
        assert (good().reasons() == "").all()

    @pytest.mark.parametrize(
        ("part", "value", "words"),
        [
            ("failed", "no light", "no light"),
            ("residual", 8.8, "8 times the usual residual"),
            ("noise", 0.2, "a predicted error of 20 %: too noisy"),
            ("misfit", 0.5, "a predicted error of 20 %: it changes too fast for so large a block"),
        ],
    )
    def test_one_block(self, part: str, value: Any, words: str) -> None:
        quality = good()
        changed = getattr(quality, part).copy()
        changed[1, 2] = value
        reasons = replace(quality, **{part: changed}).reasons()
        assert reasons[1, 2].startswith(words)
        assert (reasons != "").sum() == 1

    def test_one_color_is_enough(self) -> None:
        quality = good()
        quality.residual[0, 0, 2] = 9.0
        assert "usual residual" in quality.reasons()[0, 0]

    def test_blocks_without_a_psf_tell_no_usual_residual(self) -> None:
        quality = good()
        quality.residual[0] = np.nan
        quality.noise[0] = np.nan
        quality.failed[0] = "nothing seen"
        reasons = quality.reasons()
        assert (reasons[0] == "nothing seen").all()
        assert (reasons[1:] == "").all()


class TestDiagnostics:
    def kinds(self, quality: Quality, psfs: Any | None = None) -> dict[str, tuple[str, str]]:
        found = block_diagnostics(quality, quality.reasons(), spot(3, 4, 3) if psfs is None else psfs)
        return {f.kind: (f.severity, f.message) for f in found}

    def test_only_the_error_where_all_is_well(self) -> None:
        found = self.kinds(good())
        assert found.keys() == {"psf-error"}
        assert found["psf-error"][0] == "note"
        assert "median 3.0 %, worst of a trusted block 3.0 %" in found["psf-error"][1]

    def test_few_untrusted_blocks_warn_and_are_named(self) -> None:
        quality = good()
        quality.failed[0, 3] = "only 10 % of it lie on the chart"
        severity, message = self.kinds(quality)["untrusted-blocks"]
        assert severity == "warning"
        assert "1 of 12 blocks" in message
        assert "(1, 4) only 10 % of it lie on the chart" in message

    def test_many_untrusted_blocks_fail(self) -> None:
        quality = good()
        quality.failed[:2] = "no light"
        severity, message = self.kinds(quality)["untrusted-blocks"]
        assert severity == "failure"
        assert message.endswith("and 2 more")

    def test_noise_warns(self) -> None:
        quality = good()
        quality.noise[:] = 0.1
        found = self.kinds(quality)
        assert found["psf-error"][0] == "warning"
        assert "psf-changes" not in found

    def test_a_field_that_changes_fast_warns(self) -> None:
        quality = good()
        quality.misfit[:] = 0.1
        severity, message = self.kinds(quality)["psf-changes"]
        assert severity == "warning"
        assert "10 % of the chart's contrast" in message
        assert quality.error[0, 0, 0] == pytest.approx(0.05)

    def test_a_field_that_bends_between_blocks_warns(self) -> None:
        psfs = spot(3, 5, 3)
        psfs[:, ::2] = np.roll(psfs[:, ::2], 1, -1)  # every second column of blocks is another
        severity, message = self.kinds(good(3, 5), psfs)["psf-between"]
        assert severity == "warning"
        # D = 2 (1, -1) in two taps: |D| = 2 sqrt(2), less 6 * 0.03^2 of noise
        assert f"may be off by another {100 * np.sqrt(8 - 6 * 0.03**2) / 8:.0f} %" in message

    def test_psfs_cut_off_warn(self) -> None:
        psfs = spot(3, 4, 3)
        psfs[1, 1, 0] = 0.04
        severity, message = self.kinds(good(), psfs)["psf-cut-off"]
        assert severity == "warning"
        assert "1 blocks" in message
        assert "64 %" in message
        assert "size of 13" in message

    def test_a_field_without_trust(self) -> None:
        quality = good()
        quality.failed[:] = "no light"
        assert self.kinds(quality)["untrusted-blocks"][0] == "failure"
