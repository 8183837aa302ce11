import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import TransformerFusion
from tests.layers.gradients import gradients


def arrays(rng):
    shapes = [(4, 3), (4, 6, 5), (4, 2)]
    return [rng.normal(size=shape).astype("float32") for shape in shapes]


def fuse(layer, *arguments, **kwargs):
    return ops.convert_to_numpy(layer(*arguments, **kwargs))


@pytest.mark.parametrize("blocks", [1, 2])
def test_absent_modality_does_not_matter(rng, blocks):
    xs, others = arrays(rng), arrays(rng)
    layer = TransformerFusion(8, num_blocks=blocks)
    presence = np.array([[1, 1, 1], [1, 0, 1], [0, 1, 0], [0, 0, 0]])
    before = fuse(layer, xs, presence)
    for m in range(3):
        mixed = [*xs[:m], others[m], *xs[m + 1 :]]
        changed = np.abs(fuse(layer, mixed, presence) - before).max(axis=1)
        assert np.all((changed > 1e-4) == presence[:, m])


def test_presence_of_all_is_the_default(rng):
    xs, layer = arrays(rng), TransformerFusion(8)
    np.testing.assert_allclose(
        fuse(layer, xs, np.ones((4, 3), bool)),
        fuse(layer, xs),
        rtol=1e-4,
        atol=1e-5,
    )


def test_sample_with_nothing_present_is_the_fusion_token_alone(rng):
    layer = TransformerFusion(8)
    fused = [fuse(layer, arrays(rng), np.zeros((4, 3))) for _ in range(2)]
    assert np.all(np.isfinite(fused))
    np.testing.assert_allclose(np.ptp(fused, axis=(0, 1)), 0, atol=1e-6)


def test_absent_modality_sends_no_gradient(rng):
    layer = TransformerFusion(8)
    xs = arrays(rng)
    presence = np.array([[1, 0, 1]] * 4)
    upstream = rng.normal(size=(4, 8)).astype("float32")
    fuse(layer, xs, presence)
    by_input, _ = gradients(layer, xs, [upstream], presence=presence)
    sizes = [np.abs(gradient).max() for gradient in by_input]
    assert sizes[0] > 1e-4 and sizes[2] > 1e-4
    assert sizes[1] == 0


@pytest.mark.parametrize("with_presence", [True, False])
def test_padding_that_keras_masks_does_not_matter(rng, with_presence):
    image, words = keras.Input((3,)), keras.Input((6,), dtype="int32")
    embedding = keras.layers.Embedding(9, 5, mask_zero=True)
    presence = [keras.Input((2,))] if with_presence else []
    fused = TransformerFusion(8)([image, embedding(words)], *presence)
    model = keras.Model([image, words, *presence], fused)
    inputs = [rng.normal(size=(1, 3)), np.array([[3, 5, 1, 0, 0, 0]])]
    inputs += [np.ones((1, 2))] if with_presence else []
    before = fuse(model, inputs)
    table = ops.convert_to_numpy(embedding.embeddings).copy()
    table[0] = 99
    embedding.embeddings.assign(table)
    np.testing.assert_allclose(fuse(model, inputs), before, atol=1e-6)
    table[1] = 99
    embedding.embeddings.assign(table)
    assert np.abs(fuse(model, inputs) - before).max() > 1e-2


def test_sequence_is_a_set_until_positions_are_added(rng):
    image, sequence, other = arrays(rng)
    layer = TransformerFusion(8)
    np.testing.assert_allclose(
        fuse(layer, [image, sequence[:, ::-1], other]),
        fuse(layer, [image, sequence, other]),
        rtol=1e-4,
        atol=1e-5,
    )


def test_vector_is_a_sequence_of_one(rng):
    image, sequence, other = arrays(rng)
    layer = TransformerFusion(8)
    as_vectors = fuse(layer, [image, sequence, other])
    as_sequences = fuse(layer, [image[:, None], sequence, other[:, None]])
    np.testing.assert_array_equal(as_sequences, as_vectors)


def test_projection_biases_tell_equal_modalities_apart(rng):
    x, y = rng.normal(size=(2, 4, 3)).astype("float32")
    layer = TransformerFusion(8)
    layer([x, y])
    second = layer.projections[1]
    second.kernel.assign(layer.projections[0].kernel)
    np.testing.assert_allclose(
        fuse(layer, [x, y]), fuse(layer, [y, x]), rtol=1e-4, atol=1e-5
    )
    second.bias.assign(rng.normal(size=8))
    difference = np.abs(fuse(layer, [x, y]) - fuse(layer, [y, x]))
    assert difference.max() > 1e-2


def test_dropout_acts_in_training_only(rng):
    xs = arrays(rng)
    layer = TransformerFusion(8, dropout=0.5, seed=1)
    np.testing.assert_array_equal(fuse(layer, xs), fuse(layer, xs))
    trained = [fuse(layer, xs, training=True) for _ in range(2)]
    assert np.abs(trained[0] - trained[1]).max() > 1e-2


def test_wrong_input_explains_itself(rng):
    with pytest.raises(ValueError, match="multiple of `num_heads`"):
        TransformerFusion(6, num_heads=4)
    with pytest.raises(ValueError, match="one column for each modality"):
        TransformerFusion(8)(arrays(rng), np.ones((4, 2)))


@pytest.mark.filterwarnings("ignore:In the future `np:FutureWarning")
@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="tf2onnx")
def test_onnx_gives_the_same_numbers(rng, tmp_path):
    onnxruntime = pytest.importorskip("onnxruntime")
    pytest.importorskip("tf2onnx")
    inputs = [keras.Input((5,)), keras.Input((4, 3))]
    model = keras.Model(inputs, TransformerFusion(8)(inputs))
    x = [
        rng.normal(size=(2, *symbol.shape[1:])).astype("float32")
        for symbol in inputs
    ]
    expected = ops.convert_to_numpy(model(x))
    path = tmp_path / "model.onnx"
    model.export(path, format="onnx", verbose=False)
    session = onnxruntime.InferenceSession(path)
    names = [node.name for node in session.get_inputs()]
    (outputs,) = session.run(None, dict(zip(names, x, strict=True)))
    np.testing.assert_allclose(outputs, expected, atol=1e-5)
