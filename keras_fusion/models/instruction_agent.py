from collections.abc import Callable
from collections.abc import Sequence
from typing import Any

import keras
from keras import ops

from keras_fusion.layers.precision import at_least_float32
from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.text_fusion import TEXT_FUSIONS
from keras_fusion.models.text_fusion import TextFusionSettings
from keras_fusion.types import Shape
from keras_fusion.types import Tensor

KernelSettings = Callable[[str, float], dict[str, Any]]


def instruction_agent(
    num_blocks: int = 20,
    num_words: int = 1106,
    picture_shape: tuple[int, int, int] = (120, 120, 15),
    fusion: str = "concat",
    coordinates: bool = False,
    goal: bool = False,
    filters: Sequence[int] = (32, 32, 32),
    kernel_sizes: Sequence[int] = (8, 8, 4),
    strides: Sequence[int] = (4, 4, 2),
    image_units: int = 200,
    word_units: int = 150,
    text_units: int = 250,
    direction_units: int = 24,
    block_units: int = 32,
    joint_units: int = 120,
    fusion_units: int = 32,
    fusion_depth: int = 1,
    fusion_kernel_size: int = 3,
    fusion_released: bool = False,
    fusion_glimpses: int = 2,
    fusion_activate_product: bool = True,
    dropout: float = 0.0,
    published_start: bool = True,
    name: str = "instruction_agent",
) -> keras.Model:
    """The agent that reads an instruction, sees blocks and moves one of them.

    Convolutions turn a stack of pictures into a map and the map into a vector;
    an LSTM turns the words into the mean of its outputs; the action before is
    looked up in two tables. A dense layer joins the three vectors, and two
    heads say which block moves and where to, or that all is done:

        P(block b moves to d) = softmax(block)[b] * softmax(direction)[d]
        P(stop) = softmax(direction)[4]

    The defaults are the published network, with 846,917 weights. Each picture
    stack is standardized as a whole, black frames included.

    `fusion` is the name of one of `keras_fusion.models.TEXT_FUSIONS`, where
    each has a description: a way in which the words are fused with the map
    before the joint vector, which sees the words in any case.

    Args:
        num_blocks: Integer, the most blocks that a picture shows.
        num_words: Integer, rows of the table of words; 0 is padding, and a
            text of padding alone is a vector of zeros.
        picture_shape: Height, width and channels of the stack of pictures:
            five frames of three colors as published.
        fusion: Name of one of `keras_fusion.models.TEXT_FUSIONS`. Which of
            the `fusion_...` below have a meaning with it is in its
            `arguments`.
        coordinates: Boolean, whether the map gets two more channels, the row
            and the column of each cell from -1 to 1, before the fusion.
        goal: Boolean, whether to add the output `"goal"`: a logit for each
            cell of the map, row by row, and a learned one for a goal that is
            out of sight. It comes from the fused map, from the joint vector
            with `"concat"`, from the logarithm of the attention with
            `"bilinear"`.
        filters: Of each convolution.
        kernel_sizes: Of each convolution.
        strides: Of each convolution.
        image_units: Integer, width of the image vector.
        word_units: Integer, width of the words' vectors.
        text_units: Integer, width of the text vector.
        direction_units: Integer, width of the directions' vectors.
        block_units: Integer, width of the blocks' vectors.
        joint_units: Integer, width of the joint vector.
        fusion_units: Integer, width of the fused map, rank with `"bilinear"`.
        fusion_depth: Integer, levels of `LingUNet`, 5 as published.
        fusion_kernel_size: Integer, of its convolutions, 5 as published.
        fusion_released: Boolean, its `released`, which a map that shrinks to
            one pixel needs: 32 by 32 cells with the published 5 levels.
        fusion_glimpses: Integer, attention maps with `"bilinear"`.
        fusion_activate_product: Boolean, whether the attention of
            `"bilinear"` activates the product of its projections, or each
            projection before it.
        dropout: Float, rate of the dropout on the text's and the joint
            vector; the published network has none.
        published_start: Boolean, whether the first weights are as small as
            published. In a short training, start with Keras's own.
        name: Name of the model.

    Returns:
        A functional `keras.Model`. Inputs, a dict: `"picture"`, floats;
        `"text"`, `(batch, words)`, integers; `"previous_direction"`,
        `(batch,)`, 4 for stop and 5 at the start; `"previous_block"`,
        `(batch,)`, `num_blocks` at the start. Outputs, a dict of logits:
        `"direction"`, `(batch, 5)`; `"block"`, `(batch, num_blocks)`; and
        with `goal` also `"goal"`.

    Raises:
        ValueError: If `fusion` is unknown, or if the convolutions' arguments
            are not equally long.

    Example:

    >>> agent = keras_fusion.models.instruction_agent()
    >>> agent.count_params()
    846917

    Reference:

    - [Misra et al., 2017](https://arxiv.org/abs/1704.08795), the network.
    - [Misra et al., 2018](https://arxiv.org/abs/1809.00786), the goal head.
    """
    check_choice("fusion", fusion, TEXT_FUSIONS)
    if not len(filters) == len(kernel_sizes) == len(strides) > 0:
        raise ValueError(
            "`filters`, `kernel_sizes` and `strides` must have an entry for "
            f"each convolution. Received: filters={filters}, "
            f"kernel_sizes={kernel_sizes}, strides={strides}"
        )
    inputs = {
        "picture": keras.Input(picture_shape, name="picture"),
        "text": keras.Input((None,), dtype="int32", name="text"),
        "previous_direction": keras.Input(
            (), dtype="int32", name="previous_direction"
        ),
        "previous_block": keras.Input((), dtype="int32", name="previous_block"),
    }
    kernel = _kernel_settings(published_start)
    maps = _look(inputs["picture"], filters, kernel_sizes, strides, kernel)
    if coordinates:
        maps = CoordinateChannels(name="coordinates")(maps)
    text = _read(inputs["text"], num_words, word_units, text_units)
    if dropout:
        text = keras.layers.Dropout(dropout, name="text_dropout")(text)
    settings = TextFusionSettings(
        image_units=image_units,
        image_kernel=kernel("normal", 0.004),
        units=fusion_units,
        depth=fusion_depth,
        kernel_size=fusion_kernel_size,
        released=fusion_released,
        glimpses=fusion_glimpses,
        activate_product=fusion_activate_product,
    )
    fused, goal_features = TEXT_FUSIONS[fusion].fuse(maps, text, settings)
    deviation = 0.001 if published_start else 0.1
    previous = [
        _look_up(inputs[table], table, rows, units, deviation)
        for table, rows, units in (
            ("previous_direction", 6, direction_units),
            ("previous_block", num_blocks + 1, block_units),
        )
    ]
    joint = keras.layers.Concatenate(name="join")([fused, text, *previous])
    dense = keras.layers.Dense(joint_units, activation="relu", name="joint")
    joint = dense(joint)
    if dropout:
        joint = keras.layers.Dropout(dropout, name="joint_dropout")(joint)
    outputs = {
        head: keras.layers.Dense(units, name=head, **kernel("normal", 0.01))(
            joint
        )
        for head, units in (("direction", 5), ("block", num_blocks))
    }
    if goal:
        cells = maps.shape[1] * maps.shape[2]
        outputs["goal"] = _goal(goal_features, joint, cells)
    return keras.Model(inputs, outputs, name=name)


