"""What the frame rate changes: comparing sequences made for it, and the whole way on a piece of the sample clip."""

import json

import numpy as np
import pytest

from au_d3dface import AUD3DFacePipeline
from au_d3dface.cli import main
from au_d3dface.errors import InputError, UsageError
from au_d3dface.evaluation.real_clips.frame_rate import checked_rates, compare_rates, evaluate_frame_rates
from au_d3dface.face_sequence import FaceSequence


def sequence(times: np.ndarray, active: np.ndarray, valid: np.ndarray | None = None) -> FaceSequence:
    """(T, N) decisions as a sequence of one vertex."""
    frames, units = active.shape
    valid = np.ones(frames, bool) if valid is None else valid
    points = np.where(valid[:, None, None], 0.0, np.nan) * np.ones((frames, 1, 3))
    return FaceSequence(
        face_id=0,
        timestamps=times,
        valid=valid,
        vertices=points,
        coarse_vertices=points,
        neutral_vertices=np.zeros((1, 3)),
        faces=np.zeros((0, 3)),
        action_units=(1, 12, 45)[:units],
        au_probabilities=np.where(valid[:, None], np.where(active, 0.9, 0.1), np.nan),
        au_masks=np.ones((units, 1)),
        rotation=np.zeros((frames, 3, 3)),
        scale=np.ones(frames),
        translation=np.zeros((frames, 2)),
        confidence=np.ones(frames),
        height=1,
        width=1,
    )


