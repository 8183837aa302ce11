import numpy as np
import pytest
import scipy.io.wavfile

from applications.inputs import sound

RATE = 8000


def tone(rate, seconds=1.0, hertz=440):
    return np.sin(2 * np.pi * hertz * np.arange(int(rate * seconds)) / rate)


def write(path, samples, rate=RATE):
    scipy.io.wavfile.write(path, rate, samples)
    return path


@pytest.mark.parametrize("kind", ["uint8", "int16", "int32", "float32"])
def test_samples_of_any_width_are_from_minus_1_to_1(tmp_path, kind):
    wave = 0.5 * tone(RATE)
    stored = {
        "uint8": np.rint(wave * 128 + 128),
        "int16": np.rint(wave * 2**15),
        "int32": np.rint(wave * 2**31),
        "float32": wave,
    }[kind]
    path = write(tmp_path / "a.wav", stored.astype(kind))
    read = sound.read(path, RATE, 1.0)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, wave, atol=1 / 128)


@pytest.mark.parametrize("rate", [4000, 11025, 44100])
def test_other_rates_are_brought_to_one(tmp_path, rate):
    path = write(tmp_path / "a.wav", tone(rate).astype("float32"), rate)
    read = sound.read(path, RATE, 1.0)
    assert read.shape == (RATE,)
    # The ends ring.
    middle = slice(RATE // 4, 3 * RATE // 4)
    np.testing.assert_allclose(read[middle], tone(RATE)[middle], atol=0.02)


def test_channels_are_averaged_and_lengths_are_made_equal(tmp_path):
    left, right = tone(RATE, 0.5), np.zeros(RATE // 2)
    stereo = np.stack([left, right], axis=1).astype("float32")
    path = write(tmp_path / "a.wav", stereo)
    long = sound.read(path, RATE, 1.0)
    np.testing.assert_allclose(long[: RATE // 2], left / 2, atol=1e-6)
    assert not long[RATE // 2 :].any()
    np.testing.assert_array_equal(sound.read(path, RATE, 0.25), long[:2000])


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound" * 20])
def test_what_is_no_sound_is_named(tmp_path, content):
    (tmp_path / "a.wav").write_bytes(content)
    with pytest.raises(ValueError, match="a.wav could not be read as a WAV"):
        sound.read(tmp_path / "a.wav", RATE, 1.0)


def test_empty_and_infinite_sounds_are_named(tmp_path):
    path = write(tmp_path / "a.wav", np.zeros(0, "int16"))
    with pytest.raises(ValueError, match="a.wav"):
        sound.read(path, RATE, 1.0)
    path = write(tmp_path / "b.wav", np.array([0, np.nan], "float32"))
    with pytest.raises(ValueError, match="b.wav holds values that are not fin"):
        sound.read(path, RATE, 1.0)
