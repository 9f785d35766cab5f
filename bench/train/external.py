"""Networks that were trained elsewhere: an adapter file makes a published checkpoint a row of the board.

An adapter inherits `External`, names a file of weights with its SHA-256, says which corpora those weights have seen,
and builds the network. The harness loads the weights strictly, trains nothing, and reads the frozen embedding out as
it does any other. What the network wants of a signal (leads, rate, length) it is given here, on the device; the
scaling it wants is that of the row's input spec, because millivolts cannot be had back from scaled samples.
"""

import hashlib
import inspect
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, ClassVar, Literal, get_args

import torch
from pydantic import BaseModel, ConfigDict
from torch import Tensor, nn
from torch.backends import cudnn
from torch.nn import functional

from bench.data.leads import LEADS
from bench.nn.encoder import Encoder
from bench.train.budget import InputSpec
from bench.train.description import Info
from bench.train.fields import Field

_NAMED = 5
"""Keys that an error names before it only counts them."""

_KAISER, _ZEROS = 5.0, 10
"""Shape of the resampling filter's window, and its length in samples of the lower rate to either side: those of
`scipy.signal.resample_poly`, with which corpora are prepared."""


class CheckpointError(ValueError):
    """A checkpoint is not what its adapter says; the message is one line."""


class ExternalParams(BaseModel):
    """An external checkpoint has no parameters: its adapter file is what describes it."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class ExternalEncoder(Encoder):
    """A network behind the harness's input: leads by name, its own rate and length, then its features.

    Attributes:
        network: as the adapter builds it.
        leads, dim: of what it is given here, and of its features.
    """

    name = "external"

    def __init__(self, kind: type["FromCheckpoint"], network: nn.Module, info: Info) -> None:
        super().__init__()
        self.kind, self.network, self.rate = kind, network, info.rate
        self.leads, self.min_samples = info.leads, 1
        self.picked = [info.lead_names.index(lead) for lead in kind.leads]
        self.dim = self._width(info.samples)

    def adapted(self, signal: Tensor) -> Tensor:
        """What the network sees of (N, leads, T): (N, its leads, T') at its rate, of its length if it has one."""
        signal = resample(signal[:, self.picked], self.rate, self.kind.rate)
        return signal if self.kind.samples is None else fit_length(signal, self.kind.samples)

    def forward(self, signal: Tensor) -> Tensor:
        """(N, leads, T) as the row's input spec scales it -> (N, dim)."""
        return self.kind.features(self.network, self.adapted(signal))

    def groups(self) -> list[list[nn.Parameter]]:
        """One group: nothing is known of the network's depth."""
        return [list(self.parameters())]

    def _width(self, samples: int) -> int:
        """Length of its features, by a look at silence."""
        self.eval()
        with torch.no_grad():
            features = self(torch.zeros(2, self.leads, samples))
        self.train()
        if features.ndim != 2 or len(features) != 2:
            raise CheckpointError(
                f"`features` gives {tuple(features.shape)} for 2 records; pool it to (2, D)"
            )
        return features.shape[1]


class FromCheckpoint(nn.Module):
    """Mix-in of a strategy whose encoder is a network with published weights; `External` has it.

    Class attributes:
        checkpoint: the file of weights, by its path from the adapter file; what `torch.load` reads with `weights_only`.
        sha256: of that file, 64 hexadecimal digits.
        trained_on: corpora that the weights have seen, in pre-training or otherwise: 'ptbxl', 'cinc2021',
            'mimic-iv-ecg'; () for random weights. It must be said: rows are marked by it.
        trained_on_parts: 'train' for a corpus of which they have seen nothing but the official training part.
        trained_with: fields that this training was paid for elsewhere; the board's ledger prints them.
        rate: Hz that the network wants.
        leads: those that it wants, in its order.
        samples: the only length that it accepts, at its rate; what is longer is cut, what is shorter filled up with
            zeros behind. None: any.
        scaling: that it wants, as in `InputSpec`; 'none' is millivolts.
        own_rate: have corpora prepared at `rate` for this row; else what the suite's rate shows is resampled.
    """

    checkpoint: ClassVar[str]
    sha256: ClassVar[str]
    trained_on: ClassVar[tuple[str, ...]]
    trained_on_parts: ClassVar[Mapping[str, Literal["train"]]] = {}
    trained_with: ClassVar[frozenset[Field]] = frozenset()
    rate: ClassVar[int]
    leads: ClassVar[tuple[str, ...]] = LEADS
    samples: ClassVar[int | None] = None
    scaling: ClassVar[str] = "zscore-lead"
    own_rate: ClassVar[bool] = False
    trained: ClassVar[bool] = False
    Params: ClassVar[type[BaseModel]] = ExternalParams
    info: Info
    encoder: Encoder

    def __init__(self, encoder: Encoder, params: Any, info: Info, parents: Any = None) -> None:
        super().__init__(encoder, params, info, parents)
        self.encoder = ExternalEncoder(type(self), self.build(), info)

    def build(self) -> nn.Module:
        """The network, with any weights."""
        raise TypeError(f"{type(self).__name__} does not define `build`, which returns its network")

    @classmethod
    def features(cls, network: nn.Module, signal: Tensor) -> Tensor:
        """(N, D) features of (N, its leads, T'); default: what the network returns."""
        features: Tensor = network(signal)
        return features

    @classmethod
    def state(cls, content: Mapping[str, Any]) -> Mapping[str, Any]:
        """The network's state among what the checkpoint holds; default: all of it."""
        return content

    def setup(self, training: Any) -> None:
        """Load the weights, the only thing that is fitted here.

        Raises:
            CheckpointError: the file is not there, is another one, or does not fit the network.
        """
        path = Path(inspect.getfile(type(self))).parent / self.checkpoint
        state = self.state(read_checkpoint(path, self.sha256))
        load_strictly(self.encoder.get_submodule("network"), state, path.name)

    @classmethod
    def incompatible(cls, info: Info, params: Any) -> str | None:
        """Why the network cannot see such records; None where it can."""
        if info.leads != len(info.lead_names):
            return "an external network sees records, not single leads"
        absent = [lead for lead in cls.leads if lead not in info.lead_names]
        if absent:
            return (
                f"the network wants {_enumerate(absent)}, which the lead set lacks; show fewer leads of more with"
                " --eval-lead-set"
            )
        return None

    @classmethod
    def own_input(cls, spec: InputSpec) -> dict[str, Any]:
        """What its row has otherwise than a suite's input spec: the scaling; the rate where `own_rate` says so."""
        own: dict[str, Any] = {"scaling": cls.scaling}
        if cls.own_rate:
            own["rate"] = cls.rate
            spans = {"window": spec.window, "stride": spec.stride}
            own |= {name: round(n * cls.rate / spec.rate) for name, n in spans.items() if n is not None}
        return {name: value for name, value in own.items() if value != getattr(spec, name)}

    @classmethod
    def undeclared(cls) -> str | None:
        """What an adapter leaves out or gets wrong, in one line; None where it is complete."""
        for name, hint in _REQUIRED.items():
            if not hasattr(cls, name):
                return f"an external checkpoint needs `{name}`: {hint}"
        if not re.fullmatch(r"[0-9a-f]{64}", cls.sha256):
            return "`sha256` is no 64 lower-case hexadecimal digits; `sha256sum FILE` prints them"
        if not isinstance(cls.trained_on, tuple) or not all(isinstance(c, str) and c for c in cls.trained_on):
            return "`trained_on` is no tuple of corpus names (a comma may be missing)"
        strange = set(cls.trained_on_parts) - set(cls.trained_on)
        if strange or set(cls.trained_on_parts.values()) - {"train"}:
            return "`trained_on_parts` says 'train' of corpora that `trained_on` names, and nothing else"
        unknown = [lead for lead in cls.leads if lead not in LEADS]
        if unknown or len(set(cls.leads)) < len(cls.leads) or not cls.leads:
            return f"`leads` names {unknown[0]!r}, which is none of {', '.join(LEADS)}" if unknown else _LEADS
        if not isinstance(cls.rate, int) or cls.rate < 1:
            return f"`rate` {cls.rate!r} is no positive whole number of Hz"
        known = get_args(InputSpec.model_fields["scaling"].annotation)
        return None if cls.scaling in known else f"`scaling` {cls.scaling!r} is none of {', '.join(known)}"


_LEADS = "`leads` names none, or one twice"

_REQUIRED = {
    "checkpoint": "the file of weights, by its path from the adapter",
    "sha256": "of that file",
    "trained_on": "corpora that the weights have seen, () for random ones",
    "rate": "Hz that the network wants",
}


def read_checkpoint(path: Path, sha256: str) -> dict[str, Any]:
    """What a file of weights holds: tensors and plain values, nothing else is ever unpickled.

    Args:
        path: of the file.
        sha256: what it must hash to.

    Raises:
        CheckpointError: it is not there, hashes to something else, or holds more.
    """
    try:
        with path.open("rb") as file:
            found = hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise CheckpointError(
            f"checkpoint {path}: {error.strerror}; it must lie there on every machine"
        ) from None
    if found != sha256:
        raise CheckpointError(
            f"checkpoint {path.name} has the SHA-256 {found}, not the adapter's; fetch it again, or correct `sha256`"
        )
    try:
        content = torch.load(path, map_location="cpu", weights_only=True)
    except Exception:  # pickle, zip and torch each raise errors of their own
        raise CheckpointError(
            f"checkpoint {path.name} is no file of tensors and plain values;"
            " write one with torch.save(network.state_dict(), FILE)"
        ) from None
    if not isinstance(content, dict):
        raise CheckpointError(f"checkpoint {path.name} holds a {type(content).__name__}, not a state by name")
    return content


def load_strictly(network: nn.Module, state: Mapping[str, Any], name: str) -> None:
    """Load a network's weights; each of its own, no others, each of its shape.

    Args:
        name: of the checkpoint, for the error.

    Raises:
        CheckpointError: with up to five of the keys that are missing, unexpected or of another shape.
    """
    wanted = network.state_dict()
    values = [key for key, value in state.items() if not isinstance(value, Tensor)]
    if values:
        raise CheckpointError(
            f"checkpoint {name} holds {_enumerate(list(map(str, state)))}, not tensors alone; return the network's"
            " part of it from `state`"
        )
    shapes = [
        f"{key} {tuple(state[key].shape)}, not {tuple(wanted[key].shape)}"
        for key in wanted
        if key in state and state[key].shape != wanted[key].shape
    ]
    parts = {
        "missing": [key for key in wanted if key not in state],
        "unexpected": [key for key in state if key not in wanted],
        "other shapes": shapes,
    }
    told = "; ".join(f"{what}: {_enumerate(keys)}" for what, keys in parts.items() if keys)
    if told:
        raise CheckpointError(f"checkpoint {name} does not fit the network: {told}")
    network.load_state_dict(dict(state), strict=True)


def fit_length(signal: Tensor, samples: int) -> Tensor:
    """(..., T) -> (..., samples): cut behind, or filled up behind with zeros."""
    return functional.pad(signal, (0, samples - signal.shape[-1]))


def resample(signal: Tensor, rate: int, wanted: int) -> Tensor:
    """Polyphase resampling along time, without delay, on the signal's device, in float32.

    As `scipy.signal.resample_poly` does it with `padtype="line"`, and so as corpora are prepared: a low pass at the
    lower of the two Nyquist rates; beyond the ends a line through them, which keeps the baseline from ringing there.

    Args:
        signal: (N, C, T).
        rate, wanted: Hz.

    Returns:
        (N, C, ceil(T * wanted / rate)).
    """
    shared = math.gcd(rate, wanted)
    up, down = wanted // shared, rate // shared
    if up == down:
        return signal
    as_set = {"enabled": cudnn.enabled, "benchmark": cudnn.benchmark, "deterministic": cudnn.deterministic}
    with torch.autocast(signal.device.type, enabled=False), cudnn.flags(**as_set, allow_tf32=False):
        signal = signal.float()
        count, samples = signal.shape[-1], -(-signal.shape[-1] * up // down)
        kernel, before = _phases(up, down)
        blocks = -(-samples // up)
        behind = max(0, (blocks - 1) * down + kernel.shape[-1] - before - count)
        extended = _extended(signal.flatten(0, 1), before, behind)
        found = functional.conv1d(extended[:, None], kernel.to(signal.device), stride=down)[..., :blocks]
        return found.transpose(1, 2).flatten(1)[:, :samples].unflatten(0, signal.shape[:2])


def _extended(signal: Tensor, before: int, behind: int) -> Tensor:
    """(M, before + T + behind): beyond its ends (M, T) follows the line through them."""
    count = signal.shape[-1]
    slope = (signal[:, -1:] - signal[:, :1]) / max(1, count - 1)
    early = torch.arange(-before, 0, device=signal.device)
    late = torch.arange(1, behind + 1, device=signal.device)
    return torch.cat([signal[:, :1] + slope * early, signal, signal[:, -1:] + slope * late], dim=1)


def _phases(up: int, down: int) -> tuple[Tensor, int]:
    """(up, 1, taps) the low pass as each of `up` phases sees it, and the samples that it begins before its own."""
    half = _ZEROS * max(up, down)
    window = torch.kaiser_window(2 * half + 1, periodic=False, beta=_KAISER, dtype=torch.float64)
    steps = torch.arange(-half, half + 1, dtype=torch.float64)
    low_pass = torch.sinc(steps / max(up, down)) * window
    low_pass *= up / low_pass.sum()
    before = half // up
    taps = before + ((up - 1) * down + half) // up + 1
    place = half + torch.arange(up)[:, None] * down - (torch.arange(taps) - before) * up
    inside = (place >= 0) & (place <= 2 * half)
    kernel = torch.where(inside, low_pass[place.clamp(0, 2 * half)], 0.0)
    return kernel.float()[:, None], before


def _enumerate(names: list[str]) -> str:
    """'a, b, c, d, e and 3 more'."""
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
