from typing import Any

import keras


class CompanionDecay(keras.callbacks.Callback):
    """Lets the companions of a `DeeplySupervised` model fade out in `fit`.

    In epoch `e`, counted from 0, the companions' losses have the weight

        model.companion_weight * (1 - e / epochs)

    or with `at_once=True` all of `model.companion_weight` before `epochs`, and
    none from there on. That is how the published networks are trained: a
    quarter of the training with companions, whose learning rate falls (see
    `keras_fusion.optimizers.InversePowerDecay`), and the rest without. The
    line is ours. As the weight follows from the epoch alone, a training that
    is resumed with `initial_epoch` goes on as if never stopped. The factor is
    added to the logs as `companion_factor`.

    Args:
        epochs: Integer, the epoch from which on companions have no weight.
        at_once: Boolean. Whether they have all of it before. Defaults to
            `False`.

    Raises:
        ValueError: If the model has no companions.

    Example:

    >>> model = keras_fusion.models.lenet(head="dsn")
    >>> loss = keras.losses.SparseCategoricalCrossentropy(from_logits=True)
    >>> model.compile("sgd", {name: loss for name in model.output})
    >>> history = model.fit(
    ...     {"image": np.zeros((2, 28, 28, 1))},
    ...     {name: np.zeros(2) for name in model.output},
    ...     epochs=3,
    ...     callbacks=[keras_fusion.callbacks.CompanionDecay(2)],
    ...     verbose=0,
    ... )
    >>> history.history["companion_factor"]
    [1.0, 0.5, 0.0]
    """

    def __init__(self, epochs: int, at_once: bool = False) -> None:
        super().__init__()
        self.epochs = epochs
        self.at_once = at_once

    def on_train_begin(self, logs: dict[str, Any] | None = None) -> None:
        if not hasattr(self.model, "companion_factor"):
            raise ValueError(
                "The model of CompanionDecay must be a DeeplySupervised. "
                f"Received: {type(self.model).__name__} {self.model.name}"
            )

    def on_epoch_begin(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        factor = max(0.0, 1 - epoch / self.epochs)
        if self.at_once and factor:
            factor = 1.0
        self.model.companion_factor.assign(factor)

    def on_epoch_end(
        self, epoch: int, logs: dict[str, Any] | None = None
    ) -> None:
        factor = keras.ops.convert_to_numpy(self.model.companion_factor)
        (logs if logs is not None else {})["companion_factor"] = float(factor)
