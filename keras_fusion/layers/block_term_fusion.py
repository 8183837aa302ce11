import functools
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vectors
from keras_fusion.layers.built_dense import built_dense
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.layers.power_normalization import power_normalize
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.layers.precision import policy_behind_product
from keras_fusion.types import Shape
from keras_fusion.types import Tensor


@keras.saving.register_keras_serializable(package="keras_fusion")
class BlockTermFusion(ModalityLayer):
    """Fuses projections block by block, each block by its own low-rank core.

    Modalities are projected to one width and cut into blocks. Within block
    `c` every entry of one modality meets every entry of the other through a
    core of which each slice has at most rank `rank`:

        p[m] = W[m]' x[m] + e[m]
        z[c] = sum over r of (M[0, c, r]' p[0][c]) * (M[1, c, r]' p[1][c]) * ...
        output = P' concatenate(normalize(z[c]) for all c) + b

    where `normalize` takes signed square roots and divides by the length.
    Blocks stand between two extremes: one block of the full width is MUTAN, a
    Tucker fusion; blocks of width one, not normalized, are low-rank bilinear
    pooling. Blocks are equally wide but for the last, which may be narrower.

    With S features in all N modalities together, blocks of widths `s[c]` and
    biases `M`, `e` and `b`, the layer has `(S + N) * projection_units + N *
    rank * sum of s[c] * (s[c] + 1) + (projection_units + 1) * units` weights.

    Args:
        units: Integer, width of the output.
        projection_units: Integer, width of the projections. Defaults to
            `1600`, as published.
        num_blocks: Integer, at most `projection_units`. Defaults to `20`.
        rank: Integer, rank of the slices of each core, the paper's `R`.
            Defaults to `15`, as published.
        normalize: Boolean. Whether to normalize blocks. Defaults to `True`.

    Call arguments:
        inputs: List of N >= 2 tensors.

    Input shape:
        N times `(batch, features)`; the number of features may differ.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If the inputs are not a list of two or more vectors, if
            their widths are unknown, if a size is under 1, or if there are more
            blocks than the projections can fill.

    Example:

    >>> layer = keras_fusion.layers.BlockTermFusion(
    ...     3, projection_units=10, num_blocks=3, rank=2
    ... )
    >>> image, text = keras.ops.ones((2, 5)), keras.ops.ones((2, 4))
    >>> tuple(layer([image, text]).shape), layer.block_sizes
    ((2, 3), [4, 4, 2])

    Reference:

    - [Ben-younes et al., 2019](https://arxiv.org/abs/1902.00038) (BLOCK) and
      [Ben-younes et al., 2017](https://arxiv.org/abs/1705.06676) (MUTAN), in
      the form of the released code; more than two modalities are our
      generalization.
    """

    of_vectors = True

    def __init__(
        self,
        units: int,
        projection_units: int = 1600,
        num_blocks: int = 20,
        rank: int = 15,
        normalize: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(
            units=units,
            projection_units=projection_units,
            num_blocks=num_blocks,
            rank=rank,
        )
        size = -(-projection_units // num_blocks)
        last = projection_units - size * (num_blocks - 1)
        if last < 1:
            raise ValueError(
                "`num_blocks` must be at most "
                f"{-(-projection_units // size)}, or the last block of {size} "
                f"would be empty. Received: num_blocks={num_blocks}, "
                f"projection_units={projection_units}"
            )
        self.units = int(units)
        self.projection_units = int(projection_units)
        self.num_blocks = int(num_blocks)
        self.rank = int(rank)
        self.normalize = normalize
        # Blocks of one width run as one einsum: (count, width) of each kind.
        self._kinds = [(num_blocks, size)]
        if last < size:
            self._kinds = [(num_blocks - 1, size), (1, last)]

    @property
    def block_sizes(self) -> list[int]:
        """List of the widths of the blocks."""
        return [size for count, size in self._kinds for _ in range(count)]

    def build(self, input_shape: list[Shape]) -> None:
        widths = check_vectors(self, input_shape)
        self.projections = [
            built_dense(self, f"projection_{m}", self.projection_units, width)
            for m, width in enumerate(widths)
        ]
        self.cores = [
            [self._core(kind, m) for m in range(len(widths))]
            for kind in range(len(self._kinds))
        ]
        self.output_projection = built_dense(
            self,
            "output",
            self.units,
            self.projection_units,
            dtype=policy_behind_product(self.dtype_policy),
        )
        self.remember_modalities(input_shape)

    def _core(self, kind: int, m: int) -> keras.layers.EinsumDense:
        count, size = self._kinds[kind]
        core = keras.layers.EinsumDense(
            "bcs,csrt->bcrt",
            output_shape=(count, self.rank, size),
            bias_axes="crt",
            # Fans are those of one block, not of all blocks together.
            kernel_initializer=keras.initializers.RandomUniform(
                -(size**-0.5), size**-0.5
            ),
            dtype=self.dtype_policy,
            name=f"core_{kind}_{m}",
        )
        core.build((None, count, size))
        return core

    def call(self, inputs: list[Tensor]) -> Tensor:
        projected = [
            projection(x)
            for projection, x in zip(self.projections, inputs, strict=True)
        ]
        fused = []
        start = 0
        for (count, size), cores in zip(self._kinds, self.cores, strict=True):
            stop = start + count * size
            fused.append(
                self._fuse([x[:, start:stop] for x in projected], cores, size)
            )
            start = stop
        output = self.output_projection(ops.concatenate(fused, axis=-1))
        return cast_within_range(output, self.compute_dtype)

    def _fuse(
        self, parts: list[Tensor], cores: list[keras.layers.Layer], size: int
    ) -> Tensor:
        # Squares and more of activations overflow half precision.
        wide = at_least_float32(self.compute_dtype)
        terms = [
            ops.cast(
                core(ops.reshape(x, (-1, x.shape[-1] // size, size))), wide
            )
            for core, x in zip(cores, parts, strict=True)
        ]
        blocks = ops.sum(functools.reduce(ops.multiply, terms), axis=2)
        if self.normalize:
            blocks = power_normalize(blocks, self.compute_dtype)
        return ops.reshape(blocks, (-1, parts[0].shape[-1]))

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "projection_units": self.projection_units,
            "num_blocks": self.num_blocks,
            "rank": self.rank,
            "normalize": self.normalize,
        }
