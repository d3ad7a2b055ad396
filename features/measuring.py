"""Every feature of every spine row, whatever the spine and the engine.

One join and one group-by a relation, one pass a stream, then what is made of other numbers, row by row. Money is in
cents, and so summed exactly, until the last step.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import narwhals as nw

from features.engine import Frame
from features.formulas import Aggregate, Between, How
from features.registry import FEATURES, PARTS, Feature, Missing, Unit
from features.sources import CHANGE, Relation, Source, Stream
from features.versions import Tables

IDENTITY = ("change_id", "as_of", "payee_id", "is_provider", "derived", "age_days", "channel")
"""What a measured row says of itself, before its features."""


def measured(tables: Tables, spine: Frame, names: Collection[str] = ()) -> Frame:
    """One row a spine row, in its order: IDENTITY, then every feature in the registry's order, or only those named."""
    wanted = _with_makings(names or FEATURES)
    by_source: dict[Source, list[Feature]] = {CHANGE: []}
    for feature in wanted:
        by_source.setdefault(feature.source, []).append(feature)
    rowwise = by_source.pop(CHANGE)
    numbers = [tables.engine.keep(_numbers(source, tables, spine, fs)) for source, fs in by_source.items()]
    wide = tables.engine.beside(spine, numbers)
    settled = [_settled(feature) for fs in by_source.values() for feature in fs]
    wide = wide.with_columns(*settled) if settled else wide
    for layer in _layers(rowwise, set(wide.collect_schema().names())):
        wide = wide.with_columns(*(_settled(f, f.formula) for f in layer if isinstance(f.formula, nw.Expr)))
    shown = [_shown(feature) for feature in FEATURES.values() if not names or feature.name in names]
    return wide.sort("row").select(*IDENTITY, *shown)


def _with_makings(names: Collection[str]) -> list[Feature]:
    """The features of those names and all that they are made of."""
    defined, needed, asked = PARTS | FEATURES, set(names), set(names)
    while asked:
        asked = {name for other in asked for name in defined[other].asks if name in defined} - needed
        needed |= asked
    return [feature for name, feature in defined.items() if name in needed]


def _layers(features: list[Feature], made: set[str]) -> list[list[Feature]]:
    """Row-wise features in groups, each made only of columns that stand before it."""
    layers = []
    while features:
        ready = [f for f in features if f.asks <= made]
        if not ready:
            first = features[0]
            raise ValueError(f"{first.name}: its formula asks for {sorted(first.asks - made)}; nothing makes it")
        layers.append(ready)
        made = made | {f.name for f in ready}
        features = [f for f in features if f not in ready]
    return layers


def _numbers(source: Source, tables: Tables, spine: Frame, features: list[Feature]) -> Frame:
    """(row, one column a feature): a relation's aggregates, or a stream's counts."""
    if isinstance(source, Relation):
        aggregates = {f.name: f.formula for f in features if isinstance(f.formula, Aggregate)}
        return _aggregated(source.joined(tables, spine), aggregates)
    counts = {f.name: f.formula for f in features if isinstance(f.formula, Between)}
    assert isinstance(source, Stream)
    return _counted(source, tables, spine, counts)


def _aggregated(joined: Frame, aggregates: Mapping[str, Aggregate]) -> Frame:
    """Mask into columns, aggregate plainly, finish: complex aggregations are slow on pandas."""
    uniques = [name for name, aggregate in aggregates.items() if aggregate.how is How.DISTINCT]
    rows = joined.select("row", **{name: _masked(aggregate) for name, aggregate in aggregates.items()})
    nulls = {f"{name}__null": nw.col(name).is_null().cast(nw.Int64) for name in uniques}
    plain = [getattr(nw.col(name), aggregate.how.value)() for name, aggregate in aggregates.items()]
    numbers = rows.select("row", *aggregates, **nulls).group_by("row").agg(*plain, *(nw.col(n).max() for n in nulls))
    return numbers.select("row", *(_finished(name, aggregate.how) for name, aggregate in aggregates.items()))


def _finished(name: str, how: How) -> nw.Expr:
    """Whole sums; and distinct values without null, which n_unique counts: here the rows outside the mask."""
    if how is How.DISTINCT:
        return (nw.col(name) - nw.col(f"{name}__null")).cast(nw.Int64).alias(name)
    return nw.col(name).cast(nw.Int64) if how is How.SUM else nw.col(name)


def _masked(aggregate: Aggregate) -> nw.Expr:
    return aggregate.value if aggregate.where is None else nw.when(aggregate.where).then(aggregate.value)


def _counted(stream: Stream, tables: Tables, spine: Frame, counts: Mapping[str, Between]) -> Frame:
    """Count events up to an instant with one running sum over events and questions, in order of time.

    Each count is two questions, at its two ends; events come before questions of the same instant. A change's own
    event is found by its key and taken off.
    """
    spine = spine.filter(~nw.col(stream.key).is_null())
    events = tables.engine.keep(stream.events(tables, spine))
    ends = [(name, end) for name in counts for end in ("after", "until")]
    arms = [_arm(events, nw.col("key"), nw.col("at"), row=nw.lit(-1), question=-1, event=1)]
    for number, (name, end) in enumerate(ends):
        at: nw.Expr = getattr(counts[name], end)
        arms.append(_arm(spine, nw.col(stream.key), at, row=nw.col("row"), question=number, event=0))
    running = nw.col("event").cum_sum().over("key", order_by=["at", "question", "row"])
    answers = nw.concat(arms).with_columns(so_far=running.cast(nw.Int64)).filter(nw.col("question") >= 0)
    signed = [
        nw.when(nw.col("question") == number).then(nw.col("so_far") * (1 if end == "until" else -1))
        for number, (_, end) in enumerate(ends)
    ]
    sums = answers.select("row", **{f"{name}__{end}": e for (name, end), e in zip(ends, signed, strict=True)})
    found = sums.group_by("row").agg(*(nw.col(f"{name}__{end}").sum() for name, end in ends))
    own = events.rename({"at": "own_at", "key": stream.key, "own": stream.own})
    found = spine.join(found, on="row", how="inner").join(own, on=[stream.key, stream.own], how="left")
    numbers = {}
    for name, between in counts.items():
        is_own = (between.after < nw.col("own_at")) & (nw.col("own_at") <= between.until)
        own_event = nw.when(is_own).then(nw.lit(1)).otherwise(nw.lit(0))
        numbers[name] = (nw.col(f"{name}__until") + nw.col(f"{name}__after")).cast(nw.Int64) - own_event
    return found.select("row", **numbers)


def _arm(rows: Frame, key: nw.Expr, at: nw.Expr, row: nw.Expr, question: int, event: int) -> Frame:
    columns = {"at": at, "row": row, "question": nw.lit(question), "event": nw.lit(event)}
    return rows.select(key=key, **{name: column.cast(nw.Int64) for name, column in columns.items()})


def _settled(feature: Feature, number: nw.Expr | None = None) -> nw.Expr:
    """The number with its nulls settled: 0 where nothing is nothing, null where a provider has none."""
    number = nw.col(feature.name) if number is None else number
    counted = isinstance(feature.formula, Aggregate) and feature.formula.is_zero_when_empty
    if counted or feature.missing is Missing.ZERO:
        number = nw.coalesce(number, nw.lit(0))
    if feature.is_member_only:
        number = nw.when(~nw.col("is_provider")).then(number)
    return number.alias(feature.name)


def _shown(feature: Feature) -> nw.Expr:
    number = nw.col(feature.name).cast(nw.Float64)
    return (number / 100 if feature.unit is Unit.EUR else number).alias(feature.name)
