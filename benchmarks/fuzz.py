"""How readers take damaged and hostile input: `python -m benchmarks.fuzz INSURER --inputs 10000`.

INSURER is a folder with inbox/ and breaches/, such as `demo`; it is only read. Each input is drawn from its number
alone: a table in some form, a people file, a manifest, a source profile or parameters, with some bytes changed. It is
read as a command reads it. Results are kept line by line in `--out`: a run that was stopped goes on where it was.
"""

from __future__ import annotations

import argparse
import gzip
import json
import random
import signal
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from datetime import date, datetime
from pathlib import Path

import duckdb

from payeewatch.pipeline.breaches.manifest import Manifest
from payeewatch.pipeline.breaches.people import Form, count_people
from payeewatch.pipeline.home.errors import PayeeWatchError
from payeewatch.pipeline.home.keys import Keys
from payeewatch.pipeline.home.settings import DEFAULT_PARAMS, Params, Settings
from payeewatch.pipeline.ingest.adapters import file_part
from payeewatch.pipeline.ingest.identities import reject_identities
from payeewatch.pipeline.ingest.profile import Export, Profile
from payeewatch.pipeline.ingest.quarantine import quarantine, unscored_changes
from payeewatch.pipeline.ingest.rejections import rejections
from payeewatch.pipeline.ingest.staging import Source, find_duplicates, open_staging, reconcile, stage
from payeewatch.pipeline.ingest.tolerance import over_tolerance
from payeewatch.pipeline.ingest.typed_rows import Limits
from payeewatch.pipeline.opening import opened
from payeewatch.pipeline.session import Session
from payeewatch.pipeline.sql import file_text, text
from payeewatch.pipeline.tables import DROP_TABLES, IDENTITY_KINDS, PEOPLE

ROWS = 30
SECONDS = 60
"""An input that takes longer hangs."""
FORMS = (".csv", ".csv.gz", ".ndjson", ".ndjson.gz", ".parquet")
PROFILE = b"""[export]
delimiter = ","
encoding = "utf-8"
thousands = " "
own_numbers = ["member_id"]
[claims.columns]
DOSSIER = "claim_id"
[claims.values.status]
P = "settled"
"""
MANIFEST = b"""breach_id: LIST-1
title: Operator
source: notice
notification_ref: N-1
exposed_from: 2024-01-28
exposed_to: 2024-02-02
known_at: 2024-02-07
fields_exposed: [name, birth_date]
purge_on: 2034-02-07
"""
TOKENS = (
    b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b'"', b'""', b"'", b"\n", b"\r", b",", b";", b"\t", b"\x1b[2J", b"\x1a",
    b"9" * 40, b"-0", b"1e400", b"NaN", b"NULL", b"2024-13-01", b"0000-00-00", b"{", b"}", b"[", b"]", b": &a [*a]",
    b"!!float x", b"!!timestamp ?", b"\xe2\x80\xae", b"\xf0\x9f\x92\xb6", b"FR760000000000000000000000000", b"\xc3",
    b"../../etc/passwd", b"%", b"*", b"\\", b"x" * 5_000, b"=1+1", b"known_at", b"hex", b"<html>",
)  # fmt: skip
"""What is put into an input."""


@dataclass(frozen=True)
class Outcome:
    """What became of one input: read, refused (with its exit code), or a fault, a hang or a leak."""

    number: int
    kind: str
    result: str
    detail: str = ""


@dataclass(frozen=True)
class Corpus:
    """Whole inputs by name, and the identities in them."""

    inputs: dict[str, bytes]
    identities: frozenset[str]


def corpus(insurer: Path) -> Corpus:
    """A few rows of each table that an insurer sends, in every form; and the files that people write."""
    inputs = {"manifest.yaml": MANIFEST, "profile.toml": PROFILE, "params.yaml": DEFAULT_PARAMS.read_bytes()}
    identities: set[str] = set()
    with duckdb.connect() as con, tempfile.TemporaryDirectory() as folder:
        for name, table in (DROP_TABLES | {"people": PEOPLE}).items():
            where = "breaches" if name == "people" else "inbox"
            sources = sorted(
                path for path in (insurer / where).glob(f"*/{name}*") if path.suffix in {".csv", ".parquet"}
            )
            if not sources:
                continue
            read = "read_parquet" if sources[0].suffix == ".parquet" else "read_csv"
            every = ", all_varchar = true" if read == "read_csv" else ""
            rows = f"SELECT * FROM {read}({file_text(sources[0])}{every}) LIMIT {ROWS}"
            for column in (column.name for column in table.columns if column.kind in IDENTITY_KINDS):
                values = con.execute(f"SELECT DISTINCT {column}::VARCHAR FROM ({rows})").fetchall()
                identities |= {value for (value,) in values if value and len(value) > 8}
            for form in FORMS:
                path = Path(folder) / f"{name}{form.removesuffix('.gz')}"
                kind = {".csv": "csv, header", ".ndjson": "json", ".parquet": "parquet"}[path.suffix]
                con.execute(f"COPY ({rows}) TO {text(path)} (FORMAT {kind})")
                whole = path.read_bytes()
                inputs[f"{name}{form}"] = gzip.compress(whole, mtime=0) if form.endswith(".gz") else whole
    return Corpus(inputs, frozenset(identities))


