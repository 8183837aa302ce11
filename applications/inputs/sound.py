"""Sounds: read WAV files, at one rate and of one length."""

import math
import warnings
from pathlib import Path

import numpy as np
import scipy.io.wavfile
import scipy.signal

EXTENSIONS = (".wav", ".wave")


def read(path: Path, rate: int, seconds: float) -> np.ndarray:
    """The samples of a file, float32 from -1 to 1, (rate * seconds,).

    Channels are averaged. What is longer is cut at its end, what is shorter
    is followed by silence.
    """
    try:
        with warnings.catch_warnings():
            # Chunks of other programs are passed over.
            warnings.simplefilter("ignore", scipy.io.wavfile.WavFileWarning)
            own_rate, samples = scipy.io.wavfile.read(path)
    # A damaged file may raise anything.
    except Exception as error:
        raise ValueError(
            f"{path} could not be read as a WAV file ({error}); convert it to "
            "WAV, or take it away"
        ) from error
    if not samples.size:
        raise ValueError(f"{path} holds no sound; take it away")
    sound = _from_minus_1_to_1(samples)
    sound = sound.mean(axis=1) if sound.ndim > 1 else sound
    if not np.isfinite(sound).all():
        raise ValueError(f"{path} holds values that are not finite")
    if own_rate != rate:
        shared = math.gcd(own_rate, rate)
        sound = scipy.signal.resample_poly(
            sound, rate // shared, own_rate // shared
        )
    length = round(rate * seconds)
    return np.pad(sound[:length], (0, max(0, length - len(sound)))).astype(
        "float32"
    )


def _from_minus_1_to_1(samples: np.ndarray) -> np.ndarray:
    """Numbers of any width; those of 8 bits have their silence at 128."""
    if samples.dtype.kind == "f":
        return samples.astype("float64")
    half = 2.0 ** (8 * samples.dtype.itemsize - 1)
    silence = half if samples.dtype.kind == "u" else 0.0
    return (samples.astype("float64") - silence) / half
