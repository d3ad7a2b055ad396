"""A new token key for persons, in place: their keys are made again from inbox/ and breaches/.

    1. the key file gets a token key of the next version, beside the ones before, which all stay
    2. the lake notes the keys it has, so that a version of PayeeWatch that knows one token key only leaves it alone
    3. what is found in inbox/ and breaches/ gives former key -> new key; every file with keys of persons is written
       again beside the lake; one record names them all, and they are renamed

Until that record, all is made with the former key, and from it on with the new one
(`pipeline/store/kept_tokens.py`). What was not found keeps its key. Ids of changes and flags, and tokens of accounts,
stay those of the first token key.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from payeewatch.pipeline.breaches.lists import people_again
from payeewatch.pipeline.home.errors import InputMissing, SettingsError
from payeewatch.pipeline.home.keys import KEY_BYTES, Keys, is_kept, register_pairs, suffixed
from payeewatch.pipeline.ingest.ingest import staged_again
from payeewatch.pipeline.ingest.spellings import keys_of
from payeewatch.pipeline.ingest.tokenise import DERIVED, PERSON_TABLES
from payeewatch.pipeline.privacy.rotation import write_keys
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, name, text
from payeewatch.pipeline.store import kept_tokens
from payeewatch.pipeline.store.chain import record_names
from payeewatch.pipeline.store.kept_tokens import KEYS
from payeewatch.pipeline.store.lake import PARQUET, SCHEMAS

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

MOST_VERSIONS = 127
IN_PLACES = ("people_spellings",)
"""Where a key's place in the list says what it is; other lists are sorted."""


@dataclass(frozen=True)
class Renewal:
    """What became of the keys of persons in the lake: how many different ones there were, and how many stayed.

    `gone` were found nowhere any more; `by_chance` stayed because they look kept. `rows` counts the lake's rows that
    have keys of persons, by the version of the token key.
    """

    version: int
    keys: int
    gone: int
    by_chance: int
    rows: dict[int, int]


def begin(key_file: Path, session: Session, random_bytes: Callable[[int], bytes] = secrets.token_bytes) -> Keys:
    """Put a new token key into the key file, unless an earlier run did, and note it in the lake.

    Raises:
        InputMissing: the lake is empty.
        SettingsError: there is no key file, it is refused, or its versions are used up.
        StoreError: key file or lake cannot be written.
    """
    if not record_names(session.lake.root):
        raise InputMissing(f"{session.lake.root}: is empty: there are no keys to make again; load drops first")
    keys = Keys.load(key_file)
    newest = max(keys.token)
    if newest == session.keys.person_version:
        if newest == MOST_VERSIONS:
            raise SettingsError(f"{key_file}: has {newest} token keys; begin a new home with a new key file")
        keys = replace(keys, token=keys.token | {newest + 1: random_bytes(KEY_BYTES)})
        write_keys(key_file, keys)
    keys.note(session.lake.root)
    return replace(session.keys, token=keys.token)


def renew(session: Session, keys: Keys) -> Renewal:
    """Give every person whose source is still there a key of the newest version, in all files at once.

    Raises:
        InputMissing: no source of the lake is there any more.
        InputRefused: a list, or the inbox, cannot be read.
        StoreError: the lake cannot be written.
    """
    version = max(keys.token)
    state = kept_tokens.begin(session.lake, session.keys)
    _find(session, keys, version)
    gone, found = _missing(session), _count(session, "FROM pairs")
    if not found:
        raise InputMissing(
            f"{session.settings.folder('inbox')}: has no row of the lake any more, nor has breaches/; bring drops and"
            " lists back for as long as this takes. All keys stay as they were"
        )
    kept = kept_tokens.filters_of(gone, session.keys.kept, session.keys.person_version)
    renewed = _decide(session, replace(keys, kept=kept), version)
    writes = {
        _below(session, path): partial(_rewrite, session, table, path, version)
        for table in KEYS
        for path in session.lake.files(table)
    }
    writes[state] = partial(kept_tokens.write, persons=version, kept=kept)
    session.lake.replace(writes, f"token key {version}")
    session.lake_cache.clear()
    for temporary in ("missing", "pairs", "renewed"):
        session.con.execute(f"DROP TABLE {temporary}")
    return Renewal(version, found + len(gone), len(gone), found - renewed, kept_tokens.rows_by_version(session.lake))


