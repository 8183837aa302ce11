import math

import pytest

from benchmarks import scales_at_zero


@pytest.mark.parametrize(("ratio", "share"), [(0.25, 0.1974), (1, 0.6827)])
def test_the_share_is_that_of_a_normal_variable_within_the_ratio(ratio, share):
    assert scales_at_zero.predicted(ratio) == pytest.approx(share, abs=5e-5)
    assert scales_at_zero.predicted(ratio) == pytest.approx(
        math.erf(ratio / math.sqrt(2)), abs=1e-6
    )


@pytest.mark.parametrize("batch", [1, 4])
def test_scales_stay_at_zero_as_often_as_predicted(batch, monkeypatch):
    monkeypatch.setattr(scales_at_zero, "CHANNELS", 2000)
    monkeypatch.setattr(scales_at_zero, "STEPS", 200)
    # 2,000 penalized scales: three deviations are .033.
    found = scales_at_zero.observed(0.5, batch, seed=0)
    assert found == pytest.approx(scales_at_zero.predicted(0.5), abs=0.033)
