import numpy as np
import pytest
from keras import ops

from keras_fusion import losses
from tests.gradients import gradients

KINDS = [
    losses.RefinerCosineLoss,
    losses.RefinerContrastiveLoss,
    losses.RefinerMultiSimilarityLoss,
]
IN_BATCH = KINDS[1:]


def on_circle(*degrees):
    angles = np.radians(degrees)
    return np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")


def values(loss, targets, rebuilt):
    return ops.convert_to_numpy(
        loss.call(
            ops.convert_to_tensor(targets), ops.convert_to_tensor(rebuilt)
        )
    )


# Section 10, case 1.
GOLDEN = dict(
    zip(KINDS, [0.0547863634, 0.0182949559, 0.2001516266], strict=True)
)


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("length", [1.0, 7.0])
def test_golden_mean(kind, length):
    mean = float(kind()(on_circle(10, 30, 60), length * on_circle(0, 40, 90)))
    assert mean == pytest.approx(GOLDEN[kind], abs=1e-6)


@pytest.mark.parametrize("kind", IN_BATCH)
def test_only_the_sample_that_is_too_close_to_others_learns(kind):
    each = values(kind(), on_circle(10, 30, 60), on_circle(0, 40, 90))
    assert (each > 0).tolist() == [False, True, False]


def unit(x):
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_in_batch_losses_agree_with_a_loop_over_pairs(rng):
    targets, rebuilt = rng.normal(size=(2, 9, 4)).astype("float32")
    s = unit(rebuilt) @ unit(targets).T
    contrastive, similarity = np.zeros(9), np.zeros(9)
    for i in range(9):
        close = [j for j in range(9) if j != i and s[i, j] + 0.1 > s[i, i]]
        if close:
            contrastive[i] = np.mean([0.1 + s[i, j] - s[i, i] for j in close])
            pushed = sum(np.exp(50 * (s[i, j] - 0.5)) for j in close)
            similarity[i] = np.log1p(np.exp(-2 * (s[i, i] - 0.5))) / 2
            similarity[i] += np.log1p(pushed) / 50
    for kind, expected in zip(IN_BATCH, (contrastive, similarity), strict=True):
        np.testing.assert_allclose(
            values(kind(), targets, rebuilt), expected, rtol=1e-4, atol=1e-6
        )


@pytest.mark.parametrize("scale", [0.5, 1.0, 40.0])
def test_cosine_is_0_along_the_target_and_2_against_it(rng, scale):
    targets = rng.normal(size=(5, 4)).astype("float32")
    loss = losses.RefinerCosineLoss()
    assert np.allclose(values(loss, targets, scale * targets), 0, atol=1e-6)
    assert np.allclose(values(loss, targets, -scale * targets), 2, atol=1e-6)


def test_cosine_gradient_turns_the_vector_and_keeps_its_length(rng):
    targets, rebuilt = rng.normal(size=(2, 5, 4)).astype("float32")
    slopes = gradients(losses.RefinerCosineLoss().call, targets, rebuilt)[1]
    along = np.sum(slopes * rebuilt, axis=1)
    assert np.allclose(along, 0, atol=1e-6)
    cosine = np.sum(unit(targets) * unit(rebuilt), axis=1)
    expected = np.sqrt(1 - cosine**2) / np.linalg.norm(rebuilt, axis=1)
    np.testing.assert_allclose(
        np.linalg.norm(slopes, axis=1), expected, rtol=1e-4
    )


@pytest.mark.parametrize("kind", KINDS)
def test_zero_vectors_and_single_samples_stay_finite(kind, rng):
    x = rng.normal(size=(4, 3)).astype("float32")
    zeros = np.zeros_like(x)
    for targets, rebuilt in ((x, zeros), (zeros, x), (zeros, zeros), (x, x)):
        for part in (slice(None), slice(1)):
            pair = targets[part], rebuilt[part]
            assert np.all(np.isfinite(values(kind(), *pair)))
            for slopes in gradients(kind().call, *pair):
                assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize("kind", IN_BATCH)
def test_long_vectors_stay_finite(kind, rng):
    targets, rebuilt = rng.normal(size=(2, 16, 768)).astype("float32") * 30
    assert np.all(np.isfinite(values(kind(), targets, rebuilt)))
    for slopes in gradients(kind().call, targets, rebuilt):
        assert np.all(np.isfinite(slopes))


@pytest.mark.parametrize("kind", IN_BATCH)
def test_target_of_zeros_is_nobodys_rival(kind, rng):
    targets, rebuilt = rng.normal(size=(2, 6, 3)).astype("float32")
    fewer = values(kind(), targets[1:], rebuilt[1:])
    targets[0] = 0
    each = values(kind(), targets, rebuilt)
    np.testing.assert_allclose(each[1:], fewer, rtol=1e-6)
    assert each[0] == 0
    slopes = gradients(kind().call, targets, rebuilt)[1]
    assert not np.any(slopes[0])
    assert np.any(slopes[1:])


@pytest.mark.parametrize("kind", KINDS)
def test_target_that_is_no_number_gives_nan(kind, rng):
    targets, rebuilt = rng.normal(size=(2, 6, 3)).astype("float32")
    targets[2, 1] = np.nan
    assert np.isnan(values(kind(), targets, rebuilt)[2])


def test_wrong_scale_explains_itself():
    with pytest.raises(ValueError, match="must be above 0"):
        losses.RefinerMultiSimilarityLoss(positive_scale=-1)
