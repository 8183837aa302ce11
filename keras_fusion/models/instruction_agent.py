import functools

import keras
from keras import ops

from keras_fusion.layers import BilinearAttention
from keras_fusion.layers import LingUNet
from keras_fusion.layers import LocalFullyConnectedFusion
from keras_fusion.layers import LowRankBilinearPooling
from keras_fusion.layers import TextGate


def instruction_agent(
    num_blocks=20,
    num_words=1106,
    picture_shape=(120, 120, 15),
    fusion="concat",
    coordinates=False,
    goal=False,
    filters=(32, 32, 32),
    kernel_sizes=(8, 8, 4),
    strides=(4, 4, 2),
    image_units=200,
    word_units=150,
    text_units=250,
    direction_units=24,
    block_units=32,
    joint_units=120,
    fusion_units=32,
    fusion_depth=1,
    fusion_glimpses=2,
    fusion_activate_product=True,
    dropout=0.0,
    published_start=True,
    name="instruction_agent",
):
    """The agent that reads an instruction, sees blocks and moves one of them.

    Convolutions turn a stack of pictures into a map and the map into a vector;
    an LSTM turns the words into the mean of its outputs; the action before is
    looked up in two tables. A dense layer joins the three vectors, and two
    heads say which block moves and where to, or that all is done:

        P(block b moves to d) = softmax(block)[b] * softmax(direction)[d]
        P(stop) = softmax(direction)[4]

    The defaults are the published network, with 846,917 weights. Each picture
    stack is standardized as a whole, black frames included.

    `fusion` says how the words meet the map before the joint vector, which
    sees the words in any case:

    - `"concat"`: not at all, as published.
    - `"local_dense"`: `LocalFullyConnectedFusion`, the text tiled over the map
      and a perceptron in every cell.
    - `"text_convolution"`: `LingUNet`, a pyramid filtered by kernels made from
      the text.
    - `"text_gate"`: `TextGate`, channels gated by what they show and the text
      (our reading of a slide that has only a title, "Plan C").
    - `"bilinear"`: `BilinearAttention` of the text over the cells, and
      `LowRankBilinearPooling` of what it finds with the text, in place of the
      flattened map.

    Args:
        num_blocks: Integer, blocks that there may be.
        num_words: Integer, rows of the table of words; 0 is padding.
        picture_shape: Height, width and channels of the stack of pictures:
            five frames of three colors as published.
        fusion: One of the names above.
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
        fusion_units: Integer, width of the fused map, rank with `"bilinear"`,
            unused by `"concat"` and `"text_gate"`.
        fusion_depth: Integer, levels of `LingUNet`.
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
        `(batch,)`, 4 for stop and 5 for none; `"previous_block"`, `(batch,)`,
        `num_blocks` for none. Outputs, a dict of logits: `"direction"`,
        `(batch, 5)`; `"block"`, `(batch, num_blocks)`; and maybe `"goal"`.

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
    if fusion not in FUSIONS:
        raise ValueError(
            f"`fusion` must be one of {', '.join(FUSIONS)}. "
            f"Received: fusion={fusion!r}"
        )
    if not len(filters) == len(kernel_sizes) == len(strides) > 0:
        raise ValueError(
            "`filters`, `kernel_sizes` and `strides` must have an entry for "
            f"each convolution. Received: {filters}, {kernel_sizes}, {strides}"
        )
    inputs = {
        "picture": keras.Input(picture_shape, name="picture"),
        "text": keras.Input((None,), dtype="int32", name="text"),
        "previous_direction": keras.Input(
            (), dtype="int32", name="previous_direction"
        ),
        "previous_block": keras.Input((), dtype="int32", name="previous_block"),
    }
    start = _starts(published_start)
    maps = _look(inputs["picture"], filters, kernel_sizes, strides, start)
    if coordinates:
        maps = CoordinateChannels(name="coordinates")(maps)
    text = _read(inputs["text"], num_words, word_units, text_units)
    if dropout:
        text = keras.layers.Dropout(dropout, name="text_dropout")(text)
    fused, goal_features = FUSIONS[fusion](
        maps,
        text,
        image_units,
        functools.partial(
            keras.layers.Dense, name="image", **start("normal", 0.004)
        ),
        fusion_units,
        fusion_depth,
        {
            "num_glimpses": fusion_glimpses,
            "activate_product": fusion_activate_product,
        },
    )
    before = [
        keras.layers.Embedding(
            rows,
            units,
            embeddings_initializer=keras.initializers.RandomNormal(
                stddev=0.001 if published_start else 0.1
            ),
            name=f"table_of_{name}",
        )(inputs[name])
        for name, rows, units in (
            ("previous_direction", 6, direction_units),
            ("previous_block", num_blocks + 1, block_units),
        )
    ]
    joint = keras.layers.Concatenate(name="join")([fused, text, *before])
    joint = keras.layers.Dense(joint_units, activation="relu", name="joint")(
        joint
    )
    if dropout:
        joint = keras.layers.Dropout(dropout, name="joint_dropout")(joint)
    outputs = {
        head: keras.layers.Dense(units, name=head, **start("normal", 0.01))(
            joint
        )
        for head, units in (("direction", 5), ("block", num_blocks))
    }
    if goal:
        cells = maps.shape[1] * maps.shape[2]
        outputs["goal"] = _goal(goal_features, joint, cells)
    return keras.Model(inputs, outputs, name=name)


def _look(picture, filters, kernel_sizes, strides, start):
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
            **start("truncated", 0.005),
        )(x)
    return x


def _read(text, num_words, word_units, text_units):
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
    # The mask keeps padding out of the mean.
    return keras.layers.GlobalAveragePooling1D(name="mean_of_words")(states)


def concat(maps, text, units, dense, fusion_units, depth, attention):
    return dense(units)(_flat(maps)), None


def local_dense(maps, text, units, dense, fusion_units, depth, attention):
    fused = LocalFullyConnectedFusion(
        [fusion_units, fusion_units], name="local_dense"
    )(maps, text)
    return dense(units)(_flat(fused)), fused


def text_convolution(maps, text, units, dense, fusion_units, depth, attention):
    fused = LingUNet(
        fusion_units,
        depth=depth,
        kernel_size=3,
        split_conditioning=False,
        dropout=0.0,
        name="text_convolution",
    )(maps, text)
    height, width = maps.shape[1:3]
    # Odd maps come back one cell larger.
    fused = fused[:, :height, :width]
    return dense(units)(_flat(fused)), fused


def text_gate(maps, text, units, dense, fusion_units, depth, attention):
    fused = TextGate(ratio=2, name="text_gate")(maps, text)
    return dense(units)(_flat(fused)), fused


def bilinear(maps, text, units, dense, fusion_units, depth, attention):
    pooled, weights = BilinearAttention(
        fusion_units, **attention, name="bilinear_attention"
    )(text, maps, return_attention_scores=True)
    fused = LowRankBilinearPooling(
        units, rank=2 * fusion_units, name="bilinear_pooling"
    )([pooled, text])
    scores = ops.log(weights + 1e-6)
    return fused, ops.transpose(scores, (0, 2, 3, 1))


FUSIONS = {
    "concat": concat,
    "local_dense": local_dense,
    "text_convolution": text_convolution,
    "text_gate": text_gate,
    "bilinear": bilinear,
}


def _flat(maps):
    return keras.layers.Flatten(data_format="channels_last", name="flat")(maps)


def _goal(features, joint, cells):
    if features is None:
        logits = keras.layers.Dense(cells, name="goal_cells")(joint)
    else:
        scores = keras.layers.Dense(1, name="goal_cells")(features)
        logits = keras.layers.Reshape((cells,), name="goal_row")(scores)
    return OutOfSightLogit(name="goal")(logits)


def _starts(published):
    """The initializers of a kernel as published, or Keras's own."""

    def start(kind, deviation):
        if not published:
            return {}
        return {
            "kernel_initializer": keras.initializers.TruncatedNormal(
                stddev=deviation
            )
            if kind == "truncated"
            else keras.initializers.RandomNormal(stddev=deviation)
        }

    return start


