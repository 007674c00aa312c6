"""The packed scenes of the player, read back as the player reads them."""

import json
import struct

import numpy as np

from au_d3dface import facs
from au_d3dface.demo.scene import LiveScene, event_rows, pack_scene
from au_d3dface.export.overlay import HOT_MOTION
from au_d3dface.face_sequence import FaceSequence
from au_d3dface.streaming import LiveFace

FACES = np.array([[0, 1, 2], [0, 2, 3]])
NEUTRAL = np.array([[-0.07, 0, 0], [0.07, 0, 0], [0, 0.1, 0.02], [0, -0.1, 0.02]], np.float32)


def unpack(packed: bytes):
    (length,) = struct.unpack("<I", packed[:4])
    header = json.loads(packed[4 : 4 + length])
    assert (4 + length) % 8 == 0  # typed arrays of a browser begin at multiples of their size
    arrays = {}
    for name, place in header["arrays"].items():
        count = int(np.prod(place["shape"]))
        start = 4 + length + place["offset"]
        assert start % 8 == 0
        arrays[name] = np.frombuffer(packed, place["type"], count, start).reshape(place["shape"])
    return header, arrays


def sequence(frames: int = 9, **changes) -> FaceSequence:
    valid = np.arange(frames) != 4
    motion = np.random.default_rng(0).normal(0, 0.004, (frames, 4, 3))
    vertices = np.where(valid[:, None, None], NEUTRAL + motion, np.nan)
    probabilities = np.where(valid[:, None], np.linspace(0, 1, frames)[:, None] * [1, 0.2], np.nan)
    return FaceSequence(
        **{
            "face_id": 3,
            "timestamps": np.arange(frames) / 30,
            "valid": valid,
            "vertices": vertices,
            "coarse_vertices": vertices,
            "neutral_vertices": NEUTRAL,
            "faces": FACES,
            "action_units": (12, 99),
            "au_probabilities": probabilities,
            "au_masks": np.array([[1, 0, 1, 0], [0, 1, 0, 1]]),
            "rotation": np.broadcast_to(np.eye(3), (frames, 3, 3)),
            "scale": np.ones(frames),
            "translation": np.zeros((frames, 2)),
            "confidence": np.ones(frames),
            "interpolated": np.isin(np.arange(frames), [1, 2]),
            "height": 48,
            "width": 64,
        }
        | changes
    )


def test_a_scene_holds_the_sequence_to_micrometres():
    made = sequence()
    header, arrays = unpack(pack_scene([made]))
    person = header["people"][0]
    assert (header["height"], header["width"], person["face_id"]) == (48, 64, 3)
    assert np.allclose(arrays["times"], made.timestamps, atol=1e-6)
    assert arrays["0.rows"].tolist() == [0, 3, 5, 6, 7, 8]  # neither what is linear between samples nor what is lost
    back = arrays["0.vertices"] * person["step"]
    assert np.abs(back - made.vertices[arrays["0.rows"]]).max() < 5e-6
    assert np.abs(arrays["0.neutral"] * person["step"] - NEUTRAL).max() < 5e-6
    assert (arrays["0.faces"] == FACES).all()
    assert (arrays["0.masks"] == made.au_masks).all()
    assert (arrays["0.valid"] == made.valid).all()
    assert (arrays["0.active"] == made.au_activity).all()
    assert np.abs(arrays["0.probabilities"][made.valid] / 255 - made.au_probabilities[made.valid]).max() <= 0.5 / 255


def test_units_are_told_in_words_and_unknown_ones_by_number():
    header, _ = unpack(pack_scene([sequence()]))
    smile, unknown = header["units"]
    assert (smile["label"], smile["name"], smile["muscle"]) == ("AU12", "lip corner puller", "zygomaticus major")
    assert (unknown["label"], unknown["name"]) == ("AU99", "")
    assert header["hot"] == HOT_MOTION
    assert np.shape(header["colours"]) == (64, 3)


def test_everyone_is_in_one_scene():
    header, arrays = unpack(pack_scene([sequence(), sequence(face_id=7, neutral_vertices=NEUTRAL * 1.1)]))
    assert [person["face_id"] for person in header["people"]] == [3, 7]
    scaled = arrays["1.neutral"] * header["people"][1]["step"]
    assert np.abs(scaled - NEUTRAL * 1.1).max() < 5e-6


def test_events_are_told_in_seconds_and_words():
    rows = event_rows(sequence())
    assert [row["unit"] for row in rows] == ["AU12"]
    assert rows[0]["name"] == facs.ACTION_UNITS[12].name
    assert (rows[0]["onset"], rows[0]["apex"], rows[0]["offset"], rows[0]["peak"]) == (0.167, 0.267, 0.267, 1.0)


def test_a_live_scene_gives_what_is_new():
    live = LiveScene(FACES, np.ones((1, 4)), (12,), np.array([0.5]), 48, 64)

    def face(move: float, probability: float) -> LiveFace:
        vertices = NEUTRAL + np.float32(move)
        return LiveFace(
            face_id=1,
            vertices=vertices,
            coarse_vertices=vertices,
            neutral_vertices=NEUTRAL,
            rotation=np.eye(3),
            scale=1.0,
            translation=np.zeros(2),
            confidence=1.0,
            au_probabilities=np.array([probability]),
            au_intensities=None,
            held=False,
            restarted=False,
        )

    live.add(0.0, face(0, 0.2))
    live.add(0.1, face(0.01, 0.8))
    header, arrays = unpack(live.pack())
    assert np.allclose(arrays["times"], [0, 0.1])
    assert arrays["0.active"].tolist() == [[0], [1]]
    moved = (arrays["0.vertices"][1] - arrays["0.vertices"][0]) * header["people"][0]["step"]
    assert np.abs(moved - 0.01).max() < 1e-5
    live.add(0.2, face(0, 0.9))
    assert np.allclose(unpack(live.pack())[1]["times"], [0.2])
    assert len(live) == 0