def _look(
    picture: Tensor,
    filters: Sequence[int],
    kernel_sizes: Sequence[int],
    strides: Sequence[int],
    kernel: KernelSettings,
) -> Tensor:
    x = Standardize(name="standardize")(picture)
    sizes = zip(filters, kernel_sizes, strides, strict=True)
    for index, (count, kernel_size, stride) in enumerate(sizes, 1):
        x = keras.layers.Conv2D(
            count,
            kernel_size,
            stride,
            padding="same",
            activation="relu",
            data_format="channels_last",
            name=f"convolution_{index}",
            **kernel("truncated", 0.005),
        )(x)
    return x


def _read(
    text: Tensor, num_words: int, word_units: int, text_units: int
) -> Tensor:
    words = keras.layers.Embedding(
        num_words,
        word_units,
        embeddings_initializer=keras.initializers.RandomNormal(stddev=1.0),
        mask_zero=True,
        name="words",
    )(text)
    states = keras.layers.LSTM(
        text_units, return_sequences=True, name="reading"
    )(words)
    return MeanOfWords(name="mean_of_words")(states)


def _look_up(
    numbers: Tensor, name: str, rows: int, units: int, deviation: float
) -> Tensor:
    table = keras.layers.Embedding(
        rows,
        units,
        embeddings_initializer=keras.initializers.RandomNormal(
            stddev=deviation
        ),
        name=f"table_of_{name}",
    )
    return table(numbers)


