"""Invented names, built from syllables, so that no name is anybody's."""

from __future__ import annotations

import unicodedata
from itertools import product

import numpy as np

from payeewatch.simulator.chance import stream

# ruff: noqa: SIM905 - lists of syllables read better as text

STARTS = (
    "Brel Cauv Dorm Elz Fanv Gliv Hurt Izar Jovr Kerl Lamb Moud Narb Oriv Pauc Quen Rozv Suld Tarv Ulm Vauc Wist Yver "
    "Zeph Bév Céz Drém Fév Gréz Lév Méz Néb Péz Rév Séz Tév Vél Flor Crav Plum"
).split()
MIDDLES = (
    "a e i o u an en in on ou ai au ei oi ar er ir or ur al el il ol ul am em im om ard ert ond and ent ist ost aç eç"
).split()
ENDS = (
    "bac deux fert gnon lier meau nard pion quet reau sart tier vaux zac chon drin gier leau mond net rand selle tault "
    "ville bert court dal forge gal jac lou mart nas pré ric son tel val zan"
).split()
PARTICLES = ("de ", "du ", "d'", "le ", "de la ")

GIVEN_STARTS = "Al Bel Cor Dav Él Fab Gal Hél Il Jol Kim Lor Mar Nol Or Pal Ri Sol Tim Val".split()
GIVEN_MIDDLES = "a e i o an en in ar er al el ad or ou ï".split()
GIVEN_ENDS = {
    0: "bine delle fia gane lise mée nette rine sia line".split(),
    1: "bin dric fian go lias mien nic rault sien tor".split(),
}


def surnames(seed: int, count: int) -> np.ndarray:
    """Family names; a few are double-barrelled, a few carry a particle."""
    rng = stream(seed, "surnames")
    values = np.array(["".join(parts) for parts in product(STARTS, MIDDLES, ENDS)], dtype=object)
    values = rng.permutation(values)[: max(count, 50)]
    double = rng.random(len(values)) < 0.04
    values[double] = values[double] + "-" + rng.permutation(values)[: double.sum()]
    noble = rng.random(len(values)) < 0.02
    values[noble] = rng.choice(np.array(PARTICLES, dtype=object), noble.sum()) + values[noble]
    return values


def given_names(seed: int) -> tuple[np.ndarray, int]:
    """Given names, women's first; and how many are women's."""
    lists = [
        np.array(["".join(parts) for parts in product(GIVEN_STARTS, GIVEN_MIDDLES, GIVEN_ENDS[sex])], dtype=object)
        for sex in (0, 1)
    ]
    mixed = [stream(seed, f"given names {sex}").permutation(names) for sex, names in enumerate(lists)]
    return np.concatenate(mixed), len(lists[0])


def popular(rng: np.random.Generator, vocabulary: int, count: int) -> np.ndarray:
    """Places in a vocabulary of names, the early ones more frequent."""
    return np.minimum((rng.random(count) ** 2.2 * vocabulary).astype(np.int64), vocabulary - 1)


def to_plain_capitals(vocabulary: np.ndarray) -> np.ndarray:
    """Names as old systems print them: capitals, no accents, no hyphens."""

    def stripped(name: str) -> str:
        decomposed = unicodedata.normalize("NFKD", name)
        return "".join(c for c in decomposed if not unicodedata.combining(c)).replace("-", " ").upper()

    return np.array([stripped(name) for name in vocabulary], dtype=object)


def misspell(vocabulary: np.ndarray) -> np.ndarray:
    """Names with two letters in the middle exchanged."""

    def exchanged(name: str) -> str:
        middle = len(name) // 2
        return name[: middle - 1] + name[middle] + name[middle - 1] + name[middle + 1 :]

    return np.array([exchanged(name) for name in vocabulary], dtype=object)