@keras.saving.register_keras_serializable(package="keras_fusion")
class Standardize(keras.layers.Layer):
    """Zero mean and unit variance over all pixels and channels of a sample."""

    def call(self, inputs):
        axes = tuple(range(1, len(inputs.shape)))
        mean, variance = ops.moments(inputs, axes, keepdims=True)
        return (inputs - mean) * ops.rsqrt(variance + 1e-6)

    def compute_output_shape(self, input_shape):
        return input_shape


@keras.saving.register_keras_serializable(package="keras_fusion")
class CoordinateChannels(keras.layers.Layer):
    """Appends row and column of each cell, from -1 to 1, as channels."""

    def call(self, inputs):
        height, width = inputs.shape[1:3]
        rows = ops.reshape(ops.linspace(-1.0, 1.0, height), (1, height, 1, 1))
        columns = ops.reshape(ops.linspace(-1.0, 1.0, width), (1, 1, width, 1))
        zeros = ops.zeros_like(inputs[..., :1])
        grids = [zeros + ops.cast(x, inputs.dtype) for x in (rows, columns)]
        return ops.concatenate([inputs, *grids], axis=-1)

    def compute_output_shape(self, input_shape):
        return (*input_shape[:-1], input_shape[-1] + 2)


@keras.saving.register_keras_serializable(package="keras_fusion")
class OutOfSightLogit(keras.layers.Layer):
    """Appends one learned logit, the same for every sample."""

    def build(self, input_shape):
        self.logit = self.add_weight(
            shape=(1,), initializer="zeros", name="logit"
        )

    def call(self, inputs):
        last = ops.zeros_like(inputs[:, :1]) + self.logit
        return ops.concatenate([inputs, last], axis=-1)

    def compute_output_shape(self, input_shape):
        return (input_shape[0], input_shape[1] + 1)
