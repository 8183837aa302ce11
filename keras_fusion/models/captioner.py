from collections.abc import Sequence

import keras
from keras import ops

from keras_fusion.models.argument_checks import check_choice
from keras_fusion.models.caption_decoders import CAPTION_DECODERS
from keras_fusion.models.caption_decoders import CaptionDecoderSettings
from keras_fusion.models.caption_decoders import context_windows
from keras_fusion.models.caption_images import CAPTION_IMAGES
from keras_fusion.types import Tensor


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
    whatever it was before. It is the output of the layer `image_code`; the
    log-bilinear models are the layer `decoder`.

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
    record = CAPTION_DECODERS[decoder]
    inputs = {
        "image": keras.Input(tuple(image_shape), name="image"),
        "words": keras.Input((None,), dtype="int32", name="words"),
    }
    code = None
    if record.sees_image:
        code = _code(inputs["image"], encoder, image_units, dropout)
    logits = record.decode(
        inputs["words"],
        code,
        CaptionDecoderSettings(
            vocabulary_size=vocabulary_size,
            embedding_size=embedding_size,
            context=context,
            factors=factors,
            units=units,
            num_heads=num_heads,
            num_blocks=num_blocks,
            length=length,
            dropout=dropout,
        ),
    )
    wide = keras.layers.Activation("linear", dtype="float32", name="next")
    return keras.Model(inputs, {"next": wide(logits)}, name=name)


def _code(image: Tensor, encoder: str, units: int, dropout: float) -> Tensor:
    features = CAPTION_IMAGES[encoder].encode(image)
    if len(features.shape) > 2:
        features = keras.layers.Flatten(name="image_flat")(features)
    dense = keras.layers.Dense(units, activation="relu", name="image_code")
    code = dense(features)
    if not dropout:
        return code
    return keras.layers.Dropout(dropout, name="image_dropout")(code)


def caption_parts(
    model: keras.Model,
) -> tuple[keras.Model | None, keras.Model]:
    """A `captioner` in two: the encoder of images, and the rest of it.

    The first is from images to codes, so that many words are told beside an
    image that is read once; it is `None` where the image has no influence.
    The second is from codes, or images without influence, and words to logits.

    Args:
        model: A model that `captioner` made, or one that was loaded.

    Example:

    >>> model = keras_fusion.models.captioner([12], 20, embedding_size=8)
    >>> encode, tell = keras_fusion.models.caption_parts(model)
    >>> code, words = encode(np.ones((2, 12))), keras.ops.ones((2, 3))
    >>> tuple(code.shape), tuple(tell([code, words]).shape)
    ((2, 256), (2, 3, 20))
    """
    words, logits = model.input["words"], model.output["next"]
    names = [layer.name for layer in model.layers]
    if "image_code" not in names:
        image = model.input["image"]
        return None, keras.Model([image, words], logits, name="tell")
    code = model.get_layer("image_code").output
    return (
        keras.Model(model.input["image"], code, name="encode"),
        keras.Model([code, words], logits, name="tell"),
    )


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
