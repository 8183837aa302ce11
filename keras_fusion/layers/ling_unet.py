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
    made from the text vector, or from its own part `t[j]`; and the filtered
    levels are joined again from the smallest to the largest:

        F[j] = norm(leaky_relu(convolution(F[j - 1])))       j = 1 ... depth
        G[j] = text convolution of F[j] by t[j]
        H[depth] = norm(leaky_relu(deconvolution(dropout(G[depth]))))
        H[j] = norm(leaky_relu(deconvolution(concatenate(H[j + 1], G[j]))))
        output = H[1]

    where `norm` makes each channel of each sample zero mean and unit variance.
    So says the paper. Its released code, which is the default here, leaves out
    the `norm` of `F[depth]` and `H[depth]`, so that the smallest level may be
    one pixel, and both `norm` and `leaky_relu` of the output.

    To find a goal pixel, put a dense layer with one unit and a softmax over
    the pixels behind; position channels in the input tell positions apart.

    With C channels of the map, F filters, kernel size k, T text features and
    depth m, the layer has `k * k * F * (C + (3 * m - 2) * F)
    + (T + 1) * m * F * F + 2 * m * F` weights. With the text in parts the
    second term is `(T + m) * F * F`; with `released=False` the third is
    `6 * m * F`.

    Args:
        filters: Integer, channels of all levels and of the output. Defaults
            to `32`, as published.
        depth: Integer, number of levels, the paper's `m`. Defaults to `5`, as
            published.
        kernel_size: Integer, size of the kernels that shrink and widen maps.
            Defaults to `5`, as published.
        strides: Integer, how much each level shrinks. Defaults to `2`, as
            published.
        split_conditioning: Boolean. Whether each level reads its own part of
            the text vector, as in the paper, instead of the whole. Defaults
            to `False`, as released.
        released: Boolean. Whether to leave out what the released code leaves
            out; its `leaky_relu` has the slope 0.01, and its `norm` learns
            nothing. With `False` the slope is 0.2, and each `norm` learns a
            scale and a shift. Defaults to `True`.
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
            features are unknown, if the text cannot be split evenly, or if a
            level with a `norm` would be one pixel, which it makes zero.

    Example:

    >>> layer = keras_fusion.layers.LingUNet()
    >>> maps = keras.random.normal((2, 32, 32, 64), seed=0)
    >>> text = keras.random.normal((2, 256), seed=0)
    >>> tuple(layer(maps, text).shape), layer.count_params()
    ((2, 32, 32, 32), 1700160)

    Reference:

    - [Misra et al., 2018](https://arxiv.org/abs/1809.00786), LINGUNET. Its
      released code has 16 filters in the last deconvolution but one and one in
      the last, the goal's logit; here all have as many.
    """

    def __init__(
        self,
        filters: int = 32,
        depth: int = 5,
        kernel_size: int = 5,
        strides: int = 2,
        split_conditioning: bool = False,
        released: bool = True,
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
        self.released = released
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
                "Change one of them, or leave `split_conditioning` out."
            )
        part = features // self.depth if self.split_conditioning else features

        self.shrink: list[keras.layers.Layer] = []
        self.shrink_norms: list[keras.layers.Layer] = []
        self.text: list[TextConvolution] = []
        self.widen: list[keras.layers.Layer] = []
        self.widen_norms: list[keras.layers.Layer] = []
        for level in range(self.depth):
            self._add_level(level, channels, part)
        self.dropouts = keras.layers.Dropout(
            self.dropout,
            seed=self.seed,
            dtype=self.dtype_policy,
            name="dropout",
        )

    def _add_level(self, level: int, channels: int, features: int) -> None:
        smallest = level == self.depth - 1
        self._add(
            self.shrink,
            keras.layers.Conv2D,
            f"shrink_{level}",
            self.filters if level else channels,
        )
        self._add_norm(self.shrink_norms, f"shrink_norm_{level}", not smallest)
        text = TextConvolution(
            self.filters, dtype=self.dtype_policy, name=f"text_{level}"
        )
        text.build((None, None, None, self.filters), (None, features))
        self.text.append(text)
        self._add(
            self.widen,
            keras.layers.Conv2DTranspose,
            f"widen_{level}",
            self.filters if smallest else 2 * self.filters,
        )
        self._add_norm(
            self.widen_norms, f"widen_norm_{level}", 0 < level and not smallest
        )

    def _check_smallest(self, inputs_shape: Shape) -> None:
        """Of the levels that are normalized."""
        levels = self.depth - 1 if self.released else self.depth
        shrunk = [
            None if size is None else -(-size // self.strides**levels)
            for size in inputs_shape[1:3]
        ]
        if levels and shrunk == [1, 1]:
            raise ValueError(
                f"`inputs` of {self.name} must not be one pixel behind "
                f"{levels} levels, as its normalization is zero. Received: "
                f"inputs_shape={tuple(inputs_shape)}, depth={self.depth}, "
                f"strides={self.strides}, released={self.released}. "
                "Lower `depth` or `strides`."
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

    def _add_norm(
        self, layers: list[keras.layers.Layer], name: str, in_release: bool
    ) -> None:
        settings = {"dtype": self.dtype_policy, "name": name}
        if not self.released:
            layer = keras.layers.GroupNormalization(self.filters, **settings)
        elif in_release:
            layer = keras.layers.GroupNormalization(
                self.filters,
                epsilon=1e-5,
                center=False,
                scale=False,
                **settings,
            )
        else:
            layer = keras.layers.Identity(**settings)
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
            maps = norm(self._bend(shrink(maps)))
            filtered.append(text(maps, part))

        joined = self.dropouts(filtered[-1], training=training)
        for level in reversed(range(self.depth)):
            if level < self.depth - 1:
                joined = ops.concatenate([joined, filtered[level]], axis=-1)
            height, width = sizes[level]
            # Levels of odd size were rounded up.
            joined = self.widen[level](joined)[:, :height, :width]
            if level or not self.released:
                joined = self.widen_norms[level](self._bend(joined))
        return joined[:batch]

    def _bend(self, maps: Tensor) -> Tensor:
        return ops.leaky_relu(maps, 0.01 if self.released else 0.2)

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
            "released": self.released,
            "dropout": self.dropout,
            "seed": self.seed,
        }
