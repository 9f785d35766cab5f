"""Embeddings of every record by a frozen strategy; proven frozen by a hash of its state before and after."""

import numpy as np
import torch

from bench.data.corpus import PreparedCorpus
from bench.data.leads import lead_set
from bench.evaluate.windows import over_records
from bench.train.budget import InputSpec
from bench.train.fit import state_hash, use_precision
from bench.train.inputs import Signals, load_signals, record_fields
from bench.train.strategy import Strategy


def corpus_signals(
    corpus: PreparedCorpus,
    spec: InputSpec,
    lead_set_name: str,
    train: np.ndarray,
    device: torch.device,
    shown: str = "",
) -> Signals:
    """The corpus on the device.

    Args:
        lead_set_name: the encoder's leads.
        shown: lead set of those that are shown, the others being zero; '': all of them.
    """
    present = lead_set(shown) if shown else None
    return load_signals(corpus, spec, lead_set(lead_set_name), device, train, present)


def embed_corpus(
    strategy: Strategy,
    corpus: PreparedCorpus,
    spec: InputSpec,
    signals: Signals,
    precision: str = "float32",
) -> np.ndarray:
    """(R, D) float32 embeddings of every record, the mean over its evaluation instances.

    With the input spec's aggregation 'none', (U, D): one an instance, in the order of `evaluation_instances`.

    Raises:
        RuntimeError: the strategy's state changed while it embedded.
    """
    strategy.eval()
    before = state_hash(strategy)
    use_precision(strategy, precision, signals.device)
    everything = np.arange(len(corpus.records))
    needs = strategy.needs_at_test_with(strategy.params)
    fields = record_fields(corpus, everything, needs, strategy.name, device=signals.device)
    aggregation = "none" if spec.aggregation == "none" else "mean"
    values = over_records(strategy.embed, signals, fields, spec, aggregation)
    if state_hash(strategy) != before:
        raise RuntimeError(f"{strategy.name} changed its own weights or buffers while it embedded")
    return values
