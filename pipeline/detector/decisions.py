"""What people decided about models in the reviewers' application: applied here, each once."""

from __future__ import annotations

from dataclasses import dataclass

from payeewatch.pipeline.detector import board, promotions
from payeewatch.pipeline.home.errors import ModelError, PayeeWatchError
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.model_board import Choice, Decision, decision_files, read_decision
from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.home.wording import Sentence, sentence

SAYS = {Choice.PROPOSE: "model_proposed", Choice.APPROVE: "model_promoted", Choice.REFUSE: "model_refused"}


@dataclass(frozen=True)
class Result:
    """What became of a decision; `refusal` says why it is not applied, and it waits."""

    name: str
    decision: Decision | None
    says: Sentence
    refusal: str = ""

    @property
    def is_applied(self) -> bool:
        return not self.refusal

    def facts(self) -> dict[str, object]:
        """For the run record: nobody's name."""
        of = {"version": self.decision.version, "choice": str(self.decision.choice)} if self.decision else {}
        return of | {"decision": self.name, "applied": self.is_applied}


def apply_waiting(settings: Settings, keys: Keys) -> list[Result]:
    """Apply every decision that was not applied yet, in the order in which people decided. One that cannot be applied
    waits, and stops no other.
    """
    files = decision_files(settings)
    if not files:
        return []
    done = {record.decision for record in promotions.history(settings)}
    waiting = [(path.stem, path, read_decision(keys, path)) for path in files if path.stem not in done]
    unsigned = [
        Result(name, None, sentence("decision_not_signed", file=path.name), "not signed")
        for name, path, decision in waiting
        if decision is None
    ]
    signed = sorted(((each.at, name, each) for name, _, each in waiting if each), key=lambda found: found[:2])
    results = [*unsigned, *(_apply(settings, name, decision) for _, name, decision in signed)]
    if results:
        board.write(settings, {each.name: each.refusal for each in results if not each.is_applied})
    return results


def _apply(settings: Settings, name: str, decision: Decision) -> Result:
    try:
        _do(settings, name, decision)
    except PayeeWatchError as error:
        why = str(error)
        return Result(name, decision, sentence("decision_not_applied", version=decision.version, why=why), why)
    return Result(name, decision, sentence(SAYS[decision.choice], version=decision.version))


def _do(settings: Settings, name: str, decision: Decision) -> None:
    version = decision.version
    if decision.choice == Choice.PROPOSE:
        promotions.propose(settings, version, decision.why, decision.who, name)
        return
    proposal = promotions.open_proposal(promotions.history(settings), version)
    if proposal is None or proposal.run_id != decision.proposal:
        raise ModelError(f"the proposal of version {version} that was decided is not open any more")
    if decision.choice == Choice.REFUSE:
        promotions.refuse(settings, version, decision.why, decision.who, name)
    else:
        promotions.approve(settings, version, decision.who, decision.override, name)
