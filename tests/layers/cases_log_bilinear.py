"""Log-bilinear language models."""

import numpy as np

from keras_fusion import layers
from tests.layers.case import Case


def log_bilinear(weights, context, modality=None):
    """Text by text, position by position, as in the paper's equations."""
    table = weights["embeddings"]
    logits = np.zeros((*context.shape[:-1], len(table)))
    for index in np.ndindex(context.shape[:-1]):
        predicted = np.zeros(table.shape[1])
        for p, word in enumerate(context[index]):
            predicted += weights["context_kernel"][p].T @ table[word]
        if modality is not None:
            predicted += weights["modality_kernel"].T @ modality[index[0]]
        for word in range(len(table)):
            logits[(*index, word)] = predicted @ table[word]
    return logits + weights["bias"]


def factored_log_bilinear(weights, context, modality):
    """Builds the table of each sample from one table for each feature."""
    words, widths = weights["word_factors"], weights["embedding_factors"]
    tables = np.einsum(
        "vf,mf,fd->mvd", words, weights["modality_factors"], widths
    )
    table = words @ widths
    logits = np.zeros((*context.shape[:-1], len(words)))
    for index in np.ndindex(context.shape[:-1]):
        x = modality[index[0]]
        predicted = weights["modality_kernel"].T @ x
        for p, word in enumerate(context[index]):
            predicted = predicted + weights["context_kernel"][p].T @ table[word]
        gated = sum(x[m] * tables[m] for m in range(len(x)))
        logits[index] = gated @ predicted
    return logits + weights["bias"]


# Small weights keep the products of three inputs in the range of float16.
MODALITY_FACTORS = np.linspace(-0.05, 0.06, 24).reshape(4, 6)
MODALITY_KERNEL = np.linspace(-0.06, 0.05, 20).reshape(4, 5)

CASES = [
    Case(
        "log_bilinear_of_text",
        lambda: layers.LogBilinear(7, 5),
        ((6, 3),),
        log_bilinear,
        indices={0: 7},
    ),
    Case(
        "log_bilinear",
        lambda: layers.LogBilinear(7, 5),
        ((6, 3), (6, 4)),
        log_bilinear,
        indices={0: 7},
    ),
    Case(
        "log_bilinear_of_windows",
        lambda: layers.LogBilinear(7, 5),
        ((6, 2, 3), (6, 4)),
        log_bilinear,
        indices={0: 7},
    ),
    Case(
        "factored_log_bilinear",
        lambda: layers.FactoredLogBilinear(7, 5, factors=6),
        ((6, 3), (6, 4)),
        factored_log_bilinear,
        {
            "modality_factors": MODALITY_FACTORS,
            "modality_kernel": MODALITY_KERNEL,
        },
        {0: 7},
    ),
    Case(
        "factored_log_bilinear_of_windows",
        lambda: layers.FactoredLogBilinear(7, 5, factors=6),
        ((6, 2, 3), (6, 4)),
        factored_log_bilinear,
        {
            "modality_factors": MODALITY_FACTORS,
            "modality_kernel": MODALITY_KERNEL,
        },
        {0: 7},
    ),
]
