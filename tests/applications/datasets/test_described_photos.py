"""IAPR TC-12's layout, as the tests write it, with what is wrong in it."""

import numpy as np
import pytest
from PIL import Image

from applications.captioning import Config
from applications.captioning import load_data
from applications.datasets import caption_folder

FORM = """<DOC>
<DOCNO>annotations/{name}.eng</DOCNO>
<TITLE>A title & more</TITLE>
<DESCRIPTION>{text}</DESCRIPTION>
<NOTES>Not to be read; nor this;</NOTES>
<IMAGE>images/{name}.jpg</IMAGE>
<THUMBNAIL>thumbnails/{name}.jpg</THUMBNAIL>
</DOC>
"""


def write(root, texts, encoding="iso-8859-1"):
    """A photo and its annotation for each name, such as 00/25."""
    for number, (name, text) in enumerate(texts.items()):
        photo = root / "images" / f"{name}.jpg"
        photo.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.full((36, 48, 3), 10 * number, "uint8")
        Image.fromarray(pixels).save(photo)
        annotate(root, name, FORM.format(name=name, text=text), encoding)
    return root


def annotate(root, name, text, encoding="iso-8859-1"):
    file = root / "annotations_complete_eng" / f"{name}.eng"
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text, encoding=encoding)


def said(part):
    return [
        (part.files[image].stem, text)
        for image, text in zip(part.image_of, part.texts, strict=True)
    ]


@pytest.mark.parametrize("encoding", ["iso-8859-1", "utf-8", "utf-8-sig"])
def test_each_sentence_is_a_caption(tmp_path, encoding):
    texts = {
        "01/9": "two women in São Paulo;\n a red  bus;",
        "00/25": "a house & a tree",
        "01/10": " ; a dog;;",
    }
    write(tmp_path, texts, encoding)
    found = caption_folder.scan(tmp_path, held_out=0.0)
    assert said(found.splits["train"]) == [
        ("25", "a house & a tree"),
        ("9", "two women in São Paulo"),
        ("9", "a red bus"),
        ("10", "a dog"),
    ]
    assert found.notes == ()


def test_lists_are_the_splits(tmp_path):
    texts = {f"00/{number}": f"number {number};" for number in range(6)}
    write(tmp_path, texts)
    (tmp_path / "iaprtc12_train_list.txt").write_text("00/4\n00/0\n00/1\n00/7")
    (tmp_path / "iaprtc12_test_list.txt").write_text("images/00/3.jpg\r\n00/2")
    (tmp_path / "read.me").write_text("about")
    found = caption_folder.scan(tmp_path, held_out=0.5)
    stems = {
        name: [path.stem for path in part.files]
        for name, part in found.splits.items()
    }
    # Of three every second is held out.
    assert stems == {
        "train": ["0", "4"],
        "validation": ["1"],
        "test": ["2", "3"],
    }
    notes = "\n".join(found.notes)
    assert "validation is 1 in 2 images of train" in notes
    assert "no list: annotations_complete_eng/00/5.eng" in notes
    assert "without an annotation: iaprtc12_train_list.txt (00/7)" in notes
    assert "images without a caption: images/00/5.jpg" in notes
    assert "beside photos, annotations and lists: read.me" in notes
    (tmp_path / "iaprtc12_test_list.txt").write_text("00/4")
    with pytest.raises(ValueError, match="both have 00/4; a photo must be on"):
        caption_folder.scan(tmp_path)


def test_damage_is_left_out_and_said(tmp_path):
    texts = {f"00/{number}": f"number {number};" for number in range(6)}
    write(tmp_path, texts)
    folder = tmp_path / "annotations_complete_eng" / "00"
    (tmp_path / "images" / "00" / "1.jpg").unlink()
    annotate(tmp_path, "00/2", FORM.format(name="00/2", text=" ; "))
    annotate(tmp_path, "00/3", FORM.format(name="00/3", text="a"), "utf-16")
    annotate(tmp_path, "00/4", "<DOC><DESCRIPTION>a dog;</DESCRIPTION></DOC>")
    (folder / "note.txt").write_text("by hand")
    found = caption_folder.scan(tmp_path, held_out=0.0)
    assert said(found.splits["train"]) == [("0", "number 0"), ("5", "number 5")]
    inner = "annotations_complete_eng/00"
    reasons = {
        "annotations whose photo is not there": (
            f"{inner}/1.eng (images/00/1.jpg), {inner}/4.eng (names none)"
        ),
        "annotations without a description": f"{inner}/2.eng",
        "annotations that are no text in ISO-8859-1": f"{inner}/3.eng",
        "not annotations": f"{inner}/note.txt",
        "images without a caption": (
            "images/00/2.jpg, images/00/3.jpg, images/00/4.jpg"
        ),
    }
    assert set(found.notes) == {
        f"left out, {reason}: {paths}" for reason, paths in reasons.items()
    }


def test_where_nothing_is_left_one_line_says_so(tmp_path):
    write(tmp_path, {"00/1": ""})
    with pytest.raises(ValueError, match="the train part of .* has no caption"):
        caption_folder.scan(tmp_path)
    write(tmp_path, {"00/1": "a dog"})
    (tmp_path / "test.txt").write_text("00/2")
    with pytest.raises(ValueError, match="the test part of .* has no caption"):
        caption_folder.scan(tmp_path)


def test_the_task_reads_such_a_folder(tmp_path):
    texts = {f"00/{number}": "a dog; a cat;" for number in range(4)}
    write(tmp_path, texts)
    config = Config(data_dir=str(tmp_path), held_out=0.25, image_side=32)
    data = load_data(config)
    assert data.sizes == {"train": 6, "validation": 2}
    assert set(data.config.words) == {"a", "dog", "cat"}
    inputs, _ = next(iter(data.split("validation")[1]))
    # The fourth photo.
    np.testing.assert_allclose(inputs["image"], 30, atol=1)
