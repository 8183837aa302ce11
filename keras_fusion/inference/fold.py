from collections.abc import Collection
from typing import NamedTuple

import keras

from keras_fusion.inference.channel_reads import find_reads
from keras_fusion.inference.ensembles import find_merges
from keras_fusion.inference.fold_report import FoldReport
from keras_fusion.inference.graph import read_graph
from keras_fusion.inference.multiplications import count_multiplications
from keras_fusion.inference.normalizations import find_foldable
from keras_fusion.inference.rewriting import Rewriting


class Folded(NamedTuple):
    """What `keras_fusion.inference.fold` returns.

    Attributes:
        model: The new `keras.Model`.
        report: `FoldReport`, what was done to it.
    """

    model: keras.Model
    report: FoldReport


def fold(model: keras.Model, outputs: Collection[str] | None = None) -> Folded:
    """Makes an equal model for prediction that computes less.

    A normalization by moving statistics, `BatchNormalization` of Keras or
    `ChannelExchange`, goes into the kernel and bias of the convolution, dense
    or locally connected layer before it. A convolution that modalities share
    becomes one for each of them then.

    A channel that a modality exchanges is not computed for it: its donor's
    is taken, of several donors the mean. A channel that nobody reads, or that
    is only ever multiplied by zeros, is cut out of the convolution that
    computes it and out of those behind it. Layers that do nothing in
    prediction, such as `Dropout`, go.

    Where the outputs of the branches themselves are not asked for, the
    `LearnedEnsemble` of what the same linear layers make of each branch
    becomes these layers of the weighted sum of the branches.

    The model given stays as it is. The new one has the same inputs, is not
    compiled and is not meant to be trained. It needs this package only where
    it keeps one of its layers. Statistics, scales and ensemble weights are
    those of the moment: fold after training.

    What cannot be folded is left alone: a normalization behind a layer of
    another class, behind an activation, or behind a layer that others read
    too, and normalizations by the statistics of each sample. The report names
    them. Nested models are folded on their own.

    Args:
        model: A functional `keras.Model`, or a sequential one that has been
            built.
        outputs: List of names of the outputs to keep, of a model that returns
            a dict. What only the others need is not computed. All are kept
            by default.

    Returns:
        `keras_fusion.inference.Folded`: the new model and a
        `keras_fusion.inference.FoldReport`.

    Raises:
        ValueError: If the model is not a functional one, or `outputs` are not
            among its outputs.

    Example:

    >>> images = keras.Input((8, 8, 3))
    >>> maps = keras.layers.Conv2D(4, 3, padding="same")(images)
    >>> model = keras.Model(images, keras.layers.BatchNormalization()(maps))
    >>> folded, report = keras_fusion.inference.fold(model)
    >>> print(report)
    Folded 1 normalizations, merged 0 ensembles, cut 0 channels: 6,912
    multiplications before, 6,912 after.
    >>> [type(layer).__name__ for layer in folded.layers]
    ['InputLayer', 'Conv2D']

    Reference:

    - [Jacob et al., 2018](https://arxiv.org/abs/1712.05877), section 3.2, for
      batch normalization.
    """
    graph = read_graph(model, outputs)
    foldable, left = find_foldable(graph)
    merges = find_merges(graph)
    whole = {call for merge in merges.values() for call in merge.taken}
    reads = find_reads(graph, foldable, whole)
    rewriting = Rewriting(graph, foldable, merges, reads, fold)
    folded = rewriting.model()
    report = FoldReport(
        tuple(dict.fromkeys(call.name for call in foldable))
        + rewriting.nested_folded,
        tuple(call.name for call in merges),
        {**left, **rewriting.nested_left},
        rewriting.channels_cut,
        count_multiplications(model, outputs),
        count_multiplications(folded),
    )
    return Folded(folded, report)
