"""Fixtures shared by all tests."""

import itertools
import json
import os
from collections.abc import Iterable, Sequence
from fractions import Fraction
from importlib.resources import files
from pathlib import Path

import av
import hypothesis
import numpy as np
import pytest
from av.video.reformatter import ColorRange, Colorspace

# Tests never reach for the network: what they need, they make or find beside the checkout.
os.environ.setdefault("HF_HUB_OFFLINE", "1")
# As the command line does: OpenMP's threads sleep, not spin, while they wait.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

# Property tests look for new examples on a developer's machine; in CI the same commit gives the same result.
hypothesis.settings.register_profile("ci", derandomize=True, deadline=None)
if os.environ.get("CI"):
    hypothesis.settings.load_profile("ci")

NUM_VERTICES, NUM_FACE = 26719, 9409  # of ICT-FaceKit
KIT_STEMS = (
    *("browInnerUp", "browOuterUp", "browDown", "eyeWide", "cheekSquint", "cheekRaiser", "eyeSquint", "eyeBlink"),
    *("noseSneer", "mouthUpperUp", "mouthSmile", "mouthDimple", "mouthFrown", "mouthStretch", "mouthPress"),
    "mouthLowerDown",
)
KIT_WHOLE = (
    "mouthShrugLower",
    "mouthShrugUpper",
    "mouthRollLower",
    "mouthRollUpper",
    "mouthPucker",
    "jawOpen",
    "mouthClose",
)

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data (real clips, ICT-FaceKit), which is not part of the product."""
    if not SHARED_DATA.is_dir():
        pytest.skip(f"development data not found at {SHARED_DATA}")
    return SHARED_DATA


@pytest.fixture(scope="session")
def clips(shared_data: Path) -> Path:
    """The folder of real video clips of the development data."""
    return shared_data / "clips"


@pytest.fixture(scope="session")
def make_video():
    """A function that encodes frames to a video file with PyAV; see its arguments."""
    return _make_video


def _make_video(
    path: Path,
    frames: Iterable[np.ndarray],
    frame_rate: float = 30.0,
    codec: str = "libx264",
    pix_fmt: str = "yuv420p",
    rotation: float = 0.0,
    mirrored: bool = False,
    timestamps: Sequence[float] | None = None,
    full_range: bool = False,
    matrix: Colorspace = Colorspace.ITU601,
    pixel_aspect_ratio: Fraction = Fraction(1),
    sound_first: bool = False,
    options: dict[str, str] | None = None,
    container_options: dict[str, str] | None = None,
) -> Path:
    """Writes (H, W, 3) uint8 RGB frames; the container follows from the suffix of `path`.

    `rotation` is what a player turns the stored frames by, in degrees counterclockwise, and then mirrors left to right.
    """
    frames = iter(frames)
    first = next(frames)
    color_range = ColorRange.JPEG if full_range else ColorRange.MPEG
    with av.open(str(path), "w", options=container_options or {}) as container:
        if sound_first:
            sound = container.add_stream("aac", rate=44_100, layout="mono")
        stream = container.add_stream(codec, rate=Fraction(frame_rate).limit_denominator(1001), options=options or {})
        stream.height, stream.width, stream.pix_fmt = *first.shape[:2], pix_fmt
        stream.codec_context.time_base = Fraction(1, 90_000)
        stream.codec_context.color_range, stream.codec_context.colorspace = color_range, matrix
        stream.codec_context.sample_aspect_ratio = pixel_aspect_ratio
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for index, image in enumerate(itertools.chain([first], frames)):
            seconds = index / frame_rate if timestamps is None else timestamps[index]
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(image), format="rgb24").reformat(
                format=pix_fmt, dst_colorspace=matrix, dst_color_range=color_range, threads=1
            )
            frame.pts, frame.time_base = round(seconds * 90_000), Fraction(1, 90_000)
            container.mux(stream.encode(frame))
        if sound_first:
            silence = av.AudioFrame.from_ndarray(np.zeros((1, 4096), np.float32), format="fltp", layout="mono")
            silence.rate, silence.pts = 44_100, 0
            container.mux(sound.encode(silence))
            container.mux(sound.encode(None))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="session")
def kit_arrays() -> dict[str, np.ndarray]:
    """The arrays of a small ICT-FaceKit made here; see `_kit_arrays`."""
    return _kit_arrays()


@pytest.fixture(scope="session")
def kit_path(kit_arrays: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Those arrays as one npz."""
    path = tmp_path_factory.mktemp("kit") / "kit.npz"
    np.savez(path, **kit_arrays)
    return path


@pytest.fixture(scope="session")
def flame_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a converted FLAME 2020 that is made here."""
    from made_flame import made_flame

    return made_flame(tmp_path_factory.mktemp("flame"))


def _kit_arrays() -> dict[str, np.ndarray]:
    """A small kit with ICT-FaceKit's layout: an ellipsoid for a face, two identities that really move it.

    Halves of a stem move their side outwards, whole shapes move everything down.
    """
    rng = np.random.default_rng(0)
    neutral = np.zeros((NUM_VERTICES, 3), np.float32)
    around, up = rng.uniform(-1.5, 1.5, NUM_FACE), rng.uniform(-1, 1, NUM_FACE)
    neutral[:NUM_FACE] = np.stack(
        [9 * np.sin(around) * np.cos(up), 12 * np.sin(up), 10 * np.cos(around) * np.cos(up)], 1
    )
    neutral[0], neutral[1] = (9.5, 2.0, -1.0), (-9.5, 2.0, -1.0)  # the ears
    names = [f"{stem}_{side}" for stem in KIT_STEMS for side in "LR"] + list(KIT_WHOLE)
    expression = np.zeros((len(names), NUM_VERTICES, 3), np.float32)
    for row, name in enumerate(names):
        if name.endswith("_L"):
            expression[row, :NUM_FACE, 0] = np.clip(neutral[:NUM_FACE, 0], 0, None) / 9
        elif name.endswith("_R"):
            expression[row, :NUM_FACE, 0] = np.clip(neutral[:NUM_FACE, 0], None, 0) / 9
        else:
            expression[row, :NUM_FACE, 1] = -1
    identity = np.zeros((2, NUM_VERTICES, 3), np.float32)
    identity[0, :, 0], identity[1, :, 1] = 0.3, 0.2
    asset = json.loads(files("au_d3dface.face_models").joinpath("ict_landmarks_468.json").read_text())
    triangles = np.concatenate([np.array(asset["vertices"]), np.full((468, 1), -1)], 1)
    quads = np.array([[2, 3, 4, 5], [NUM_FACE, NUM_FACE + 1, NUM_FACE + 2, NUM_FACE + 3]])
    return {
        "neutral": neutral,
        "identity_delta": identity,
        "expression_delta": expression,
        "expression_names": np.array(names),
        "faces_quads": np.concatenate([quads, np.unique(triangles, axis=0)]).astype(np.int32),
    }
