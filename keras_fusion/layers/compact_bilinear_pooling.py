import functools
from collections.abc import Callable
from typing import Any
from typing import TypeAlias

import keras
from keras import ops

from keras_fusion.layers.argument_validation import check_sizes
from keras_fusion.layers.argument_validation import check_vectors
from keras_fusion.layers.argument_validation import int_or_none
from keras_fusion.layers.modality_layer import ModalityLayer
from keras_fusion.layers.power_normalization import power_normalize
from keras_fusion.layers.precision import at_least_float32
from keras_fusion.layers.precision import cast_within_range
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

ComplexTensor: TypeAlias = tuple[Tensor, Tensor]


@keras.saving.register_keras_serializable(package="keras_fusion")
class CompactBilinearPooling(ModalityLayer):
    """Sketches the outer product of the modalities, without making it.

    A count sketch adds every feature `i`, times a random sign `s[m][i]`, to a
    random one of `units` entries, at the hash index `h[m][i]`. The circular
    convolution of the sketches of all modalities is the sketch of their outer
    product, with hash indices added modulo `units` and signs multiplied, and
    costs a few fast Fourier transforms:

        sketch(x, m)[k] = sum of s[m][i] * x[i] over i with h[m][i] = k
        output = normalize(irfft(rfft(sketch(x[0], 0)) * rfft(...) * ...))

    where `normalize` takes signed square roots and divides by the length.
    Without it the inner product of two outputs is on average that of the
    outer products, with a variance that falls as `1 / units`: thousands of
    units are needed, and the layer behind grows with them.

    The layer has no trainable weights. The hash indices and signs are drawn
    once, saved with the model, and count two integers for each feature. Models
    with it cannot be exported to ONNX: its converter of TensorFlow knows the
    Fourier transform only in front of an absolute value.

    Args:
        units: Integer, width of the output, the paper's `d`. Published models
            have 16,000.
        normalize: Boolean. Whether to normalize. Defaults to `True`.
        seed: Integer or `None`, seed of the hash indices and signs.

    Call arguments:
        inputs: List of N >= 2 tensors.

    Input shape:
        N times `(batch, features)`; the number of features may differ.

    Output shape:
        `(batch, units)`.

    Raises:
        ValueError: If the inputs are not a list of two or more vectors, if
            their widths are unknown, or if `units` is under 1.

    Example:

    >>> layer = keras_fusion.layers.CompactBilinearPooling(1000, seed=0)
    >>> image, text = keras.random.normal((2, 4, 20), seed=0)
    >>> tuple(layer([image, text]).shape), len(layer.trainable_weights)
    ((4, 1000), 0)

    Reference:

    - [Fukui et al., 2016](https://arxiv.org/abs/1606.01847), algorithm 1;
      more than two modalities are our generalization.
    """

    of_vectors = True

    def __init__(
        self,
        units: int,
        normalize: bool = True,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_sizes(units=units)
        self.units = int(units)
        self.normalize = normalize
        self.seed = int_or_none(seed)

    def build(self, input_shape: list[Shape]) -> None:
        widths = check_vectors(self, input_shape)
        self.hash_indices = [
            self._draw(f"places_{m}", width, 2 * m, self._random_indices)
            for m, width in enumerate(widths)
        ]
        self.signs = [
            self._draw(f"signs_{m}", width, 2 * m + 1, self._random_signs)
            for m, width in enumerate(widths)
        ]
        self.remember_modalities(input_shape)

    def _draw(
        self, name: str, width: int, index: int, random: Callable[..., Tensor]
    ) -> keras.Variable:
        # Each weight needs numbers of its own from the one seed.
        seed = None if self.seed is None else self.seed + 7919 * index
        return self.add_weight(
            shape=(width,),
            initializer=lambda shape, dtype: random(shape, dtype, seed),
            dtype="int32",
            trainable=False,
            name=name,
        )

    def _random_indices(
        self, shape: Shape, dtype: str, seed: int | None
    ) -> Tensor:
        return keras.random.randint(shape, 0, self.units, dtype, seed)

    def _random_signs(
        self, shape: Shape, dtype: str, seed: int | None
    ) -> Tensor:
        return 2 * keras.random.randint(shape, 0, 2, dtype, seed) - 1

    def call(self, inputs: list[Tensor]) -> Tensor:
        if inputs[0].shape[0] == 0:
            # PyTorch does not transform nothing.
            return ops.zeros((0, self.units), self.compute_dtype)
        # There are no transforms of half precision.
        wide = at_least_float32(self.compute_dtype)
        spectra = [
            ops.rfft(self._sketch(ops.cast(x, wide), m))
            for m, x in enumerate(inputs)
        ]
        spectrum = functools.reduce(_complex_product, spectra)
        output = ops.irfft(spectrum, fft_length=self.units)
        if self.normalize:
            output = power_normalize(output, self.compute_dtype)
        return cast_within_range(output, self.compute_dtype)

    def _sketch(self, x: Tensor, m: int) -> Tensor:
        signed = x * ops.cast(self.signs[m], x.dtype)
        summed = ops.segment_sum(
            ops.transpose(signed), self.hash_indices[m], num_segments=self.units
        )
        return ops.transpose(summed)

    def compute_output_shape(self, input_shape: list[Shape]) -> Shape:
        return (input_shape[0][0], self.units)

    def get_config(self) -> dict[str, Any]:
        return {
            **super().get_config(),
            "units": self.units,
            "normalize": self.normalize,
            "seed": self.seed,
        }


def _complex_product(a: ComplexTensor, b: ComplexTensor) -> ComplexTensor:
    real = a[0] * b[0] - a[1] * b[1]
    imaginary = a[0] * b[1] + a[1] * b[0]
    return real, imaginary
