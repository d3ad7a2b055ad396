"""WHAT is measured about a change, one family a file. Importing the package registers every feature.

The families are imported in the order of the measured frame's columns and of the documentation.
"""

from features import change as change  # isort: skip
from features import channel as channel  # isort: skip
from features import web_account as web_account  # isort: skip
from features import tenure as tenure  # isort: skip
from features import bank as bank  # isort: skip
from features import payments as payments  # isort: skip
from features import exposure as exposure  # isort: skip
from features import claims as claims  # isort: skip
from features import company as company  # isort: skip
from features.registry import FEATURES as FEATURES