def changed(whole: bytes, name: str, chance: random.Random) -> bytes:
    """An input with one to six changes; a packed one is changed before it is packed, or after."""
    inside = name.endswith(".gz") and chance.random() < 0.7
    content = bytearray(gzip.decompress(whole) if inside else whole)
    for _ in range(chance.randint(1, 6)):
        place, end = sorted(chance.randrange(len(content) + 1) for _ in range(2))
        match chance.randrange(6):
            case 0 if content:
                content[min(place, len(content) - 1)] ^= 1 << chance.randrange(8)
            case 1:
                del content[place : min(end, place + chance.choice((1, 8, 200)))]
            case 2:
                content[place:place] = content[place : min(end, place + 300)]
            case 3:
                del content[max(place, 1) :]
            case _:
                content[place:place] = chance.choice(TOKENS)
    return gzip.compress(bytes(content), mtime=0) if inside else bytes(content)


def read(session: Session, path: Path) -> str:
    """Read an input as a command does. Returns all that would be written or said of it."""
    name = path.name.split(".")[0]
    if name == "manifest":
        return repr(Manifest.read(path.parent))
    if name == "profile":
        return repr(Profile.read(path))
    if name == "params":
        return repr(Params.read(path))
    if name == "people":
        return repr(count_people(session.con, [path], Form(Export(), "Europe/Paris")))
    limits, export = Limits.of(datetime(2034, 4, 1), 1_000_000), Export()
    open_staging(session.con)
    sources = [Source(DROP_TABLES[name], [file_part(path)], export)]
    (staged,) = stage(session.con, sources, date(2034, 4, 1), limits, members=session.lake_cache.scan("members"))
    reject_identities(session.con, [staged], session.lake_cache.scan)
    find_duplicates(session.con, staged)
    reconcile(staged)
    said = [staged.facts(), rejections(session.con, staged, export), unscored_changes(session.con, staged)]
    said.append(over_tolerance(session.con, staged, session.settings.params.ingest))
    kept = quarantine(session.con, staged, path.parent / "quarantine")
    rows = session.con.execute(f"FROM read_parquet({file_text(kept)})").fetchall() if kept else []
    return f"{said} {rows}"


def outcome(session: Session, whole: Corpus, number: int, folder: Path) -> Outcome:
    """Draw the input of a number, read it and judge."""
    chance = random.Random(number)
    name = chance.choice(sorted(whole.inputs))
    own = folder / "LIST-1"
    own.mkdir(exist_ok=True)
    path = own / name
    path.write_bytes(changed(whole.inputs[name], name, chance))
    try:
        with _alarm():
            said, result, detail = read(session, path), "read", ""
    except PayeeWatchError as refusal:
        said, result, detail = str(refusal), f"refused, {refusal.exit_code}", ""
    except TimeoutError:
        said, result, detail = "", "HANG", ""
    except Exception as error:
        said, result, detail = "", "FAULT", f"{type(error).__name__}: {error}"[:300]
    finally:
        path.unlink()
    leaks = [identity for identity in whole.identities if identity in said]
    return Outcome(number, name, "LEAK" if leaks else result, detail)


@contextmanager
def _alarm() -> Iterator[None]:
    def ring(*_: object) -> None:
        raise TimeoutError

    before = signal.signal(signal.SIGALRM, ring)
    signal.alarm(SECONDS)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


@contextmanager
def _session(folder: Path) -> Iterator[Session]:
    settings = Settings.load(folder / "home", {"PAYEEWATCH_KEY_FILE": str(folder / "keys.json")})
    Keys.create(settings.key_file)
    with opened(settings) as session:
        yield session


def run(insurer: Path, inputs: int, out: Path, say: Callable[[str], object]) -> Counter[str]:
    """Read the inputs that `out` does not have yet. Returns how often each result came."""
    done = (
        [Outcome(**json.loads(line)) for line in out.read_text(encoding="utf-8").splitlines()] if out.exists() else []
    )
    whole = corpus(insurer)
    with (
        tempfile.TemporaryDirectory() as folder,
        _session(Path(folder)) as session,
        out.open("a", encoding="utf-8") as file,
    ):
        for number in range(len(done), inputs):
            done.append(outcome(session, whole, number, Path(folder)))
            file.write(json.dumps(asdict(done[-1])) + "\n")
            file.flush()
            if done[-1].result.isupper():
                say(str(done[-1]))
    return Counter(each.result for each in done)


def main(words: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("insurer", type=Path, help="A folder with inbox/ and breaches/.")
    parser.add_argument("--inputs", type=int, default=10_000)
    parser.add_argument("--out", type=Path, default=Path("fuzz.jsonl"))
    options = parser.parse_args(words)
    print("| result | inputs |\n|---|---|")
    for result, many in sorted(run(options.insurer, options.inputs, options.out, print).items()):
        print(f"| {result} | {many:,} |")


if __name__ == "__main__":
    main(sys.argv[1:])
