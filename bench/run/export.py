"""A trained encoder as one file that torch alone reads: whole records in, their embeddings out.

Scaling, evaluation windows and their mean are part of the exported program, for any number of records of any length.
Resampling and filter are not: the file's metadata says which. What embedding does not need (projectors, heads, queues,
whatever was kept for each training instance) is left out.
"""

import copy
import json
import logging
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr
from io import StringIO
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode
from torch.utils import _pytree as pytree

from bench.run.errors import UserError
from bench.run.trained import Trained
from bench.train.strategy import Batch, Fields

SUFFIX = ".pt2"

METADATA = "leadboard.json"
"""Name of the description among the file's extra files."""

_FLOOR = 1e-3
"""Millivolts: what does not move is not blown up; as of `bench.train.inputs`."""

_AGREE = 1e-4
"""Largest difference from the strategy itself, as a share of its largest value, with which a file is written."""


class RecordEncoder(nn.Module):
    """Records as a strategy of the board embeds them: scaled, cut into windows, embedded, averaged.

    Args:
        trained: whose strategy is copied; it computes in float32 here.
    """

    def __init__(self, trained: Trained) -> None:
        super().__init__()
        self.strategy = copy.deepcopy(trained.strategy).cpu().eval()
        self.spec = trained.spec
        self.global_scaling = trained.global_scaling
        self.window = trained.strategy.info.samples
        self.stride = self.spec.stride or self.window

    def forward(self, signal: Tensor) -> Tensor:
        """(N, leads, T) float32 millivolts at the encoder's rate, T the same for all -> (N, D) float32.

        Lengths are read off `shape`, never by `len`, which would fix them in the exported program. It embeds one
        window more than it averages: of a single row convolutions have another layout, which would be fixed too.
        """
        count, leads, samples = signal.shape
        alone = self.spec.instance == "lead"
        every = torch.sym_max((samples - self.window) // self.stride, 0) + 1
        windows = self._windows(every)
        units = windows * leads if alone else windows
        row = torch.arange(count * units + 1, device=signal.device)
        record = (row // units).clamp(max=count - 1)
        window = row // (leads if alone else 1) % windows
        channel = (row % leads)[:, None] if alone else torch.arange(leads, device=signal.device)[None]
        position = self._starts(window, every, windows)[:, None] + torch.arange(
            self.window, device=signal.device
        )
        cut = signal[record[:, None, None], channel[..., None], position.clamp(max=samples - 1)[:, None]]
        scaled = self._scaled(cut, signal, record, channel, (position < samples)[:, None])
        filled = (samples - position[:, 0]).clamp(max=self.window)
        nothing = Fields({}, frozenset(), self.strategy.name)
        embedding = self.strategy.embed(Batch(scaled, record, record, nothing, filled)).float()[:-1]
        total = embedding.new_zeros(count, embedding.shape[1]).index_add(0, record[:-1], embedding)
        return total / units

    def _windows(self, every: Any) -> Any:
        """Windows of a record of which `every` would fit."""
        return every if self.spec.windows is None else torch.sym_min(every, self.spec.windows)

    def _starts(self, window: Tensor, every: Any, windows: Any) -> Tensor:
        """First sample of each window by its number, evenly spaced where there would be more."""
        if self.spec.windows is None:
            return window * self.stride
        apart = (every - 1) / torch.sym_max(windows - 1, 1)
        return (window.double() * apart).round().long() * self.stride

    def _scaled(self, cut: Tensor, signal: Tensor, record: Tensor, channel: Tensor, inside: Tensor) -> Tensor:
        """(R, C', window) scaled windows; what is beyond a record's end is what scaling makes zero."""
        if self.spec.scaling == "minmax-view":
            shown = torch.where(inside, cut, 0.0)
            low, high = shown.aminmax(dim=2, keepdim=True)
            return (shown - low) / (high - low).clamp_min(_FLOOR)
        shift, scale = self._statistics(signal)
        place = record[:, None], channel
        return torch.where(inside, (cut - shift[place][..., None]) / scale[place][..., None], 0.0)

    def _statistics(self, signal: Tensor) -> tuple[Tensor, Tensor]:
        """(N, leads) millivolts that are taken off, and divided by: those of `bench.train.inputs`, of whole records."""
        each = signal[..., 0]
        if self.spec.scaling == "none":
            return torch.zeros_like(each), torch.ones_like(each)
        if self.global_scaling is not None:
            centre, width = self.global_scaling
            return torch.full_like(each, centre), torch.full_like(each, width)
        together = self.spec.scaling in ("minmax", "zscore-record")
        over = (1, 2) if together else (2,)
        if self.spec.scaling.startswith("minmax"):
            shift = signal.amin(over, keepdim=True)
            scale = signal.amax(over, keepdim=True) - shift
        else:
            shift = signal.mean(over, keepdim=True)
            scale = (signal - shift).square().mean(over, keepdim=True).sqrt()
        return shift[..., 0].expand_as(each), scale[..., 0].clamp_min(_FLOOR).expand_as(each)


def export_encoder(trained: Trained, path: Path) -> None:
    """Write a trained encoder as a file of `torch.export`, aside and then renamed.

    The file's program takes (records, leads, samples) float32 millivolts and gives (records, D); see
    `loading_example`. Its metadata, JSON, is the extra file `METADATA`: `Trained.describe`, and `embedding`, that is D.

    Raises:
        UserError: not a .pt2 file, no such folder, or an encoder that cannot be exported.
    """
    if path.suffix != SUFFIX:
        raise UserError(f"{path}: an exported encoder is written as {SUFFIX}")
    if not path.parent.is_dir():
        raise UserError(f"no folder {path.parent}")
    encoder = RecordEncoder(trained)
    example = _example(trained, 2, 2 * encoder.window + encoder.stride + 1)
    called = f"{trained.key[:12]} ({trained.cell.strategy.name})"
    try:
        with torch.no_grad(), _silently():
            _keep_what_is_used(encoder, example)
            program = _traced(encoder, example)
            width = _proved(program, encoder, trained)
    except Exception as error:  # tracing a strategy may raise anything
        said = (str(error) or type(error).__name__).splitlines()[0]
        raise UserError(
            f"{called} cannot be exported: {said[:200]} (`embed` and the encoder must not branch on values, and must"
            " read lengths off `signal.shape`, not by len)"
        ) from error
    about = json.dumps(
        {**trained.describe(), "embedding": width, "precision": "float32"}, indent=1, sort_keys=True
    )
    with TemporaryDirectory(prefix=f".{path.name}.", dir=path.parent) as folder, _silently():
        aside = Path(folder) / path.name  # the file's own name: the archive within bears it
        torch.export.save(program, aside, extra_files={METADATA: about})
        aside.replace(path)


def loading_example(trained: Trained, path: Path) -> str:
    """Three lines that load an exported encoder and embed two silent records, with torch alone."""
    leads, samples = len(trained.leads), trained.strategy.info.samples
    return (
        "import torch\n"
        f"encoder = torch.export.load({str(path)!r}).module()\n"
        f"embeddings = encoder(torch.zeros(2, {leads}, {samples}))"
        f"  # (records, leads, samples) in mV at {trained.spec.rate} Hz, leads {', '.join(trained.leads)}"
    )


def _example(trained: Trained, records: int, samples: int) -> Tensor:
    """(records, leads, samples) millivolts of noise, the same each time."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(records, len(trained.leads), samples, generator=generator)


def _traced(encoder: RecordEncoder, example: Tensor) -> Any:
    """The exported program, of any number of records and samples; it tells no place in our source files."""
    from torch.export import Dim, export

    shapes = ({0: Dim("records", min=1), 2: Dim("samples", min=1)},)
    program = export(encoder, (example,), dynamic_shapes=shapes, strict=False)
    program.example_inputs = None
    for node in program.graph.nodes:
        node.meta.pop("stack_trace", None)
    return program


def _proved(program: Any, encoder: RecordEncoder, trained: Trained) -> int:
    """Length of the embeddings, after one short record, one window and several windows of several records.

    Raises:
        ValueError: the program gives other values than the strategy does.
    """
    run, width = program.module(), 0
    for records, samples in ((1, encoder.window // 2 + 1), (1, encoder.window), (3, 3 * encoder.window + 1)):
        signal = _example(trained, records, samples)
        ours, theirs = encoder(signal), run(signal)
        if float((ours - theirs).abs().max()) > _AGREE * float(ours.abs().max()):
            raise ValueError("the exported program gives other embeddings")
        width = ours.shape[1]
    return width


class _Used(TorchFunctionMode):
    """Remembers every tensor that any function of torch is given."""

    def __init__(self) -> None:
        super().__init__()
        self.ids: set[int] = set()

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        leaves = pytree.tree_leaves((args, kwargs or {}))
        self.ids |= {id(leaf) for leaf in leaves if isinstance(leaf, Tensor)}
        return func(*args, **(kwargs or {}))


def _keep_what_is_used(encoder: nn.Module, example: Tensor) -> None:
    """Take away the parameters and buffers that embedding does not touch."""
    with _Used() as used:
        encoder(example)
    named = [
        *encoder.named_parameters(remove_duplicate=False),
        *encoder.named_buffers(remove_duplicate=False),
    ]
    for name, tensor in named:
        if id(tensor) not in used.ids:
            owner, _, own = name.rpartition(".")
            setattr(encoder.get_submodule(owner), own, None)


@contextmanager
def _silently() -> Iterator[None]:
    """Without torch's own reports and warnings of what it traces: ours is one line."""
    before = logging.root.manager.disable
    logging.disable(logging.CRITICAL)
    try:
        with (
            warnings.catch_warnings(),
            redirect_stderr(StringIO()),
        ):  # on failure torch prints the whole program
            warnings.simplefilter("ignore")  # of an LSTM, that its weights' places move while it is traced
            yield
    finally:
        logging.disable(before)
