from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fusion.losses.sample_loss import SampleLoss
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class MaximumMeanDiscrepancy(SampleLoss):
    """How far two modalities' embeddings differ as distributions.

    Alignment-based fusion adds it between modalities, so that a shared rest
    of the network finds both in one region. Unlike a distance between paired
    samples it leaves each sample its own place: only the distributions have
    to agree, and the order of the samples does not matter.

        loss[i] = mean over j of k(x[i], x[j]) + k(y[i], y[j])
                                 - k(x[i], y[j]) - k(y[i], x[j])
        k(u, v) = mean over w in bandwidths of exp(-|u - v|^2 / (w * s))

    Its mean over the batch is the squared discrepancy. `s` is the mean
    squared distance of all pairs, without gradient, so that the loss does not
    depend on the scale of the embeddings. Gradients reach both arguments.
    Under a distribution strategy each replica compares its own share.

    Args:
        bandwidths: Sequence of floats above 0. Defaults to `(0.25, 0.5, 1.0,
            2.0, 4.0)`.

    Call arguments:
        y_true: Embeddings of one modality, of shape `(batch, ...)`.
        y_pred: Embeddings of the other, of that shape.

    Example:

    >>> loss = keras_fusion.losses.MaximumMeanDiscrepancy()
    >>> rgb = np.array([[0.0], [1.0], [2.0]])
    >>> abs(round(float(loss(rgb, rgb[::-1])), 4))
    0.0
    >>> float(loss(rgb, rgb + 5)) > 0.5
    True

    Reference:

    - [Gretton et al., 2012](https://jmlr.org/papers/v13/gretton12a.html), the
      biased estimate of the squared discrepancy. The bandwidths are multiples
      of a scale of the data, our choice.
    """

    def __init__(
        self,
        bandwidths: Sequence[float] = (0.25, 0.5, 1.0, 2.0, 4.0),
        name: str = "maximum_mean_discrepancy",
        **kwargs: Any,
    ) -> None:
        super().__init__(name=name, **kwargs)
        if not bandwidths or min(bandwidths) <= 0:
            raise ValueError(
                "`bandwidths` must hold at least one number, all above 0. "
                f"Received: bandwidths={bandwidths}"
            )
        self.bandwidths = tuple(bandwidths)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        batch = ops.shape(y_true)[0]
        both = ops.concatenate([y_true, y_pred], axis=0)
        both = ops.reshape(both, (2 * batch, -1))
        kernel = self._kernel(squared_distances(both))
        within = kernel[:batch, :batch] + kernel[batch:, batch:]
        across = kernel[:batch, batch:] + kernel[batch:, :batch]
        return ops.mean(within - across, axis=1)

    def _kernel(self, distances: Tensor) -> Tensor:
        scaled = distances / ops.stop_gradient(ops.mean(distances) + 1e-8)
        kernels = [ops.exp(-scaled / width) for width in self.bandwidths]
        return sum(kernels) / len(kernels)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "bandwidths": self.bandwidths}


def squared_distances(rows: Tensor) -> Tensor:
    """Between all pairs of rows."""
    # Around their mean, short vectors lose no digits to long ones.
    rows = rows - ops.mean(rows, axis=0, keepdims=True)
    squares = ops.sum(ops.square(rows), axis=1)
    products = ops.matmul(rows, ops.transpose(rows))
    return ops.maximum(
        squares[:, None] + squares[None, :] - 2.0 * products, 0.0
    )
