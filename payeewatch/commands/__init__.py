"""The verbs of `payeewatch`. Importing a module registers its commands.

setup (init, check, token, migrate), load (ingest, link), lists (lists), model (measure, train, mlflow), versions
(models, compare, shadow, promote, rollback), learn (learn), watch (drift, retrain), night (night, explain, evidence),
evaluate (backtest, evaluate, simulate), fairness (fairness), oncall (status, doctor), people (purge, person), review
(triage, triage-user, triage-token, holds, audit), backup (backup, restore), keys (rotate-keys), move (move-database),
dossier (dossier).
"""

from payeewatch.commands import backup as backup
from payeewatch.commands import dossier as dossier
from payeewatch.commands import evaluate as evaluate
from payeewatch.commands import fairness as fairness
from payeewatch.commands import keys as keys
from payeewatch.commands import learn as learn
from payeewatch.commands import lists as lists
from payeewatch.commands import load as load
from payeewatch.commands import model as model
from payeewatch.commands import move as move
from payeewatch.commands import night as night
from payeewatch.commands import oncall as oncall
from payeewatch.commands import people as people
from payeewatch.commands import review as review
from payeewatch.commands import setup as setup
from payeewatch.commands import versions as versions
from payeewatch.commands import watch as watch
