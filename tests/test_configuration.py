"""AUD3DFaceConfig: what it derives, what it keeps through a file, and what it refuses."""

import pytest
from huggingface_hub.errors import StrictDataclassFieldValidationError
from transformers import AutoConfig

from au_d3dface.configuration_au_d3dface import AUD3DFaceConfig

TABLE_4 = {
    "video, temporal": {"use_mesh": False, "use_video": True, "use_spatial": False},
    "mesh, temporal": {"use_spatial": False},
    "mesh, spatial": {"use_temporal": False},
    "mesh, temporal + spatial": {},
    "mesh + video, temporal": {"use_video": True, "use_spatial": False},
    "mesh + video, spatial": {"use_video": True, "use_temporal": False},
    "mesh + video, temporal + spatial": {"use_video": True},
}


def test_labels_follow_from_the_action_units():
    config = AUD3DFaceConfig(action_units=(1, 12, 45))
    assert config.id2label == {0: "AU01", 1: "AU12", 2: "AU45"}
    assert config.label2id == {"AU01": 0, "AU12": 1, "AU45": 2}
    assert config.num_labels == config.num_action_units == 3
    assert config.au_positive_rates == (0.5, 0.5, 0.5)


def test_the_paper_s_numbers_are_the_defaults():
    config = AUD3DFaceConfig()
    assert config.num_temporal_layers == config.num_spatial_layers == 3
    assert config.clip_length == config.attention_window == config.positional_period == 20
    assert config.frame_rate == 10
    assert config.video_feature_size == 7 * 7 * 768


@pytest.mark.parametrize("row", TABLE_4.values(), ids=TABLE_4.keys())
def test_every_row_of_table_4_is_a_config(row):
    AUD3DFaceConfig(**row)


def test_a_saved_config_comes_back_equal(tmp_path):
    config = AUD3DFaceConfig(
        action_units=[4, 9], au_positive_rates=[0.1, 0.25], au_class_weights=[1, 2.5], use_video=True
    )
    config.save_pretrained(tmp_path)
    for loaded in (AUD3DFaceConfig.from_pretrained(tmp_path), AutoConfig.from_pretrained(tmp_path)):
        ignored = {"transformers_version", "_name_or_path"}
        assert {k: v for k, v in vars(loaded).items() if k not in ignored} == {
            k: v for k, v in vars(config).items() if k not in ignored
        }


def test_a_misspelt_field_is_refused_with_a_hint():
    with pytest.raises(ValueError, match=r"'hiden_size' is not a field.*did you mean 'hidden_size'"):
        AUD3DFaceConfig(hiden_size=64)


def test_keywords_of_transformers_are_taken():
    config = AUD3DFaceConfig(attn_implementation="eager", dtype="float32", name_or_path="somewhere")
    assert config._attn_implementation == "eager"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"action_units": ()}, "action_units"),
        ({"action_units": (1, 1)}, "action_units"),
        ({"action_units": (0, 2)}, "action_units"),
        ({"action_units": (1, 2), "id2label": {0: "smile", 1: "frown"}}, "id2label"),
        ({"hidden_size": 100}, "multiple of num_attention_heads"),
        ({"hidden_size": 9, "num_attention_heads": 9}, "even"),
        ({"num_temporal_layers": 0}, "num_temporal_layers must be at least 1"),
        ({"attention_window": 0}, "attention_window"),
        ({"attention_window": 21}, "positional_period"),
        ({"hidden_dropout": 1.0}, "hidden_dropout"),
        ({"frame_rate": 0}, "frame_rate"),
        ({"displacement_scale": -0.001}, "displacement_scale"),
        ({"cross_attention": "all"}, "cross_attention must be one of"),
        ({"refine_from": "mean"}, "refine_from"),
        ({"video_frames": "thrice"}, "video_frames"),
        ({"smooth_reduction": "max"}, "smooth_reduction"),
        ({"au_positive_rates": (0.5,)}, "au_positive_rates must be 19"),
        ({"action_units": (1,), "au_positive_rates": (1.5,)}, "au_positive_rates"),
        ({"au_class_weights": "heavy"}, "au_class_weights"),
        ({"au_class_weights": (1.0, 2.0)}, "au_class_weights must be 19"),
        ({"use_mesh": False, "use_spatial": False}, "needs an input"),
        ({"use_temporal": False, "use_spatial": False}, "needs a module"),
        ({"use_mesh": False, "use_video": True}, "use_spatial needs use_mesh"),
        ({"use_mesh": False, "use_video": True, "use_spatial": False, "refine_from": "coarse"}, "needs use_mesh"),
        ({"video_depths": (2, 2)}, "one length"),
        ({"video_embed_dim": 97}, "heads do not divide"),
        ({"video_window_size": (8, 7)}, "three numbers"),
    ],
)
def test_fields_that_do_not_fit_are_refused(fields, message):
    with pytest.raises(ValueError, match=message):
        AUD3DFaceConfig(**fields)


@pytest.mark.parametrize("fields", [{"hidden_size": "256"}, {"use_video": "yes"}, {"action_units": "12"}])
def test_wrong_types_are_refused(fields):
    with pytest.raises(StrictDataclassFieldValidationError, match=next(iter(fields))):
        AUD3DFaceConfig(**fields)
