"""Noisy pictures with squares of some colors, and rows that name them."""

import json

import numpy as np
from PIL import Image

COLORS = {"red": (220, 30, 30), "green": (30, 200, 30), "blue": (40, 40, 230)}
SIDE, SQUARE = 32, 8


def picture(rng):
    """Pixels (32, 32, 3), and the box of each color that is there."""
    pixels = rng.integers(90, 150, (SIDE, SIDE, 3)).astype("uint8")
    boxes = {}
    places = rng.permutation((SIDE // SQUARE) ** 2)
    for (name, color), place in zip(COLORS.items(), places, strict=False):
        if rng.random() < 0.45:
            row, column = SQUARE * (place // 4), SQUARE * (place % 4)
            pixels[row : row + SQUARE, column : column + SQUARE] = color
            left, top = int(column), int(row)
            boxes[name] = [[left, top, left + SQUARE, top + SQUARE]]
    return pixels, boxes


def write_rows(root, count=200, boxed=True):
    """`train.jsonl` and `validation.jsonl` beside their pictures."""
    rng = np.random.default_rng(0)
    for part, images in (("train", count), ("validation", count // 4)):
        lines = []
        (root / part).mkdir(parents=True)
        for index in range(images):
            pixels, boxes = picture(rng)
            name = f"{part}/{index}.png"
            Image.fromarray(pixels).save(root / name)
            row = {"image": name, "labels": [*boxes]}
            lines.append(json.dumps(row | ({"boxes": boxes} if boxed else {})))
        (root / f"{part}.jsonl").write_text("\n".join(lines))
    return root
