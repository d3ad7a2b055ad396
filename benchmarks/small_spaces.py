"""How far what the lake keeps in clear, or as a token of few possible values, singles out a person without the key.

python -m benchmarks.small_spaces HOME
It reads the lake's files alone, as somebody who may read them and has no key.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path

import duckdb

from payeewatch.pipeline.home.settings import Settings
from payeewatch.pipeline.store.lake import Lake

FEW = 5
"""A group of fewer people hides nobody."""
MEMBERS = {
    "birth year": "birth_year",
    "birth year and department": "birth_year, department",
    "birth year, department and sex": "birth_year, department, sex",
    "the same with birth rank and the day of joining": "birth_year, department, sex, birth_rank, joined_on",
}
ACCOUNTS = {
    "country and bank": "country, bank_code",
    "country, bank and last four characters (the hint)": "country, bank_code, last_four",
}
GROUPS = """
WITH groups AS (SELECT count(*) AS many FROM ({rows}) GROUP BY {columns})
SELECT sum(many), count(*) FILTER (many = 1), coalesce(sum(many) FILTER (many < {few}), 0) FROM groups
"""
WORDS = (
    "SELECT count(*) AS many FROM (SELECT unnest(surname_tokens) AS word FROM ({rows})) GROUP BY word ORDER BY 1 DESC"
)


def main() -> None:
    """Print a table: what is known of a row, the share that is alone with it, and the share in small groups."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("home", type=Path)
    home = parser.parse_args().home
    lake = Lake(Settings.load(home, {"PAYEEWATCH_KEY_FILE": "/nowhere/keys.json"}).folder("lake"))
    with duckdb.connect() as con:
        print("| what is known | alone with it | in a group of fewer than five |\n|---|---|---|")
        for line in _lines(con, lake):
            print(line)


def _lines(con: duckdb.DuckDBPyConnection, lake: Lake) -> Iterator[str]:
    members = f"{lake.scan('members')} QUALIFY row_number() OVER (PARTITION BY member_id ORDER BY version DESC) = 1"
    for kind, rows, known in (("a member", members, MEMBERS), ("an account", lake.scan("accounts"), ACCOUNTS)):
        for words, columns in known.items():
            many, alone, few = con.execute(GROUPS.format(rows=rows, columns=columns, few=FEW)).fetchall()[0]
            yield f"| of {kind}: {words} | {alone / many:.0%} | {few / many:.0%} |"
    counts = [many for (many,) in con.execute(WORDS.format(rows=members)).fetchall()]
    yield f"| how often each word of the surnames occurs, commonest first | {', '.join(map(str, counts[:5]))} | |"


if __name__ == "__main__":
    main()
