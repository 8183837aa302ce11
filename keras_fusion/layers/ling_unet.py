from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_channels
from keras_fusion.layers.argument_validation import check_ndim
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vector
from keras_fusion.layers.argument_validation import int_or_none
from keras_fusion.layers.empty_batch import fill_empty_batch
from keras_fusion.layers.text_convolution import TextConvolution
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class LingUNet(keras.layers.Layer):
    """Filters a pyramid of maps by text, then brings it back to full size.

    The map shrinks level by level; every level is filtered by 1x1 kernels
    made from its own part `t[j]` of the text vector; and the filtered levels
    are joined again from the smallest to the largest:

        F[j] = norm(leaky_relu(convolution(F[j - 1])))       j = 1 ... depth
        G[j] = text convolution of F[j] by t[j]
        H[depth] = norm(leaky_relu(deconvolution(dropout(G[depth]))))
        H[j] = norm(leaky_relu(deconvolution(concatenate(H[j + 1], G[j]))))
        output = H[1]

    where `norm` makes each channel of each sample zero mean and unit variance.
    To find a goal pixel, put a dense layer with one unit and a softmax over
    the pixels behind; position channels in the input tell positions apart.

    With C channels of the map, F filters, kernel size k, T text features in
    all and depth m, the layer has `k * k * F * (C + (3 * m - 2) * F)
    + (T + m) * F * F + 6 * m * F` weights, and with the whole text at each
    level `(T + 1) * m * F * F` in place of the second term.

    Args:
        filters: Integer, channels of all levels and of the output. Defaults
            to `32`, as published.
        depth: Integer, number of levels, the paper's `m`. Defaults to `5`, as
            published.
        kernel_size: Integer, size of the kernels that shrink and widen maps.
            Defaults to `5`, as published.
        strides: Integer, how much each level shrinks. Defaults to `2`.
        split_conditioning: Boolean. Whether each level reads its own part of
            the text vector, instead of the whole. Defaults to `True`.
        dropout: Float, rate of the dropout of the smallest level. Defaults to
            `0.5`, as published.
        seed: Integer or `None`, seed of the dropout.

    Call arguments:
        inputs: Tensor, the maps.
        conditioning: Tensor, the text vectors.
        training: Boolean. Whether to drop.

    Input shape:
        `inputs`: `(batch, height, width, channels)`;
        `conditioning`: `(batch, features)`.

    Output shape:
        `(batch, height, width, filters)`.

    Raises:
        ValueError: If a tensor has another number of axes, if channels or
            features are unknown, if the text cannot be split evenly, or if the
            smallest level would be one pixel, which `norm` makes zero.

    Example:

    >>> layer = keras_fusion.layers.LingUNet(filters=8, depth=2)
    >>> maps = keras.random.normal((2, 9, 7, 3), seed=0)
    >>> text = keras.random.normal((2, 10), seed=0)
    >>> tuple(layer(maps, text).shape)
    (2, 9, 7, 8)

    Reference:

    - [Misra et al., 2018](https://arxiv.org/abs/1809.00786), LINGUNET, as its
      text defines it: the released code leaves out a few normalizations and
      activations.
    """

    def __init__(
        self,
        filters: int = 32,
        depth: int = 5,
        kernel_size: int = 5,
        strides: int = 2,
        split_conditioning: bool = True,
        dropout: float = 0.5,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(
            filters=filters,
            depth=depth,
            kernel_size=kernel_size,
            strides=strides,
        )
        self.filters = int(filters)
        self.depth = int(depth)
        self.kernel_size = int(kernel_size)
        self.strides = int(strides)
        self.split_conditioning = split_conditioning
        self.dropout = dropout
        self.seed = int_or_none(seed)

    def build(self, inputs_shape: Shape, conditioning_shape: Shape) -> None:
        check_ndim(self, inputs_shape, 4, 4)
        channels = check_channels(self, inputs_shape, -1)
        features = check_vector(self, conditioning_shape, "conditioning")
        self._check_smallest(inputs_shape)
        if self.split_conditioning and features % self.depth:
            raise ValueError(
                f"`conditioning` of {self.name} must have features that divide "
                "into equal parts, one for each level. Received: "
                f"conditioning_shape={tuple(conditioning_shape)}, "
                f"depth={self.depth}. "
                "Change one of them, or pass `split_conditioning=False`."
            )
        part = features // self.depth if self.split_conditioning else features

        self.shrink: list[keras.layers.Conv2D] = []
        self.shrink_norms: list[keras.layers.GroupNormalization] = []
        self.text: list[TextConvolution] = []
        self.widen: list[keras.layers.Conv2DTranspose] = []
        self.widen_norms: list[keras.layers.GroupNormalization] = []
        for level in range(self.depth):
            width = self.filters if level else channels
            self._add(
                self.shrink, keras.layers.Conv2D, f"shrink_{level}", width
            )
            self._add_norm(self.shrink_norms, f"shrink_norm_{level}")
            text = TextConvolution(
                self.filters, dtype=self.dtype_policy, name=f"text_{level}"
            )
            text.build((None, None, None, self.filters), (None, part))
            self.text.append(text)
            smallest = level == self.depth - 1
            width = self.filters if smallest else 2 * self.filters
            self._add(
                self.widen,
                keras.layers.Conv2DTranspose,
                f"widen_{level}",
                width,
            )
            self._add_norm(self.widen_norms, f"widen_norm_{level}")
        self.dropouts = keras.layers.Dropout(
            self.dropout,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="dropout",
        )

    def _check_smallest(self, inputs_shape: Shape) -> None:
        shrunk = [
            None if size is None else -(-size // self.strides**self.depth)
            for size in inputs_shape[1:3]
        ]
        if shrunk == [1, 1]:
            raise ValueError(
                f"`inputs` of {self.name} must not shrink to one pixel, whose "
                "normalization is zero. Received: "
                f"inputs_shape={tuple(inputs_shape)}, depth={self.depth}, "
                f"strides={self.strides}. Lower `depth` or `strides`."
            )

    def _add(
        self,
        layers: list[keras.layers.Layer],
        kind: type[keras.layers.Layer],
        name: str,
        width: int,
    ) -> None:
        layer = kind(
            self.filters,
            self.kernel_size,
            strides=self.strides,
            padding="same",
            data_format="channels_last",
            dtype=self.dtype_policy,
            name=name,
        )
        layer.build((None, None, None, width))
        layers.append(layer)

    def _add_norm(self, layers: list[keras.layers.Layer], name: str) -> None:
        layer = keras.layers.GroupNormalization(
            groups=self.filters, dtype=self.dtype_policy, name=name
        )
        layer.build((None, None, None, self.filters))
        layers.append(layer)

    def call(
        self, inputs: Tensor, conditioning: Tensor, training: bool = False
    ) -> Tensor:
        batch = ops.shape(inputs)[0]
        inputs = fill_empty_batch(inputs)
        conditioning = fill_empty_batch(conditioning)
        parts = [conditioning] * self.depth
        if self.split_conditioning:
            parts = ops.split(conditioning, self.depth, axis=-1)
        sizes, filtered = [], []
        maps = inputs
        for shrink, norm, text, part in zip(
            self.shrink, self.shrink_norms, self.text, parts, strict=True
        ):
            sizes.append(ops.shape(maps)[1:3])
            maps = norm(ops.leaky_relu(shrink(maps)))
            filtered.append(text(maps, part))

        joined = self.dropouts(filtered[-1], training=training)
        for level in reversed(range(self.depth)):
            if level < self.depth - 1:
                joined = ops.concatenate([joined, filtered[level]], axis=-1)
            height, width = sizes[level]
            # Levels of odd size were rounded up.
            joined = self.widen[level](joined)[:, :height, :width]
            joined = self.widen_norms[level](ops.leaky_relu(joined))
        return joined[:batch]

    def compute_output_shape(
        self, inputs_shape: Shape, conditioning_shape: Shape
    ) -> Shape:
        return (*inputs_shape[:-1], self.filters)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "filters": self.filters,
            "depth": self.depth,
            "kernel_size": self.kernel_size,
            "strides": self.strides,
            "split_conditioning": self.split_conditioning,
            "dropout": self.dropout,
            "seed": self.seed,
        }
