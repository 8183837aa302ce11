import math
from collections.abc import Sequence
from operator import index
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_fusion.layers.argument_validation import check_built
from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_modalities
from keras_fusion.layers.argument_validation import check_not_negative
from keras_fusion.layers.argument_validation import check_same_shape
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.replicas import mean_over_replicas
from keras_fusion.types import Initializer
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class ChannelExchange(ModalityLayer):
    """Normalizes every modality on its own, then trades dead channels.

    N modalities run through one network with shared convolutions. Behind a
    convolution this layer normalizes each modality `m` with its own scale,
    shift and statistics, and then replaces every channel whose scale has
    become tiny by the same channel of the other modalities:

        y[m] = gamma[m] * (x[m] - mean[m]) / sqrt(variance[m] + epsilon)
               + beta[m]
        output[m][c] = y[m][c]                  if |gamma[m][c]| >= threshold
                       mean of y[k][c], k != m  otherwise

    The choice depends on `gamma` alone: it is one bit for each channel, the
    same for every sample and position, in training and in inference. Two
    modalities that are both under the threshold swap the channel. A replaced
    channel gets no gradient from the task; its donor gets the sum. With one
    modality the layer only normalizes.

    An L1 penalty drives scales towards zero. It falls on disjoint parts of
    the channels, near-equal and contiguous, part `m` for modality `m`, so
    that a channel cannot die in all modalities at once. How many channels are
    exchanged follows from `l1` x learning rate x number of steps and from the
    initial `gamma`, much more than from `threshold`: watch `exchanged_share`.

    Three arguments hold the exchange in check. `minimum_kept` bounds how many
    channels a modality may lose; with a threshold above all scales it is a
    quantile, and the weakest channels are exchanged whatever their scale.
    `begin_step` lets modalities learn on their own at first. `shrinkage` is a
    proximal step, in place of the penalty or beside it: every update moves
    penalized scales towards 0 by that much and leaves them at exactly 0,
    where a penalty makes them chatter. What a scale can lose in a training is
    then `shrinkage` x number of steps, whatever the optimizer.

    Keras's `trainable=False` freezes the statistics and the affine part of a
    normalization together. `frozen_statistics=True` uses and keeps the moving
    statistics, as in inference, while `gamma` and `beta` go on learning.

    The layer has `2 * N * channels` trainable weights.

    Args:
        threshold: Float, at least 0. A channel with `|gamma|` under it is
            replaced; 0 exchanges nothing. Defaults to `0.02`.
        l1: Float, at least 0. Weight of the sum of `|gamma|` over the
            penalized parts, added once to the model's loss. Defaults to `0`.
        penalized_only: Boolean. Whether only penalized channels may be
            exchanged. Defaults to `False`, as published.
        minimum_kept: Float, at least 0 and at most 1. Share of its channels,
            those of the largest `|gamma|`, that each modality keeps in any
            case. Defaults to `0`, as published.
        begin_step: Integer, at least 0. Number of calls in training before
            which nothing is exchanged. Defaults to `0`, as published.
        shrinkage: Float, at least 0. What a penalized `|gamma|` loses with
            every update of the weights, down to exactly 0. Defaults to `0`.
        normalization: `"batch"`, or `"instance"` for statistics of each
            sample, which needs at least one position axis. Defaults to
            `"batch"`.
        axis: Integer, the channel axis. Defaults to `-1`.
        momentum: Float, momentum of the moving statistics. Defaults to
            `0.99`.
        epsilon: Float added to the variance. Defaults to `1e-3`.
        frozen_statistics: Boolean. Whether batch normalization uses the
            moving statistics in training too. Defaults to `False`.
        synchronized: Boolean. Whether batch statistics are those of all
            replicas of a distribution strategy. Defaults to `True`.
        gamma_initializer: Initializer of the scales. Defaults to `"ones"`.
        beta_initializer: Initializer of the shifts. Defaults to `"zeros"`.

    Call arguments:
        inputs: List of N >= 1 tensors of one shape.
        training: Boolean. Whether to use, and learn, batch statistics.

    Input shape:
        N times `(batch, ..., channels)`, or with channels on `axis`.

    Output shape:
        As the input: a list of N tensors.

    Raises:
        ValueError: If the inputs are not a list or differ in shape, if the
            channels are unknown, or if an argument is out of its range.

    Example:

    >>> rgb, depth = keras.random.normal((2, 8, 4, 4, 6), seed=0)
    >>> layer = keras_fusion.layers.ChannelExchange(threshold=0.02)
    >>> rgb, depth = layer([rgb, depth])
    >>> _ = layer.gamma.assign([[0, 1, 1, 1, 1, 1], [1, 1, 1, 1, 0, 0.01]])
    >>> layer.exchanged.astype(int)
    array([[1, 0, 0, 0, 0, 0],
           [0, 0, 0, 0, 1, 1]])

    Reference:

    - [Wang et al., 2020](https://arxiv.org/abs/2011.05005), equation 6, in
      the form of its released code: the absolute value is compared, equality
      keeps, and whole normalized outputs are averaged, shifts included.
    """

    of_one_shape = True

    def __init__(
        self,
        threshold: float = 0.02,
        l1: float = 0.0,
        penalized_only: bool = False,
        minimum_kept: float = 0.0,
        begin_step: int = 0,
        shrinkage: float = 0.0,
        normalization: str = "batch",
        axis: int = -1,
        momentum: float = 0.99,
        epsilon: float = 1e-3,
        frozen_statistics: bool = False,
        synchronized: bool = True,
        gamma_initializer: Initializer = "ones",
        beta_initializer: Initializer = "zeros",
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_not_negative(
            threshold=threshold,
            l1=l1,
            minimum_kept=minimum_kept,
            begin_step=begin_step,
            shrinkage=shrinkage,
        )
        if minimum_kept > 1:
            raise ValueError(
                "`minimum_kept` must be a share, at most 1. "
                f"Received: minimum_kept={minimum_kept}"
            )
        if normalization not in ("batch", "instance"):
            raise ValueError(
                '`normalization` must be "batch" or "instance". '
                f"Received: normalization={normalization}"
            )
        self.threshold = threshold
        self.l1 = l1
        self.penalized_only = penalized_only
        self.minimum_kept = minimum_kept
        self.begin_step = index(begin_step)
        self.shrinkage = shrinkage
        self.normalization = normalization
        self.axis = index(axis)
        self.momentum = momentum
        self.epsilon = epsilon
        self.frozen_statistics = frozen_statistics
        self.synchronized = synchronized
        self.supports_masking = True
        self.gamma_initializer = keras.initializers.get(gamma_initializer)
        self.beta_initializer = keras.initializers.get(beta_initializer)

    def build(self, input_shape: list[Shape]) -> None:
        check_modalities(self, input_shape, at_least=1)
        check_same_shape(self, input_shape)
        ndim = len(input_shape[0])
        channels = check_channels(self, input_shape[0], self.axis)
        axis = self.axis % ndim
        self._reduction_axes = [a for a in range(ndim) if a != axis]
        if self.normalization == "instance":
            self._reduction_axes.remove(0)
            if not self._reduction_axes:
                raise ValueError(
                    f"`inputs` of {self.name} must have a position axis for "
                    "instance normalization, besides batch and channels. "
                    f"Received: inputs_shape={tuple(input_shape[0])}. "
                    'Use `normalization="batch"`.'
                )
        self._channel_shape = [1] * ndim
        self._channel_shape[axis] = channels

        modalities = len(input_shape)
        part: np.ndarray = np.arange(channels) * modalities // channels
        self.penalized = part == np.arange(modalities)[:, None]
        shape = (modalities, channels)
        self.gamma = self.add_weight(
            shape=shape,
            initializer=self.gamma_initializer,
            regularizer=self._penalty if self.l1 else None,
            constraint=self._shrunk if self.shrinkage else None,
            autocast=False,
            name="gamma",
        )
        self.beta = self.add_weight(
            shape=shape,
            initializer=self.beta_initializer,
            autocast=False,
            name="beta",
        )
        if self.normalization == "batch":
            self.moving_mean = self.add_weight(
                shape=shape,
                initializer="zeros",
                trainable=False,
                autocast=False,
                name="moving_mean",
            )
            self.moving_variance = self.add_weight(
                shape=shape,
                initializer="ones",
                trainable=False,
                autocast=False,
                name="moving_variance",
            )
        if self.begin_step:
            self.step = self.add_weight(
                initializer="zeros",
                dtype="int32",
                trainable=False,
                aggregation="only_first_replica",
                name="step",
            )
        self.remember_modalities(input_shape, self.axis)

    def call(
        self, inputs: list[Tensor], training: bool = False
    ) -> list[Tensor]:
        outputs = self._normalize(inputs, training)
        if len(inputs) > 1 and self.threshold > 0:
            outputs = self._exchange(outputs)
        if self.begin_step and training:
            self.step.assign(ops.minimum(self.step + 1, self.begin_step))
        return [ops.cast(output, self.compute_dtype) for output in outputs]

    def _normalize(self, inputs: list[Tensor], training: bool) -> list[Tensor]:
        # Squares overflow half precision.
        wide = at_least_float32(self.compute_dtype)
        inputs = [ops.cast(x, wide) for x in inputs]
        outputs = []
        means, variances = self._statistics(inputs, training)
        scales = self._by_modality(self.gamma, wide)
        shifts = self._by_modality(self.beta, wide)
        for m, x in enumerate(inputs):
            scale = scales[m] * ops.rsqrt(variances[m] + self.epsilon)
            shift = shifts[m]
            outputs.append(x * scale + (shift - means[m] * scale))
        return outputs

    def _statistics(
        self, inputs: list[Tensor], training: bool
    ) -> tuple[Sequence[Tensor], Sequence[Tensor]]:
        learns = training and self.trainable and not self.frozen_statistics
        if self.normalization == "batch" and not learns:
            return (
                self._by_modality(self.moving_mean, inputs[0].dtype),
                self._by_modality(self.moving_variance, inputs[0].dtype),
            )
        means, variances = zip(*map(self._moments, inputs), strict=True)
        if self.normalization == "batch":
            self._move(self.moving_mean, means)
            self._move(self.moving_variance, variances)
        return means, variances

    def _by_modality(self, weight: keras.Variable, dtype: str) -> list[Tensor]:
        """The rows of a weight, each to broadcast against a modality."""
        values = ops.cast(weight, dtype)
        return [
            ops.reshape(values[m], self._channel_shape)
            for m in range(weight.shape[0])
        ]

    def _moments(self, x: Tensor) -> tuple[Tensor, Tensor]:
        # The mean of squares less the square of the mean would lose, far from
        # zero, all digits that the variance has. Its gradient by the mean is 0.
        mean = self._mean(x)
        return mean, self._mean(ops.square(x - ops.stop_gradient(mean)))

    def _mean(self, x: Tensor) -> Tensor:
        if self.normalization == "batch" and self.synchronized:
            return mean_over_replicas(x, self._reduction_axes)
        return ops.mean(x, self._reduction_axes, keepdims=True)

    def _move(self, moving: keras.Variable, values: Sequence[Tensor]) -> None:
        batch = ops.reshape(ops.stack(values), moving.shape)
        before = ops.cast(moving, batch.dtype)
        moving.assign(before * self.momentum + batch * (1 - self.momentum))

    def _replaced(self, gamma: Tensor) -> Tensor:
        if gamma.shape[0] == 1:
            return ops.zeros(gamma.shape, "bool")
        replaced = ops.abs(gamma) < self.threshold
        if self.penalized_only:
            replaced = ops.logical_and(replaced, self.penalized)
        if self.minimum_kept:
            replaced = ops.logical_and(replaced, self._among_weakest(gamma))
        if self.begin_step:
            begun = ops.greater_equal(self.step, self.begin_step)
            replaced = ops.logical_and(replaced, begun)
        return replaced

    def _among_weakest(self, gamma: Tensor) -> Tensor:
        """Which scales are under that of the weakest channel to be kept."""
        channels = gamma.shape[1]
        # Rounded, as 0.7 x 10 is a little over 7.
        kept = math.ceil(round(self.minimum_kept * channels, 6))
        sizes = ops.abs(gamma)
        place = channels - kept
        return sizes < ops.sort(sizes, axis=1)[:, place : place + 1]

    def _exchange(self, outputs: list[Tensor]) -> list[Tensor]:
        replaced = self._replaced(self.gamma)
        shape = ops.shape(outputs[0])
        size = math.prod(shape[1:])
        # Rows of whole samples: TensorFlow's select takes a third longer
        # where it repeats a mask that is only as long as the channels.
        rows = [ops.reshape(output, (shape[0], size)) for output in outputs]
        exchanged = []
        for m, row in enumerate(rows):
            donors = rows[:m] + rows[m + 1 :]
            donor = sum(donors[1:], start=donors[0]) / len(donors)
            choice = ops.reshape(replaced[m], self._channel_shape)
            choice = ops.broadcast_to(choice, (1, *shape[1:]))
            choice = ops.reshape(choice, (1, size))
            exchanged.append(ops.reshape(ops.where(choice, donor, row), shape))
        return exchanged

    def _penalty(self, gamma: Tensor) -> Tensor:
        penalized = ops.cast(self.penalized, gamma.dtype)
        return self.l1 * ops.sum(ops.abs(gamma) * penalized)

    def _shrunk(self, gamma: Tensor) -> Tensor:
        amount = self.shrinkage * ops.cast(self.penalized, gamma.dtype)
        return ops.sign(gamma) * ops.relu(ops.abs(gamma) - amount)

    @property
    def exchanged(self) -> np.ndarray:
        """Boolean array `(N, channels)`: which channels are replaced now."""
        check_built(self, "exchanged")
        return ops.convert_to_numpy(self._replaced(self.gamma))

    @property
    def exchanged_share(self) -> np.ndarray:
        """Array `(N,)`: the replaced share of the penalized channels."""
        check_built(self, "exchanged_share")
        replaced = self.exchanged & self.penalized
        return replaced.sum(axis=1) / np.maximum(1, self.penalized.sum(axis=1))

    def compute_output_shape(self, input_shape: list[Shape]) -> list[Shape]:
        return [tuple(shape) for shape in input_shape]

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "threshold": self.threshold,
            "l1": self.l1,
            "penalized_only": self.penalized_only,
            "minimum_kept": self.minimum_kept,
            "begin_step": self.begin_step,
            "shrinkage": self.shrinkage,
            "normalization": self.normalization,
            "axis": self.axis,
            "momentum": self.momentum,
            "epsilon": self.epsilon,
            "frozen_statistics": self.frozen_statistics,
            "synchronized": self.synchronized,
            "gamma_initializer": keras.initializers.serialize(
                self.gamma_initializer
            ),
            "beta_initializer": keras.initializers.serialize(
                self.beta_initializer
            ),
        }
