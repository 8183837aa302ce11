"""Runs of a task that differ in how, and of what, they fuse.

Every row trains the same network for the same number of steps on the same
crops, once for each seed. Finished runs are not trained again, so a stopped
benchmark goes on.
"""

import dataclasses

import keras

from applications import runs as run_files
from applications import training
from applications.task import load_data
from applications.task import load_task
from benchmarks.tables import percent
from keras_fusion.models import BRANCH_FUSIONS


@dataclasses.dataclass(frozen=True, kw_only=True)
class Comparison:
    """Compares single modalities and fusions of them.

    A task's own has the settings of every row, but for fusion, modalities
    and seed, as its `config`.
    """

    alone: bool = True
    """Train each modality alone too, and average what these networks say."""
    fusions: tuple[str, ...] = tuple(BRANCH_FUSIONS)
    """Fusions to train."""
    seeds: tuple[int, ...] = (0, 1, 2)
    """Seeds over which a row's mean and deviation are taken."""


AVERAGE = "average of those alone"
# A fusion with one output, which is what an average has.
JOINING = "concat"


def train(task, comparison):
    """Metrics of every row, a list of one for each seed.

    Args:
        task: Name of the task.
        comparison: `Comparison`.
    """
    config, found = comparison.config, {}
    for seed in comparison.seeds:
        seeded = dataclasses.replace(config, seed=seed)
        single = []
        for name in config.modalities * comparison.alone:
            label = f"{name} alone"
            single.append(named(seeded, label, modalities=(name,)))
            add(found, label, task, single[-1])
        if single:
            found.setdefault(AVERAGE, []).append(averaged(task, seeded, single))
        for fusion in comparison.fusions:
            add(found, fusion, task, named(seeded, fusion, fusion=fusion))
    return found


def named(config, label, **changes):
    name = f"{config.name}-{label.replace(' ', '-')}-{config.seed}"
    return dataclasses.replace(config, name=name, **changes)


def add(found, label, task, config):
    keras.backend.clear_session()
    found.setdefault(label, []).append(training.train(task, config))


def averaged(task, config, single):
    """Metrics of the mean of what networks of one modality say.

    Of logits it is the mean of their probabilities.
    """
    package = load_task(task)
    data = load_data(package, dataclasses.replace(config, fusion=JOINING))
    _, dataset = data.split("validation", "test")
    images, _ = dataset.element_spec
    found = [run_files.create(task, one) for one in single]
    inputs, outputs = {}, []
    for run in found:
        (name,) = run.config.modalities
        image = keras.Input(images[name].shape[1:])
        said = run.model()({name: image})[name]
        # A name of its own, as those of the networks are the same.
        network = keras.Model(image, said, name=f"{name}_alone")
        inputs[name] = keras.Input(image.shape[1:], name=name)
        said = network(inputs[name])
        outputs.append(keras.ops.softmax(said) if is_logits(task) else said)
    mean = keras.layers.Average(dtype="float32")(outputs)
    model = keras.Model(inputs, {"ensemble": mean})
    alone = [run.metrics() for run in found]
    return package.measure(model, dataset, data.config) | {
        "parameters": sum(one["parameters"] for one in alone),
        "seconds_per_step": sum(one["seconds_per_step"] for one in alone),
    }


def is_logits(task):
    return task == "semantic_segmentation"


def costs(runs, output):
    """What the fusion of a row's output came to, and what a step costs."""
    row = {"exchanged %": "", "weight": ""}
    if output in runs[0].get("ensemble_weights", {}):
        shares = [run["ensemble_weights"][output] for run in runs]
        row["weight"] = percent(shares)
    if "exchanged_channels" in runs[0] and output != "ensemble":
        shares = [run["exchanged_share"][output] for run in runs]
        row["exchanged %"] = percent(shares)
    row["parameters"] = f"{runs[0]['parameters']:,}"
    row["s/step"] = f"{min(run['seconds_per_step'] for run in runs):.3f}"
    return row
