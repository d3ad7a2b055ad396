"""From format 1 to 2: commit records that say what their files contain (decision 0031)."""

from __future__ import annotations

import json
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from typing import Any

from payeewatch.pipeline.home.contents import END_BYTES, hash_of, hash_of_bytes
from payeewatch.pipeline.migration.rewrite import Rewrite
from payeewatch.pipeline.session import Session


def chained_records(session: Session) -> Iterator[Rewrite]:
    """Each commit record says what its files contain, and the hash of the record before it."""
    root, before = session.lake.root, ""
    paths = sorted((root / "loads").glob("[0-9]*.json"))
    records = [json.loads(path.read_text(encoding="utf-8")) for path in paths]
    removed = {file for record in records for file in record["removed"]}
    for path, record in zip(paths, records, strict=True):
        files = [file for table in record["files"].values() for file in table if file not in removed]
        contents = {file: _content(root / file) for file in files}
        content = _bytes_of({**record, "before": before, "contents": contents, "replaces": {}})
        before = hash_of_bytes(content)
        yield Rewrite("lake", f"loads/{path.name}", partial(Path.write_bytes, data=content), depends_on_others=True)


def _content(path: Path) -> dict[str, Any]:
    end = path.read_bytes()[-END_BYTES:]
    return {"bytes": path.stat().st_size, "hash": hash_of(path), "end": hash_of_bytes(end)}


def _bytes_of(record: dict[str, Any]) -> bytes:
    return (json.dumps(record, indent=2, ensure_ascii=False) + "\n").encode()
