import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import BlockTermFusion
from keras_fusion.layers import LowRankBilinearPooling
from tests.layers.precision import DOUBLE

pytestmark = pytest.mark.usefixtures("double_precision")


def array(weight):
    return ops.convert_to_numpy(weight)


def affine(dense, x):
    return x @ array(dense.kernel) + array(dense.bias)


def one_block(rank, **kwargs):
    return BlockTermFusion(
        3,
        projection_units=4,
        num_blocks=1,
        rank=rank,
        normalize=False,
        dtype="float64",
        **kwargs,
    )


def test_case_7_one_block_is_a_tucker_fusion_of_bounded_slice_rank(rng):
    x, y = rng.normal(size=(6, 5)), rng.normal(size=(6, 7))
    layer = one_block(rank=2)
    fused = array(layer([x, y]))
    m, n = (array(core.kernel)[0] for core in layer.cores[0])
    core = np.einsum("irt,jrt->ijt", m, n)
    for t in range(4):
        assert np.linalg.matrix_rank(core[:, :, t]) <= 2
    p, q = (
        affine(dense, z)
        for dense, z in zip(layer.projections, (x, y), strict=True)
    )
    joint = np.einsum("bi,bj,ijt->bt", p, q, core)
    expected = affine(layer.output_projection, joint)
    np.testing.assert_allclose(fused, expected, rtol=DOUBLE)


def test_case_7_rank_one_with_cores_that_copy_is_low_rank_pooling(rng):
    modalities = [rng.normal(size=(6, 5)), rng.normal(size=(6, 7))]
    layer = one_block(rank=1)
    layer(modalities)
    for core in layer.cores[0]:
        core.kernel.assign(np.eye(4)[None, :, None])
    low_rank = LowRankBilinearPooling(3, 4, activation=None, dtype="float64")
    low_rank(modalities)
    low_rank.set_weights(
        [
            *(w for p in layer.projections for w in p.get_weights()),
            *layer.output_projection.get_weights(),
        ]
    )
    np.testing.assert_allclose(
        array(layer(modalities)), array(low_rank(modalities)), rtol=DOUBLE
    )


def test_case_7_uneven_blocks_are_those_of_the_paper():
    layer = BlockTermFusion(3000, num_blocks=18)
    assert layer.block_sizes == [89] * 17 + [87]


def test_blocks_do_not_meet_each_other(rng):
    x, y = rng.normal(size=(2, 6)), rng.normal(size=(2, 6))
    layer = BlockTermFusion(6, 6, num_blocks=3, rank=2, dtype="float64")
    layer([x, y])
    for dense in (*layer.projections, layer.output_projection):
        dense.kernel.assign(np.eye(6))
    before = array(layer([x, y]))
    x[:, 2] += 1
    changed = np.any(array(layer([x, y])) != before, axis=0)
    assert changed.tolist() == [False, False, True, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "millions"),
    [
        ({"num_blocks": 18}, 23.35),
        ({"projection_units": 700, "num_blocks": 1, "rank": 10}, 18.15),
    ],
)
def test_weights_of_the_published_classifiers(arguments, millions):
    layer = BlockTermFusion(3000, **arguments)
    layer.build([(None, 4800), (None, 4096)])
    assert round(layer.count_params() / 1e6, 2) == millions


def test_more_blocks_than_fit_explain_themselves():
    with pytest.raises(ValueError, match="`num_blocks` must be at most 5"):
        BlockTermFusion(2, projection_units=10, num_blocks=6)
