import keras
import numpy as np
import pytest
from keras import ops

from keras_fusion.layers import CompactBilinearPooling

pytestmark = pytest.mark.usefixtures("double_precision")


def run(layer, modalities):
    return ops.convert_to_numpy(layer(modalities))


def plain(units, **kwargs):
    return CompactBilinearPooling(units, normalize=False, **kwargs)


def test_case_6_is_the_sketch_of_the_outer_product(rng):
    x, y = rng.normal(size=(3, 5)), rng.normal(size=(3, 4))
    layer = plain(11, dtype="float64")
    fused = run(layer, [x, y])
    indices = [ops.convert_to_numpy(p) for p in layer.hash_indices]
    signs = [ops.convert_to_numpy(s) for s in layer.signs]
    index = (indices[0][:, None] + indices[1]) % 11
    sign = np.outer(*signs)
    for sample in range(3):
        expected = np.bincount(
            index.ravel(), (sign * np.outer(x[sample], y[sample])).ravel(), 11
        )
        np.testing.assert_allclose(fused[sample], expected, atol=1e-12)


def many_sketches(vectors, draws, units):
    """Sketches of the same vectors by many draws of indices and signs.

    One layer holds all draws, each in units of its own; a second modality
    that is one number, put at index zero, leaves its sketch as it is.
    """
    width = vectors.shape[1]
    layer = plain(draws * units, seed=1)
    layer.build([(None, draws * width), (None, 1)])
    drawn = ops.convert_to_numpy(layer.hash_indices[0]).reshape(draws, width)
    offsets = units * np.arange(draws)[:, None]
    layer.hash_indices[0].assign((drawn % units + offsets).ravel())
    layer.hash_indices[1].assign([0])
    layer.signs[1].assign([1])
    tiled = np.tile(vectors, draws).astype("float32")
    sketches = layer([tiled, np.ones((len(vectors), 1), "float32")])
    return ops.convert_to_numpy(sketches).reshape(-1, draws, units)


def test_case_6_inner_products_are_unbiased_and_their_variance_bounded(rng):
    draws, units = 20000, 16
    u, v = rng.normal(size=(2, 8))
    sketches = many_sketches(np.stack([u, v]), draws, units)
    products = np.sum(sketches[0] * sketches[1], axis=1)
    standard_error = products.std() / np.sqrt(draws)
    assert abs(products.mean() - u @ v) <= 4 * standard_error
    bound = ((u @ u) * (v @ v) + (u @ v) ** 2) / units
    # The spread of an estimated variance, were the products normal.
    assert products.var() <= bound * (1 + 4 * np.sqrt(2 / draws))


def test_hash_indices_and_signs_cover_their_range():
    layer = CompactBilinearPooling(7, seed=0)
    layer.build([(None, 500), (None, 500)])
    for indices, signs in zip(layer.hash_indices, layer.signs, strict=True):
        assert set(ops.convert_to_numpy(indices)) == set(range(7))
        assert set(ops.convert_to_numpy(signs)) == {-1, 1}
    first, second = (ops.convert_to_numpy(p) for p in layer.hash_indices)
    assert np.any(first != second)


def test_case_6_draws_survive_reload_and_follow_the_seed(rng, tmp_path):
    x = [rng.normal(size=(3, 5)), rng.normal(size=(3, 4))]
    inputs = [keras.Input((5,)), keras.Input((4,))]
    model = keras.Model(inputs, CompactBilinearPooling(50)(inputs))
    model.save(tmp_path / "model.keras")
    loaded = keras.saving.load_model(tmp_path / "model.keras")
    np.testing.assert_array_equal(run(model, x), run(loaded, x))
    layers = [CompactBilinearPooling(50, seed=seed) for seed in (1, 1, 2)]
    seeded = [run(layer, x) for layer in layers]
    np.testing.assert_array_equal(seeded[0], seeded[1])
    assert np.any(seeded[0] != seeded[2])


def test_order_of_modalities_does_not_matter(rng):
    x, y = rng.normal(size=(3, 5)), rng.normal(size=(3, 4))
    first, second = plain(12, dtype="float64"), plain(12, dtype="float64")
    fused = run(first, [x, y])
    second([y, x])
    for m in range(2):
        second.hash_indices[m].assign(first.hash_indices[1 - m])
        second.signs[m].assign(first.signs[1 - m])
    np.testing.assert_allclose(run(second, [y, x]), fused, atol=1e-12)
