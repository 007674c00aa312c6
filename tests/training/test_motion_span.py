"""A decoder trained within the face model's motions, and stored as the plain layer that it is."""

import torch
from torch.nn.utils import parametrize

from au_d3dface import facs
from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig
from au_d3dface.modeling_au_d3dface import AUD3DFaceForReconstruction
from au_d3dface.training.motion_span import span_motions
from au_d3dface.training.whitening import fold, whiten

SIZES = (0.05, 0.02, 0.01)


def network():
    torch.manual_seed(0)
    config = AUD3DFaceConfig(
        num_vertices=468,
        num_faces=852,
        hidden_size=16,
        intermediate_size=16,
        num_attention_heads=2,
        action_units=(1, 12),
    )
    return AUD3DFaceForReconstruction(config)


def test_what_is_learned_is_a_motion_of_the_face_model(make_pool):
    generator = torch.Generator().manual_seed(1)
    pool = make_pool(torch.randn(2, 6, 3, generator=generator), torch.zeros(2, 6, len(facs.ALL)), SIZES)
    model = network()
    span_motions(model, [pool])
    decoder = model.motion_decoder
    assert not decoder.weight.any()  # it still starts from the mesh that it refines
    assert decoder.parametrizations.weight.original.shape == (3, 16)
    optimizer = torch.optim.Adam(decoder.parameters(), 0.1)
    z, target = torch.randn(5, 1, 16, generator=generator), torch.randn(5, 1, 468, 3, generator=generator)
    for _ in range(3):
        optimizer.zero_grad()
        (decoder(z, z[:, :, None] * 0) - target).square().sum().backward()
        optimizer.step()
    moved = decoder(z, z[:, :, None] * 0).detach().flatten(1)
    assert moved.abs().max() > 0.1
    basis = pool.expression_basis.flatten(1)
    inside = torch.linalg.lstsq(basis.T, moved.T).solution
    torch.testing.assert_close((basis.T @ inside).T, moved, rtol=1e-4, atol=1e-5)
    # One step of the optimizer moves the face along each expression by as much as that expression varies.
    spread = pool.expression[pool.valid].std(0) / model.config.displacement_scale
    motions = decoder.parametrizations.weight[0].motions
    torch.testing.assert_close(motions, (basis * spread[:, None]).T)


def test_folding_stores_the_same_function_beside_whitened_layers(make_pool):
    generator = torch.Generator().manual_seed(1)
    pool = make_pool(torch.randn(2, 6, 3, generator=generator), torch.zeros(2, 6, len(facs.ALL)), SIZES)
    model = network()
    model.set_face_model(torch.zeros(468, 3), torch.zeros(852, 3, dtype=torch.long), torch.ones(2, 468))
    whiten(model, [pool], 1e-4)
    span_motions(model, [pool])
    with torch.no_grad():
        for parameter in model.motion_decoder.parameters():
            parameter.normal_(generator=generator)
    inputs = {"vertices": pool.vertices(0)[None], "neutral_vertices": pool.neutral[:1]}
    inputs["au_labels"] = torch.zeros(1, 6, 2, dtype=torch.long)
    model.eval()
    before = model(**inputs)
    fold(model)
    assert not any(parametrize.is_parametrized(module) for module in model.modules())
    assert model.state_dict().keys() == network().state_dict().keys()
    torch.testing.assert_close(model(**inputs).vertices, before.vertices)
