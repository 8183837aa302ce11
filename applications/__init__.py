"""Runnable tasks: `python -m applications TASK VERB`.

A task is what `applications/task.py` says, and a line below.
"""

TASKS = {
    "semantic_segmentation": (
        "label every pixel from aligned modalities (color, depth, ...)"
    ),
    "image_translation": (
        "make an image of aligned others (color of shading and albedo, ...)"
    ),
    "image_classification": (
        "name what an image shows, from fused branches of one network"
    ),
    "multimodal_classification": (
        "tell the class of rows of pictures, sounds, texts and tables"
    ),
    "multilabel_recognition": (
        "say which of many categories an image shows, and where"
    ),
    "captioning": "write captions of images, and find either by the other",
    "instruction_following": (
        "move blocks as a text says, from pictures of the board"
    ),
}


def check_task(name: str) -> None:
    """Raises ValueError for what is not the name of a task."""
    if name not in TASKS:
        raise ValueError(
            f"unknown task {name!r}; the tasks are: {', '.join(TASKS)}"
        )
