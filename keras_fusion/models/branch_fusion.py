"""The ways in which the branches of an encoder meet, by name.

An entry of `FUSIONS` is called behind every stage with the list of branches,
the stage's number and the numbers of the stages in which branches may meet.
It returns the branches for the next stage and the list of maps for the
decoder: as many as there are branches, or a single one. The latter has to be
one in every stage, wherever the branches may meet.
"""

import keras

from keras_fusion.layers import SqueezeExciteFusion
from keras_fusion.models.resnet_encoder import channel_axis


def branches_apart(branches, stage, stages):
    return branches, branches


def concatenation(branches, stage, stages):
    axis = channel_axis()
    wide = keras.layers.Concatenate(axis, name=f"stage{stage}_concatenate")
    reduce = keras.layers.Conv2D(
        branches[0].shape[axis], 1, use_bias=False, name=f"stage{stage}_reduce"
    )
    return branches, [reduce(wide(branches))]


def addition(branches, stage, stages):
    total = keras.layers.Add(name=f"stage{stage}_sum")
    return branches, [total(branches)]


def squeeze_excite_gates(branches, stage, stages):
    if stage in stages:
        branches = SqueezeExciteFusion(name=f"stage{stage}_gates")(branches)
    return branches, branches


# "exchange" acts inside the bottlenecks, in their second normalization.
FUSIONS = {
    "exchange": branches_apart,
    "none": branches_apart,
    "concat": concatenation,
    "sum": addition,
    "squeeze_excite": squeeze_excite_gates,
}
