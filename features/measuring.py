"""Every feature of every spine row, for any spine and any engine.

One join and one group-by per relation, one pass over the streams, then the numbers made of other numbers, row by row.
Money is in cents until the last step, so sums are exact.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

import narwhals as nw

from payeewatch.features.engines.engine import Engine, Frame, Refused
from payeewatch.features.formulas import Aggregate, Between, How
from payeewatch.features.registry import FEATURES, PARTS, Feature, Missing, Unit
from payeewatch.features.sources import CHANGE, Relation, Source, Stream
from payeewatch.features.versions import Tables

IDENTITY = ("change_id", "as_of", "payee_id", "is_provider", "derived", "age_days", "channel")
"""The columns of a measured row before its features."""


def measure_features(tables: Tables, spine: Frame, names: Collection[str] = ()) -> Frame:
    """One row per spine row, in its order: IDENTITY, then every feature in the registry's order, or only those named.

    Raises:
        Refused: a formula uses a column that does not exist, or an expression that the engine cannot compute.
    """
    features = [feature.in_zone(tables.zone) for feature in _with_parts(names or FEATURES)]
    by_source: dict[Source, list[Feature]] = {CHANGE: []}
    for feature in features:
        by_source.setdefault(feature.source, []).append(feature)
    rowwise = by_source.pop(CHANGE)
    related = {source: fs for source, fs in by_source.items() if isinstance(source, Relation)}
    passed_through = {relation.through for relation in related}
    numbers = [
        _aggregates(tables, source, spine, fs, is_kept=source in passed_through) for source, fs in related.items()
    ]
    streams = {source: fs for source, fs in by_source.items() if isinstance(source, Stream)}
    numbers += [_counts(streams, tables, spine)] if streams else []
    used_columns = {"row", *IDENTITY}.union(*(feature.asks for feature in rowwise))
    own_columns = spine.select(*(name for name in spine.collect_schema().names() if name in used_columns))
    wide = tables.engine.beside(own_columns, [tables.engine.keep(frame) for frame in numbers])
    settled_numbers = [_with_nulls_settled(feature) for fs in by_source.values() for feature in fs]
    wide = wide.with_columns(*settled_numbers) if settled_numbers else wide
    for layer in _layers(rowwise, set(wide.collect_schema().names())):
        rowwise_ones = {f.name: _with_nulls_settled(f, f.formula) for f in layer if isinstance(f.formula, nw.Expr)}
        with _name_failures(tables.engine, wide, rowwise_ones):
            wide = wide.with_columns(*rowwise_ones.values())
            wide.collect_schema()
    outputs = [_output(feature) for feature in FEATURES.values() if not names or feature.name in names]
    return wide.sort("row").select(*IDENTITY, *outputs)


def _with_parts(names: Collection[str]) -> list[Feature]:
    """The features of those names and all that they are made of."""
    defined, selected, following = PARTS | FEATURES, set(names), set(names)
    while following:
        following = {name for other in following for name in defined[other].asks if name in defined} - selected
        selected |= following
    return [feature for name, feature in defined.items() if name in selected]


def _layers(features: list[Feature], columns: set[str]) -> list[list[Feature]]:
    """Row-wise features in groups, each made only of columns from before the group."""
    layers = []
    while features:
        ready = [f for f in features if f.asks <= columns]
        if not ready:
            first = features[0]
            raise Refused(
                f"{first.name}: it asks for {', '.join(sorted(first.asks - columns))}, which nothing makes; a column of"
                " a change that a feature needs must be in USES['changes'], features/versions.py"
            )
        layers.append(ready)
        columns = columns | {f.name for f in ready}
        features = [f for f in features if f not in ready]
    return layers


@contextmanager
def _name_failures(engine: Engine, frame: Frame, columns: Mapping[str, nw.Expr]) -> Iterator[None]:
    """If the columns cannot be added to the frame, say which of them is the cause."""
    try:
        yield
    except Exception:
        for name, expr in columns.items():
            try:
                frame.select(column=expr).collect_schema()
            except Exception as error:  # each engine has its own errors
                raise Refused(
                    f"{name}: the engine {engine.name} cannot compute its formula ({type(error).__name__}); write it"
                    " with what other features use, or measure with another engine"
                ) from error
        raise


def _aggregates(tables: Tables, relation: Relation, spine: Frame, features: list[Feature], *, is_kept: bool) -> Frame:
    """(row, one column per feature) of a relation's features.

    First it masks values into columns, then makes simple aggregates, then finishes them: complex aggregations are slow
    on pandas.
    """
    aggregates = {f.name: f.formula for f in features if isinstance(f.formula, Aggregate)}
    uniques = [name for name, aggregate in aggregates.items() if aggregate.how is How.DISTINCT]
    joined = relation.joined_once(tables, spine) if is_kept else relation.joined(tables, spine)
    there = set(joined.collect_schema().names())
    for feature in features:
        relation.require(feature.name, feature.asks, there)
    masked = {name: _masked(aggregate) for name, aggregate in aggregates.items()}
    with _name_failures(tables.engine, joined, masked):
        rows = joined.select("row", **masked)
        rows.collect_schema()
    nulls = {f"{name}__null": nw.col(name).is_null().cast(nw.Int64) for name in uniques}
    plain = [getattr(nw.col(name), aggregate.how.value)() for name, aggregate in aggregates.items()]
    numbers = rows.select("row", *aggregates, **nulls).group_by("row").agg(*plain, *(nw.col(n).max() for n in nulls))
    return numbers.select("row", *(_whole_numbers(name, aggregate.how) for name, aggregate in aggregates.items()))


def _whole_numbers(name: str, how: How) -> nw.Expr:
    """Sums as whole numbers; distinct values without null, which n_unique counts: rows outside the mask are null."""
    if how is How.DISTINCT:
        return (nw.col(name) - nw.col(f"{name}__null")).cast(nw.Int64).alias(name)
    return nw.col(name).cast(nw.Int64) if how is How.SUM else nw.col(name)


def _masked(aggregate: Aggregate) -> nw.Expr:
    return aggregate.value if aggregate.where is None else nw.when(aggregate.where).then(aggregate.value)


def _counts(by_stream: Mapping[Stream, list[Feature]], tables: Tables, spine: Frame) -> Frame:
    """(row, one column per feature) of all streams' features.

    Events up to an instant are counted with one running sum over events and questions, key by key in order of time.
    Each count asks two questions, one at each of its ends, and subtracts the answers: what earlier keys add to both
    answers cancels out. Events come before questions of the same instant. A change's own event is found by its key and
    subtracted. One pass is enough for all streams: the keys of all streams are numbered, and numbers are sorted much
    faster than texts.
    """
    streams = list(by_stream)
    events = [
        stream.events(tables, spine).select("key", "own", "at", stream=_small(i)) for i, stream in enumerate(streams)
    ]
    dated = tables.engine.keep(nw.concat(events))
    # a key with a single event has no others to count
    shared = dated.group_by("stream", "key").agg(events=nw.len()).filter(nw.col("events") > 1)
    keys = shared.select("stream", "key").with_row_index("key_number", order_by=["stream", "key"])
    keys = tables.engine.keep(keys.with_columns(nw.col("key_number").cast(nw.Int32)))
    shared_events = dated.join(keys, on=["stream", "key"], how="inner").select("key_number", "own", "at")
    features = [(i, feature) for i, stream in enumerate(streams) for feature in by_stream[stream]]
    counts = [
        _count(spine, streams[i], feature.formula).with_columns(stream=_small(i), count=_small(number))
        for number, (i, feature) in enumerate(features)
        if isinstance(feature.formula, Between)
    ]
    questions = nw.concat(counts).join(keys, on=["stream", "key"], how="left")
    questions = questions.join(shared_events, on=["key_number", "own"], how="left")
    questions = tables.engine.keep(questions.select("row", "count", "key_number", "after", "until", "at"))
    shared_questions = questions.filter(~nw.col("key_number").is_null())
    arms = [
        shared_events.select(
            "key_number", "at", row=_whole(-1), count=_small(-1), sign=_small(0), asks=_small(0), event=_whole(1)
        ),
        shared_questions.select(
            "key_number", "row", "count", at="after", sign=_small(-1), asks=_small(1), event=_whole(0)
        ),
        shared_questions.select(
            "key_number", "row", "count", at="until", sign=_small(1), asks=_small(1), event=_whole(0)
        ),
    ]
    columns = ("key_number", "at", "row", "count", "sign", "asks", "event")
    running = nw.col("event").cum_sum().over(order_by=["key_number", "at", "asks"]).cast(nw.Int64)
    answers = nw.concat([arm.select(*columns) for arm in arms]).with_columns(number=running * nw.col("sign"))
    is_own = (nw.col("after") < nw.col("at")) & (nw.col("at") <= nw.col("until"))
    numbers = nw.concat(
        [
            answers.filter(nw.col("row") >= 0).select("row", "count", "number"),
            shared_questions.filter(is_own).select("row", "count", number=_whole(-1)),
            questions.filter(nw.col("key_number").is_null()).select("row", "count", number=_whole(0)),
        ]
    )
    numbers = numbers.group_by("row", "count").agg(nw.col("number").sum())
    named = {
        f.name: nw.when(nw.col("count") == n).then(nw.col("number").cast(nw.Int64)) for n, (_, f) in enumerate(features)
    }
    return numbers.select("row", **named).group_by("row").agg(*(nw.col(name).max() for name in named))


def _count(spine: Frame, stream: Stream, between: Between) -> Frame:
    """The two ends of a count for each spine row that has the stream's key."""
    ends = {"after": between.after, "until": between.until}
    rows = spine.filter(~nw.col(stream.key).is_null())
    return rows.select("row", key=stream.key, own=stream.own, **{n: e.cast(nw.Int64) for n, e in ends.items()})


def _whole(number: int) -> nw.Expr:
    return nw.lit(number, nw.Int64)


def _small(number: int) -> nw.Expr:
    return nw.lit(number, nw.Int16)  # narrow columns are sorted faster


def _with_nulls_settled(feature: Feature, number: nw.Expr | None = None) -> nw.Expr:
    """The number with its nulls settled: 0 where a missing value counts as 0, null where a provider has none."""
    number = nw.col(feature.name) if number is None else number
    is_zero_when_empty = isinstance(feature.formula, Aggregate) and feature.formula.is_zero_when_empty
    if is_zero_when_empty or feature.missing is Missing.ZERO:
        number = nw.coalesce(number, nw.lit(0))
    if feature.is_member_only:
        number = nw.when(~nw.col("is_provider")).then(number)
    return number.alias(feature.name)


def _output(feature: Feature) -> nw.Expr:
    number = nw.col(feature.name).cast(nw.Float64)
    return (number / 100 if feature.unit is Unit.EUR else number).alias(feature.name)
