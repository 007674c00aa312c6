"""The linear reading on made-up pools: it finds what is linear, its probabilities mean what they say, it teaches."""

import pytest
import torch

from au_d3dface import facs
from au_d3dface.data import collate_clips
from au_d3dface.data.synthetic.pool import SyntheticClips
from au_d3dface.data.synthetic.trajectories import PRESENCE_THRESHOLD
from au_d3dface.training.linear_reading import LinearReading

UNITS = (45, 12, 4)
COLUMNS = [facs.ALL.index(unit) for unit in UNITS]
SIZES = (0.02, 0.01, 0.004, 0.001, 0.0003)
ALL = len(facs.ALL)


def coefficients(count: int = 10, frames: int = 40) -> torch.Tensor:
    """(count, frames, 5) of mean zero, unit variance and no correlation, exactly."""
    generator = torch.Generator().manual_seed(1)
    half = torch.linalg.qr(torch.randn(count * frames // 2, len(SIZES), generator=generator))[0]
    return torch.cat([half, -half]).unflatten(0, (count, frames)) * (count * frames / 2) ** 0.5


@pytest.fixture(scope="module")
def slopes():
    """(5, 19) intensity a unit of each coefficient."""
    return 0.15 * torch.randn(len(SIZES), ALL, generator=torch.Generator().manual_seed(2))


@pytest.fixture(scope="module")
def linear_pool(make_pool, slopes):
    expression = coefficients()
    intensity = 2.0 + expression @ slopes
    assert intensity.min() > 0
    assert intensity.max() < 5
    return make_pool(expression, intensity, SIZES)


@pytest.fixture(scope="module")
def noisy_pool(make_pool, slopes):
    """Intensities as they are: zero most of the time, and not quite linear in the coefficients."""
    generator = torch.Generator().manual_seed(4)
    expression = coefficients(40, 50)
    raw = 8 * expression @ slopes + torch.randn(40, 50, ALL, generator=generator) - 0.5
    raw[..., COLUMNS[2]] = -1  # AU4 never occurs
    return make_pool(expression, raw.clamp(0, 5), SIZES)


def read(reading, pool, index):
    probability, intensity = reading(pool.vertices(index)[None], pool.neutral[index][None])
    return probability[0], intensity[0]


def present(pool) -> torch.Tensor:
    return (pool.intensity.amax(-1) >= PRESENCE_THRESHOLD)[..., COLUMNS]


def test_what_is_linear_is_found(linear_pool, slopes):
    reading = LinearReading.fit(linear_pool, UNITS, strength=1e-8)
    assert reading.weight.shape == (3 * 468, 3)
    of_coefficients = linear_pool.expression_basis.flatten(1) @ reading.weight
    torch.testing.assert_close(of_coefficients, slopes[:, COLUMNS], atol=2e-3, rtol=0)
    torch.testing.assert_close(reading.bias, torch.full((3,), 2.0), atol=2e-3, rtol=0)
    for index in (0, 7):
        true = linear_pool.intensity[index].float().amax(-1)[:, COLUMNS]
        torch.testing.assert_close(read(reading, linear_pool, index)[1], true, atol=5e-3, rtol=0)


def test_the_ridge_counts_frames_and_unit_variance(linear_pool, slopes):
    """With uncorrelated coefficients of variance 1, a ridge of 0.5 takes a third of every weight, however many frames.

    A motion that no coefficient makes is not read.
    """
    for pool in (linear_pool, linear_pool.cat([linear_pool, linear_pool])):
        reading = LinearReading.fit(pool, UNITS, strength=0.5)
        of_coefficients = pool.expression_basis.flatten(1) @ reading.weight
        torch.testing.assert_close(of_coefficients, slopes[:, COLUMNS] / 1.5, atol=2e-3, rtol=0)
    other = torch.randn(1, 1, 468, 3, generator=torch.Generator().manual_seed(9)).flatten(2)
    basis = pool.expression_basis.flatten(1)
    other = (other - other @ torch.linalg.pinv(basis) @ basis).unflatten(2, (-1, 3))
    intensity = reading(0.01 * other, torch.zeros(1, 468, 3))[1]
    torch.testing.assert_close(intensity[0, 0], reading.bias, atol=5e-3, rtol=0)


def test_invalid_frames_are_not_learned_from(linear_pool, slopes):
    pool = linear_pool.head(10)  # a copy of its own
    pool.valid, pool.intensity = pool.valid.clone(), pool.intensity.clone()
    pool.valid[:, 5:9], pool.intensity[:, 5:9] = False, 5.0
    reading = LinearReading.fit(pool, UNITS, strength=1e-8)
    torch.testing.assert_close(pool.expression_basis.flatten(1) @ reading.weight, slopes[:, COLUMNS], atol=0.02, rtol=0)


def test_probabilities_mean_what_they_say(noisy_pool):
    """As a whole and among the frames of a like probability; an AU that never occurs has nearly none."""
    reading = LinearReading.fit(noisy_pool, UNITS, strength=0.3)
    probability = torch.stack([read(reading, noisy_pool, index)[0] for index in range(len(noisy_pool))])
    truth = present(noisy_pool).float()
    rates = truth.mean((0, 1))
    assert 0.1 < rates[:2].min() < rates[:2].max() < 0.6
    assert rates[2] == 0
    torch.testing.assert_close(probability.mean((0, 1)), rates, atol=5e-3, rtol=0)
    assert (reading.slope[:2] > 0.2).all()
    for column in range(2):
        given, true = probability[..., column], truth[..., column]
        for low, high in ((0.0, 0.2), (0.2, 0.5), (0.5, 0.8)):
            inside = (given >= low) & (given < high)
            assert inside.sum() > 100
            assert abs(given[inside].mean() - true[inside].mean()) < 0.08


def test_aus_that_are_told_apart_without_a_mistake_stay_finite(linear_pool):
    """Presence follows from the reading without error, so the likelihood has no maximum: the steps must end."""
    reading = LinearReading.fit(linear_pool, UNITS, strength=1e-8)
    for value in vars(reading).values():
        assert value.isfinite().all()
    probability = torch.stack([read(reading, linear_pool, index)[0] for index in range(len(linear_pool))])
    torch.testing.assert_close(probability.mean((0, 1)), present(linear_pool).float().mean((0, 1)), atol=0.02, rtol=0)


def test_no_displacement_is_the_mean(noisy_pool):
    reading = LinearReading.fit(noisy_pool, UNITS, strength=0.3)
    mean = noisy_pool.intensity.float().amax(-1)[..., COLUMNS].mean((0, 1))
    intensity = reading(noisy_pool.neutral[:1, None], noisy_pool.neutral[:1])[1]
    torch.testing.assert_close(intensity[0, 0], mean, atol=1e-4, rtol=1e-4)


def test_the_place_of_the_head_does_not_matter(noisy_pool):
    reading = LinearReading.fit(noisy_pool, UNITS, strength=0.3)
    vertices, neutral = noisy_pool.vertices(3)[None].double(), noisy_pool.neutral[3][None].double()
    offset = torch.tensor([0.1, -0.02, 0.3], dtype=torch.float64)
    for here, there in zip(reading(vertices, neutral), reading(vertices + offset, neutral + offset), strict=True):
        assert here.std() > 0.01
        torch.testing.assert_close(here, there, atol=1e-9, rtol=0)


@pytest.fixture
def batch(noisy_pool):
    """Clips 0 and 2 are taught, 1 and 3 are not; clip 1 has labels that are unknown and is shorter."""
    clips = [SyntheticClips(noisy_pool, UNITS, 30, taught=taught) for taught in (False, True)]
    chosen = [clips[1][0], clips[0][1], clips[1][2], clips[0][3]]
    for name in ("expression", "weights", "au_labels", "au_intensity_labels", "frame_mask"):
        chosen[1][name] = chosen[1][name][:20]
    chosen[1]["au_labels"][0, 0] = -1
    return noisy_pool.meshes(collate_clips(chosen))


def test_taught_clips_are_taught_and_others_left_alone(noisy_pool, batch):
    reading = LinearReading.fit(noisy_pool, UNITS, strength=0.3)
    before = {name: value.clone() for name, value in batch.items()}
    taught = reading.teach(batch)
    assert taught.keys() - batch.keys() == {"au_targets"}
    for name, value in before.items():
        assert torch.equal(batch[name], value), f"{name} of the given batch was changed"
        assert (taught[name].shape, taught[name].dtype) == (value.shape, value.dtype), name
        assert torch.equal(taught[name][1::2], value[1::2]), name
    assert torch.equal(taught["au_targets"][1::2], before["au_labels"][1::2].float())
    assert taught["au_targets"][1, 0, 0] == -1

    probability, intensity = reading(batch["vertices"], batch["neutral_vertices"])
    assert torch.equal(taught["au_targets"][::2], probability[::2])
    assert torch.equal(taught["au_labels"][::2], (probability[::2] >= 0.5).long())
    assert torch.equal(taught["au_intensity_labels"][::2], intensity[::2])
    assert (taught["au_labels"][::2] != before["au_labels"][::2]).any()
    for name in ("vertices", "neutral_vertices", "true_vertices", "frame_mask"):
        assert torch.equal(taught[name], before[name])


def test_intensities_stay_on_the_scale(noisy_pool):
    reading = LinearReading.fit(noisy_pool, UNITS, strength=0.3)
    far = noisy_pool.neutral[:1, None] + 10 * (noisy_pool.vertices(0) - noisy_pool.neutral[0])[None]
    probability, intensity = reading(far, noisy_pool.neutral[:1])
    assert (intensity.min(), intensity.max()) == (0, 5)
    assert probability.min() >= 0
    assert probability.max() <= 1
    assert ((probability[..., 0] > 0.99) & (intensity[..., 0] == 5)).any()


def test_where_nobody_is_taught_labels_are_the_targets(noisy_pool, batch):
    reading = LinearReading.fit(noisy_pool, UNITS, strength=0.3)
    batch["taught"] = torch.zeros(4, dtype=torch.bool)
    taught = reading.teach(batch)
    assert torch.equal(taught["au_targets"], batch["au_labels"].float())
    assert torch.equal(taught["au_intensity_labels"], batch["au_intensity_labels"])
