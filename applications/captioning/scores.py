"""How well a model tells captions, writes them, and finds them."""

from typing import Any
from typing import NamedTuple

import keras
import numpy as np
import tensorflow as tf

from applications.captioning.config import Config
from applications.captioning.data import IMAGE
from applications.captioning.data import NEXT
from applications.captioning.data import WORDS
from applications.captioning.generation import beam_search
from applications.captioning.likelihoods import Teller
from applications.inputs import caption as captions
from applications.reports import percent
from keras_fusion.metrics import MedianRank
from keras_fusion.metrics import RecallAtK
from keras_fusion.metrics import RetrievalFScore

NEEDS_SACREBLEU = (
    "BLEU and chrF need an extra package: pip install "
    "'keras-fusion[captioning]'"
)
# The paper counts words with a whole context before them, of texts that have
# a few of these.
MORE_THAN_CONTEXT = 3
RECALLS = (1, 5, 10)
F_SCORE_AT = 10


class Captions(NamedTuple):
    """What a data set holds, each image once."""

    images: np.ndarray
    image_of: np.ndarray
    words: np.ndarray

    def first(self, count: int) -> "Captions":
        """The first images, with their captions."""
        kept = self.image_of < count
        return Captions(
            self.images[:count], self.image_of[kept], self.words[kept]
        )


def gather(dataset: tf.data.Dataset) -> Captions:
    """All captions; images that are equal in every value are one."""
    places: dict[bytes, int] = {}
    images, image_of, words = [], [], []
    for inputs, targets in dataset:
        ends = targets[NEXT].numpy()[:, -1:]
        words.append(np.concatenate([inputs[WORDS].numpy(), ends], axis=1))
        for image in inputs[IMAGE].numpy():
            place = places.setdefault(image.tobytes(), len(places))
            if place == len(images):
                images.append(image)
            image_of.append(place)
    return Captions(np.stack(images), np.array(image_of), np.concatenate(words))


