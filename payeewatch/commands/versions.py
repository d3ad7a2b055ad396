"""The life of a model after its training: `models`, `compare`, `shadow`, `promote`, `rollback`.

Stages are imported when a command runs, so that --help answers at once.
"""

from __future__ import annotations

from dataclasses import asdict
from datetime import date
from pathlib import Path
from typing import TYPE_CHECKING

import click

from payeewatch.command import DAY, Answer, command

if TYPE_CHECKING:
    from payeewatch.evaluation.compare import Comparison, Side
    from payeewatch.pipeline.detector.promotions import Record
    from payeewatch.pipeline.detector.version_list import Version
    from payeewatch.pipeline.home.settings import Settings

MOST_NAMES = 3
"""Names of features on a line of `models`; --json has all."""
LONGEST_NAME = 100
"""Characters of a person's name."""


class Words(click.ParamType[str]):
    """A text that is not empty, on one line."""

    name = "text"

    def __init__(self, longest: int = 1000) -> None:
        self.longest = longest

    def convert(self, value: str, param: click.Parameter | None, ctx: click.Context | None) -> str:
        words = " ".join(value.split())
        if not 0 < len(words) <= self.longest:
            self.fail(f"has {len(words)} characters; it must have 1 to {self.longest}", param, ctx)
        return words


by_option = click.option("--by", type=Words(LONGEST_NAME), help="Who decides. Default: the operating system's user.")
why_option = click.option("--why", type=Words(), help="The reason; it is recorded.")
override_option = click.option(
    "--override", type=Words(), help="Why the gate does not count this time; it is recorded."
)


@command("models")
def models(settings: Settings) -> Answer:
    """List every version of the model: what it learned from, which nights it scored, who made it champion and why.

    Example: payeewatch models
    """
    from payeewatch.pipeline.detector.promotions import history
    from payeewatch.pipeline.detector.version_list import versions

    all_versions = versions(settings)
    answer = {
        "models": [each.as_dict() for each in all_versions],
        "history": [asdict(each) for each in history(settings)],
    }
    if not all_versions:
        return answer, ["no model yet; run payeewatch train --as-of D --promote"]
    return answer, [*_table(all_versions), *(line for each in all_versions for line in _details(each))]


@command("compare", waits=True)
@click.argument("a")
@click.argument("b")
@click.option("--from", "first", type=DAY, help="The first night. Default: the last 14 published ones.")
@click.option("--to", "last", type=DAY, help="The last night. Default: the last published one.")
@click.option("--out", type=click.Path(path_type=Path), help="Default: reports/compare-<A>-<B>.")
def compare(settings: Settings, a: str, b: str, first: date | None, last: date | None, out: Path | None) -> Answer:
    """Compare the queues that two versions or aliases would have made on the same past nights.

    Example: payeewatch compare champion challenger
    """
    from payeewatch.evaluation.compare import compare as compare_versions
    from payeewatch.evaluation.comparison_record import write
    from payeewatch.pipeline.detector import board
    from payeewatch.pipeline.opening import opened

    if first and last and first > last:
        raise click.UsageError(f"--from {first} is after --to {last}")
    with opened(settings) as session:
        result = compare_versions(session, (a, b), first, last)
        out = out or settings.folder("reports") / f"compare-{result.a.version}-{result.b.version}"
        run_id = write(settings, result, out)
        board.write(settings)
    answer = result.as_dict() | {"gained": result.gained, "lost": result.lost, "run_id": run_id, "out": out}
    return answer, _comparison_lines(result, out)


@command("shadow", waits=True)
@click.argument("challenger")
@click.option("--nights", type=click.IntRange(1, 1000), help="Score so many coming nights with it, too.")
@click.option("--stop", is_flag=True, help="Score no further night with it; what it has scored stays.")
@by_option
def shadow(settings: Settings, challenger: str, nights: int | None, stop: bool, by: str | None) -> Answer:
    """Let a challenger score the coming nights beside the champion, in shadow/<version>/; the queue does not change.

    Example: payeewatch shadow challenger --nights 14
    """
    from payeewatch.pipeline.detector import board, promotions, shadow_plans
    from payeewatch.pipeline.home.wording import count_text
    from payeewatch.pipeline.opening import opened

    if stop == (nights is not None):
        raise click.UsageError("give --nights N to begin, or --stop to end")
    with opened(settings):
        if nights is None:
            plan = shadow_plans.stop(settings, challenger)
            line = f"version {plan.version} scores no further night in shadow"
        else:
            plan = shadow_plans.start(settings, challenger, nights, by or promotions.os_user())
            nights_text = count_text(plan.nights, "night")
            line = f"version {plan.version} scores the next {nights_text} in shadow; the queue does not change"
        board.write(settings)
    return {"shadow": asdict(plan)}, [line]


