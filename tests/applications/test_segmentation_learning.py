"""Trains four small networks on small rooms; minutes, so `slow`."""

import dataclasses

import keras
import pytest

from applications import training
from applications.datasets import rooms
from applications.semantic_segmentation.config import Config


@pytest.fixture(scope="module")
def scores(tmp_path_factory):
    """The metrics of each network after the same steps on the same crops."""
    folder = tmp_path_factory.mktemp("rooms")
    small = rooms.RoomsConfig(size=64, train=240, validation=60, test=1)
    builder = rooms.prepare(folder, small)
    config = Config(
        data_dir=str(builder.data_dir),
        runs_dir=str(folder / "runs"),
        epochs=20,
        crop=64,
    )
    variants = {
        "exchange": {},
        "none": {"fusion": "none"},
        "rgb": {"modalities": ("rgb",)},
        "depth": {"modalities": ("depth",)},
    }
    metrics = {}
    for name, changes in variants.items():
        keras.backend.clear_session()
        run = dataclasses.replace(config, name=name, **changes)
        metrics[name] = training.train("semantic_segmentation", run)
    return metrics


@pytest.mark.slow
def test_the_exchange_happens(scores):
    shares = scores["exchange"]["exchanged_share"].values()
    assert all(0.05 <= share <= 0.4 for share in shares)


@pytest.mark.slow
@pytest.mark.parametrize("rival", ["rgb", "depth", "none"])
def test_exchange_beats(scores, rival):
    output = rival if rival in ("rgb", "depth") else "ensemble"
    exchange = scores["exchange"]["mean_iou"]["ensemble"]
    assert exchange > scores[rival]["mean_iou"][output]


@pytest.mark.slow
def test_every_modality_matters_to_the_ensemble(scores):
    whole = scores["exchange"]["mean_iou"]["ensemble"]
    for without in scores["exchange"]["without"].values():
        assert without["mean_iou"]["ensemble"] < whole