def measure(
    model: keras.Model, dataset: tf.data.Dataset, config: Config
) -> dict[str, Any]:
    """Perplexities, and of the first images texts and searches.

    `perplexity` counts every word and the end; `perplexity_by_the_paper`
    words behind a whole context, of texts that have three more words or more.
    Under `wrong_image` each caption stands beside another image.
    """
    found, teller = gather(dataset), Teller(model, config)
    codes = teller.codes(found.images)
    metrics = perplexities(teller, codes, found)
    # Far away, as neighbors are often alike.
    other = (found.image_of + max(1, len(codes) // 2)) % len(codes)
    wrong = found._replace(image_of=other)
    metrics["wrong_image"] = perplexities(teller, codes, wrong)
    metrics["images"], metrics["captions"] = len(codes), len(found.words)
    if config.measured:
        some = found.first(config.measured)
        codes = codes[: config.measured]
        metrics["measured"] = len(codes)
        metrics |= retrieval(teller, codes, some)
        metrics |= quality(written(teller, codes), some, config)
    return metrics


def perplexities(
    teller: Teller, codes: np.ndarray, found: Captions
) -> dict[str, Any]:
    """Both ways to count."""
    logs = teller.log_likelihoods(codes, found.image_of, found.words)
    following = found.words[:, 1:]
    counted = paper_counts(following, teller.config.context)
    by_paper = None
    if counted.any():
        by_paper = float(np.exp(-logs[counted].mean()))
    said = following != captions.PADDING
    return {
        "perplexity": float(np.exp(-logs[said].mean())),
        "perplexity_by_the_paper": by_paper,
    }


def paper_counts(following: np.ndarray, context: int) -> np.ndarray:
    """Which words count by the paper's rule, of words behind the start."""
    is_word = following >= captions.UNKNOWN
    lengths = is_word.sum(axis=1, keepdims=True)
    places = np.arange(following.shape[1])[None]
    long_enough = lengths >= context + MORE_THAN_CONTEXT
    return is_word & (places >= context) & long_enough


def retrieval(
    teller: Teller, codes: np.ndarray, found: Captions
) -> dict[str, Any]:
    """Searches both ways among the captions and images that are measured.

    For a text, images by its perplexity; for an image, texts by the ratio of
    their log-perplexities beside it and beside the mean of all images.
    """
    costs = teller.pairs(codes, found.words)
    alone = teller.pairs(mean_code(codes), found.words)
    right = found.image_of[:, None] == np.arange(len(codes))[None]
    return {
        "text_to_image": searched(right, -costs.T),
        "image_to_text": searched(right.T, -ratios(costs, alone)),
        "image_to_text_by_perplexity": searched(right.T, -costs),
    }


def mean_code(codes: np.ndarray) -> np.ndarray:
    return codes.mean(axis=0, keepdims=True)


def ratios(costs: np.ndarray, alone: np.ndarray) -> np.ndarray:
    """Log-perplexities in relation to those beside the mean image."""
    return (costs + 1e-9) / (alone + 1e-9)


def searched(right: np.ndarray, scores: np.ndarray) -> dict[str, float]:
    metrics = [
        *(RecallAtK(k) for k in RECALLS),
        MedianRank(scores.shape[1]),
        RetrievalFScore(F_SCORE_AT),
    ]
    for metric in metrics:
        metric.update_state(right, scores.astype("float32"))
    return {metric.name: float(metric.result()) for metric in metrics}


def written(teller: Teller, codes: np.ndarray) -> list[tuple[str, ...]]:
    """The best caption that a beam finds for each image."""
    config = teller.config
    texts = beam_search(
        teller.step(codes), len(codes), config.length, config.beam_width
    )
    return [captions.decode(best[0].words, config.words) for best in texts]


def quality(
    texts: list[tuple[str, ...]], found: Captions, config: Config
) -> dict[str, Any]:
    """BLEU of one to four words and chrF, against all captions of an image.

    In words as they are known: those that are not are one and the same.
    """
    try:
        import sacrebleu.metrics
    except ImportError:
        return {"left_out": NEEDS_SACREBLEU}
    said = [
        " ".join(captions.decode(row[1:], config.words)) for row in found.words
    ]
    by_image = [
        [said[place] for place in np.flatnonzero(found.image_of == image)]
        for image in range(len(texts))
    ]
    # Where an image has fewer captions than another, the rest is None.
    most = max(map(len, by_image))
    references = [
        [own[n] if n < len(own) else None for own in by_image]
        for n in range(most)
    ]
    lines = [" ".join(text) for text in texts]
    scores = {
        f"bleu_{order}": sacrebleu.metrics.BLEU(
            tokenize="none", max_ngram_order=order, force=True
        )
        for order in (1, 2, 3, 4)
    }
    scores["chrf"] = sacrebleu.metrics.CHRF()
    return {
        name: score.corpus_score(lines, references).score / 100
        for name, score in scores.items()
    }


def table(metrics: dict[str, Any]) -> str:
    wrong = metrics["wrong_image"]
    lines = [f"{'perplexity':<24} {'its image':>10} {'another':>10}"]
    for key, name in (
        ("perplexity", "all words"),
        ("perplexity_by_the_paper", "by the paper's rule"),
    ):
        cells = [_number(row[key]) for row in (metrics, wrong)]
        lines.append(f"{name:<24} {cells[0]:>10} {cells[1]:>10}")
    if "text_to_image" in metrics:
        lines += ["", *_searches(metrics)]
    if "left_out" in metrics:
        lines += ["", metrics["left_out"]]
    elif "chrf" in metrics:
        names = [*(f"bleu_{order}" for order in (1, 2, 3, 4)), "chrf"]
        scores = [f"{name} {percent(metrics[name])}" for name in names]
        lines += ["", ", ".join(scores)]
    return "\n".join(lines)


def _searches(metrics: dict[str, Any]) -> list[str]:
    count = metrics["measured"]
    recalls = "".join(f"{f'recall {k}':>11}" for k in RECALLS)
    title, last = f"search, {count} images", f"F at {F_SCORE_AT}"
    lines = [f"{title:<28}{recalls}{'median rank':>13}{last:>10}"]
    for key, name in (
        ("text_to_image", "images for a text"),
        ("image_to_text", "texts for an image, ratio"),
        ("image_to_text_by_perplexity", "the same by perplexity"),
    ):
        row = metrics[key]
        cells = "".join(
            f"{percent(row[f'recall_at_{k}']):>11}" for k in RECALLS
        )
        score = percent(row[f"f_score_at_{F_SCORE_AT}"])
        rank = f"{row['median_rank']:g}"
        lines.append(f"{name:<28}{cells}{rank:>13}{score:>10}")
    return lines


def _number(value: float | None) -> str:
    return "none" if value is None else f"{value:.3f}"
