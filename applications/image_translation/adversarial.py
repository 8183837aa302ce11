"""A generator and a discriminator that learn in turn, in one `keras.Model`."""

from typing import Any

import keras
import tensorflow as tf
from keras import ops

from applications.image_translation.config import ENSEMBLE
from keras_fusion.replicas import replicas

# The discriminator learns half as fast as the generator that it judges.
DISCRIMINATOR_SHARE = 0.5


@keras.saving.register_keras_serializable(package="image_translation")
def l1(target: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
    """Mean absolute difference of each sample, of images from 0 to 1."""
    error = ops.abs(ops.cast(target, "float32") - ops.cast(image, "float32"))
    return ops.mean(error, axis=(1, 2, 3)) / 2


@keras.saving.register_keras_serializable(package="image_translation")
class ImageTranslator(keras.Model):
    """A generator that learns to satisfy a discriminator too.

    Called, saved in part or exported it is its generator. In a step of
    training the generator makes its images once. The discriminator learns to
    tell them from the target, beside each modality's own image; then, judged
    by what it has learned, the generator learns. As published, the image of
    each branch is judged, beside its modality, and that of the ensemble is
    not; where the branches are joined, their image is judged beside each.

    The losses, averaged over samples and patches, are

        discriminator: sum over m of (BCE(D(x[m], y), 1)
                                      + BCE(D(x[m], G[m]), 0)) / 2
        generator:     adversarial * sum over m of BCE(D(x[m], G[m]), 1)
                       + what it is compiled with + penalties of its layers

    Args:
        generator: A model from a dict of modalities to a dict of images.
        discriminator: A model from a dict of `"condition"` and `"image"` to
            a dict of `"logits"`, above 0 for real images.
        discriminator_optimizer: Its optimizer; `compile` takes the
            generator's.
        adversarial: Float, weight of what the discriminator says. With 0 it
            is never asked, and learns nothing.
    """

    def __init__(
        self,
        generator: keras.Model,
        discriminator: keras.Model,
        discriminator_optimizer: keras.optimizers.Optimizer,
        adversarial: float = 1.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.generator = generator
        self.discriminator = discriminator
        self.discriminator_optimizer = discriminator_optimizer
        self.adversarial = adversarial
        discriminator_optimizer.build(discriminator.trainable_variables)
        self.judgements = {
            name: keras.metrics.Mean(name=name)
            for name in ("generator_loss", "discriminator_loss")
        }
        # Builds it.
        self(generator.input)

    @property
    def input(self) -> dict:
        return self.generator.input

    @property
    def output(self) -> dict:
        return self.generator.output

    def call(self, inputs: dict, training: bool | None = None) -> dict:
        # TensorFlow sorts the names of a dict.
        inputs = {name: inputs[name] for name in self.generator.input}
        return self.generator(inputs, training=training)

    def compile(self, optimizer: Any, **kwargs: Any) -> None:
        super().compile(optimizer, **kwargs)
        # Of the weights that it trains, not of all.
        if not self.optimizer.built:
            self.optimizer.build(self.generator.trainable_variables)

    def compile_from_config(self, config: dict[str, Any]) -> None:
        self.compile(**keras.saving.deserialize_keras_object(config))

    def train_step(self, data: Any) -> dict[str, tf.Tensor]:
        x, y, _ = keras.utils.unpack_x_y_sample_weight(data)
        with tf.GradientTape() as tape:
            images = self(x, training=True)
            loss = self.compute_loss(x=x, y=y, y_pred=images, training=True)
            if self.adversarial:
                with tape.stop_recording():
                    self._train_discriminator(x, y, images)
                deceived = self._on_average(
                    _crossentropy(self._judge(x[name], image), real=True)
                    for name, image in self._judged(x, images)
                )
                loss += self.adversarial * deceived
                self._record("generator_loss", deceived)
            scaled = self.optimizer.scale_loss(loss)
        _apply(self.optimizer, tape, scaled, self.generator.trainable_variables)
        (tracker,) = [m for m in self.metrics if m.name == "loss"]
        tracker.update_state(loss * replicas())
        logs = self.compute_metrics(x, y, images)
        return logs if self.adversarial else self._without_judgements(logs)

    def _train_discriminator(self, x: dict, y: dict, images: dict) -> None:
        with tf.GradientTape() as tape:
            loss = DISCRIMINATOR_SHARE * self._on_average(
                _crossentropy(self._judge(x[name], real), real=True)
                + _crossentropy(self._judge(x[name], made), real=False)
                for (name, real), (_, made) in zip(
                    self._judged(x, y), self._judged(x, images), strict=True
                )
            )
            scaled = self.discriminator_optimizer.scale_loss(loss)
        _apply(
            self.discriminator_optimizer,
            tape,
            scaled,
            self.discriminator.trainable_variables,
        )
        self._record("discriminator_loss", loss)

    def test_step(self, data: Any) -> dict[str, tf.Tensor]:
        # Nothing is judged here.
        return self._without_judgements(super().test_step(data))

    def _judged(self, x: dict, images: dict) -> list[tuple[str, tf.Tensor]]:
        """Each modality, and the image that is judged beside it."""
        return [(name, images.get(name, images.get(ENSEMBLE))) for name in x]

    def _judge(self, condition: tf.Tensor, image: tf.Tensor) -> tf.Tensor:
        pair = {"condition": condition, "image": image}
        return self.discriminator(pair, training=True)["logits"]

    def _on_average(self, losses: Any) -> tf.Tensor:
        """The sum of losses of samples, as a mean over the global batch."""
        return ops.mean(sum(losses)) / replicas()

    def _record(self, name: str, loss: tf.Tensor) -> None:
        self.judgements[name].update_state(loss * replicas())

    def _without_judgements(
        self, logs: dict[str, tf.Tensor]
    ) -> dict[str, tf.Tensor]:
        return {n: v for n, v in logs.items() if n not in self.judgements}

    def get_config(self) -> dict[str, Any]:
        serialize = keras.saving.serialize_keras_object
        return {
            "name": self.name,
            "trainable": self.trainable,
            "dtype": serialize(self.dtype_policy),
            "generator": serialize(self.generator),
            "discriminator": serialize(self.discriminator),
            "discriminator_optimizer": serialize(self.discriminator_optimizer),
            "adversarial": self.adversarial,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict | None = None
    ) -> "ImageTranslator":
        made = {
            name: keras.saving.deserialize_keras_object(
                value, custom_objects=custom_objects
            )
            if isinstance(value, dict)
            else value
            for name, value in config.items()
        }
        return cls(**made)


def _crossentropy(logits: tf.Tensor, real: bool) -> tf.Tensor:
    """Of each sample, as a mean over its patches."""
    logits = ops.cast(logits, "float32")
    losses = ops.softplus(-logits if real else logits)
    return ops.mean(losses, axis=(1, 2, 3))


def _apply(
    optimizer: keras.optimizers.Optimizer,
    tape: tf.GradientTape,
    loss: tf.Tensor,
    weights: list,
) -> None:
    # Weights that are there only to be counted have none.
    gradients = tape.gradient(
        loss, weights, unconnected_gradients=tf.UnconnectedGradients.ZERO
    )
    optimizer.apply_gradients(zip(gradients, weights, strict=True))
