"""Albedo, light and skin masks of faces whose truth is known, and of real clips."""

import dataclasses
import math

import numpy as np
import pytest
import torch
from torch import Tensor

from au_d3dface.coarse import Appearance, CoarseSequence, SkinMasker, estimate_appearance, load_coarse
from au_d3dface.coarse.appearance import FRAME_CHUNK, POINT_CHUNK, AppearanceEstimator
from au_d3dface.coarse.face_view import FaceView
from au_d3dface.errors import NoFaceError
from au_d3dface.face_models import FaceMesh, load_face_model
from au_d3dface.geometry import axis_angle_to_matrix
from au_d3dface.rendering import MeshRenderer, directional_lighting, spherical_harmonics
from au_d3dface.tracking import load_tracker, track_faces
from au_d3dface.tracking.topology import boundary_loops
from au_d3dface.video import VideoReader

HEIGHT, WIDTH, SIZE = 200, 240, 96


@pytest.fixture(scope="module")
def model() -> FaceMesh:
    face = load_face_model("facemesh")
    assert isinstance(face, FaceMesh)
    return face


@pytest.fixture(scope="module")
def bare_model() -> FaceMesh:
    """The same without uv: colours at the vertices."""
    face = FaceMesh()
    face.uv = None
    return face


def film(model: FaceMesh, frames: int, turn: float = 0.5, shift: float = 0.0) -> CoarseSequence:
    """A still face that turns from side to side and nods, about 140 pixels high."""
    time = torch.linspace(0, 2 * math.pi, frames)
    angles = turn * torch.stack([0.5 * torch.sin(2 * time), torch.sin(time), 0.2 * torch.cos(time)], 1)
    return CoarseSequence(
        shape=torch.zeros(1),
        expression=torch.zeros(frames, 1),
        vertices=model.template.expand(frames, -1, -1),
        neutral_vertices=model.template,
        rotation=axis_angle_to_matrix(angles),
        scale=torch.full((frames,), 830.0),
        translation=torch.tensor([WIDTH / 2 + shift, HEIGHT / 2 - 15]).expand(frames, 2),
        valid=torch.ones(frames, dtype=torch.bool),
        residual=torch.zeros(frames),
    )


def camera(coarse: CoarseSequence) -> tuple[Tensor, ...]:
    return coarse.vertices, coarse.rotation, coarse.scale, coarse.translation


def lip_heights(model: FaceMesh, loop: Tensor) -> Tensor:
    """(L,) height of a loop's points over the line between its corners."""
    points = model.template[loop]
    ends = points[[points[:, 0].argmin(), points[:, 0].argmax()], 1].mean()
    return points[:, 1] - ends


def skin_map(size: int = SIZE) -> Tensor:
    """A skin with soft spots, not the same left and right."""
    row, column = torch.meshgrid(torch.arange(size) / size, torch.arange(size) / size, indexing="ij")
    spots = 0.08 * torch.sin(9 * row + 2) * torch.sin(7 * column)
    return torch.tensor([0.62, 0.45, 0.36]) + spots[..., None] * torch.tensor([1.0, 0.8, 0.6])


def white(lighting: Tensor) -> Tensor:
    """(3,) what a white surface facing the viewer shows, the middle over the frames."""
    return (spherical_harmonics(torch.tensor([0.0, 0.0, 1.0])) @ lighting).median(0).values


def side_light(frames: int) -> Tensor:
    """(T, 9, 3): a warm light from above left that grows brighter, and some from around."""
    key = directional_lighting(
        torch.tensor([[-0.6, 0.5, 0.8]]), torch.tensor([[0.7, 0.65, 0.6]]), torch.tensor([0.45, 0.47, 0.5])
    )
    lighting = key * torch.linspace(0.8, 1.2, frames)[:, None, None]
    return lighting / white(lighting)


def rendered(view: FaceView, faces: Tensor, uv: Tensor | None, albedo: Tensor, lighting: Tensor) -> Tensor:
    """(height, width, 3) of the view's window: the face in this light."""
    paint = {"colors" if uv is None else "texture": albedo}
    renderer = MeshRenderer(faces, uv)
    picture = renderer(view.points[None], view.normals[None], *view.window.size, **paint, lighting=lighting)
    return picture.image[0].clamp(0, 1)


