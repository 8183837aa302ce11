from collections.abc import Sequence

import keras
from keras import ops

from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.caption_decoders import CAPTION_DECODERS
from keras_fusion.models.caption_decoders import CaptionDecoderSettings
from keras_fusion.models.caption_decoders import context_windows
from keras_fusion.models.caption_images import CAPTION_IMAGES


def captioner(
    image_shape: Sequence[int],
    vocabulary_size: int,
    decoder: str = "mlbl_b",
    encoder: str = "dense",
    image_units: int = 256,
    embedding_size: int = 50,
    context: int = 5,
    factors: int = 50,
    units: int = 256,
    num_heads: int = 4,
    num_blocks: int = 2,
    length: int = 32,
    dropout: float = 0.0,
    name: str = "captioner",
) -> keras.Model:
    """A model of the next word of a caption, beside an image.

    All decoders are called alike, so that they can be trained, sampled and
    compared by the same code: `words` begin with the start, and at each
    position come the logits of the word behind it. What follows has no
    influence on a position, so padding at the end needs no mask.

    `decoder` is the name of one of `keras_fusion.models.CAPTION_DECODERS`,
    `encoder` of one of `keras_fusion.models.CAPTION_IMAGES`. The image becomes
    a code of `image_units` features, by default the 256 of the paper,
    whatever it was before. `caption_parts` gives the encoder and the rest.

    Args:
        image_shape: Shape of the image: of pixels from 0 to 255, or of
            features that were computed before.
        vocabulary_size: Integer, number of words, which takes in padding and
            the start, of index 1.
        decoder: String. Defaults to `"mlbl_b"`.
        encoder: String. Defaults to `"dense"`, for vectors of features.
        image_units: Integer, width of the image's code. Defaults to `256`.
        embedding_size: Integer, width of words. Defaults to `50`.
        context: Integer, words that a log-bilinear model sees. Defaults to
            `5`.
        factors: Integer, of `mlbl_f`. Defaults to `50`.
        units: Integer, width of LSTM and Transformer. Defaults to `256`.
        num_heads: Integer, heads of the Transformer. Defaults to `4`.
        num_blocks: Integer, its blocks. Defaults to `2`.
        length: Integer, longest text that it can read. Defaults to `32`.
        dropout: Float, share dropped of the image's code, and in blocks.
            Defaults to `0`.
        name: String. Defaults to `"captioner"`.

    Returns:
        A model from `{"image": (batch, *image_shape), "words": (batch,
        words)}` to `{"next": (batch, words, vocabulary_size)}`, logits of
        float32.

    Raises:
        ValueError: If a name is unknown, or sizes do not fit each other.

    Example:

    >>> model = keras_fusion.models.captioner([12], 20, embedding_size=8)
    >>> image, words = np.ones((2, 12)), np.array([[1, 7, 9], [1, 4, 0]])
    >>> outputs = model({"image": image, "words": words})
    >>> tuple(outputs["next"].shape)
    (2, 3, 20)

    Reference:

    - [Kiros et al., 2014](https://proceedings.mlr.press/v32/kiros14.html).
    """
    check_choice("decoder", decoder, CAPTION_DECODERS)
    check_choice("encoder", encoder, CAPTION_IMAGES)
    if units % num_heads:
        raise ValueError(
            "`units` must be a multiple of `num_heads`. Received: "
            f"units={units}, num_heads={num_heads}"
        )
    settings = CaptionDecoderSettings(
        vocabulary_size=vocabulary_size,
        embedding_size=embedding_size,
        context=context,
        factors=factors,
        units=units,
        num_heads=num_heads,
        num_blocks=num_blocks,
        length=length,
        dropout=dropout,
    )
    inputs = {
        "image": keras.Input(tuple(image_shape), name="image"),
        "words": keras.Input((None,), dtype="int32", name="words"),
    }
    code = inputs["image"]
    if CAPTION_DECODERS[decoder].sees_image:
        code = _encoder(image_shape, encoder, image_units)(code)
    tell = _teller(code.shape[1:], decoder, settings)
    wide = keras.layers.Activation("linear", dtype="float32", name="next")
    outputs = {"next": wide(tell([code, inputs["words"]]))}
    return keras.Model(inputs, outputs, name=name)


def _encoder(
    image_shape: Sequence[int], encoder: str, units: int
) -> keras.Model:
    record = CAPTION_IMAGES[encoder]
    image = keras.Input(tuple(image_shape), name="image")
    x = record.encode(image)
    if len(x.shape) > 2:
        x = keras.layers.Flatten(name="image_flat")(x)
    x = keras.layers.Dense(
        units, use_bias=not record.normalized, name="image_code"
    )(x)
    if record.normalized:
        x = keras.layers.BatchNormalization(momentum=0.9, name="code_norm")(x)
    code = keras.layers.ReLU(name="code_relu")(x)
    return keras.Model(image, code, name="encode")


def _teller(
    code_shape: Sequence[int], decoder: str, settings: CaptionDecoderSettings
) -> keras.Model:
    code = keras.Input(tuple(code_shape), name="code")
    words = keras.Input((None,), dtype="int32", name="words")
    dropped = code
    if settings.dropout:
        dropped = keras.layers.Dropout(settings.dropout, name="code_dropout")(
            code
        )
    logits = CAPTION_DECODERS[decoder].decode(words, dropped, settings)
    return keras.Model([code, words], logits, name="tell")


def caption_parts(
    model: keras.Model,
) -> tuple[keras.Model | None, keras.Model]:
    """The two models that a `captioner` is made of.

    The first is from images to codes, so that many words are told beside an
    image that is read once; it is `None` where the image has no influence.
    The second is from a list of codes, or of images without influence, and
    words to logits; its layer `decoder` is the log-bilinear one.

    Args:
        model: A model that `captioner` made, or one that was loaded.

    Example:

    >>> model = keras_fusion.models.captioner([12], 20, embedding_size=8)
    >>> encode, tell = keras_fusion.models.caption_parts(model)
    >>> code, words = encode(np.ones((2, 12))), keras.ops.ones((2, 3))
    >>> tuple(code.shape), tuple(tell([code, words]).shape)
    ((2, 256), (2, 3, 20))
    """
    named = {layer.name: layer for layer in model.layers}
    return named.get("encode"), named["tell"]


def caption_contexts(words: object, context: int) -> object:
    """The words before each word of captions that begin with the start.

    Args:
        words: Integers `(captions, words)`.
        context: Integer, how many.

    Returns:
        `(captions, words, context)`, as the log-bilinear decoders see them.

    Example:

    >>> keras_fusion.models.caption_contexts(np.array([[1, 7, 9]]), 2)[0]
    array([[1, 1],
           [1, 7],
           [7, 9]])
    """
    return ops.convert_to_numpy(context_windows(words, context))
