"""How a run is executed: devices, precision, compilation."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal, get_args

from latentscope.errors import ChoiceError

Precision = Literal["auto", "32-true", "bf16-mixed"]
Compile = Literal["auto", "on", "off"]
Accelerator = Literal["auto", "cpu", "gpu", "mps"]


@dataclass(frozen=True)
class TrainerConfig:
    """Where and how the steps of a run are computed. Only `precision` changes what comes out.

    Parameters
    ----------
    accelerator : {"auto", "cpu", "gpu", "mps"}
        "auto": a GPU where there is one.
    devices : int
        Devices (processes, on CPUs) of each machine; -1: all. Under `torchrun` that says it.
    nodes : int
        Machines.
    strategy : str
        Of Lightning: "auto" (DDP for several devices), "ddp", ...
    precision : {"auto", "32-true", "bf16-mixed"}
        "auto": convolutions in bfloat16 on a GPU that has it, else float32 throughout.
    compile : {"auto", "on", "off"}
        Compile the convolutions by `torch.compile`; "auto": on GPUs.

    Raises
    ------
    ChoiceError
        If a value is none of these.
    """

    accelerator: Accelerator = "auto"
    devices: int = 1
    nodes: int = 1
    strategy: str = "auto"
    precision: Precision = "auto"
    compile: Compile = "auto"

    def __post_init__(self) -> None:
        if isinstance(self.compile, bool):  # what YAML makes of on and off
            object.__setattr__(self, "compile", "on" if self.compile else "off")
        choices: dict[str, Any] = {
            "accelerator": Accelerator,
            "precision": Precision,
            "compile": Compile,
        }
        for name, kind in choices.items():
            if getattr(self, name) not in get_args(kind):
                raise ChoiceError(
                    f"trainer: {name} is {getattr(self, name)!r}; wanted one of "
                    f"{', '.join(get_args(kind))}"
                )
        if self.nodes < 1 or (self.devices < 1 and self.devices != -1):
            raise ChoiceError(
                f"trainer: {self.devices} devices on {self.nodes} nodes; wanted at least 1 of "
                "each, or devices: -1 for all"
            )