@command("promote", waits=True)
@click.argument("version", required=False)
@click.option("--approve", help="Instead: a proposed version, as the second person.")
@click.option("--decided", is_flag=True, help="Instead: apply what was decided in the reviewers' application.")
@why_option
@by_option
@override_option
def promote(
    settings: Settings,
    version: str | None,
    approve: str | None,
    decided: bool,
    why: str | None,
    by: str | None,
    override: str | None,
) -> Answer:
    """Make a version the champion, which nights use; with promotion.by_two, propose it or approve a proposal.

    What was decided in the reviewers' application is applied with --decided; else the next night does it.

    Example: payeewatch promote 3 --why "finds more, same workload"
    """
    from payeewatch.pipeline.detector import board, promotions
    from payeewatch.pipeline.opening import opened

    if decided and (version or approve or why or by or override):
        raise click.UsageError("--decided stands alone: who decided, and why, was said in the application")
    if decided:
        return _apply_decided(settings)
    if (version is None) == (approve is None):
        raise click.UsageError("name one version: payeewatch promote VERSION --why TEXT, or promote --approve VERSION")
    if version and not why:
        raise click.UsageError("say why: payeewatch promote VERSION --why TEXT")
    if approve and why:
        raise click.UsageError("--why is said by the person who proposes; leave it out with --approve")
    who = by or promotions.os_user()
    with opened(settings):
        if approve:
            record = promotions.approve(settings, approve, who, override or "")
        else:
            record = promotions.promote(settings, str(version), str(why), who, override or "")
        board.write(settings)
    if record.kind == promotions.Kind.PROPOSAL:
        return proposal_answer(record, {"record": asdict(record)}, [])
    return {"record": asdict(record)}, _decision_lines(record)


def _apply_decided(settings: Settings) -> Answer:
    """What was decided in the application, applied; exit code 13 if something of it waits."""
    from payeewatch.pipeline.detector.decisions import apply_waiting
    from payeewatch.pipeline.home.errors import ModelError
    from payeewatch.pipeline.opening import opened

    with opened(settings) as session:
        results = apply_waiting(settings, session.keys)
    answer = {"decided": [each.facts() | {"refusal": each.refusal} for each in results]}
    exit_code = 0 if all(each.is_applied for each in results) else ModelError.exit_code
    return answer, [str(each.says) for each in results] or ["no decision waits"], exit_code


@command("rollback", waits=True)
@click.option("--why", type=Words(), required=True, help="The reason; it is recorded.")
@by_option
def rollback(settings: Settings, why: str, by: str | None) -> Answer:
    """Make the champion before the present one the champion again; `promote` takes that back.

    Example: payeewatch rollback --why "twice as many flags as compared"
    """
    from payeewatch.pipeline.detector import board, promotions
    from payeewatch.pipeline.opening import opened

    with opened(settings):
        record = promotions.roll_back(settings, why, by or promotions.os_user())
        board.write(settings)
    return {"record": asdict(record)}, _decision_lines(record)


def _comparison_lines(result: Comparison, out: Path) -> list[str]:
    from payeewatch.pipeline.home.wording import count_text

    span, a, b = result.span, result.a, result.b
    left_out = f"; {len(span.left_out)} before left out, one version knows more" if span.left_out else ""
    return [
        f"{count_text(result.nights, 'night')}, {span.first} to {span.last}{left_out}",
        *(_side_line(each) for each in (a, b)),
        f"gained {count_text(result.only_b.changes, 'flag')} ({result.only_b.euros:,.0f} EUR at risk), lost "
        f"{result.only_a.changes:,} ({result.only_a.euros:,.0f} EUR), {result.both.changes:,} in both",
        f"queues have {result.queue_overlap or 0:.0%} in common; rank correlation {result.rank_correlation or 0:.3f}",
        *(f"  gained: payeewatch explain {change_id}" for change_id in result.gained[:MOST_NAMES]),
        *(f"  lost:   payeewatch explain {change_id}" for change_id in result.lost[:MOST_NAMES]),
        f"report    {out / 'comparison.html'}",
    ]


