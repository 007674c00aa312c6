"""face.glb in a real browser: gradio's viewer shows the face upright, from the front, and moving."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from chromium import chromium, keep_local
from PIL import Image

from au_d3dface.export.glb import write_glb
from au_d3dface.face_sequence import FaceSequence

SIZE = 400


@pytest.fixture
def page() -> Iterator[Any]:
    """A page of a headless Chromium that reaches this machine only."""
    with chromium() as browser:
        page = browser.new_page(viewport={"width": SIZE, "height": SIZE + 100})
        keep_local(page)
        yield page


def picture_of(page: Any) -> np.ndarray:
    """(H, W) grey levels of the viewer's canvas, 0 where only its light background is seen."""
    picture = Image.open(BytesIO(page.locator("canvas").first.screenshot())).convert("RGB")
    pixels = np.asarray(picture).astype(float)
    coloured = pixels.max(-1) - pixels.min(-1) > 12  # skin; background and buttons are grey
    return np.where(coloured, pixels.mean(-1), 0)


def wedge(frames: int = 50) -> FaceSequence:
    """A mesh whose outline tells its side: a triangle with its tip down and a notch on the subject's left, growing."""
    outline = np.array([[-0.07, 0.1], [0, 0.1], [0.07, 0.1], [0.035, 0.06], [0.05, 0.0], [0, -0.1], [-0.05, 0.0]])
    neutral = np.column_stack([np.vstack([outline, [[0, 0.03]]]), [0] * 7 + [0.03]])
    faces = [[(i + 1) % 7, i, 7] for i in range(7)]
    swell = 0.15 * (1 - np.cos(np.arange(frames) * 2 * np.pi / frames))
    vertices = neutral + swell[:, None, None] * neutral * [0, 1, 0]
    return FaceSequence(
        face_id=0,
        timestamps=np.arange(frames) / 25,
        valid=np.ones(frames, bool),
        vertices=vertices,
        coarse_vertices=vertices,
        neutral_vertices=neutral,
        faces=faces,
        action_units=(12,),
        au_probabilities=np.zeros((frames, 1)),
        au_masks=np.ones((1, 8)),
        rotation=np.broadcast_to(np.eye(3), (frames, 3, 3)),
        scale=np.ones(frames),
        translation=np.zeros((frames, 2)),
        confidence=np.ones(frames),
        height=100,
        width=100,
    )


@contextmanager
def shown(page: Any, path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The page with gradio's viewer on a glb."""
    monkeypatch.setitem(os.environ, "GRADIO_ANALYTICS_ENABLED", "False")
    gradio = pytest.importorskip("gradio", reason="gradio, whose viewer shows the glb, is not installed")
    with gradio.Blocks() as demo:
        gradio.Model3D(str(path), height=SIZE)
    _, url, _ = demo.launch(prevent_thread_lock=True, quiet=True)
    try:
        page.goto(url)
        page.wait_for_selector("canvas", timeout=60_000)
        yield
    finally:
        demo.close()


@pytest.mark.browser
@pytest.mark.slow  # as below
def test_the_viewer_shows_the_texture_the_right_way_up(
    tmp_path: Path, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = wedge()
    uv = (plain.neutral_vertices[:, :2] + [0.07, 0.1]) / [0.14, 0.2]
    texture = np.zeros((64, 64, 3))
    texture[:32, :, 1] = texture[32:, :, 2] = 1.0  # green above, blue below
    painted = replace(plain, uv=uv, texture=texture, lighting=np.zeros((len(plain), 9, 3)))
    with shown(page, write_glb(tmp_path / "face.glb", painted).path, monkeypatch):
        for _ in range(60):
            page.wait_for_timeout(300)
            picture = Image.open(BytesIO(page.locator("canvas").first.screenshot())).convert("RGB")
            red, green, blue = np.asarray(picture).astype(int).transpose(2, 0, 1)
            above, below = (np.argwhere(mask) for mask in (green > red + blue // 2 + 40, blue > red + green // 2 + 40))
            if len(above) > 500 and len(below) > 500:
                break
    assert len(above) > 500, "the upper half of the texture is not seen"
    assert len(below) > 500, "the lower half of the texture is not seen"
    assert above[:, 0].mean() < below[:, 0].mean() - 10


@pytest.mark.browser
@pytest.mark.slow  # starts a browser and a server, and waits for a software-rendered animation
def test_the_viewer_shows_the_face_upright_from_the_front_and_moving(
    tmp_path: Path, page: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pictures: list[np.ndarray] = []
    with shown(page, write_glb(tmp_path / "face.glb", wedge()).path, monkeypatch):
        for _ in range(60):
            page.wait_for_timeout(300)
            picture = picture_of(page)
            if (picture > 0).mean() > 0.02:
                pictures.append(picture)
            if len(pictures) >= 6 and heights(pictures).max() - heights(pictures).min() > 8:
                break
    assert len(pictures) >= 6, "the viewer showed nothing"
    first = pictures[0] > 0
    rows, columns = np.nonzero(first)
    top, bottom = rows < np.quantile(rows, 0.2), rows > np.quantile(rows, 0.9)
    assert np.ptp(columns[top]) > 2 * np.ptp(columns[bottom]), "the face is not upright: its tip should point down"
    # The notch is on the subject's left, so on the right of the picture when seen from the front.
    quarter = (rows > np.quantile(rows, 0.15)) & (rows < np.quantile(rows, 0.45))
    middle = (columns[top].min() + columns[top].max()) / 2
    left, right = (columns[quarter] < middle).sum(), (columns[quarter] > middle).sum()
    assert left > 1.05 * right, "the face is seen from behind or mirrored"
    assert heights(pictures).max() - heights(pictures).min() > 8, "the face does not move"


def heights(pictures: list[np.ndarray]) -> np.ndarray:
    """Height of what is shown, in hundredths of its width, so that the viewer's zoom does not count."""
    sizes = [np.ptp(np.nonzero(picture), axis=1) for picture in pictures]
    return np.array([100 * height / max(width, 1) for height, width in sizes])
