"""What an encoder is: a network from a signal to one embedding. Strategies and probes see only this."""

from abc import ABC, abstractmethod
from typing import ClassVar

from torch import Tensor, nn


class Encoder(nn.Module, ABC):
    """A network from (N, C, T) signals to (N, dim) embeddings.

    A subclass lives in its own file of `bench/nn/encoders/` and is built as `Subclass(leads, **arguments)`,
    so that a name, a lead count and a mapping describe it completely. Its weights come from torch's default
    generator, which the caller seeds.

    Attributes:
        name: how suites and the command line call it.
        leads: channels C of the input.
        dim: length of an embedding.
        min_samples: shortest input T; any longer one is accepted, unless `samples` is set.
        samples: the only length T accepted, of an encoder built for one; None: any from `min_samples` on.
        recurrent: it has a `context`: its embedding sums up what is known along the sequence.
    """

    name: ClassVar[str]
    leads: int
    dim: int
    min_samples: int
    samples: int | None = None
    recurrent: ClassVar[bool] = False

    @abstractmethod
    def forward(self, signal: Tensor) -> Tensor:
        """Embed `signal` (N, C, T) as (N, dim)."""

    def sequence(self, signal: Tensor) -> Tensor:
        """Features over time before pooling: (N, C, T) -> (N, L, D), where L follows from T.

        Raises:
            NotImplementedError: this encoder has no features over time.
        """
        raise NotImplementedError(
            f"encoder {self.name!r} has no features over time; choose one with `sequence`"
        )

    def context(self, sequence: Tensor) -> Tensor:
        """What is known at each step from the features up to it: (N, L, D) of `sequence` -> (N, L, D').

        Raises:
            NotImplementedError: this encoder is not recurrent.
        """
        raise NotImplementedError(f"encoder {self.name!r} is not recurrent")

    @abstractmethod
    def groups(self) -> list[list[nn.Parameter]]:
        """Every parameter exactly once, in groups from stem to head, for rates that differ by depth."""

    def check(self, signal: Tensor) -> None:
        """Refuse a signal this encoder cannot read.

        Raises:
            ValueError: not (N, leads, T >= min_samples), or T is not `samples` where that is set.
        """
        if signal.dim() != 3 or signal.shape[1] != self.leads:
            raise ValueError(
                f"signal {tuple(signal.shape)}: this {self.name!r} encoder takes (N, {self.leads}, samples)"
            )
        length = signal.shape[2]
        if self.samples is not None and length != self.samples:
            raise ValueError(
                f"signal of {length} samples: this {self.name!r} encoder is built for {self.samples} exactly; "
                f"give it the argument `samples: {length}`, or a window of {self.samples}"
            )
        if length < self.min_samples:
            raise ValueError(
                f"signal of {length} samples: encoder {self.name!r} needs {self.min_samples}; "
                "take a longer window or a higher rate"
            )
