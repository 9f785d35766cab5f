"""Corpora of sines, whose rate, lead and scale can be told from any stretch of a signal."""

import numpy as np
import pandas as pd
import torch

from bench.data.corpus import ATTRIBUTES, CorpusIndex, RawRecord, Task
from bench.data.leads import LEADS
from bench.data.writer import write_prepared
from tests.corpora import PARTS

RATE, WINDOW, RECORDS = 50, 400, 40
FOUR = ("II", "V2", "aVL", "aVR")
SIDE = Task("side", "single", ("left", "right"))


def sines(folder, name, first, gain):
    """Record i is a sine of `first` + 0.04 i Hz, 16 s long; lead k stands at the level k; times `gain` millivolts."""
    time, rows = np.arange(2 * WINDOW) / RATE, np.arange(RECORDS)
    waves = [np.sin(2 * np.pi * (first + 0.04 * i) * time[:, None] + i + np.arange(12)) for i in rows]
    patient = rows * 2 // 3
    table = pd.DataFrame(
        {"record": [f"{name}{i:02d}" for i in rows], "patient": [f"p{p:02d}" for p in patient]}
    )
    table = table.assign(age=50.0, sex="male", source=name, fold=0, part=PARTS[patient % 5], path="")
    table = table.assign(height=170.0, weight=70.0)
    labels = [(record, "side", SIDE.classes[i % 2]) for i, record in enumerate(table["record"])]
    index = CorpusIndex(
        name,
        f"{name} ({RECORDS} simulated records)",
        table.assign(**dict.fromkeys(ATTRIBUTES, 1.0)),
        pd.DataFrame(labels, columns=["record", "task", "label"]),
        {"side": SIDE},
        simulated=True,
    )
    signals = [RawRecord((gain * (wave + np.arange(12))).astype(np.float32), float(RATE)) for wave in waves]
    return write_prepared(index, signals, folder / name, RATE)


def signal_of(corpus, row):
    """(12, T) millivolts."""
    place = corpus.records.iloc[row]
    return corpus.signals[place["offset"] : place["offset"] + place["length"]].T / 1e3


def frame_of(corpus, record, lead):
    """(1, 1, 400) of a lead by name: the first window, from 0 to 1."""
    row = corpus.records["record"].tolist().index(record)
    window = signal_of(corpus, row)[LEADS.index(lead), :WINDOW]
    return torch.tensor((window - window.min()) / np.ptp(window), dtype=torch.float32)[None, None]


def frequencies(rows):
    """(N,) Hz of the strongest sine of each row, if its samples are as far apart as the suite says."""
    points = 2**14
    curve = (rows - rows.mean(1, keepdim=True)) * torch.hann_window(rows.shape[1])
    return torch.fft.rfft(curve, points).abs().argmax(1).numpy() * RATE / points
