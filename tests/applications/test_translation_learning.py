"""The steps of the generator and the discriminator, by another route."""

import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf

from applications import checkpoints
from applications import training
from applications.image_translation import model as model_module
from applications.image_translation.config import ENSEMBLE
from applications.image_translation.config import PRESETS
from applications.image_translation.config import Config
from applications.image_translation.config import output_names

TINY = Config(
    modalities=("a", "b"),
    target="c",
    target_channels=3,
    width=2,
    depth=3,
    dropout=0.0,
    judge_width=2,
    judge_stages=1,
    side=8,
    margin=0,
    batch_size=4,
)


@pytest.fixture
def batch(rng):
    def images(channels=3):
        return tf.constant(rng.uniform(-1, 1, (4, 8, 8, channels)), "float32")

    target = images()
    inputs = {"a": images(), "b": images()}
    return inputs, dict.fromkeys(("a", "b", ENSEMBLE), target)


def build(**changes):
    keras.utils.set_random_seed(1)
    config = dataclasses.replace(TINY, **changes)
    with training.precision(config.precision):
        model = model_module.build_model(config)
    # Quicker than to trace a graph for a few steps.
    model.run_eagerly = True
    return model


def plain(model, eager=True, config=TINY, rate=0.1):
    """The model with SGD, whose steps are the gradients."""
    model.discriminator_optimizer = keras.optimizers.SGD(rate)
    model.discriminator_optimizer.build(model.discriminator.trainable_variables)
    names = output_names(config)
    model.compile(
        keras.optimizers.SGD(rate),
        loss=dict.fromkeys(names, "mean_absolute_error"),
        loss_weights=dict.fromkeys(names, config.reconstruction),
        run_eagerly=eager,
    )
    return model


def crossentropy(logits, label):
    losses = keras.losses.binary_crossentropy(
        np.full(logits.shape, label, "float32"), logits, from_logits=True
    )
    return tf.reduce_mean(losses)


def values(weights):
    return [weight.numpy() for weight in weights]


