"""What the traps of the suite ssl12lead share: its entries, few leads, signals by hand."""

import yaml

from bench.run.suite import suite_files

FEW_LEADS = {"lead_sets": ["challenge-2"]}


def entries(*labels):
    """Entries of the suite, as it writes them."""
    written = yaml.safe_load(suite_files()["ssl12lead"].read_text())["entries"]
    described = [{"strategy": entry} if isinstance(entry, str) else entry for entry in written]
    return [entry for entry in described if entry.get("label", entry["strategy"]) in labels]


def signal_of(corpus, row, leads):
    """(T, C) millivolts."""
    place = corpus.records.iloc[row]
    return corpus.signals[place["offset"] : place["offset"] + place["length"]][:, leads] / 1e3
