import keras
import numpy as np
import pytest

from keras_fusion.losses import AsymmetricLoss
from keras_fusion.losses import KnownLabelLoss


@pytest.fixture
def labeled(rng):
    logits = rng.normal(size=(6, 5)).astype("float32") * 3
    return rng.integers(2, size=(6, 5)).astype("float32"), logits


def test_without_gammas_it_is_binary_cross_entropy(labeled):
    truth, logits = labeled
    expected = keras.losses.BinaryCrossentropy(from_logits=True)(truth, logits)
    loss = AsymmetricLoss(0.0, 0.0, clip=0.0)
    assert float(loss(truth, logits)) == pytest.approx(float(expected))
    assert float(KnownLabelLoss()(truth, logits)) == pytest.approx(
        float(expected)
    )


def test_equal_gammas_without_clip_are_keras_focal_loss(labeled):
    truth, logits = labeled
    focal = keras.losses.BinaryFocalCrossentropy(gamma=2.5, from_logits=True)
    expected = float(focal(truth, logits))
    loss = AsymmetricLoss(2.5, 2.5, clip=0.0)
    assert float(loss(truth, logits)) == pytest.approx(expected, rel=1e-5)
    assert float(KnownLabelLoss(focal)(truth, logits)) == pytest.approx(
        expected, rel=1e-5
    )


def test_published_formula_by_hand(labeled):
    truth, logits = labeled
    p = 1 / (1 + np.exp(-logits.astype("float64")))
    q = np.maximum(p - 0.05, 0)
    positive = -(1 - p) * np.log(p)
    negative = -(q**4) * np.log(1 - q)
    expected = np.where(truth == 1, positive, negative).mean()
    value = float(AsymmetricLoss()(truth, logits))
    assert value == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize("loss", [AsymmetricLoss(), KnownLabelLoss()])
def test_unknown_labels_count_for_nothing(labeled, loss):
    truth, logits = labeled
    truth[:, 3:] = -1
    expected = float(loss(truth[:, :3], logits[:, :3]))
    assert float(loss(truth, logits)) == pytest.approx(expected)
    logits[:, 3:] += 5
    assert float(loss(truth, logits)) == pytest.approx(expected)
    assert float(loss(np.full_like(truth, -1), logits)) == 0


def test_far_logits_have_finite_gradients():
    model = keras.Sequential([keras.Input((2,)), keras.layers.Dense(2)])
    model.set_weights([np.eye(2), np.zeros(2)])
    model.compile("sgd", AsymmetricLoss(0.5, 0.5, clip=0.05))
    x = np.array([[200.0, -200.0], [-200.0, 200.0]], "float32")
    model.fit(x, np.array([[1, 0], [1, 0]]), epochs=1, verbose=0)
    assert all(np.isfinite(w).all() for w in model.get_weights())


def test_wrong_arguments_explain_themselves():
    with pytest.raises(ValueError, match="at least 0"):
        AsymmetricLoss(-1.0)
    with pytest.raises(ValueError, match="`clip` from 0 to less than 1"):
        AsymmetricLoss(clip=1.0)
    with pytest.raises(ValueError, match="must be a keras.losses.Loss"):
        KnownLabelLoss("binary_crossentropy")
