"""The vault: sealed originals of what reviewers may need to see. Only triage opens it, never the pipeline.

Sealed apart, where `fairness.birth_abroad` is set, is whether a member was born abroad: only `payeewatch fairness`
opens it, and an export for the member.

    vault/<kind>/drop=<day>/<sequence>.parquet     kind, ref, sealed (12 bytes of nonce, then AES-GCM)

    vault/contents.json                            the hash of each file

Kinds are `member` and `birth` (ref: member_id), `account` (ref: token), `holder` (ref: change_id) and `quarantine`
(ref: `<night>/<table>/<row>`). Kind and ref are sealed together with the original: a sealed value that was moved to
another row does not open. While a file is being replaced, `contents.json` holds the hashes of both, so that a
kill leaves no file without its hash.
"""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable, Collection, Iterator
from datetime import date, timedelta
from glob import escape
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from payeewatch.pipeline.home.contents import hash_of, read_hashed, write_hashed
from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.files import replace_whole
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.retention_periods import QUARANTINE_DAYS

if TYPE_CHECKING:
    import pyarrow as pa

NONCE_BYTES = 12
ROWS_AT_ONCE = 100_000
QUARANTINE = "quarantine"
BIRTH = "birth"
ABROAD, IN_FRANCE = "abroad", "France"
"""What is sealed of a place of birth; of one length, which a sealed value does not hide."""
CONTENTS = "contents.json"


def seal(
    con: duckdb.DuckDBPyConnection, keys: Keys, vault: Path, query: str, kind: str, day: date, sequence: int
) -> Path | None:
    """Seal a query's rows (ref, original) as one file of a kind; rows without either are left out.

    Returns the file's path, or None when there was nothing to seal: then there is no file of that name.

    Raises:
        StoreError: the vault cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    path = _folder(vault, kind, day) / f"{sequence:08d}.parquet"
    schema = pa.schema([("kind", pa.string()), ("ref", pa.string()), ("sealed", pa.binary())])
    sealed = 0

    def write(temporary: Path) -> None:
        nonlocal sealed
        temporary.touch(mode=0o600)
        with pq.ParquetWriter(temporary, schema, compression="zstd") as writer:
            for refs, originals in _chunks(con, query):
                sealed += len(refs)
                values = _seal_values(keys, kind, refs, originals)
                writer.write_table(pa.table([[kind] * len(refs), refs, values], schema=schema))

    _replace(vault, path, write)
    if not sealed:
        _delete(vault, path)
    return path if sealed else None


def contents(vault: Path) -> dict[str, list[str]]:
    """Path below the vault -> the hashes that the file may have; where nothing says them, as they are now.

    Raises:
        StoreError: `contents.json` is not as it was written.
    """
    if (vault / CONTENTS).exists():
        return {str(path): list(hashes) for path, hashes in read_hashed(vault / CONTENTS)["files"].items()}
    return {_below(vault, path): [hash_of(path)] for path in files(vault)}


def files(vault: Path) -> list[Path]:
    """Every file of sealed originals."""
    return sorted(path for path in vault.glob("*/drop=*/*.parquet") if path.name[0] != ".")


def _replace(vault: Path, path: Path, write: Callable[[Path], object]) -> None:
    """Replace a file whole; what it will contain is noted first."""

    def write_and_note(temporary: Path) -> None:
        write(temporary)
        hashes = contents(vault)
        before = [hash_of(path)] if path.exists() else []
        hashes[_below(vault, path)] = [*before, hash_of(temporary)]
        _write_contents(vault, hashes)

    replace_whole(path, write_and_note)


def _delete(vault: Path, *paths: Path) -> None:
    """Delete files; that they are gone is noted first."""
    if paths:
        gone = {_below(vault, path) for path in paths}
        _write_contents(vault, {path: hashes for path, hashes in contents(vault).items() if path not in gone})
    for path in paths:
        path.unlink()


def _write_contents(vault: Path, hashes: dict[str, list[str]]) -> None:
    write_hashed(vault / CONTENTS, {"files": dict(sorted(hashes.items()))})


def _below(vault: Path, path: Path) -> str:
    return str(path.relative_to(vault))


def reveal(keys: Keys, vault: Path, kind: str, ref: str) -> str | None:
    """The original last sealed for a ref, or None.

    Raises:
        SettingsError: the vault key is not the one it was sealed with.
    """
    return reveal_all(keys, vault, kind, [ref]).get(ref)


def reveal_all(keys: Keys, vault: Path, kind: str, refs: Collection[str]) -> dict[str, str]:
    """The originals last sealed for some refs, by ref: of those that have one.

    Raises:
        SettingsError: the vault key is not the one they were sealed with.
    """
    files = sorted(escape(str(path)) for path in (vault / kind).glob("drop=*/*.parquet"))
    if not files:
        return {}
    with duckdb.connect() as con:
        # the load's number is the file's name: a late drop has an earlier day and a later number
        rows = con.execute(
            "SELECT ref, sealed FROM read_parquet($1, filename = true, hive_partitioning = false)"
            " WHERE ref IN (SELECT unnest($2)) QUALIFY row_number() OVER ("
            "PARTITION BY ref ORDER BY parse_filename(filename) DESC, filename DESC) = 1 ORDER BY ref",
            [files, sorted(refs)],
        ).fetchall()
    return {ref: _original(keys, vault, kind, ref, sealed) for ref, sealed in rows}


def seal_again(keys: Keys, vault: Path) -> int:
    """Seal with the vault key what the former one sealed. Returns how many originals there were.

    A file that is done is left as it is, so a run that was killed goes on where it stopped.

    Raises:
        SettingsError: neither key opens an original.
        StoreError: the vault cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    many = 0
    for path in files(vault):
        table = pq.read_table(path)
        rows = table.to_pylist()
        if not rows or _opened(keys.vault, rows[0]["kind"], rows[0]["ref"], rows[0]["sealed"]) is not None:
            continue
        sealed = [_sealed_again(keys, vault, **row) for row in rows]
        renewed = table.set_column(2, table.schema.field(2), pa.array(sealed, table.schema.field(2).type))
        _replace(vault, path, lambda temporary, renewed=renewed: _write_private(temporary, renewed))  # type: ignore[misc]
        many += len(rows)
    return many


