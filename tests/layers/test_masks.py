"""What every layer does with the Keras masks of its inputs."""

import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion import layers
from tests.layers.cases import CASES
from tests.layers.test_contract import built
from tests.layers.test_contract import flat
from tests.layers.test_contract import random_arguments

# "passes": outputs have the masks of the first argument, position by position.
# "uses": that, and what is masked changes nothing elsewhere.
# "consumes": masked positions change nothing, and are gone in the output.
# "drops": windows mix positions, so that Keras warns as for a convolution.
# "vectors": there are no positions.
MASKS = {
    layers.BilinearAttention: "uses",
    layers.BlockTermFusion: "vectors",
    layers.ChannelExchange: "passes",
    layers.CompactBilinearPooling: "vectors",
    layers.FactoredLogBilinear: "vectors",
    layers.FactorizedBilinearPooling: "vectors",
    layers.FiLM: "uses",
    layers.GatedGraph: "passes",
    layers.GatedMultimodalUnit: "vectors",
    layers.LearnedEnsemble: "uses",
    layers.LingUNet: "drops",
    layers.LocalFullyConnectedFusion: "uses",
    layers.LocallyConnected1D: "drops",
    layers.LocallyConnected2D: "drops",
    layers.LocallyConnected3D: "drops",
    layers.LocallyConnectedFusion: "uses",
    layers.LogBilinear: "vectors",
    layers.LowRankBilinearPooling: "vectors",
    layers.LowRankTensorFusion: "vectors",
    layers.MLPConv: "drops",
    layers.MissingModalityToken: "uses",
    layers.ModalityDropout: "uses",
    layers.PairwiseBilinearAttention: "uses",
    layers.Refiner: "consumes",
    layers.ResizeLike: "drops",
    layers.SqueezeExcite: "uses",
    layers.SqueezeExciteFusion: "uses",
    layers.TensorFusion: "vectors",
    layers.TextConvolution: "drops",
    layers.TextGate: "uses",
    layers.TransformerFusion: "consumes",
}


def kind(case):
    return MASKS[type(case.make())]


def cases(*kinds):
    return pytest.mark.parametrize(
        "case",
        [case for case in CASES if kind(case) in kinds],
        ids=lambda case: case.name,
    )


class MaskOf(keras.layers.Layer):
    """The mask of a tensor as numbers, or -1 where it has none."""

    def __init__(self):
        super().__init__()
        self.supports_masking = True

    def call(self, inputs, mask=None):
        if mask is None:
            return ops.full((1,), -1.0)
        return ops.cast(mask, "float32")


class Attach(keras.layers.Layer):
    """Gives its input a mask."""

    def __init__(self, mask):
        super().__init__()
        self.mask = mask

    def call(self, inputs):
        return ops.copy(inputs)

    def compute_mask(self, inputs, previous_mask=None):
        return None if self.mask is None else ops.convert_to_tensor(self.mask)


def mask_of(x):
    """Excludes the last of the first positions, and those beside it."""
    if x.ndim < 3:
        return None
    mask = np.ones(x.shape[:-1], bool)
    mask[:, -1:] = False
    return mask


def call_masked(case, layer, padding=0.0):
    """The outputs of inputs with `padding` at masked positions."""

    def attach(x):
        mask = mask_of(x)
        if mask is not None:
            x = np.where(mask[..., None], x, np.float32(padding))
        return Attach(mask)(ops.convert_to_tensor(x))

    inputs = keras.tree.map_structure(attach, random_arguments(case))
    return keras.tree.flatten(layer(*inputs))


def first_masks(case):
    return list(map(mask_of, flat(random_arguments(case)[:1])))


def test_every_public_layer_says_what_it_does_with_masks():
    assert set(MASKS) == {getattr(layers, name) for name in layers.__all__}


@cases("passes", "uses")
def test_masks_are_passed_on(case):
    outputs = call_masked(case, built(case))
    for output, mask in zip(outputs, first_masks(case), strict=False):
        received = ops.convert_to_numpy(MaskOf()(output))
        expected = np.float32([-1]) if mask is None else mask
        np.testing.assert_array_equal(received, expected)


@pytest.mark.filterwarnings("ignore:.*type (Flatten|Functional)")
@cases("consumes")
def test_masks_end_where_positions_do(case):
    for output in call_masked(case, built(case)):
        np.testing.assert_array_equal(MaskOf()(output), [-1])


@cases("drops")
def test_dropped_masks_are_told_of(case):
    with pytest.warns(UserWarning, match="does not support masking"):
        call_masked(case, built(case))


@cases("uses", "consumes")
def test_what_is_masked_changes_nothing(case):
    if type(case.make()) is layers.Refiner:
        pytest.skip("its fusion uses masks or does not")
    layer = built(case)
    outputs, others = (
        call_masked(case, layer, padding) for padding in (0.0, 50.0)
    )
    masks = first_masks(case)
    for m, (output, other) in enumerate(zip(outputs, others, strict=True)):
        output, other = map(ops.convert_to_numpy, (output, other))
        mask = masks[m] if m < len(masks) else None
        if mask is not None and output.shape[: mask.ndim] == mask.shape:
            output, other = output[mask], other[mask]
        np.testing.assert_allclose(output, other, rtol=1e-5)


def test_a_refiner_hands_masks_to_its_fusion(rng):
    fusion = layers.TransformerFusion(8, num_blocks=1)
    layer = layers.Refiner(fusion, loss="mse")
    vector = rng.normal(size=(2, 3)).astype("float32")
    texts = rng.normal(size=(2, 2, 4, 5)).astype("float32")
    texts[1, :, :3] = texts[0, :, :3]
    mask = np.arange(4) < np.full((2, 1), 3)
    outputs = [
        ops.convert_to_numpy(layer([vector, Attach(mask)(text)]))
        for text in map(ops.convert_to_tensor, texts)
    ]
    np.testing.assert_allclose(*outputs, rtol=1e-5)
