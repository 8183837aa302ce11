import dataclasses

import pytest

from applications import instruction_following
from applications.instruction_following.config import Config
from benchmarks import text_vision_fusion
from benchmarks.text_vision_fusion import Comparison
from keras_fusion.models import TEXT_FUSIONS


@pytest.mark.parametrize("weights", [1, 40, 205, 213, 99_999])
def test_the_width_is_the_one_nearest_to_the_weights(weights):
    counts = {width: 10 * width + 3 for width in range(1, 1025)}
    received = text_vision_fusion.width_at(weights, counts.__getitem__)
    apart = {w: abs(count - weights) for w, count in counts.items()}
    assert apart[received] == min(apart.values())


def test_a_row_has_about_the_weights_that_were_asked_for():
    name = "bilinear_without_coordinates"
    config = text_vision_fusion.as_in_row(Config(), Comparison(), name)
    assert (config.fusion, config.coordinates) == ("bilinear", False)
    model = instruction_following.build_model(config)
    assert model.count_params() == pytest.approx(300_000, rel=0.02)


def test_every_row_is_a_fusion_with_a_width_to_change():
    fusions = {fusion for fusion, _ in text_vision_fusion.ROWS.values()}
    assert fusions == set(text_vision_fusion.WIDTHS) == set(TEXT_FUSIONS)
    fields = {field.name for field in dataclasses.fields(Config)}
    assert set(text_vision_fusion.WIDTHS.values()) < fields


def test_shares_are_told_in_per_cent_and_distances_as_they_are():
    found = [
        {"parameters": 12_345, "accuracy": accuracy, "bits": bits}
        for accuracy, bits in ((0.5, 1.0), (0.7, 3.0))
    ]
    entries = text_vision_fusion.cells("goal", found)
    assert entries == ["12,345", "60.0 ± 14.1", "2.00 ± 1.41"]
    assert text_vision_fusion.cells("goal", []) == ["", "", ""]


def test_what_was_measured_is_not_measured_again(tmp_path, monkeypatch):
    calls = []

    def learn(model, seed):
        calls.append(seed)
        return {"accuracy": 0.5, "bits": 2.0}

    monkeypatch.setattr(text_vision_fusion.goal_pixels, "learn", learn)
    comparison = Comparison(runs_dir=str(tmp_path))
    first, again = (
        text_vision_fusion.measured(comparison, "goal", "text_gate", 3)
        for _ in range(2)
    )
    assert calls == [3] and first == again
    assert first["parameters"] == pytest.approx(60_000, rel=0.02)


def test_a_row_on_the_mini_world_has_all_that_is_told(monkeypatch):
    monkeypatch.setattr(
        text_vision_fusion, "at_weights", lambda config, weights: config
    )
    comparison = Comparison(boards=64, epochs=1)
    found = text_vision_fusion.mini(comparison, "text_gate", seed=1)
    assert set(text_vision_fusion.MEASURED["mini"]) < set(found)
    assert found["mean_minimum_distance"] <= found["mean_end_distance"]
    assert len(text_vision_fusion.cells("mini", [found])) == 5
