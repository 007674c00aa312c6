"""Files that the package carries: the sample clip."""

from pathlib import Path


def sample_video() -> Path:
    """The sample clip, an mp4 of a rendered person who raises the brows, smiles, frowns, speaks and blinks.

    `python -m au_d3dface.data.synthetic.sample_clip` renders it; NOTICE.md beside it names its source and licence.
    """
    return Path(__file__).with_name("sample.mp4")
