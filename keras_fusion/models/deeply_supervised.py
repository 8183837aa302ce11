from typing import Any

import keras
from keras import ops

from keras_fusion.models.classification_heads import COMPANION
from keras_fusion.models.classification_heads import LABEL
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class DeeplySupervised(keras.Model):
    """A model whose companion classifiers may fade out while it trains.

        loss = loss of "label"
               + companion_weight * companion_factor * sum of the others'

    Companions are the outputs whose names start with `"companion_"`. The
    factor is a weight of the model that starts at 1 and is set from outside,
    by `keras_fusion.callbacks.CompanionDecay`, so it may change under `fit`
    and every strategy, and files hold it. Sample weights are refused: they
    carry the weight of the companions.

    Args:
        companion_weight: Float, weight of the companions' losses. Defaults
            to `0.3`.

    All other arguments are those of a functional `keras.Model`.

    Example:

    >>> image = keras.Input((4,), name="image")
    >>> outputs = {
    ...     name: keras.layers.Dense(2, kernel_initializer="zeros", name=name)(
    ...         image
    ...     )
    ...     for name in ("label", "companion_early")
    ... }
    >>> model = keras_fusion.models.DeeplySupervised(
    ...     {"image": image}, outputs, companion_weight=0.5
    ... )
    >>> model.compile("sgd", {name: "mse" for name in outputs})
    >>> x = {"image": np.ones((6, 4))}
    >>> targets = {name: np.ones((6, 2)) for name in outputs}
    >>> model.evaluate(x, targets, verbose=0, return_dict=True)["loss"]
    1.5
    >>> _ = model.companion_factor.assign(0.2)
    >>> model.evaluate(x, targets, verbose=0, return_dict=True)["loss"]
    1.100000023841858

    Reference:

    - [Lee et al., 2015](https://arxiv.org/abs/1409.5185)
    """

    def __init__(
        self, *args: Any, companion_weight: float = 0.3, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.companion_weight = companion_weight
        self.companion_factor = self.add_weight(
            shape=(),
            initializer="ones",
            trainable=False,
            autocast=False,
            name="companion_factor",
        )

    def compute_loss(
        self,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Tensor:
        if sample_weight is not None:
            raise ValueError(
                "`sample_weight` must be None, as the companions' losses are "
                "weighed by the model itself. Received: "
                f"sample_weight={type(sample_weight).__name__}"
            )
        ones = ops.ones((ops.shape(y_pred[LABEL])[0],))
        weight = self.companion_weight * self.companion_factor
        weights = {
            name: weight * ones if name.startswith(COMPANION) else ones
            for name in y_pred
        }
        return super().compute_loss(x, y, y_pred, weights, training)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "companion_weight": self.companion_weight,
        }


def image_model(
    image: Tensor,
    outputs: dict[str, Tensor],
    companion_weight: float,
    name: str,
) -> keras.Model:
    """The model of an image, a `DeeplySupervised` if it has companions."""
    inputs = {"image": image}
    if any(output.startswith(COMPANION) for output in outputs):
        return DeeplySupervised(
            inputs, outputs, companion_weight=companion_weight, name=name
        )
    return keras.Model(inputs, outputs, name=name)