def _goal(features: Tensor | None, joint: Tensor, cells: int) -> Tensor:
    if features is None:
        logits = keras.layers.Dense(cells, name="goal_cells")(joint)
    else:
        scores = keras.layers.Dense(1, name="goal_cells")(features)
        logits = keras.layers.Reshape((cells,), name="goal_row")(scores)
    return OutOfSightLogit(name="goal")(logits)


def _kernel_settings(published: bool) -> KernelSettings:
    """How a kernel starts: as published, or as Keras lets it."""

    def settings(kind: str, deviation: float) -> dict[str, Any]:
        if not published:
            return {}
        distribution = {
            "truncated": keras.initializers.TruncatedNormal,
            "normal": keras.initializers.RandomNormal,
        }[kind]
        return {"kernel_initializer": distribution(stddev=deviation)}

    return settings


@keras.saving.register_keras_serializable(package="keras_fusion")
class Standardize(keras.layers.Layer):
    """Zero mean and unit variance over all pixels and channels of a sample."""

    def call(self, inputs: Tensor) -> Tensor:
        axes = tuple(range(1, len(inputs.shape)))
        # In half precision, sums over pixels would lose digits.
        x = ops.cast(inputs, at_least_float32(self.compute_dtype))
        centered = x - ops.mean(x, axes, keepdims=True)
        variance = ops.mean(ops.square(centered), axes, keepdims=True)
        outputs = centered * ops.rsqrt(variance + 1e-6)
        return ops.cast(outputs, self.compute_dtype)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        return input_shape


@keras.saving.register_keras_serializable(package="keras_fusion")
class MeanOfWords(keras.layers.Layer):
    """Mean over the words of a text; zeros if it holds padding alone."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.supports_masking = True

    def call(self, inputs: Tensor, mask: Tensor | None = None) -> Tensor:
        if mask is None:
            return ops.mean(inputs, axis=1)
        words = ops.cast(mask[..., None], inputs.dtype)
        return ops.sum(inputs * words, axis=1) / ops.maximum(
            ops.sum(words, axis=1), 1.0
        )

    def compute_mask(self, inputs: Tensor, mask: Tensor | None = None) -> None:
        return None

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, _, features = input_shape
        return (batch, features)


@keras.saving.register_keras_serializable(package="keras_fusion")
class CoordinateChannels(keras.layers.Layer):
    """Appends row and column of each cell, from -1 to 1, as channels."""

    def call(self, inputs: Tensor) -> Tensor:
        height, width = inputs.shape[1:3]
        rows = ops.reshape(ops.linspace(-1.0, 1.0, height), (1, height, 1, 1))
        columns = ops.reshape(ops.linspace(-1.0, 1.0, width), (1, 1, width, 1))
        zeros = ops.zeros_like(inputs[..., :1])
        grids = [zeros + ops.cast(x, inputs.dtype) for x in (rows, columns)]
        return ops.concatenate([inputs, *grids], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        *positions, channels = input_shape
        return (*positions, None if channels is None else channels + 2)


@keras.saving.register_keras_serializable(package="keras_fusion")
class OutOfSightLogit(keras.layers.Layer):
    """Appends one learned logit, the same for every sample."""

    def build(self, input_shape: Shape) -> None:
        self.logit = self.add_weight(
            shape=(1,), initializer="zeros", name="logit"
        )

    def call(self, inputs: Tensor) -> Tensor:
        last = ops.zeros_like(inputs[:, :1]) + self.logit
        return ops.concatenate([inputs, last], axis=-1)

    def compute_output_shape(self, input_shape: Shape) -> Shape:
        batch, cells = input_shape
        return (batch, None if cells is None else cells + 1)
