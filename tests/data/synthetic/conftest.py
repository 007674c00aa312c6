"""Heads to film: a made-up kit with all of ICT-FaceKit's shapes, and the real one where it is."""

from pathlib import Path

import numpy as np
import pytest

from au_d3dface.data.synthetic.tracker_response import load_tracker_response
from au_d3dface.face_models import FaceMesh


@pytest.fixture(scope="session")
def full_kit_path(kit_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The made-up kit with all 100 identities and 57 shapes; those that it lacks move nothing. No face to a tracker."""
    names = load_tracker_response().expression_names
    own = list(kit_arrays["expression_names"])
    expression = np.zeros((len(names), *kit_arrays["neutral"].shape), np.float32)
    for row, name in enumerate(names):
        if name in own:
            expression[row] = kit_arrays["expression_delta"][own.index(name)]
    identity = np.zeros((100, *kit_arrays["neutral"].shape), np.float16)
    identity[:2] = kit_arrays["identity_delta"]
    path = tmp_path_factory.mktemp("full-kit") / "kit.npz"
    shapes = {"identity_delta": identity, "expression_names": np.array(names), "expression_delta": expression}
    np.savez(path, **kit_arrays | shapes)
    return path


@pytest.fixture(scope="session")
def ict_facekit(shared_data: Path) -> Path:
    """The real kit."""
    return shared_data / "ict_facekit" / "ict_facekit.npz"


class TemplateTracker:
    """Answers every picture with the facemesh template, moved by how bright the picture is. Counts its pictures."""

    pictures = 0

    def __init__(self, passes: int = 1) -> None:
        self.template = FaceMesh().template.numpy() * np.float32(1000)

    def __call__(self, picture: np.ndarray) -> np.ndarray:
        type(self).pictures += 1
        points = np.concatenate([self.template, np.zeros((10, 3), np.float32)])
        return (points + np.float32(picture.mean())) * np.array([1, -1, -1], np.float32)

    def close(self) -> None:
        pass


@pytest.fixture
def template_tracker(monkeypatch: pytest.MonkeyPatch) -> type[TemplateTracker]:
    """Puts a tracker that knows one face in the place of MediaPipe, in this process."""
    monkeypatch.setattr("au_d3dface.data.synthetic.rendered_sequences.PictureTracker", TemplateTracker)
    monkeypatch.setattr(TemplateTracker, "pictures", 0)
    return TemplateTracker
