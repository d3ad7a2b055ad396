"""Which token key the lake's keys of persons are made with, and which of them stay under a former one.

    lake/token_key/<sequence>.parquet     persons (the version), former (a version), filter (of keys kept under it)

`rotate-keys --tokens` makes the keys of persons again from inbox/ and breaches/. What it cannot find there keeps its
key, and whoever comes again must get the same one. So that each person has one key only, the question "was it kept?"
is put wherever a key is made, and its answer must be quick and never change: each former version has a filter, a row
of bits in which every kept key has set two. A person who was not kept finds both bits set now and then; they keep the
former key as well, which is no harm, as every key of the lake was made by the same question.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb

from payeewatch.pipeline.home.errors import SettingsError
from payeewatch.pipeline.home.keys import KEY_CHECK, SHIFTS, Keys
from payeewatch.pipeline.store.lake import Lake, Load

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TOKEN_KEY = "token_key"
"""The kind of load that names the file, and the file's folder below the lake."""
KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "members": (("person_key", "holder_key", "id_key"), ("name_keys", "name_tokens", "surname_tokens")),
    "member_spellings": ((), ("keys",)),
    "bank_changes": ((), ("holder_tokens",)),
    "people": (("person_key", "holder_key", "id_key", "name_key", "first_name_key"), ()),
    "people_spellings": (("name_key",), ("keys",)),
}
"""Lake table -> its columns with one key of a person, and with a list of them."""
BITS_PER_KEY = 64
LEAST_BITS, MOST_BITS = 2**10, 2**22
"""A filter is a constant of every query that makes keys: beyond this size, planning takes longer than keys do."""


def keys_of(lake: Lake, keys: Keys) -> Keys:
    """The keys as they count in a lake: with the version of its persons, and the filters of those kept.

    Raises:
        SettingsError: the key file lacks a token key that the lake was made with.
    """
    path = file_of(lake)
    if path is None:
        return keys
    persons, kept = read(lake.root / path)
    missing = sorted({persons, *kept} - keys.token.keys())
    if missing:
        raise SettingsError(
            f"{lake.root / KEY_CHECK}: persons of this lake have token key {', '.join(map(str, missing))}, which the"
            " key file does not have; set PAYEEWATCH_KEY_FILE to the key file it was last written with"
        )
    return replace(keys, persons=persons, kept=kept)


def file_of(lake: Lake) -> str | None:
    """The path below the lake of what says its token key; None where the key never changed."""
    paths = [path for load in lake.loads() if load.kind == TOKEN_KEY for path in load.files[TOKEN_KEY]]
    return paths[-1] if paths else None


def begin(lake: Lake, keys: Keys) -> str:
    """Commit a file that says the token key as it is, to be replaced with all that has tokens. Returns its path."""
    existing = file_of(lake)
    if existing:
        return existing
    last, sequence = lake.records()[-1].load, lake.next_sequence()
    path = f"{TOKEN_KEY}/{sequence:08d}.parquet"
    (lake.root / TOKEN_KEY).mkdir(exist_ok=True)
    write(lake.root / path, keys.person_version, {})
    lake.commit(Load(sequence, TOKEN_KEY, last.day, last.known_on, TOKEN_KEY, "", files={TOKEN_KEY: [path]}))
    return path


def read(path: Path) -> tuple[int, dict[int, bytes]]:
    """The version of the persons' key, and the filter of each former version."""
    import pyarrow.parquet as pq

    rows = pq.read_table(path).to_pylist()
    return rows[0]["persons"], {row["former"]: row["filter"] for row in rows if row["former"] is not None}


def write(path: Path, persons: int, kept: Mapping[int, bytes]) -> None:
    """Write what `read` returns."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    schema = pa.schema([("persons", pa.int8()), ("former", pa.int8()), ("filter", pa.binary())])
    rows = [{"persons": persons, "former": former, "filter": bits} for former, bits in sorted(kept.items())]
    pq.write_table(pa.Table.from_pylist(rows or [{"persons": persons}], schema), path, compression="zstd")


def rows_by_version(lake: Lake) -> dict[int, int]:
    """Version of the token key -> how many rows of the lake have keys of persons made with it, or with a later one."""
    scans = " UNION ALL ".join(f"SELECT key_version FROM ({lake.scan(table)})" for table in KEYS)
    with duckdb.connect() as con:
        query = f"SELECT key_version, count(*) FROM ({scans}) WHERE key_version IS NOT NULL GROUP BY ALL ORDER BY 1"
        return dict(con.execute(query).fetchall())


def filter_of(kept: NDArray[np.int64], size: int | None = None) -> bytes:
    """The filter of some keys; `size` in bits is a power of two, by default chosen for as many keys."""
    import numpy as np

    size = size or min(MOST_BITS, max(LEAST_BITS, 1 << (BITS_PER_KEY * len(kept) - 1).bit_length()))
    bits = np.zeros(size, dtype=bool)
    for shift in SHIFTS:
        bits[(kept.view(np.uint64) >> np.uint64(shift)) & np.uint64(size - 1)] = True
    return np.packbits(bits).tobytes()


def filters_of(kept: NDArray[np.int64], before: Mapping[int, bytes], version: int) -> dict[int, bytes]:
    """The filters once `version` is a former one, too, and only the keys `kept` are left of all made before.

    A former version's filter only ever loses bits. Whoever has the key of `version` was not in the filters of those
    before it, and so is in none of them now.
    """
    filters = {
        former: filter_of(kept[_is_in(kept, bits)], 8 * len(bits))
        for former, bits in before.items()
        if former < version
    }
    return {former: bits for former, bits in (filters | {version: filter_of(kept)}).items() if any(bits)}


def _is_in(tokens: NDArray[np.int64], bits: bytes) -> NDArray[np.bool_]:
    import numpy as np

    unpacked = np.unpackbits(np.frombuffer(bits, dtype=np.uint8)).astype(bool)
    places = [(tokens.view(np.uint64) >> np.uint64(shift)) & np.uint64(len(unpacked) - 1) for shift in SHIFTS]
    both: NDArray[np.bool_] = np.logical_and.reduce([unpacked[each] for each in places])
    return both