def test_a_step_is_the_published_one(batch):
    model, rate = plain(build()), 0.1
    inputs, targets = batch
    before_d = values(model.discriminator.trainable_variables)
    before_g = values(model.generator.trainable_variables)

    def judged(name, image):
        pair = {"condition": inputs[name], "image": image}
        return model.discriminator(pair)["logits"]

    with tf.GradientTape() as tape:
        made = model.generator(inputs)
        loss = sum(
            (
                crossentropy(judged(name, targets[name]), 1)
                + crossentropy(judged(name, made[name]), 0)
            )
            / 2
            for name in ("a", "b")
        )
    gradients = tape.gradient(loss, model.discriminator.trainable_variables)
    expected_d = [
        w - rate * g for w, g in zip(before_d, gradients, strict=True)
    ]

    # The generator is judged by what the discriminator has just learned.
    for weight, value in zip(
        model.discriminator.trainable_variables, expected_d, strict=True
    ):
        weight.assign(value)
    with tf.GradientTape() as tape:
        made = model.generator(inputs)
        loss = sum(crossentropy(judged(name, made[name]), 1) for name in "ab")
        loss += 100 * sum(
            tf.reduce_mean(tf.abs(made[name] - targets[name])) for name in made
        )
        loss += sum(model.generator.losses)
    gradients = tape.gradient(loss, model.generator.trainable_variables)
    expected_g = [
        w - rate * g for w, g in zip(before_g, gradients, strict=True)
    ]

    for weights, start in (
        (model.discriminator.trainable_variables, before_d),
        (model.generator.trainable_variables, before_g),
    ):
        for weight, value in zip(weights, start, strict=True):
            weight.assign(value)
    logs = model.train_on_batch(*batch, return_dict=True)
    assert logs["loss"] == pytest.approx(float(loss), rel=1e-4)
    for weights, expected in (
        (model.discriminator.trainable_variables, expected_d),
        (model.generator.trainable_variables, expected_g),
    ):
        for weight, value in zip(weights, expected, strict=True):
            np.testing.assert_allclose(weight, value, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("fusion", ["exchange", "concat"])
def test_every_weight_of_both_networks_moves(batch, fusion):
    model = build(fusion=fusion)
    inputs, targets = batch
    targets = {name: targets["a"] for name in model.output}
    before = values(model.trainable_variables)
    model.train_on_batch(inputs, targets)
    model.train_on_batch(inputs, targets)
    for weight, value in zip(model.trainable_variables, before, strict=True):
        # A bias before a normalization of each image changes nothing.
        if "conv/bias" not in weight.path:
            assert (weight.numpy() != value).any(), weight.path


def test_without_a_weight_the_discriminator_learns_nothing(batch):
    model = build(adversarial=0.0)
    before = values(model.discriminator.variables)
    logs = model.train_on_batch(*batch, return_dict=True)
    assert not {"generator_loss", "discriminator_loss"} & set(logs)
    for weight, value in zip(
        model.discriminator.variables, before, strict=True
    ):
        np.testing.assert_array_equal(weight, value)
    # What is left is the training of the generator by itself.
    generator = build(adversarial=0.0).generator
    names = output_names(TINY)
    generator.compile(
        model_module.make_optimizer(TINY),
        loss=dict.fromkeys(names, "mean_absolute_error"),
        loss_weights=dict.fromkeys(names, TINY.reconstruction),
        run_eagerly=True,
    )
    generator.train_on_batch(*batch)
    for one, two in zip(
        model.generator.variables, generator.variables, strict=True
    ):
        np.testing.assert_allclose(one, two, atol=1e-6)


def test_a_validation_reports_every_output_and_judges_nothing(batch):
    model = build()
    logs = model.test_on_batch(*batch, return_dict=True)
    assert {"a_l1", "b_l1", "ensemble_l1", "loss"} <= set(logs)
    assert not {"generator_loss", "discriminator_loss"} & set(logs)
    inputs, targets = batch
    made = model.generator(inputs)
    expected = np.abs(made["a"] - targets["a"]).mean() / 2
    assert logs["a_l1"] == pytest.approx(expected, rel=1e-5)


def test_two_replicas_train_as_one(batch, two_replicas):
    trained = []
    for strategy in (tf.distribute.get_strategy(), two_replicas):
        with strategy.scope():
            model = plain(build(), eager=False)
        dataset = tf.data.Dataset.from_tensors(batch).unbatch().batch(4)
        logs = model.fit(dataset, epochs=2, shuffle=False, verbose=0).history
        trained.append((values(model.trainable_variables), logs))
    (one, one_logs), (two, two_logs) = trained
    for first, second in zip(one, two, strict=True):
        np.testing.assert_allclose(first, second, rtol=1e-3, atol=1e-4)
    for name in one_logs:
        np.testing.assert_allclose(
            one_logs[name], two_logs[name], rtol=1e-3, err_msg=name
        )


@pytest.mark.parametrize("precision", ["mixed_float16", "mixed_bfloat16"])
def test_half_precision_stays_finite(batch, precision):
    model = build(precision=precision)
    scaled = precision == "mixed_float16"
    for optimizer in (model.optimizer, model.discriminator_optimizer):
        kind = keras.optimizers.LossScaleOptimizer
        assert isinstance(optimizer, kind) == scaled
    before = values(model.trainable_variables)
    # The first scales of the loss are too large, and halved.
    for _ in range(12):
        logs = model.train_on_batch(*batch, return_dict=True)
    assert all(np.isfinite(value) for value in logs.values())
    after = values(model.trainable_variables)
    assert all(np.isfinite(x).all() and x.dtype == "float32" for x in after)
    moved = [(x != y).any() for x, y in zip(before, after, strict=True)]
    # Of the discriminator, whose weights come last, too.
    assert moved[0] and any(moved[-4:])


def test_checkpoints_and_files_keep_both_optimizers(batch, tmp_path):
    model = build()
    for _ in range(3):
        model.train_on_batch(*batch)
    checkpoints.save(tmp_path, model, checkpoints.State(1, [], {}))
    restored = build()
    checkpoints.restore(tmp_path, restored)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    loaded.run_eagerly = True
    assert loaded.adversarial == model.adversarial
    for other in (restored, loaded):
        pairs = [(model, other)]
        pairs += [(model.optimizer, other.optimizer)]
        pairs += [
            (model.discriminator_optimizer, other.discriminator_optimizer)
        ]
        for one, two in pairs:
            for first, second in zip(one.variables, two.variables, strict=True):
                np.testing.assert_array_equal(first, second)
    # They go on alike.
    for other in (model, restored, loaded):
        other.train_on_batch(*batch)
    for other in (restored, loaded):
        for first, second in zip(
            model.trainable_variables, other.trainable_variables, strict=True
        ):
            np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_published_networks_are_as_large_as_published():
    """Built by their shapes alone; the generator takes 220 MB."""
    config = dataclasses.replace(PRESETS["published"], target_channels=3)
    model = model_module.build_model(config)
    assert model.generator.count_params() == 54_431_633
    assert model.discriminator.count_params() == 2_769_731
    assert config.epochs == 300 and config.batch_size == 1
    assert float(model.optimizer.learning_rate) == pytest.approx(2e-4)
    for optimizer in (model.optimizer, model.discriminator_optimizer):
        assert (optimizer.beta_1, optimizer.beta_2) == (0.5, 0.999)