def picture(model: FaceMesh, coarse: CoarseSequence, row: int, albedo: Tensor, lighting: Tensor) -> np.ndarray:
    """A frame: the face over a green wall, with a little noise."""
    image = torch.tensor([0.25, 0.5, 0.3]).repeat(HEIGHT, WIDTH, 1)
    view = FaceView.of(*(v[row] for v in camera(coarse)), model.faces, HEIGHT, WIDTH)
    if view is not None:
        face = rendered(view, model.faces, model.uv, albedo, lighting[row])
        part = image[view.window.top : view.window.bottom, view.window.left : view.window.right]
        part[:] = torch.where(view.fragments.mask[0, ..., None], face, part)
    noise = torch.randn(image.shape, generator=torch.Generator().manual_seed(row)) * 0.008
    return (image + noise).clamp(0, 1).mul(255).round().byte().numpy()


def pictures(model, coarse, albedo, lighting):
    return [(row, picture(model, coarse, row, albedo, lighting)) for row in range(len(coarse.valid))]


def error(found: Appearance, albedo: Tensor, least: float = 0.7) -> Tensor:
    """Differences of the albedo where it was seen well."""
    return (found.albedo - albedo).abs()[found.confidence > least]


def relit_error(model, coarse, found, frames, masker=None) -> list[float]:
    """Mean difference of each frame and its render: where the face is seen, or in its skin mask."""
    errors = []
    uv = model.uv if found.is_map else None
    for row, image in frames:
        if not coarse.valid[row]:
            continue
        view = FaceView.of(*(v[row] for v in camera(coarse)), model.faces, *image.shape[:2])
        window, where = view.window, view.fragments.mask[0]
        if masker is not None:
            where = where & masker(image, coarse, row)[window.top : window.bottom, window.left : window.right]
        face = rendered(view, model.faces, uv, found.albedo, found.lighting[row])
        errors.append(float((face - window.cut(image)).abs().mean(-1)[where].mean()))
    return errors


@pytest.fixture(scope="module")
def filmed(model):
    coarse, albedo, lighting = film(model, 24), skin_map(), side_light(24)
    frames = pictures(model, coarse, albedo, lighting)
    return coarse, albedo, lighting, frames, estimate_appearance(coarse, model, frames, SIZE)


def test_albedo_and_light_of_a_turning_head(model, filmed):
    coarse, albedo, lighting, frames, found = filmed
    assert found.albedo.shape == (SIZE, SIZE, 3)
    assert found.lighting.shape == (24, 9, 3)
    assert found.is_map
    assert error(found, albedo).mean() < 0.025
    assert torch.quantile(error(found, albedo), 0.99) < 0.08
    # The light, where it falls: what a white surface shows, in the directions that were seen.
    ways = torch.nn.functional.normalize(torch.tensor([[0, 0, 1.0], [0.5, 0, 1], [-0.5, 0, 1], [0, 0.5, 1]]), dim=1)
    shown, true = (spherical_harmonics(ways) @ light for light in (found.lighting, lighting))
    assert (shown - true).abs().mean() < 0.03
    assert (shown - true).abs().max() < 0.1
    assert torch.allclose(white(found.lighting), torch.ones(3), atol=0.02)
    assert max(relit_error(model, coarse, found, frames)) < 0.015


def test_colours_of_vertices(bare_model):
    albedo = 0.5 + 0.1 * torch.sin(150 * bare_model.template)
    coarse, lighting = film(bare_model, 24), side_light(24)
    found = estimate_appearance(coarse, bare_model, pictures(bare_model, coarse, albedo, lighting))
    assert found.albedo.shape == (468, 3)
    assert not found.is_map
    assert error(found, albedo).median() < 0.03  # at the mesh's border the wall behind it shines in
    assert found.put_into(coarse).texture is found.albedo


def test_a_hand_before_the_face_leaves_no_trace(model, filmed):
    coarse, albedo, _, frames, clean = filmed
    hidden = [(row, image.copy()) for row, image in frames]
    for _, image in hidden[1::3]:  # 8 of 24 frames
        image[100:160, 90:150] = (40, 60, 160)
    found = estimate_appearance(coarse, model, hidden, SIZE)
    assert error(found, albedo).mean() < 0.027
    assert (found.albedo - clean.albedo).abs()[found.confidence > 0.7].max() < 0.15
    assert (found.lighting - clean.lighting).abs().mean() < 0.05