def _sealed_again(keys: Keys, vault: Path, kind: str, ref: str, sealed: bytes) -> bytes:
    return _seal_values(keys, kind, [ref], [_original(keys, vault, kind, ref, sealed)])[0]


def _original(keys: Keys, vault: Path, kind: str, ref: str, sealed: bytes) -> str:
    for key in keys.every("vault"):
        original = _opened(key, kind, ref, sealed)
        if original is not None:
            return original.decode()
    raise SettingsError(
        f"{vault}: {kind} {ref} does not open; set PAYEEWATCH_KEY_FILE to the key file it was sealed with"
    )


def _opened(key: bytes, kind: str, ref: str, sealed: bytes) -> bytes | None:
    """The original of a sealed value; None if another key sealed it, or it belongs to another row."""
    from cryptography.exceptions import InvalidTag
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    try:
        return AESGCM(key).decrypt(sealed[:NONCE_BYTES], sealed[NONCE_BYTES:], _bound_to(kind, ref))
    except InvalidTag:
        return None


def purge_quarantined(vault: Path, today: date) -> list[date]:
    """Delete the originals of rows quarantined more than 30 days before `today`. Returns their days."""
    last = today - timedelta(days=QUARANTINE_DAYS)
    days = []
    for folder in sorted((vault / QUARANTINE).glob("drop=*")):
        day = date.fromisoformat(folder.name.removeprefix("drop="))
        if day < last:
            _delete(vault, *(path for path in files(vault) if path.parent == folder))
            shutil.rmtree(folder)
            days.append(day)
    return days


def delete_originals(vault: Path, kind: str, is_gone: Callable[[str], bool], *, dry_run: bool) -> int:
    """Delete the originals whose ref `is_gone`, in every version; with `dry_run`, only count them.

    Raises:
        StoreError: the vault cannot be written.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    many = 0
    for path in sorted((vault / kind).glob("drop=*/*.parquet")):
        refs = pq.read_table(path, columns=["ref"]).column(0).to_pylist()
        keep = [not is_gone(ref) for ref in refs]
        many += len(keep) - sum(keep)
        if all(keep) or dry_run:
            continue
        if any(keep):
            remaining = pq.read_table(path).filter(pa.array(keep))
            _replace(vault, path, lambda temporary, remaining=remaining: _write_private(temporary, remaining))  # type: ignore[misc]
        else:
            _delete(vault, path)
    return many


def _write_private(path: Path, table: pa.Table) -> None:
    import pyarrow.parquet as pq

    path.touch(mode=0o600)
    pq.write_table(table, path, compression="zstd")


def _folder(vault: Path, kind: str, day: date) -> Path:
    return vault / kind / f"drop={day}"


def _chunks(con: duckdb.DuckDBPyConnection, query: str) -> Iterator[tuple[list[str], list[str]]]:
    rows = con.sql(
        f"SELECT CAST(ref AS VARCHAR) AS ref, CAST(original AS VARCHAR) AS original FROM ({query})"
        " WHERE ref IS NOT NULL AND original IS NOT NULL"
    )
    for batch in rows.to_arrow_reader(ROWS_AT_ONCE):
        yield batch.column(0).to_pylist(), batch.column(1).to_pylist()


def _seal_values(keys: Keys, kind: str, refs: list[str], originals: list[str]) -> list[bytes]:
    from cryptography.hazmat.primitives.ciphers.aead import AESGCM

    cipher = AESGCM(keys.vault)
    nonces = os.urandom(NONCE_BYTES * len(refs))
    values = []
    for row, (ref, original) in enumerate(zip(refs, originals, strict=True)):
        nonce = nonces[row * NONCE_BYTES : (row + 1) * NONCE_BYTES]
        values.append(nonce + cipher.encrypt(nonce, original.encode(), _bound_to(kind, ref)))
    return values


def _bound_to(kind: str, ref: str) -> bytes:
    return f"{kind}|{ref}".encode()
