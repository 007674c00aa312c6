"""The sheet of AU regions: coloured where the mask is, for every face model, and from the command line."""

import numpy as np
import pytest
from PIL import Image

from au_d3dface import facs
from au_d3dface.cli import main
from au_d3dface.face_models import load_face_model
from au_d3dface.rendering.mask_sheet import draw_au_masks


def reddish(picture):
    """Share of pixels that are of a region's colour."""
    red, green, blue = np.moveaxis(picture.astype(int), -1, 0)
    return float(((red - green > 40) & (green >= blue)).mean())


def test_a_larger_region_colours_more():
    model = load_face_model("facemesh")
    sizes = model.au_masks(facs.ALL).sum(1)
    assert (sizes > 0).all()
    large, small = (facs.ALL[int(rank)] for rank in (sizes.argmax(), sizes.argmin()))
    shares = [reddish(draw_au_masks(model, [number], 96)) for number in (large, small)]
    assert shares[0] > shares[1] > 0
    with pytest.raises(ValueError, match="no region"):
        draw_au_masks(model, [99])


def test_the_command(tmp_path, capsys):
    target = tmp_path / "masks.png"
    assert main(["assets", "masks", "-o", str(target)]) == 0
    with Image.open(target) as picture:
        assert picture.width > 7 * 200
        assert reddish(np.asarray(picture)) > 0.02
    assert main(["assets", "masks", "-o", str(tmp_path / "masks.txt")]) == 2
    assert "must end in .png" in capsys.readouterr().err
    assert main(["assets", "masks", "--face-model", "ict", "--path", str(tmp_path), "-o", str(target)]) == 6
    assert main(["assets", "masks", "-o", str(tmp_path / "missing" / "masks.png")]) == 5
    assert [path.name for path in tmp_path.iterdir()] == ["masks.png"]
