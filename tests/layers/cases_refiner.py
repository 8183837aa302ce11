"""Refining a fusion, and modalities that may be absent."""

import keras
import numpy as np

from keras_fusion import layers
from tests.layers.case import Case


def dense_fusion(shapes, units):
    inputs = [keras.Input(shape) for shape in shapes]
    flat = [keras.layers.Flatten()(x) for x in inputs]
    fused = keras.layers.Concatenate()(flat)
    fused = keras.layers.Dense(units, name="dense_fusion")(fused)
    return keras.Model(inputs, fused)


def blocks(*widths, dropout=0.0):
    """The first author's decoders, one for each modality."""
    return [
        keras.Sequential(
            [
                keras.layers.Dense(width, "relu"),
                keras.layers.LayerNormalization(),
                keras.layers.Dropout(dropout),
            ]
        )
        for width in widths
    ]


def perceptron(hidden, features):
    """MultiBench's decoder, one for all modalities."""
    return keras.Sequential(
        [keras.layers.Dense(hidden, "relu"), keras.layers.Dense(features)]
    )


def fused_by_hand(weights, xs):
    """One sample and one unit at a time."""
    kernel = weights["dense_fusion/kernel"]
    bias = weights["dense_fusion/bias"]
    fused = np.zeros((len(xs[0]), len(bias)))
    for i in range(len(fused)):
        row = [value for x in xs for value in x[i].ravel()]
        for unit in range(len(bias)):
            fused[i, unit] = np.dot(row, kernel[:, unit]) + bias[unit]
    return fused


def filled_in(weights, xs, presence):
    outputs = [x.copy() for x in xs]
    for m, output in enumerate(outputs):
        for i in range(len(output)):
            if not presence[i, m]:
                output[i] = weights[f"token_{m}"]
    return outputs


CASES = [
    Case(
        "refiner",
        lambda: layers.Refiner(keras.layers.Concatenate()),
        ([(6, 4), (6, 3), (6, 2)],),
        lambda weights, xs: np.concatenate(xs, axis=1),
    ),
    Case(
        "refiner_hidden",
        lambda: layers.Refiner(
            dense_fusion([(2, 3), (4,)], 5),
            hidden_units=(7, 6),
            activation="tanh",
            loss="mse",
            loss_weights=(1.0, 2.0),
            stop_gradient=False,
        ),
        ([(6, 2, 3), (6, 4)],),
        fused_by_hand,
    ),
    Case(
        "refiner_decoders",
        lambda: layers.Refiner(
            dense_fusion([(2, 3), (4,)], 5), decoders=blocks(6, 4)
        ),
        ([(6, 2, 3), (6, 4)],),
        fused_by_hand,
    ),
    Case(
        "refiner_shared_decoder",
        lambda: layers.Refiner(
            dense_fusion([(2, 3), (4,)], 5), decoders=perceptron(7, 10)
        ),
        ([(6, 2, 3), (6, 4)],),
        fused_by_hand,
    ),
    Case(
        "modality_dropout",
        lambda: layers.ModalityDropout(0.5, seed=1),
        ([(6, 4), (6, 3, 2)], (6, 2)),
        lambda weights, xs, presence: [
            *(
                x * presence[:, m].reshape(-1, *[1] * (x.ndim - 1))
                for m, x in enumerate(xs)
            ),
            presence,
        ],
        indices={2: 2},
        weightless=True,
    ),
    Case(
        "missing_modality_token",
        layers.MissingModalityToken,
        ([(6, 4), (6, 3, 2)], (6, 2)),
        filled_in,
        indices={2: 2},
    ),
]
