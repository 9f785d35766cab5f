"""What a strategy says of itself and hands over: declarations, ledger, views, positives, embeddings.

One function a promise; it returns what it found or raises with the reason.
"""

import ast
import pickle

import torch
from pydantic import ValidationError
from torch import Tensor

from bench.run.contract.stand import BATCHES, Broken, Stand, draw, loss_of, need, recording, views_of
from bench.train.fit import Fit, state_hash
from bench.train.strategy import Classifier, Field, Prototypes, UndeclaredField, Views

_READS = {
    "patient": Field.PATIENT,
    "age": Field.DEMOGRAPHICS,
    "sex": Field.DEMOGRAPHICS,
    "measurements": Field.MEASUREMENTS,
    "labels": Field.LABELS,
    "labelled": Field.LABELS,
    "labels_of": Field.LABELS,
    "database": Field.DATABASE,
}


_COLUMNS = {
    **_READS,
    **dict.fromkeys(("height", "weight"), Field.DEMOGRAPHICS),
    "features": Field.FEATURES,
}
"""What a column that was read belongs to; names that other things have too are not looked for in the text."""


def declared(stand: Stand) -> str:
    """Class attributes are complete, parameters frozen and closed, recipes valid."""
    kind = stand.kind
    need(bool(getattr(kind, "title", "")), "it has no `title`")
    need(all(isinstance(f, Field) for f in kind.needs | kind.needs_at_test), "`needs` holds more than Fields")
    need(isinstance(kind.deviations, tuple), "`deviations` is no tuple (a comma may be missing)")
    need(kind.readout in ("probe", "boosting"), f"readout {kind.readout!r} is neither 'probe' nor 'boosting'")
    config = kind.Params.model_config
    need(bool(config.get("frozen")), "`Params` is not frozen; subclass bench.train.strategy.Params")
    need(config.get("extra") == "forbid", "`Params` takes unknown names; set extra='forbid'")
    for name, recipe in {"(defaults)": {}, **kind.recipes}.items():
        try:
            params = stand.checked({**stand.params, **recipe})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"])) or "parameters together"
            raise Broken(f"recipe {name!r}: {where}: {first['msg']}") from None
        need(pickle.loads(pickle.dumps(params)) == params, f"recipe {name!r} changes when pickled")
    need(not stand.refused, f"it runs neither on whole records nor on single leads: {stand.refused}")
    return f"recipes {', '.join(kind.recipes) or 'none'}; reads {_listed(kind.needs) or 'no field'}"


def ledger(stand: Stand, text: str) -> str:
    """No field is read that is not declared: neither in the text of the file, nor when it runs."""
    tree = ast.parse(text)
    named = {Field[node.attr] for node in _attributes(tree, "Field") if node.attr in Field.__members__}
    known = named | stand.kind.needs | stand.kind.needs_at_test
    for node in _attributes(tree):
        field = _READS.get(node.attr)
        if field and field not in known and _root(node) not in ("self", "cls", "info", "params"):
            raise Broken(f"line {node.lineno} reads .{node.attr}; add Field.{field.name} to `needs`")
    if not stand.kind.trained:
        return f"reads {_listed(stand.kind.needs_at_test) or 'no field'} of the record to be judged"
    fit = stand.fit()
    seen = recording(fit)
    try:
        loss_of(fit, 3)
    except UndeclaredField:
        raise
    except Exception:
        return "its loss fails, see below"
    idle = stand.kind.needs_with(fit.strategy.params) - {_COLUMNS.get(name) for name in seen}
    read = f"reads {', '.join(sorted(seen)) or 'no field'}"
    return f"{read}; declares {_listed(idle)}, which it does not read here" if idle else read


def views(stand: Stand) -> str:
    """Views have the shapes they should, show the records they say, and leave the batch as it was."""
    fit = stand.fit()
    for count in BATCHES:
        batch = draw(fit, count)
        before = batch.signal.clone()
        made = views_of(fit, batch)
        _check_shapes(fit, made, batch.signal)
        need(torch.equal(batch.signal, before), "`views` changes the batch's signal in place; clone it")
        need(torch.equal(views_of(fit, batch).signal, made.signal), "the same generator gives other views")
    other = batch.signal.clone()
    other[0] = batch.signal[1].flip(1) + 1
    changed = views_of(fit, type(batch)(other, batch.index, batch.record, batch.fields))
    same = (changed.signal == made.signal).flatten(1).all(1) & (made.source == 0)
    need(not bool(same.any()), f"view {_first(same)} says it shows record 0, but does not change with it")
    return f"{BATCHES[0]} records -> {tuple(views_of(fit, draw(fit, BATCHES[0])).signal.shape)}"


