import keras
import numpy as np
import pytest
from PIL import Image

from applications import runs
from applications.image_translation import config as translation
from applications.semantic_segmentation import config as segmentation
from benchmarks import fused_runs
from benchmarks import modality_fusion
from benchmarks import translation_fusion

TINY = {
    "image_translation": (
        translation_fusion,
        translation.Config(
            epochs=1,
            batch_size=4,
            width=2,
            depth=3,
            side=16,
            margin=2,
            adversarial=0.0,
            modalities=("warm", "far"),
            target="rgb",
        ),
    ),
    "semantic_segmentation": (
        modality_fusion,
        segmentation.Config(
            epochs=1,
            batch_size=4,
            width=2,
            decoder_width=2,
            crop=32,
            modalities=("warm", "far"),
        ),
    ),
}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    root = tmp_path_factory.mktemp("frames")
    rng = np.random.default_rng(0)
    for split, count in (("train", 8), ("validation", 3)):
        for index in range(count):
            warm, far = np.kron(rng.random((2, 4, 4)), np.ones((1, 8, 8)))
            rgb = np.stack([warm, 0 * warm, far], axis=-1)
            for name, image in {
                "warm": 255 * warm,
                "far": 255 * far,
                "rgb": 255 * rgb,
                "label": warm > 0.5,
            }.items():
                path = root / split / name / f"{index:03d}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                Image.fromarray(image.astype("uint8")).save(path)
    return root


@pytest.mark.parametrize(
    "task",
    [
        "image_translation",
        pytest.param("semantic_segmentation", marks=pytest.mark.slow),
    ],
)
def test_the_average_of_networks_is_that_of_what_they_say(
    task, folder, tmp_path
):
    module, config = TINY[task]
    changes = {"data_dir": str(folder), "runs_dir": str(tmp_path)}
    config = config.__class__(**{**vars(config), **changes})
    comparison = module.Comparison(config=config, fusions=("sum",), seeds=(0,))
    found = fused_runs.train(task, comparison)
    assert list(found) == ["warm alone", "far alone", fused_runs.AVERAGE, "sum"]
    rows = [
        row for label in found for row in module.describe(label, found[label])
    ]
    assert len(rows) == 4
    assert len({tuple(row) for row in rows}) == 1
    alone = [
        runs.find(task, f"default-{name}-alone-0", str(tmp_path))
        for name in ("warm", "far")
    ]
    [average] = found[fused_runs.AVERAGE]
    assert average["parameters"] == sum(
        run.metrics()["parameters"] for run in alone
    )
    # By hand, from the networks' answers.
    batches = [list(run.data().split("validation")[1]) for run in alone]
    answers = []
    for run, name, own in zip(alone, ("warm", "far"), batches, strict=True):
        said = [run.model()(x, training=False)[name] for x, _ in own]
        answers.append(np.concatenate([np.asarray(a) for a in said]))
    truth = np.concatenate([np.asarray(y["warm"]) for _, y in batches[0]])
    if task == "image_translation":
        expected = np.abs(np.mean(answers, axis=0) - truth).mean() / 2
        assert average["l1"]["ensemble"] == pytest.approx(expected, rel=1e-4)
        return
    chances = [np.asarray(keras.ops.softmax(answer)) for answer in answers]
    guess = np.mean(chances, axis=0).argmax(axis=-1)
    expected = np.mean(guess == np.reshape(truth, guess.shape))
    assert average["pixel_accuracy"]["ensemble"] == pytest.approx(expected)