def test_the_mask_leaves_out_what_is_before_the_face(model, filmed):
    coarse, _, _, frames, found = filmed
    masker = SkinMasker(model, found)
    whole = masker(frames[8][1], coarse, 8)
    assert whole.shape == (HEIGHT, WIDTH)
    view = FaceView.of(*(v[8] for v in camera(coarse)), model.faces, HEIGHT, WIDTH)
    region = torch.zeros(HEIGHT, WIDTH, dtype=torch.bool)
    view.window.paste(region, view.fragments.mask[0])
    assert not (whole & ~region).any()
    assert whole.sum() > 0.85 * region.sum()
    painted = frames[8][1].copy()
    painted[100:160, 90:150] = (70, 70, 70)
    patch = torch.zeros_like(region)
    patch[100:160, 90:150] = True
    mask = masker(painted, coarse, 8)
    assert (mask & patch).sum() < 0.02 * (region & patch).sum()
    away = torch.nn.functional.max_pool2d(patch[None].float(), 31, 1, 15)[0] < 0.5
    assert (mask & away).sum() > 0.95 * (whole & away).sum()


def test_the_result_can_be_ended_at_every_turn(model, filmed):
    """Nothing but the estimate ends: asked again, it is the same."""
    coarse, _, _, frames, found = filmed
    estimator = AppearanceEstimator(coarse, model, SIZE)
    for row, image in frames:
        estimator.add(row, image)
    looks = []
    estimator.result(lambda: looks.append(None))
    parts = -(-len(estimator.samples) // POINT_CHUNK) + -(-len(frames) // FRAME_CHUNK)
    assert len(looks) == 8 + parts  # albedo and light by turns, then all points and all frames
    for last in (1, 5, len(looks)):
        left = iter(range(last - 1))
        with pytest.raises(StopIteration):
            estimator.result(lambda left=left: next(left))
    assert torch.equal(estimator.result().albedo, found.albedo)


def all_skin(image: np.ndarray, face_region: Tensor) -> Tensor:
    return torch.ones_like(face_region)


def test_eyes_and_mouth_are_left_out_where_the_mesh_closes_them(model, filmed):
    coarse, _, _, frames, found = filmed
    closed = FaceMesh()
    loops = boundary_loops()
    openings = [torch.from_numpy(loops[name]) for name in ("right_eye", "left_eye", "mouth")]
    fans = [torch.stack([loop[0].expand(len(loop) - 2), loop[2:], loop[1:-1]], 1) for loop in openings]
    closed.faces = torch.cat([model.faces, *fans])
    opened = coarse.vertices.clone()
    opened[:, openings[2]] += 0.004 * torch.sign(lip_heights(model, openings[2]))[:, None] * torch.tensor([0.0, 1, 0])
    coarse = dataclasses.replace(coarse, vertices=opened)
    image = frames[0][1]
    holes, cut = (SkinMasker(face, found, all_skin)(image, coarse, 0) for face in (model, closed))
    view = FaceView.of(*(v[0] for v in camera(coarse)), closed.faces, HEIGHT, WIDTH)
    assert view.fragments.mask.sum() > holes.sum() + 200  # the fans do close them
    assert (holes ^ cut).sum() < 60


def test_a_segmenter_may_be_plugged_in(model, filmed):
    coarse, _, _, frames, found = filmed
    asked = []

    def left_half(image, face_region):
        asked.append((image.shape, face_region.clone()))
        return torch.arange(WIDTH).expand(HEIGHT, WIDTH) < WIDTH // 2

    mask = SkinMasker(model, found, left_half)(frames[0][1], coarse, 0)
    [(shape, region)] = asked
    assert shape == (HEIGHT, WIDTH, 3)
    assert torch.equal(mask, region & (torch.arange(WIDTH) < WIDTH // 2))
    assert mask.any()


def test_half_outside_the_picture(model):
    albedo, lighting = skin_map(), side_light(6)
    coarse = film(model, 6, turn=0.1, shift=-WIDTH / 2)
    frames = pictures(model, coarse, albedo, lighting)
    found = estimate_appearance(coarse, model, frames, SIZE)
    seen = found.confidence > 0.5
    assert 0.2 < seen[:, SIZE // 2 :].float().mean() < 0.8
    assert not seen[:, : SIZE // 2 - 6].any()  # the subject's right is on the left of the map and of the picture
    assert (found.albedo - albedo).abs()[seen].mean() < 0.04
    # What was not seen is what its mirror image is.
    inside = found.confidence.flip(1) > 0.6
    inside &= ~seen
    assert (found.albedo - found.albedo.flip(1)).abs()[inside].mean() < 0.02
    mask = SkinMasker(model, found)(frames[0][1], coarse, 0)
    assert mask.sum() > 2000


def test_wholly_outside_the_picture(model):
    coarse = film(model, 3, shift=5000.0)
    found = estimate_appearance(coarse, model, pictures(model, coarse, skin_map(), side_light(3)), SIZE)
    assert (found.albedo == 0).all()
    assert (found.confidence == 0).all()
    assert torch.isfinite(found.lighting).all()
    assert not SkinMasker(model, found)(np.zeros((HEIGHT, WIDTH, 3), np.uint8), coarse, 0).any()


def test_one_frame(model):
    albedo, lighting = skin_map(), side_light(1)
    coarse = film(model, 1, turn=0.0)
    frames = pictures(model, coarse, albedo, lighting)
    found = estimate_appearance(coarse, model, frames, SIZE)
    assert found.confidence.max() <= 0.5
    assert relit_error(model, coarse, found, frames)[0] < 0.02
    assert SkinMasker(model, found)(frames[0][1], coarse, 0).sum() > 5000


def test_darkness(model):
    coarse = film(model, 4)
    dark = [(row, np.zeros((HEIGHT, WIDTH, 3), np.uint8)) for row in range(4)]
    found = estimate_appearance(coarse, model, dark, SIZE)
    for values in dataclasses.astuple(found):
        assert torch.isfinite(values).all()
    assert max(relit_error(model, coarse, found, dark)) < 1e-3
    assert SkinMasker(model, found)(dark[0][1], coarse, 0).dtype == torch.bool


def test_a_clip_that_fades_to_black(model):
    albedo, coarse, lighting = skin_map(), film(model, 20), side_light(20)
    lighting[15:] = 0.0
    found = estimate_appearance(coarse, model, pictures(model, coarse, albedo, lighting), SIZE)
    assert error(found, albedo).mean() < 0.03
    assert (spherical_harmonics(torch.tensor([0.0, 0.0, 1.0])) @ found.lighting[15:]).abs().max() < 0.03


def test_frames_without_the_person(model, filmed):
    coarse, albedo, _, frames, _ = filmed
    coarse = dataclasses.replace(coarse, valid=torch.arange(24) % 4 != 0)
    spoilt = [(row, image if coarse.valid[row] else np.zeros_like(image)) for row, image in frames]
    steps = []
    found = estimate_appearance(coarse, model, iter(spoilt), SIZE, steps.append)
    assert steps == list(range(1, 25))
    assert (found.lighting[::4] == 0).all()
    assert (found.lighting[1::4] != 0).any(-1).all()
    assert error(found, albedo).mean() < 0.03
    assert not SkinMasker(model, found)(frames[0][1], coarse, 0).any()
    nobody = dataclasses.replace(coarse, valid=torch.zeros(24, dtype=torch.bool))
    with pytest.raises(NoFaceError, match="in no frame"):
        estimate_appearance(nobody, model, spoilt, SIZE)
    with pytest.raises(ValueError, match="frame 24 is none of the 24"):
        estimate_appearance(coarse, model, [(24, frames[0][1])], SIZE)


def test_frames_that_do_not_come_have_the_light_of_the_clip(model, filmed):
    coarse, _, _, frames, _ = filmed
    found = estimate_appearance(coarse, model, frames[:18], SIZE)
    front = spherical_harmonics(torch.tensor([0.0, 0.0, 1.0])) @ found.lighting
    assert (front[18:] - front[:18].median(0).values).abs().max() < 0.1


@pytest.mark.parametrize(
    ("clip", "all_of_it", "in_mask"),
    [("pyfeat_single_face.mp4", 0.02, 0.02), ("pyfeat_WolfgangLanger_Pexels.mp4", 0.06, 0.05)],
)
@pytest.mark.slow
def test_real_clips_relit(model, clips, clip, all_of_it, in_mask):
    with VideoReader(clips / clip) as reader:
        tracker = load_tracker()
        coarse = load_coarse("landmarks", model)(track_faces(reader, tracker).largest)
        tracker.close()
    with VideoReader(clips / clip) as reader:
        found = estimate_appearance(coarse, model, ((frame.index, frame.image) for frame in reader))
    with VideoReader(clips / clip) as reader:
        frames = [(frame.index, frame.image) for frame in reader if frame.index % 12 == 0]
    bare, masked = (np.mean(relit_error(model, coarse, found, frames, m)) for m in (None, SkinMasker(model, found)))
    assert bare < all_of_it
    assert masked < in_mask
