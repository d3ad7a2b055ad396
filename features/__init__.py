"""WHAT is measured about a change, one family a file. Importing the package registers every feature.

The families are imported in the order of the measured frame's columns and of the documentation.
"""

from payeewatch.features import change as change  # isort: skip
from payeewatch.features import channel as channel  # isort: skip
from payeewatch.features import web_account as web_account  # isort: skip
from payeewatch.features import tenure as tenure  # isort: skip
from payeewatch.features import bank as bank  # isort: skip
from payeewatch.features import payments as payments  # isort: skip
from payeewatch.features import exposure as exposure  # isort: skip
from payeewatch.features import claims as claims  # isort: skip
from payeewatch.features import shared_account as shared_account  # isort: skip
from payeewatch.features.registry import FEATURES as FEATURES
