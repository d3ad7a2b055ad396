"""An insurer of the yardstick: what it sends, and beside it the truth, which the product never gets."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from payeewatch.pipeline.home.errors import InputMissing, InputRefused

GIVEN = ("inbox", "breaches", "reference", "params.yaml")
"""What the product gets of an insurer's folder."""

FOREIGN, DRAWN = "foreign", "drawn"
CORRECTION = "victim_restore"
"""The cause of a victim's own correction after a fraud. It counts neither for nor against a ranking."""

CHANGES = {"change_id", "is_fraud", "typology", "benign_cause", "campaign_id", "known_on", "in_score_period",
           "revealed_on", "first_fraud_value_date"}  # fmt: skip
SILENT = {"silent": False, "payee_id": None, "account_hint": None}
"""Columns that only an insurer with changes past the log needs, and what stands for them otherwise."""
PAYMENTS = {"change_id", "amount", "value_date"}
FACTS = {"first_scored", "last_scored", "member_payees"}


@dataclass(frozen=True)
class Truth:
    """`changes`: one row per change. `payments`: one row per payment to a dishonest account."""

    nights: pd.DatetimeIndex
    member_payees: int
    changes: pd.DataFrame
    payments: pd.DataFrame

    @property
    def second_half(self) -> pd.Timestamp:
        """The first night of the second half."""
        return self.nights[len(self.nights) // 2]

    @cached_property
    def of_change(self) -> pd.DataFrame:
        """The changes by their id."""
        return self.changes.set_index("change_id")


@dataclass(frozen=True)
class Insurer:
    """One folder: inbox/, breaches/, if there is one reference/, and truth/."""

    folder: Path
    origin: str = FOREIGN

    @property
    def name(self) -> str:
        return self.folder.name

    @property
    def sample(self) -> Insurer | None:
        """A larger sample of the same insurer, whose labels a control may learn from."""
        folder = self.folder / "sample"
        return Insurer(folder, self.origin) if folder.is_dir() else None

    def give(self, home: Path) -> None:
        """Copy what the insurer sends, and nothing else, into a home."""
        home.mkdir(parents=True)
        for name in GIVEN:
            source = self.folder / name
            if source.is_dir():
                shutil.copytree(source, home / name, copy_function=shutil.copyfile)
                for folder in (home / name, *(path for path in (home / name).rglob("*") if path.is_dir())):
                    folder.chmod(0o755)  # the insurer's own folders may be read-only
            elif source.exists():
                shutil.copyfile(source, home / name)

    def digest(self) -> str:
        """A digest of all that the insurer sends, and of which nights are scored."""
        digest = hashlib.sha256(json.dumps(self._facts(), sort_keys=True).encode())
        for name in (*GIVEN, "sample"):
            for path in _files(self.folder / name):
                digest.update(str(path.relative_to(self.folder)).encode() + path.read_bytes())
        return digest.hexdigest()

    def truth(self) -> Truth:
        """Read the truth.

        Raises:
            InputMissing, InputRefused: a file is not there, or lacks columns.
        """
        facts = self._facts()
        changes = _table(self.folder / "truth" / "changes.parquet", CHANGES)
        for name, value in SILENT.items():
            changes[name] = changes.get(name, value)
        payments = _table(self.folder / "truth" / "fraud_payments.parquet", PAYMENTS)
        nights = pd.date_range(facts["first_scored"], facts["last_scored"])
        return Truth(nights, int(facts["member_payees"]), _with_days(changes), _with_days(payments))

    def dishonest(self) -> set[str]:
        """The ids of the dishonest changes."""
        changes = _table(self.folder / "truth" / "changes.parquet", {"change_id", "is_fraud"})
        return set(changes.loc[changes["is_fraud"].astype(bool), "change_id"])

    def scored_nights(self) -> tuple[date, date]:
        """The first and the last night to run."""
        facts = self._facts()
        return date.fromisoformat(facts["first_scored"]), date.fromisoformat(facts["last_scored"])

    def references(self) -> list[dict[str, Any]]:
        """Figures of controls that somebody else measured on this insurer, from references.csv beside its folder."""
        path = self.folder.parent / "references.csv"
        if not path.exists():
            return []
        rows = pd.read_csv(path, dtype={"insurer": str})
        mine = rows[[self.name == name or self.name.endswith(f"-{name}") for name in rows["insurer"]]]
        return [{str(name): value for name, value in row.items()} for row in mine.to_dict("records")]

    def _facts(self) -> dict[str, Any]:
        path = self.folder / "truth" / "world.json"
        if not path.exists():
            raise InputMissing(f"{path}: there is no such file; docs/evaluation.md says what a truth folder holds")
        facts: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        _refuse_lack(path, FACTS - facts.keys())
        return facts


def recognised(rows: pd.DataFrame, truth: Truth, hints: Mapping[str, str]) -> pd.DataFrame:
    """The same rows, where a derived change that is a change past the log has the id of that change.

    It is one if it is of the same payee, on a night on which the feeds already show the account, and its hint fits.
    A change that was never flagged has no hint. It is one if it was not there before the account was shown, and no hint
    of another fits better.

    Args:
        rows: change_id, night, derived, payee_id.
        hints: change_id -> the account hint of its flags.
    """
    silent = truth.changes.loc[
        truth.changes["silent"].astype(bool), ["change_id", "payee_id", "account_hint", "known_on"]
    ]
    if silent.empty or rows.empty:
        return rows
    derived = rows.loc[rows["derived"].fillna(False).astype(bool), ["change_id", "payee_id", "night"]]
    silent = silent.rename(columns={"change_id": "true_id"})
    pairs = derived.rename_axis("row").reset_index().merge(silent, on="payee_id")
    pairs = pairs[pairs["night"] >= pairs["known_on"]]
    hint, since = pairs["change_id"].map(hints), pairs["change_id"].map(rows.groupby("change_id")["night"].min())
    fits = np.array(
        [
            isinstance(each, str) and hint_fits(each, account)
            for each, account in zip(hint, pairs["account_hint"], strict=True)
        ],
        dtype=bool,
    )
    by_hint = pairs["true_id"].isin(set(pairs.loc[fits, "true_id"]))
    without = hint.isna() & (since >= pairs["known_on"]) & ~by_hint
    chosen = pairs[fits | without].sort_values("known_on", kind="stable").drop_duplicates("row", keep="last")
    out = rows.copy()
    out.loc[chosen["row"], "change_id"] = chosen["true_id"].to_numpy()
    return out


def hint_fits(hint: str, account: str) -> bool:
    """Whether a flag's hint can mean this account.

    An account is written as its country, the eight characters from the bank's code on, and its last four: in a hint the
    first and the last word are the country and the last four, and a number between them begins the bank's code.
    """
    words, (country, bank, last) = re.findall(r"\w+", hint), account.split()
    code = words[1] if len(words) > 2 and words[1].isdigit() else ""
    return len(words) > 1 and (words[0], words[-1]) == (country, last) and bank.startswith(code)


def _files(path: Path) -> list[Path]:
    return [path] if path.is_file() else sorted(each for each in path.rglob("*") if each.is_file())


def _table(path: Path, columns: set[str]) -> pd.DataFrame:
    if not path.exists():
        raise InputMissing(f"{path}: there is no such file; docs/evaluation.md says what a truth folder holds")
    frame = pd.read_parquet(path)
    _refuse_lack(path, columns - set(frame))
    return frame


def _refuse_lack(path: Path, lacking: set[str]) -> None:
    if lacking:
        raise InputRefused(f"{path}: lacks {', '.join(sorted(lacking))}; docs/evaluation.md says what it must have")


def _with_days(frame: pd.DataFrame) -> pd.DataFrame:
    days = {"known_on", "revealed_on", "first_fraud_value_date", "value_date"} & set(frame)
    return frame.assign(**{name: pd.to_datetime(frame[name]) for name in days})