def _find(session: Session, keys: Keys, version: int) -> None:
    """Make `pairs`: what the keys of persons in the lake are under every version; `missing` are those not found."""
    con = session.con
    every = " UNION ALL ".join(
        f"SELECT {_unnested(*KEYS[table])} AS old FROM ({session.lake.scan(table)})" for table in KEYS
    )
    con.execute(f"CREATE OR REPLACE TEMP TABLE missing AS SELECT DISTINCT old FROM ({every}) WHERE old IS NOT NULL")
    register_pairs(con, keys, version)
    versions = [f"v{each}" for each in sorted(keys.token) if each <= version]
    con.execute(f"CREATE OR REPLACE TEMP TABLE pairs (old BIGINT, {', '.join(f'{each} BIGINT' for each in versions)})")
    fields = ", ".join(f"pair.{each}" for each in ["old", *versions])

    def collect(query: str, scalars: tuple[str, ...], lists: tuple[str, ...]) -> None:
        added = con.execute(
            f"INSERT INTO pairs SELECT DISTINCT {fields} FROM"
            f" (SELECT {_unnested(scalars, lists)} AS pair FROM ({query})) WHERE pair.old IN (FROM missing)"
        ).fetchall()
        if added[0][0]:
            con.execute("DELETE FROM missing WHERE old IN (SELECT old FROM pairs)")

    people_again(
        session,
        lambda query: collect(query, KEYS["people"][0], ("other_name_keys", "spelling_keys")),
        "pairs",
    )
    for staged in staged_again(session, PERSON_TABLES):
        scalars, lists = KEYS[staged.table.name]
        cells = {column: DERIVED[staged.table.name][column] for column in (*scalars, *lists)}
        made = ", ".join(f"{suffixed(sql, 'pairs')} AS {name(column)}" for column, sql in cells.items())
        collect(f"SELECT {made} FROM {staged.relation}", scalars, lists)
        if staged.table.name == "members":
            spelt = keys_of(f"SELECT rowid AS place, * FROM {staged.relation}")
            collect(suffixed(spelt, "pairs"), *KEYS["member_spellings"])
        if not _count(session, "FROM missing"):
            break


def _decide(session: Session, keys: Keys, version: int) -> int:
    """Make `renewed`, old key -> new key, of `pairs`. Returns how many there are: others stay."""
    cases = " ".join(f"WHEN {is_kept(keys, each, f'v{each}')} THEN v{each}" for each in sorted(keys.kept))
    new = f"CASE {cases} ELSE v{version} END" if cases else f"v{version}"
    session.con.execute(
        "CREATE OR REPLACE TEMP TABLE renewed AS"
        f" SELECT old, new FROM (SELECT old, {new} AS new FROM pairs) WHERE old <> new"
    )
    return _count(session, "FROM renewed")


def _rewrite(session: Session, table: str, path: str, version: int, new: Path) -> None:
    """Write a file of the lake with the keys of `renewed`. A row of which a key stays keeps its version."""
    scalars, lists = KEYS[table]
    cells = [f"coalesce({column}_new.new, o.{column}) AS {column}" for column in scalars]
    joins = [f"LEFT JOIN renewed AS {column}_new ON {column}_new.old = o.{column}" for column in scalars]
    stays = [f"(o.{column} IS NOT NULL AND {column}_new.new IS NULL)" for column in scalars]
    for column in lists:
        order = "place" if table in IN_PLACES else "coalesce(r.new, e.old)"
        cells.append(f"coalesce({column}_list.keys, o.{column}) AS {column}")
        stays.append(f"coalesce({column}_list.stays, false)")
        joins.append(
            f"LEFT JOIN (SELECT row, list(coalesce(r.new, e.old) ORDER BY {order}) AS keys,"
            " bool_or(e.old IS NOT NULL AND r.new IS NULL) AS stays"
            f" FROM (SELECT row, unnest({column}) AS old, generate_subscripts({column}, 1) AS place FROM o) AS e"
            f" LEFT JOIN renewed AS r ON r.old = e.old GROUP BY row) AS {column}_list ON {column}_list.row = o.row"
        )
    cells.append(f"CASE WHEN {' OR '.join(stays)} THEN o.key_version ELSE {version} END AS key_version")
    typed = ", ".join(f'CAST("{column}" AS {kind}) AS "{column}"' for column, kind in SCHEMAS[table].items())
    session.con.execute(
        f"COPY (WITH o AS (SELECT *, file_row_number AS row FROM read_parquet({file_text(path)},"
        " hive_partitioning = false, file_row_number = true))"
        f" SELECT {typed} FROM (SELECT o.* REPLACE ({', '.join(cells)}) FROM o {' '.join(joins)}) ORDER BY row)"
        f" TO {text(str(new))} {PARQUET if not table.startswith('people') else '(FORMAT parquet)'}"
    )


def _unnested(scalars: tuple[str, ...], lists: tuple[str, ...]) -> str:
    """SQL of one row for each key of a row."""
    together = [f"[{', '.join(scalars)}]"] if scalars else []
    return f"unnest(flatten([{', '.join([*together, *lists])}]))"


def _missing(session: Session) -> NDArray[np.int64]:
    import numpy as np

    return np.asarray(session.con.execute("FROM missing ORDER BY old").fetchnumpy()["old"], dtype=np.int64)


def _count(session: Session, rows: str) -> int:
    return int(session.con.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0][0])


def _below(session: Session, path: str) -> str:
    return str(Path(path).relative_to(session.lake.root))
