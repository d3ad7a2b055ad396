"""What the synthetic insurer is made of. Each figure names its source, or is an estimate to replace with one's own.

Rates are a year unless a name says otherwise; amounts are euros paid by the insurer.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Size:
    """What one asks for: how many, how long, how much dirt."""

    members: int = 3_000
    days: int = 400  # of history in the first drop
    drops: int = 8  # daily drops after the first
    claims_a_year: float = 10.0  # a member; French acts grouped into claims, estimate
    change_factor: float = 2.0  # times CHANGE_RATE: a small insurer has changes to show every week; 1 is life
    outside_people: int | None = None  # on breach lists, not insured here; None: as many as members
    form: str = "mixed"  # of the files: csv, parquet, or mixed (mostly csv, each other form once)
    malformed: bool = True  # a few broken rows and a few sent again, as feeds have them
    least_cases: int = 14  # of fraud, so that a small insurer shows some; life alone would give fewer
    late_share: float = 0.35  # of the cases beyond life's rate that begin in the last fortnight


# Households and contracts ------------------------------------------------------------------------------
HOUSEHOLD_SIZES = (0.37, 0.33, 0.13, 0.11, 0.06)  # one to five persons; INSEE household sizes, rounded
SECOND_PAYEE = 0.06  # of couples are paid separately; estimate
JOIN_RATE = 0.10  # contract churn, 8-12 %; estimate
LEAVE_RATE = 0.07
MOVE_RATE = 0.09  # postal address changes; estimate
DEATH_RATE = 0.008  # of adults; INSEE, all ages
DEATH_REPORTED_DAYS = 12  # median lag until the insurer knows; estimate
GUARANTEE_LEVELS = (0.10, 0.20, 0.30, 0.20, 0.12, 0.08)
CARE_HOME_SHARE = 0.03  # of one-person households; about 0.9 % of persons
INSTITUTION_RESIDENTS = 25  # residents an institution; 10-300 in life
GUARDIANSHIP_SHARE = 0.012
BROKER_SHARE = 0.22
EMPLOYER_SHARE = 0.48  # collective contracts
FOREIGN_BIRTH_MONTH_UNKNOWN = 0.004  # incomplete birth dates
CORSICA_SHARE = 0.005
CHILD_HAS_OWN_ID = 0.10  # most children are known by their opening-right holder

# Banks: code, name, group, kind, share of accounts. The codes are not allocated to any bank ---------------
BANKS = (
    ("99001", "Caisse du Bocage", "Bocage", "bank", 0.21),
    ("99002", "Banque des Rives", "Rives", "bank", 0.12),
    ("99003", "Crédit des Rives", "Rives", "bank", 0.08),
    ("99004", "Mutuelle des Collines", "Collines", "bank", 0.15),
    ("99005", "Banque du Relais", "Relais", "bank", 0.10),
    ("99006", "Banque Générale du Nord", "Nord", "bank", 0.09),
    ("99007", "Comptoir de Lutèce", "Lutèce", "bank", 0.08),
    ("99008", "Crédit du Levant", "Levant", "bank", 0.04),
    ("99009", "Banque Atlantide", "Atlantide", "bank", 0.035),
    ("99010", "Banque Boréale", "Boréale", "bank", 0.005),
    ("99051", "Pixel Banque", "Pixel", "neobank", 0.05),
    ("99052", "Comète", "Comète", "neobank", 0.02),
    ("99053", "Nuage", "Nuage", "emi", 0.01),
    ("99054", "Tabac Compte", "Tabac", "emi", 0.01),
    ("99100", "Trésor public d'exemple", "Trésor", "treasury", 0.0),
)
FOREIGN_BANKS = (
    ("DE", "99900010", "Beispielbank", "Beispiel", "bank"),
    ("BE", "999", "Voorbeeldbank", "Voorbeeld", "bank"),
    ("LT", "99900", "Pavyzdys", "Pavyzdys", "emi"),
    ("LU", "999", "Beispill", "Beispill", "bank"),
)
FOREIGN_SHARE = 0.012  # cross-border workers and expatriates
SHARED_ACCOUNT_SHARE = 0.023  # of payees use another household's account: couples on two contracts, grown children
MERGER_OLD, MERGER_NEW = 8, 9  # places in BANKS: Atlantide moves to Boréale
MERGER_DAYS = (150, 90)  # the wave begins this long before the end and lasts so long

# Claims: family -> (a year and member, median, sigma of the log, ceiling at level 1 or 0, TP share, share
# without public record). Frequencies and medians: estimates; optical 210 and dental sums: DREES orders of size.
FAMILIES: dict[str, tuple[float, float, float, int, float, float]] = {
    "consultation": (3.60, 7, 0.9, 0, 0.35, 0.02),
    "pharmacy": (3.00, 4, 0.9, 0, 0.95, 0.01),
    "laboratory": (0.90, 6, 0.8, 0, 0.95, 0.01),
    "optical": (0.22, 210, 0.55, 300, 0.80, 0.10),
    "dental": (0.82, 24, 1.1, 800, 0.47, 0.15),
    "hearing": (0.02, 900, 0.5, 900, 0.80, 0.05),
    "hospital": (0.18, 60, 1.3, 1500, 0.90, 0.12),
    "soft_medicine": (0.25, 30, 0.35, 120, 0.0, 1.0),
    "prevention": (0.20, 18, 0.5, 100, 0.30, 0.40),
    "transport": (0.12, 22, 0.7, 0, 0.80, 0.02),
    "device": (0.25, 25, 0.9, 0, 0.70, 0.05),
    "other": (0.30, 15, 1.0, 0, 0.50, 0.15),
}
AGE_FACTORS = {  # family -> factor under 20, 20 to 59, 60 and over; estimates
    "hearing": (0.05, 0.2, 3.5),
    "hospital": (0.4, 0.7, 2.0),
    "pharmacy": (0.6, 0.8, 1.8),
    "optical": (0.8, 0.9, 1.3),
    "transport": (0.2, 0.5, 2.6),
}
UPLOAD_CHANNELS = {"portal": 0.40, "mobile": 0.30, "paper": 0.20, "email": 0.07, "broker": 0.03}
REJECTED_SHARE = 0.02
PENDED_SHARE = 0.02
REVERSED_SHARE = 0.001
RETURN_RATE = 0.0008  # of member payments without a bank change behind it

# Changes of account -------------------------------------------------------------------------------------
CHANGE_RATE = 0.075  # a payee; 4.7-5.5 % switch banks a year, and life events and corrections
CHANGE_AGES = (1.7, 1.25, 0.9, 0.6)  # 16-25, 26-40, 41-65, 66 and over
CHANGE_MONTHS = {1: 1.5, 9: 1.4, 8: 0.7}  # renewals in January, students in September
UNANNOUNCED_SHARE = 0.02  # of changes reach the payments but no feed; estimate
PROVIDER_CHANGE_RATE = 0.03
MERGER_SHARE = 0.45  # of the old bank's customers who moved by themselves
FIRST_ACCOUNT_ANNOUNCED = 0.30  # of joiners' first accounts
# cause -> share of honest changes; estimates, mobility mandates 2.4 M in two years
CAUSES = {
    "switch": 0.37, "mobility_mandate": 0.22, "marriage": 0.08, "divorce": 0.05, "first_own_account": 0.08,
    "return_driven": 0.07, "bereavement": 0.02, "guardian": 0.01, "institution": 0.006, "foreign": 0.015,
    "typo": 0.02, "other": 0.059,
}  # fmt: skip
CHANNELS = {  # of a change its owner asks for
    "portal": 0.52, "mobile": 0.13, "call_centre": 0.11, "paper": 0.14, "branch": 0.03, "email": 0.02,
    "broker": 0.04, "employer": 0.01,
}  # fmt: skip
CAUSE_CHANNEL = {"mobility_mandate": "mobility_mandate", "merger": "bulk_migration", "guardian": "paper"}
NAME_CHECK = (0.88, 0.06, 0.02, 0.03, 0.01)  # match, close_match, no_match, not_possible, not_run
NAME_CHECK_SHARED = (0.55, 0.20, 0.15, 0.07, 0.03)  # joint and third-party accounts
NEOBANK_SHARE = 0.24  # of honest switches; estimate 20-25 %

# Web accounts ------------------------------------------------------------------------------------------
HAS_WEB_ACCOUNT = 0.68
LOGINS_A_YEAR = 3.0
NEW_DEVICE_SHARE = 0.15  # of honest changes on the portal or the application
RESET_SHARE = 0.08
CONTACT_CHANGE_SHARE = 0.06  # within a month of an honest change

# Fraud -------------------------------------------------------------------------------------------------
CASES_PER_10K_PAYEES = 3.0  # a year; published 0.1-5 (SSA 0.1-5.3, CNAF 0.7 detected)
TYPES = {"T01": 0.36, "T02": 0.28, "T05": 0.10, "T08": 0.10, "T15": 0.16}  # takeover, mule, snatch, copies, slow
RING_SIZE = (3, 8)  # victims of one mule account
STEALTH = (2.0, 3.0)  # Beta: most campaigns are clumsy to middling
EXPOSED_VICTIMS = 0.8  # victims picked from the third-party operator's list
COMPLAINT_DAYS = 35  # median from the last payment to the victim's complaint; estimate 30-60
NEVER_FOUND = 0.2

# Breach lists: who, coverage of members, share of the outsiders, days before the end it was exposed and known
LISTS = (
    ("TPO-1", "Third-party payment operator intrusion", 0.55, 0.80, 240, 233,
     ("name", "birth_date", "national_id", "insurer", "guarantees", "marital_status")),
    ("EMP-1", "Employment agency leak", 0.25, 0.14, 150, 96,
     ("name", "birth_date", "national_id", "email", "phone", "address")),
    ("TEL-1", "Telecom operator leak", 0.20, 0.06, 70, 4,
     ("name", "birth_date", "email", "phone", "address", "iban")),
)  # fmt: skip
CONTACT_LISTS = frozenset({"TEL-1"})  # name and birth date only
ID_ERROR = 0.006  # a wrong digit in a national id
ID_MISSING = 0.01
BIRTH_ERROR = 0.003
RANK_MISSING = 0.05
NAME_PLAIN = 0.30  # written in capitals without accents
NAME_SWAPPED = 0.01
NAME_TYPO = 0.01
