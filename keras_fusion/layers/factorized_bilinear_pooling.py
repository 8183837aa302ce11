import functools
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_multiple
from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vectors
from keras_fusion.layers.argument_validation import int_or_none
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.layers.power_normalization import power_normalize
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class FactorizedBilinearPooling(ModalityLayer):
    """Sums products of projections over windows, one window a unit.

    Every unit has factors of its own, `rank` of them, so that unit `i` of one
    block is the bilinear form `x' U[i] V[i]' y`:

        z = dropout((U[0]' x[0] + c[0]) * (U[1]' x[1] + c[1]) * ...)
        output[i] = sum of z over window i of `rank` neighbors

    A signed square root and division by the length follow, since products of
    features vary much more in size than features do. This is MFB. With
    `num_blocks` above 1 it is MFH: block `p` multiplies its product by that
    of block `p - 1`, which raises the order of the form, and the blocks,
    normalized one by one, lie side by side in the output.

    With S features in all N modalities together, the layer has
    `(S + N) * rank * units` weights, `N * rank * units` fewer without
    projection biases, whatever the number of blocks.

    Args:
        units: Integer, width of the output, divisible by `num_blocks`.
        rank: Integer, width of the windows, the paper's `k`. Defaults to `5`,
            as published.
        num_blocks: Integer, order of the chain: 1 is MFB. Defaults to `1`.
        dropout: Float, rate of the dropout of the products. Defaults to
            `0.1`, as published.
        normalize: Boolean. Whether to normalize. Defaults to `True`.
        projection_bias: Boolean. Whether projections have the biases `c`.
            Defaults to `True`.
        seed: Integer or `None`, seed of the dropout.

    Call arguments:
        inputs: List of N >= 2 tensors.
        training: Boolean. Whether to drop.

    Input shape:
        N times `(batch, features)`; the number of features may differ.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If the inputs are not a list of two or more vectors, if
            their widths are unknown, if a size is under 1, or if `units` cannot
            be divided by `num_blocks`.

    Example:

    >>> layer = keras_fusion.layers.FactorizedBilinearPooling(8, num_blocks=2)
    >>> image, text = keras.random.normal((2, 3, 6), seed=0)
    >>> fused = layer([image, text])
    >>> tuple(fused.shape)
    (3, 8)
    >>> lengths = keras.ops.norm(keras.ops.reshape(fused, (3, 2, 4)), axis=-1)
    >>> keras.ops.convert_to_numpy(lengths).round(4).tolist()
    [[1.0, 1.0], [1.0, 1.0], [1.0, 1.0]]

    Reference:

    - [Yu et al., 2017](https://arxiv.org/abs/1708.01471) (MFB) and
      [Yu et al., 2018](https://arxiv.org/abs/1708.03619) (MFH); more than two
      modalities are our generalization.
    """

    of_vectors = True

    def __init__(
        self,
        units: int,
        rank: int = 5,
        num_blocks: int = 1,
        dropout: float = 0.1,
        normalize: bool = True,
        projection_bias: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(units=units, rank=rank, num_blocks=num_blocks)
        check_multiple("units", units, "num_blocks", num_blocks)
        self.units = int(units)
        self.rank = int(rank)
        self.num_blocks = int(num_blocks)
        self.dropout = dropout
        self.normalize = normalize
        self.projection_bias = projection_bias
        self.seed = int_or_none(seed)

    def build(self, input_shape: list[Shape]) -> None:
        widths = check_vectors(self, input_shape)
        self.projections = [
            built_dense(
                self,
                f"projection_{m}",
                self.units * self.rank,
                width,
                use_bias=self.projection_bias,
            )
            for m, width in enumerate(widths)
        ]
        # Squares and more of activations overflow half precision.
        self._wide = at_least_float32(self.compute_dtype)
        self.dropouts = keras.layers.Dropout(
            self.dropout, seed=self.seed, dtype=self._wide, name="dropout"
        )

        self.remember_modalities(input_shape)

    def call(self, inputs: list[Tensor], training: bool = False) -> Tensor:
        shape = (-1, self.num_blocks, self.units // self.num_blocks, self.rank)
        product = functools.reduce(
            ops.multiply,
            [
                ops.cast(projection(x), self._wide)
                for projection, x in zip(self.projections, inputs, strict=True)
            ],
        )
        product = ops.reshape(product, shape)
        blocks, chain = [], 1.0
        for block in range(self.num_blocks):
            chain = self.dropouts(chain * product[:, block], training=training)
            pooled = ops.sum(chain, axis=-1)
            if self.normalize:
                pooled = power_normalize(pooled, self.compute_dtype)
            blocks.append(pooled)
        output = ops.concatenate(blocks, axis=-1)
        return cast_within_range(output, self.compute_dtype)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "rank": self.rank,
            "num_blocks": self.num_blocks,
            "dropout": self.dropout,
            "normalize": self.normalize,
            "projection_bias": self.projection_bias,
            "seed": self.seed,
        }