def test_the_same_motion_sampled_differently_agrees_completely():
    """Activations that begin and end at tenths of a second, seen 30 and 15 times a second."""

    def activity(times: np.ndarray) -> np.ndarray:
        tenth = np.floor(times * 10 + 0.5 + 1e-6).astype(int)
        return np.stack([(tenth // 7) % 2 == 1, (tenth >= 20) & (tenth < 34)], 1)

    fine, coarse = np.arange(180) / 30, np.arange(90) / 15
    result = compare_rates(sequence(fine, activity(fine)), sequence(coarse, activity(coarse)), 15.0, 10.0)
    assert (result.rate, result.frames, result.samples) == (15.0, 90, 60)
    assert (result.kappa, result.agreement, result.pooled_events.f1) == (1, 1, 1)
    assert result.events[1].num_reference == 1
    assert result.kappas.tolist() == [1, 1]


def test_what_differs_is_counted_by_au():
    times = np.arange(40) / 10
    full, lower = np.zeros((40, 3), bool), np.zeros((40, 3), bool)
    full[5:15, 0] = lower[7:15, 0] = True  # a late onset: 8 of 10 samples in common
    full[20:30, 1] = lower[28:38, 1] = True  # hardly overlaps
    result = compare_rates(sequence(times, full), sequence(times, lower), 10.0, 10.0)
    assert [events.num_matched for events in result.events] == [1, 0, 0]
    assert result.events[0].onset_errors == pytest.approx([0.2])
    assert np.isnan(result.kappas[2])  # both say "absent" throughout
    assert result.pooled_events.f1 == pytest.approx(0.5)
    assert result.agreement == pytest.approx(1 - (2 + 16) / 120)
    # 8 + 2 samples in both, 20 in the full rate and 18 in the other, of 120.
    chance = (20 * 18 + 100 * 102) / 120**2
    assert result.kappa == pytest.approx((result.agreement - chance) / (1 - chance))


def test_samples_without_the_face_in_either_count_for_nothing_and_cut_events_in_both():
    times = np.arange(20) / 10
    active = np.ones((20, 1), bool)
    valid = np.ones(20, bool)
    valid[8:12] = False
    result = compare_rates(sequence(times, active), sequence(times, active, valid), 10.0, 10.0)
    assert (result.samples, result.agreement) == (16, 1)
    assert (result.events[0].num_events, result.events[0].num_reference, result.events[0].f1) == (2, 2, 1)
    with pytest.raises(InputError, match="at no time"):
        compare_rates(sequence(times, active, ~valid), sequence(times, active, valid), 10.0, 10.0)


def test_rates_are_those_below_the_video_s(short):
    assert checked_rates(short, None) == [10, 15, 25]
    assert checked_rates(short, [12.5, 5, 5]) == [5, 12.5]
    for rates in ([30], [29.9], [0], [-1], [float("nan")], [float("inf")], []):
        with pytest.raises(UsageError):
            checked_rates(short, rates)


def test_rates_of_a_picture_and_of_a_slow_video(tmp_path, make_video):
    from PIL import Image

    Image.new("RGB", (32, 32)).save(tmp_path / "picture.png")
    with pytest.raises(InputError, match="no frame rate"):
        checked_rates(tmp_path / "picture.png", [5])
    slow = make_video(tmp_path / "slow.mp4", [np.zeros((32, 32, 3), np.uint8)] * 8, frame_rate=8)
    with pytest.raises(UsageError, match="name lower rates"):
        checked_rates(slow, None)


def test_a_lower_rate_is_the_pipeline_on_the_frames_nearest_in_time(short):
    """The frames that the tracker sees at a lower rate are frames of the video, untouched, at their own times."""
    pipeline = AUD3DFacePipeline.from_pretrained()
    make_tracker, seen = pipeline.tracker, []

    class Spy:
        def __init__(self):
            self.tracker, self.frames = make_tracker(), []
            seen.append(self.frames)

        def __call__(self, image, timestamp):
            self.frames.append((timestamp, image[::60, ::60].copy()))
            return self.tracker(image, timestamp)

        def close(self):
            self.tracker.close()

    pipeline.tracker = Spy
    stages = []
    report = evaluate_frame_rates(pipeline, short, [12], progress=lambda stage, done, total: stages.append(stage))
    whole, lower = seen
    assert len(whole) == 90
    assert len(lower) == report.rates[0].frames == 37  # times 0 to 36 twelfths: the last frame is nearest to 36
    times = np.array([timestamp for timestamp, _ in whole])
    for k, (timestamp, image) in enumerate(lower):
        nearest = int(np.argmin(np.round(np.abs(times - k / 12), 6)))
        assert timestamp == times[nearest]
        assert np.array_equal(image, whole[nearest][1])
    assert {"full rate: tracking", "12 frames a second: network"} <= set(stages)
    # Nothing of it stays behind in the pipeline.
    assert len(pipeline.reconstruct(short).timestamps) == 90


def test_the_command_line(short, tmp_path, capsys):
    assert main(["evaluate", "frame-rate", str(short), "--rates", "15,10", "-o", str(tmp_path / "out"), "--quiet"]) == 0
    numbers = json.loads((tmp_path / "out" / "frame_rate.json").read_text())
    assert (tmp_path / "out" / "frame_rate.md").read_text() == capsys.readouterr().out
    assert [entry["rate"] for entry in numbers["rates"]] == [10, 15]
    assert (numbers["frames"], numbers["full_rate"], numbers["grid_rate"]) == (90, 30, 10)
    for entry in numbers["rates"]:
        assert entry["events"]["at_full_rate"] >= 2  # the brows rise
        assert entry["agreement"] > 0.8
        assert entry["by_au"].keys() >= {"AU01", "AU45"}


@pytest.mark.parametrize(
    ("arguments", "status", "words"),
    [
        (["missing.mp4"], 4, "missing.mp4"),
        (["{video}", "--rates", "10,fast"], 2, "fast"),
        (["{video}", "--rates", "60"], 2, "60"),
        (["{video}", "--model", "nowhere"], 6, "nowhere"),
        (["{video}", "-o", "{video}"], 5, "is a file"),
    ],
)
def test_bad_input_of_the_command_line_is_one_sentence(arguments, status, words, short, capsys):
    assert main(["evaluate", "frame-rate", *(part.format(video=short) for part in arguments)]) == status
    lines = capsys.readouterr().err.strip().splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("au-d3dface: error: ")
    assert words in lines[0]


def test_no_face(tmp_path, make_video, capsys):
    video = make_video(tmp_path / "empty.mp4", [np.full((120, 160, 3), 90, np.uint8)] * 12)
    assert main(["evaluate", "frame-rate", str(video)]) == 3
    assert "no face" in capsys.readouterr().err
