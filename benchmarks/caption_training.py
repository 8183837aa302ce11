"""How fast captions are learned: `python -m benchmarks.caption_training`.

A step of the application's own model and optimizer, compiled, on one batch of
captions, beside features of images. The models take turns.
"""

import argparse

import keras
import numpy as np
import tensorflow as tf

from applications.captioning import Config
from applications.captioning import build_model
from applications.inputs.caption import RESERVED
from benchmarks.caption_scores import FEATURES
from benchmarks.caption_scores import captions
from benchmarks.tables import write_table
from benchmarks.timing import alternate
from benchmarks.timing import milliseconds
from keras_fusion.models import CAPTION_DECODERS


def step_of(decoder, batch, words):
    """A function that makes a step of training."""
    keras.utils.set_random_seed(0)
    known = tuple(f"w{number}" for number in range(words - RESERVED))
    config = Config(
        model=decoder,
        feature_shape=(FEATURES,),
        words=known,
        # Of features that are there already; the file is not opened.
        backbone="saved_model",
        encoder_weights="features.keras",
    )
    model = build_model(config)
    inputs, targets = batch
    dataset = tf.data.Dataset.from_tensors((inputs, targets)).repeat()
    model.fit(dataset, steps_per_epoch=1, verbose=0)
    step = model.make_train_function()
    iterator = iter(dataset)
    return lambda: {k: float(v) for k, v in step(iterator).items()}


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--vocabulary", type=int, default=10_000)
    parser.add_argument("--batch", type=int, default=128)
    parser.add_argument("--repeats", type=int, default=9)
    asked = parser.parse_args()
    rng = np.random.default_rng(0)
    words = captions(rng, asked.batch, asked.vocabulary)
    images = rng.random((asked.batch, FEATURES)).astype("float32")
    batch = ({"image": images, "words": words[:, :-1]}, {"next": words[:, 1:]})
    steps = {n: step_of(n, batch, asked.vocabulary) for n in CAPTION_DECODERS}
    seconds = alternate(steps, asked.repeats)
    said = np.count_nonzero(words[:, 1:])
    rows = []
    for name, times in seconds.items():
        milli = milliseconds(times)
        rate = 1000 * asked.batch / milli
        rows.append(
            [name, f"{milli:.0f}", f"{rate:.0f}", f"{1000 * said / milli:,.0f}"]
        )
    write_table(
        "caption_training",
        "How fast captions are learned",
        [note(asked, said)],
        ["model", "step, ms", "captions a second", "words a second"],
        rows,
    )


def note(asked, said):
    return (
        f"A step on {asked.batch} captions of {said:,} words with their ends, "
        f"vocabulary {asked.vocabulary:,}, features of {FEATURES}, the sizes "
        f"of the default settings, AdamW, compiled. Medians. "
        f"Keras {keras.__version__}, TensorFlow {tf.__version__}."
    )


if __name__ == "__main__":
    main()
