"""Networks whose weights, gradients and moments of Adam are shared out among processes (FSDP2), or whole in each (DDP).

The loop treats both alike: `prepare` hands a network to accelerate, `gathered` makes whole tensors of what may be
shards, and `shard_like` goes the other way. Checkpoints hold whole tensors, so runs of the two kinds can continue each
other.
"""

import os
import warnings
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedType, FullyShardedDataParallelPlugin, convert_outputs_to_fp32
from torch import Tensor, nn
from torch.distributed.fsdp import MixedPrecisionPolicy
from torch.distributed.tensor import DTensor, distribute_tensor

from ..errors import UsageError
from ..video_backbone import AUD3DFaceVideoBlock

_CONFIG = "training/configs/accelerate/fsdp2.yaml of this package"


def sharding_plugin() -> FullyShardedDataParallelPlugin | None:
    """What the launcher's environment says of sharding; None where it asks for none.

    Raises:
        UsageError: it asks for FSDP1, or for what would train another network than one process does.
    """
    asked = os.environ
    if asked.get("ACCELERATE_USE_PARALLELISM_CONFIG", "false").lower() == "true":
        raise UsageError(f"a parallelism_config is not supported; leave it out, as {_CONFIG} does")
    if asked.get("ACCELERATE_USE_FSDP", "false").lower() != "true":
        return None
    if asked.get("FSDP_VERSION", "1") != "2":
        raise UsageError(f"FSDP1 is not supported; give fsdp_version 2, as {_CONFIG} does")
    if asked.get("FSDP_AUTO_WRAP_POLICY") == "SIZE_BASED_WRAP" or asked.get("FSDP_TRANSFORMER_CLS_TO_WRAP"):
        raise UsageError(
            "which layers are sharded by themselves is for the network to say, whose parts read each other's weights; "
            "give fsdp_auto_wrap_policy TRANSFORMER_BASED_WRAP and no fsdp_transformer_layer_cls_to_wrap"
        )
    if asked.get("FSDP_ACTIVATION_CHECKPOINTING", "false").lower() == "true":
        raise UsageError(
            "fsdp_activation_checkpointing would draw other dropout when it computes anew; leave it out and give "
            "--gradient-checkpointing true"
        )
    if asked.get("FSDP_IGNORED_MODULES"):
        raise UsageError("weights of fsdp_ignored_modules would differ between processes; leave it out")
    return FullyShardedDataParallelPlugin(
        # accelerate's own policy would round the meshes that the network is given to bfloat16: half a millimetre.
        mixed_precision_policy=MixedPrecisionPolicy(),
        cpu_ram_efficient_loading=False,  # it takes buffers for shards
    )


def shard_on_cpu(accelerator: Accelerator, plugin: FullyShardedDataParallelPlugin) -> None:
    """Several processes without a GPU shard too, where accelerate would give each the whole network without a word."""
    if accelerator.distributed_type is DistributedType.MULTI_CPU:
        accelerator.state.distributed_type = DistributedType.FSDP
        accelerator.state.fsdp_plugin = plugin


def prepare(accelerator: Accelerator, module: nn.Module, optimizer: torch.optim.Optimizer) -> tuple[nn.Module, Any]:
    """The module and its optimizer as the processes train them. A sharded module stays the same object."""
    if not accelerator.is_fsdp2:
        return accelerator.prepare(module, optimizer)
    # Most weights of a network with video are in these blocks, and nothing but their own forward reads them. The rest
    # is one unit: layers of the temporal module, for instance, have keys made outside of their forward.
    units = {type(part).__name__ for part in module.modules() if isinstance(part, AUD3DFaceVideoBlock)}
    module._no_split_modules = sorted(units)  # type: ignore[assignment]
    if accelerator.native_amp:
        module.forward = convert_outputs_to_fp32(accelerator.autocast()(module.forward))  # type: ignore[method-assign]
    # Outputs that are views must not be changed in place, and nothing here does.
    warnings.filterwarnings("ignore", "FSDP2-wrapped module", UserWarning)
    return accelerator.prepare(module, optimizer)


def gathered(value: Any) -> Any:
    """The same with every shard replaced by the whole tensor on the CPU, in dicts and lists too.

    All processes must call it, with shards in the same order.
    """
    if isinstance(value, dict):
        return {name: gathered(part) for name, part in value.items()}
    if isinstance(value, list):
        return [gathered(part) for part in value]
    return value.full_tensor().cpu() if isinstance(value, DTensor) else value


def shard_like(value: Tensor, held: Tensor | None) -> Tensor:
    """Of a whole tensor that every process has, what this one holds of it: as `held` if that is a shard, else all."""
    if not isinstance(held, DTensor):
        return value
    return distribute_tensor(value.to(held.device), held.device_mesh, held.placements, src_data_rank=None)


def load_weights(network: nn.Module, weights: dict[str, Tensor]) -> None:
    """Whole tensors into a network, whichever way it holds its own.

    Raises:
        RuntimeError: they are of another network.
    """
    held = network.state_dict()
    network.load_state_dict({name: shard_like(value, held.get(name)) for name, value in weights.items()})


def load_optimizer(optimizer: Any, state: dict[str, Any]) -> None:
    """`gathered(optimizer.state_dict())` into an optimizer of the same parameters, whichever way it holds them.

    Raises:
        ValueError, KeyError: it is of other parameters.
    """
    parameters = [value for group in optimizer.param_groups for value in group["params"]]
    shards = {
        number: {
            name: shard_like(value, parameters[number]) if value.shape == parameters[number].shape else value
            for name, value in moments.items()
        }
        for number, moments in state["state"].items()
    }
    optimizer.load_state_dict(state | {"state": shards})
