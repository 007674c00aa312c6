"""A Space on ZeroGPU, with a stand-in for `spaces`: what is decorated, and that the server itself asks for no GPU."""

import os
import subprocess
import sys
import textwrap
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from au_d3dface.demo import zero_gpu as zero_gpu_module
from au_d3dface.demo.jobs import Job
from au_d3dface.demo.limits import Limits
from au_d3dface.demo.visits import link_or_copy
from au_d3dface.demo.zero_gpu import zero_gpu
from au_d3dface.pipeline_au_d3dface import AUD3DFacePipeline


class Spaces(SimpleNamespace):
    """Notes what is decorated, with how many seconds, and every call."""

    def __init__(self):
        super().__init__(decorated=[], calls=[])

    def GPU(self, duration):
        def decorate(function):
            self.decorated.append((function.__name__, duration))

            def called(*arguments):
                self.calls.append(arguments)
                return function(*arguments)

            return called

        return decorate


@pytest.fixture
def spaces(monkeypatch):
    made = Spaces()
    monkeypatch.setitem(sys.modules, "spaces", made)
    monkeypatch.setenv("SPACES_ZERO_GPU", "true")
    monkeypatch.setattr(zero_gpu_module, "DEVICE", "cpu")
    return made


def test_elsewhere_there_is_none(spaces, monkeypatch):
    """`spaces` may be installed anywhere; what counts is that the Space has a GPU to lend."""
    for value in ("", "false", "0"):
        monkeypatch.setenv("SPACES_ZERO_GPU", value)
        assert zero_gpu() is None
    monkeypatch.delenv("SPACES_ZERO_GPU")
    assert zero_gpu() is None
    assert spaces.decorated == []


def test_only_the_whole_clip_goes_to_the_gpu(spaces, tmp_path, clip):
    pipeline = AUD3DFacePipeline.from_pretrained(device="cpu")
    lend = zero_gpu()
    assert spaces.decorated == [("_generate", 20)]
    assert spaces.calls == []
    expected = pipeline(clip)[0]
    job = Job(link_or_copy(clip, tmp_path), tmp_path, lambda: pipeline, Limits(), lend=lend)
    job.start()
    states = list(job.states())
    assert any(state["live"] for state in states)  # by the server's own network
    (call,) = spaces.calls
    assert call[0] is pipeline.model
    assert all(not value.is_cuda for value in call[1].values() if isinstance(value, torch.Tensor))
    assert "generate" not in vars(pipeline.model)
    with np.load(tmp_path / "results" / "sequence.npz") as arrays:
        assert np.allclose(arrays["au_probabilities"], expected.au_probabilities, atol=1e-5)


def test_a_network_that_reads_pictures_stays_where_it_is(spaces):
    model = SimpleNamespace(config=SimpleNamespace(use_video=True))
    assert zero_gpu()(model) is model


def test_the_server_asks_for_no_gpu(tmp_path):
    """In a process of its own: ZeroGPU forks, and a fork cannot use CUDA that was begun before it."""
    pytest.importorskip("gradio")
    (tmp_path / "spaces.py").write_text("def GPU(duration):\n    return lambda function: function\n")
    script = """
        import torch

        def refuse(*arguments, **options):
            raise AssertionError("CUDA was begun in the server")

        torch.cuda._lazy_init = refuse
        torch.cuda.is_available = lambda: True  # as ZeroGPU says everywhere
        from au_d3dface.demo.server import serving
        with serving() as address:
            print(address)
    """
    done = subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script)],
        env={
            **os.environ,
            "SPACES_ZERO_GPU": "true",
            "PYTHONPATH": os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])]),
        },
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("http://127.0.0.1:")
    assert "CUDA was begun" not in done.stderr
