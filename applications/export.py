"""Models for serving, compared with the original before they count."""

import dataclasses
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from applications import files
from applications import settings
from applications import training
from applications.runs import Run
from applications.task import Task

TOLERANCE = 1e-3
OUTPUT = "_output"


def export(run: Run, formats: tuple[str, ...]) -> list[Path]:
    """Writes a run's model into `<run>/export/<format>`, in float32."""
    data, model = run.data(), run.model()
    model = _float32(run.task, model, data.config)
    _, dataset = data.split("test", "validation")
    inputs = _taken(model, next(iter(dataset))[0])
    expected = _named(model(inputs, training=False))
    folders = []
    # Of an export that was killed.
    files.remove_leftovers(run.folder / "export")
    for name in formats:
        folder = run.folder / "export" / name
        with files.replacing(folder) as temporary:
            received = EXPORTERS[name](model, inputs, temporary)
            difference = _compare(name, expected, received)
        print(f"{folder}: {difference}")
        folders.append(folder)
    return folders


def _taken(model: keras.Model, inputs: Any) -> Any:
    """The inputs without what a model needs in training alone."""
    if isinstance(inputs, dict) and isinstance(model.input, dict):
        return {name: inputs[name] for name in model.input}
    return inputs


def _float32(
    task: Task, model: keras.Model, config: settings.Settings
) -> keras.Model:
    if config.precision == "float32":
        return model
    with training.precision("float32"):
        single = task.build_model(
            dataclasses.replace(config, precision="float32")
        )
    single.set_weights(model.get_weights())
    return single


def _saved_model(
    model: keras.Model, inputs: Any, folder: Path
) -> dict[str, np.ndarray]:
    model.export(folder, format="tf_saved_model", verbose=False)
    loaded = tf.saved_model.load(str(folder))
    return _named(loaded.serve(inputs))


def _onnx(
    model: keras.Model, inputs: Any, folder: Path
) -> dict[str, np.ndarray]:
    try:
        import onnxruntime
        import tf2onnx  # noqa: F401
    except ImportError as error:
        raise ValueError(
            f"{error}; ONNX needs the extra packages: "
            "pip install 'keras-fusion[onnx]'"
        ) from error
    folder.mkdir()
    file = folder / "model.onnx"
    with warnings.catch_warnings():
        # Keras looks for a name that NumPy has dropped.
        warnings.filterwarnings(
            "ignore", "In the future `np.object`", FutureWarning
        )
        unique = _with_unique_outputs(model, inputs)
        unique.export(str(file), format="onnx", verbose=False)
    try:
        session = onnxruntime.InferenceSession(
            str(file), providers=["CPUExecutionProvider"]
        )
    # Of an operation that ONNX lacks; the runtime's errors share no type.
    except Exception as error:
        reason = " ".join(str(error).split())[:300]
        raise ValueError(
            f"ONNX cannot compute this model ({reason}); export it with "
            "--format saved_model"
        ) from error
    feeds = _by_name([entry.name for entry in session.get_inputs()], inputs)
    outputs = session.run(None, feeds)
    names = [entry.name.removesuffix(OUTPUT) for entry in session.get_outputs()]
    return dict(zip(names, outputs, strict=True))


def _with_unique_outputs(model: keras.Model, inputs: Any) -> keras.Model:
    """The model with other names for outputs that are called as an input.

    An ONNX graph has one name for each value.
    """
    named = isinstance(model.input, dict) and isinstance(model.output, dict)
    if not named or not set(model.input) & set(model.output):
        return model
    outputs = {
        name + OUTPUT if name in model.input else name: value
        for name, value in model.output.items()
    }
    unique = keras.Model(model.input, outputs)
    # Keras exports only what has been called.
    unique(inputs)
    return unique


def _by_name(names: list[str], inputs: Any) -> dict[str, np.ndarray]:
    if isinstance(inputs, dict) and set(names) == set(inputs):
        values = [inputs[name] for name in names]
    else:
        values = keras.tree.flatten(inputs)
    arrays = [keras.ops.convert_to_numpy(value) for value in values]
    return dict(zip(names, arrays, strict=True))


EXPORTERS: dict[str, Callable] = {"saved_model": _saved_model, "onnx": _onnx}


def _named(outputs: Any) -> dict[str, np.ndarray]:
    if not isinstance(outputs, dict):
        flat = keras.tree.flatten(outputs)
        outputs = {f"output_{index}": part for index, part in enumerate(flat)}
    return {
        str(name): keras.ops.convert_to_numpy(value)
        for name, value in outputs.items()
    }


def _compare(
    name: str,
    expected: dict[str, np.ndarray],
    received: dict[str, np.ndarray],
) -> str:
    if set(received) != set(expected):
        # Outputs without names of their own keep their order.
        received = dict(zip(expected, received.values(), strict=True))
    worst = 0.0
    for output, value in expected.items():
        difference = np.abs(value - received[output]).max()
        scale = np.abs(value).max()
        worst = max(worst, float(difference))
        if not difference <= TOLERANCE * max(scale, 1e-6):
            raise ValueError(
                f"the {name} export differs from the model by {difference:.3g} "
                f"in output {output!r}, whose largest value is {scale:.3g}; "
                "it was not kept"
            )
    return f"max abs difference {worst:.3g} over a batch of the data"