def _side_line(side: Side) -> str:
    at = side.level(0.05)
    return (
        f"version {side.version}: {side.flagged.changes:,} flagged, {side.new_a_night:.1f} new a night; "
        f"{side.known_frauds_flagged} of {side.known_frauds} known frauds before anybody knew; p <= 0.05 in "
        f"{at.share:.1%} of {at.n:,} (95 %: {at.low:.1%} to {at.high:.1%})"
    )


def proposal_answer(record: Record, answer: dict[str, object], lines: list[str]) -> Answer:
    """The answer of a command that could only propose: exit code 13, and what must be done now."""
    from payeewatch.pipeline.home.errors import ModelError

    message = (
        f"version {record.to} is proposed and not yet the champion (promotion.by_two): a second person approves it "
        f"on the page Models of the application, or with payeewatch promote --approve {record.to} --by NAME"
    )
    answer |= {"proposed": True, "message": message, "exit_code": ModelError.exit_code}
    click.echo(f"payeewatch: {message}", err=True)
    return answer, lines, ModelError.exit_code  # the message is on standard error already


def _decision_lines(record: Record) -> list[str]:
    instead = f" in place of version {record.before}" if record.before else ""
    by = f"proposed by {record.who}, approved by {record.approved_by}" if record.approved_by else f"by {record.who}"
    lines = [f"version {record.to} is the champion{instead}, {by}: {record.why}"]
    return [*lines, f"  the gate did not count: {record.override}"] if record.override else lines


def _table(all_versions: list[Version]) -> list[str]:
    head = ("version", "alias", "trained as of", "known until", "learned from", "features", "nights", "served")
    rows = [head, *(_row(each) for each in all_versions)]
    widths = [max(len(row[at]) for row in rows) for at in range(len(head))]
    return ["  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in rows]


def _row(each: Version) -> tuple[str, ...]:
    learned = f"{each.changes:,} changes" if each.changes is not None and not each.parent else "–"
    if each.parent:
        learned = f"{each.verdicts or 0:,} verdicts on {each.parent}"
    served = each.served
    return (
        each.version,
        ", ".join(each.aliases) or "–",
        each.trained_as_of or "–",
        each.known_until or "–",
        learned,
        f"{each.features:,}" if each.features is not None else "–",
        f"{served.nights:,}",
        " to ".join(str(day) for day in dict.fromkeys((served.first, served.last)) if day) or "–",
    )


def _details(each: Version) -> list[str]:
    """What the table has no room for: notes, features, promotions."""
    from payeewatch.pipeline.home.wording import count_text

    own_name = "" if each.name.startswith(("train ", "learn ")) else each.name
    lines = [": ".join(text for text in (own_name, each.note) if text)] if own_name or each.note else []
    if each.lake_fingerprint:
        lines.append(f"learned from the lake up to load {each.lake_sequence}, fingerprint {each.lake_fingerprint[:12]}")
    if each.gone:
        lines.append(f"cannot serve: {_names(each.gone)}")
    if each.unused:
        lines.append(f"does not use {count_text(len(each.unused), 'feature')} of this code: {_names(each.unused)}")
    lines += [_promotion(record) for record in each.promotions]
    if each.shadow:
        lines.append(f"scored {count_text(each.shadow.nights, 'night')} in shadow; {each.shadow.nights_left:,} to come")
    if each.proposed:
        lines.append(f"proposed by {each.proposed.who} on {each.proposed.at:%Y-%m-%d}: {each.proposed.why}")
    return [f"version {each.version}: {line}" for line in lines]


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(names[:MOST_NAMES]) + (", ..." if len(names) > MOST_NAMES else "")


def _promotion(record: Record) -> str:
    by = f"{record.who} and {record.approved_by}" if record.approved_by else record.who
    instead = f" in place of {record.before}" if record.before else ""
    override = f"; the gate did not count: {record.override}" if record.override else ""
    return f"{record.kind} on {record.at:%Y-%m-%d} by {by}{instead}: {record.why}{override}"