def _check_shapes(fit: Fit, made: Views, signal: Tensor) -> None:
    rows, leads = made.signal.shape[:2]
    want = fit.strategy.encoder.leads
    need(made.signal.ndim == 3 and rows > 0, f"views have shape {tuple(made.signal.shape)}; want (N, C', T')")
    need(made.signal.dtype == torch.float32, f"views are {made.signal.dtype}; want float32")
    need(bool(made.signal.isfinite().all()), "views are not finite")
    need(leads == want, f"views have {leads} leads, the encoder {want}; see `encoder_leads`")
    need(made.source.shape == made.group.shape == (rows,), f"`source` and `group` must be ({rows},)")
    inside = (made.source >= 0) & (made.source < len(signal))
    need(
        bool(inside.all()),
        f"source {made.source[~inside][:1].tolist()} is no row of a batch of {len(signal)}",
    )
    if made.leads is None:
        need(
            leads == signal.shape[1],
            f"views of {leads} of {signal.shape[1]} leads must say which: set `leads`",
        )
    else:
        need(made.leads.shape == (rows, leads), f"`leads` must be ({rows}, {leads})")
        need(
            int(made.leads.min()) >= 0 and int(made.leads.max()) < signal.shape[1],
            "`leads` names no such lead",
        )


def positives(stand: Stand) -> str:
    """The positive mask is boolean, square over the views, and symmetric."""
    fit = stand.fit()
    for count in BATCHES:
        batch = draw(fit, count)
        made = views_of(fit, batch)
        mask = fit.strategy.positives(batch, made)
        rows = len(made.source)
        need(
            mask.dtype == torch.bool and mask.shape == (rows, rows),
            f"`positives` must be bool ({rows}, {rows})",
        )
        need(torch.equal(mask, mask.T), "`positives` is not symmetric")
        if count == max(BATCHES):
            others = (mask & ~torch.eye(rows, dtype=torch.bool)).sum(1)
            found = f"{float(others.float().mean()):.1f} a view; {int((others == 0).sum())} of {rows} views have none"
    return found


def embedding(stand: Stand) -> str:
    """Embeddings, from test-time fields, are (B, D), finite, each from its own record, and change no state."""
    strategy = stand.trained
    before = state_hash(strategy)
    functions = {"embed": strategy.embed}
    if isinstance(strategy, Classifier):
        functions["logits"] = strategy.logits
    widths = []
    for name, function in functions.items():
        with torch.no_grad():
            alone, together = function(stand.judged(1)), function(stand.judged(5))
        need(alone.ndim == together.ndim == 2, f"`{name}` gives {tuple(alone.shape)}; want (B, D)")
        need(len(together) == 5 and alone.shape[1] == together.shape[1], f"`{name}` has no constant width")
        missing = strategy.readout == "boosting" and name == "embed"  # boosting takes NaN as missing
        need(missing or bool(together.isfinite().all()), f"`{name}` is not finite")
        alike = torch.allclose(alone, together[:1], rtol=1e-3, atol=1e-4, equal_nan=True)
        need(alike, f"`{name}` of a record depends on which others are in its batch")
        widths.append(f"{name} {together.shape[1]} wide")
    need(state_hash(strategy) == before, "`embed` or `logits` changes weights or buffers in evaluation mode")
    return ", ".join(widths)


def _attributes(tree: ast.AST, owner: str | None = None) -> list[ast.Attribute]:
    """Attributes that are read, of the name `owner` alone if it is given."""
    found = [n for n in ast.walk(tree) if isinstance(n, ast.Attribute) and isinstance(n.ctx, ast.Load)]
    return [n for n in found if owner is None or (isinstance(n.value, ast.Name) and n.value.id == owner)]


def _root(node: ast.Attribute) -> str:
    value: ast.expr = node
    while isinstance(value, ast.Attribute):
        value = value.value
    return value.id if isinstance(value, ast.Name) else ""


def _listed(fields: frozenset[Field]) -> str:
    return ", ".join(sorted(field.value for field in fields))


def _first(mask: Tensor) -> int:
    return int(mask.nonzero()[0]) if bool(mask.any()) else -1


def groups(stand: Stand) -> str:
    """Where a strategy has groups of its own: every embedding is in one, whatever stands beside it."""
    strategy = stand.trained
    if not isinstance(strategy, Prototypes):
        return "none of its own"
    with torch.no_grad():
        embedding = strategy.embed(stand.judged(8)).float()
        ids, count = strategy.assign(embedding), strategy.groups()
        alone = torch.cat([strategy.assign(row) for row in embedding.split(1)])
        space = strategy.project(embedding)
    need(ids.shape == (8,) and ids.dtype == torch.int64, f"`assign` gives {tuple(ids.shape)} {ids.dtype}")
    need(
        bool(((ids >= 0) & (ids < count)).all()), f"`assign` gives ids outside 0 to {count - 1}, its `groups`"
    )
    need(torch.equal(ids, alone), "the group of an embedding hangs on the others of its batch")
    points, stands = strategy.prototypes(), strategy.attributes()
    if points is not None:
        expected = (count, space.shape[1])
        need(
            points.shape == expected, f"`prototypes` are {tuple(points.shape)}; `project` asks for {expected}"
        )
        need(not points.requires_grad, "`prototypes` carry a gradient; detach them")
    if stands is not None:
        need(
            stands.shape == (count, 3), f"`attributes` are {tuple(stands.shape)}; there must be ({count}, 3)"
        )
        limits = torch.tensor(stand.info().counts)
        need(bool(((stands.cpu() >= -1) & (stands.cpu() < limits)).all()), "`attributes` hold unknown values")
    return f"{count}, {'bare numbers' if stands is None else 'each with its class, sex and age'}"
