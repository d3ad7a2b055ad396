"""The parameters of the synthetic insurer. Each figure names its source, or is an estimate to be replaced.

Rates are a year unless a name says otherwise; amounts are euros paid by the insurer; days count back from the end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

ALWAYS_CHECKED = -1
"""Means: name checks existed from the beginning."""
SCATTERED = -1
"""A wave's destination: each customer goes where customers go."""


@dataclass(frozen=True)
class Wave:
    """One bank's customers go to another within weeks: a merger, or a bank that closes."""

    old: int  # places in BANKS
    new: int  # or SCATTERED
    begins: int  # days before the end
    lasts: int
    share: float = 1.0  # of the old bank's customers
    cause: str = "merger"  # or closure: everybody moves by himself


@dataclass(frozen=True)
class Reset:
    """Everybody with a web account must choose a new password."""

    begins: int  # days before the end
    lasts: int = 10
    share: float = 0.6  # of the web accounts that come by in that time


@dataclass(frozen=True)
class Life:
    """Honest changes that look like fraud. Each one can be switched off by its share."""

    change_rate: float = 0.075  # a payee; 4.7-5.5 % switch banks a year, and life events and corrections
    causes: Mapping[str, float] = field(default_factory=lambda: dict(CAUSES))
    neobank_share: float = 0.24  # of honest switches; estimate 20-25 %
    shared_share: float = 0.025  # of payees use another household's account: couples on two contracts, grown children
    estates: float = 0.6  # of policyholders who lived alone and died: what is owed goes to an estate
    widowed: float = 0.5  # of those with a spouse: the account changes with the death
    separations: float = 0.004  # of couples with children, a year: a second payee for the children's care
    employers_pay: float = 0.003  # of policyholders with an employer are paid through its account
    waves: tuple[Wave, ...] = (Wave(8, 9, 150, 90),)
    resets: tuple[Reset, ...] = ()
    name_check: tuple[float, ...] = (0.88, 0.06, 0.02, 0.03, 0.01)  # match, close, none, not possible, not run
    name_checked_from: int = ALWAYS_CHECKED  # days before the end; before it every check is not_run
    noticed: float = 0.0  # of changes: the member looks at the account because much money is on its way
    digital_starts: float = 0.0  # of changes on the portal or the application: the web account is days old


@dataclass(frozen=True)
class Invoice:
    """A made-up invoice of a staged campaign."""

    family: str  # of care
    euros: int  # as far as the guarantee's ceiling allows
    sent_after: int = 1  # days after the change of account


@dataclass(frozen=True)
class StagedCampaign:
    """A campaign whose day, victims and invoices are fixed, so that a demo shows it. Everything else is drawn."""

    kind: str
    begins: int  # days before the end
    invoices: tuple[Invoice, ...] = ()  # dealt out to the victims in turn
    victims: int = 1  # all paid on one new account


@dataclass(frozen=True)
class Fraud:
    """How much fraud, of which kinds, how careful, and what becomes of it."""

    cases_per_10k: float = 3.0  # payees a year; published 0.1-5 (SSA 0.1-5.3, CNAF 0.7 detected)
    types: Mapping[str, float] = field(default_factory=lambda: dict(TYPES))  # shares of the cases
    stealth: tuple[float, float] = (2.0, 3.0)  # Beta; most campaigns are clumsy to middling
    fixed_stealth: float | None = None
    exposed_victims: float = 0.85  # victims picked from the third-party operator's list; estimate
    after_breach: float = 3.0  # times as many campaigns at the peak, half a year after a list; GAO: long tail
    pooled: float = 0.4  # of single cases use an account of a crew's pool; estimate
    mule_days: float = 120.0  # mean life of a mule account until its bank closes it; 70 % live less than a year
    households_a_mule: int = 8  # most victims of one account; 3-12 seen
    wait_at_least: int = 0  # days; who knows a rule's window waits until it is over
    amount_at_most: int = 0  # euros a claim; 0: no bound
    never_found: float = 0.15  # slow ones: 0.35
    shared_mules: int = 0  # the seed of a pool that several insurers suffer from; 0: none
    wait_days: tuple[float, float] = (9.0, 25.0)  # median until the first invoice: clumsy, and how much longer careful
    recorded: tuple[float, float] = (0.1, 0.4)  # of invoices seem to have a public record: clumsy, careful
    authenticated: float = 0.0  # of changes pass the checks that the channel's own members pass
    fitted: float = 0.6  # of invoices are made to fit what the guarantee still allows
    online_banks: tuple[float, float] = (0.62, 0.28)  # of mule accounts: clumsy, careful; likewise below
    foreign_banks: tuple[float, float] = (0.12, 0.02)
    own_device: tuple[float, float] = (0.15, 0.70)
    new_password: tuple[float, float] = (0.65, 0.20)
    new_contact: tuple[float, float] = (0.45, 0.08)
    named: tuple[float, float] = (0.25, 0.80)  # the account is in the victim's name, as far as a check can tell
    channels: tuple[float, ...] = (0.60, 0.22, 0.13, 0.05)  # portal, mobile, call_centre, paper
    effect_days: tuple[float, ...] = ()  # shares of 0, 1, 2, 3 days until it takes effect; none: within a day
    apart: float = 0.0  # of victims of a ring or an insider have an account of their own
    one_branch: float = 0.0  # of campaigns open their accounts at one branch
    unannounced: float = 0.0  # of changes reach the payment system past the log of changes
    probing: float = 1.0  # waves of failed logins after a list is out (T19); 0: none
    modest: tuple[float, float] = (0.0, 0.0)  # of invoices stay within what the victim was paid before
    snatched: int = 400  # euros: T05 waits for at least so much of the victim's own money
    least_cases: bool = True  # whether the size's least number of cases holds here
    staged: tuple[StagedCampaign, ...] = ()  # campaigns beside those that are drawn
    staged_stealth: float = 0.1  # how careful they are


@dataclass(frozen=True)
class Feed:
    """The faults between the insurer's systems and the inbox."""

    broken_rows: bool = True  # one per table and drop
    again_share: float = 0.025  # of rows come a second time two days later
    double_share: float = 0.001  # of rows are twice in a file
    late_share: float = 0.004  # of claims and events come one to six days late
    backdated_share: float = 0.01  # of changes of account are reported three to thirty days after the request
    lost_days: tuple[int, ...] = ()  # days before the end without a folder; the next drop brings their rows
    empty_sunday: bool = True
    resent_days: tuple[int, ...] = ()  # days before the end on which all rows of the day before come again
    absent: tuple[str, ...] = ()  # tables, and columns as table.column, that the insurer does not have


@dataclass(frozen=True)
class Breach:
    """One breach list: who is on it, and how many days before the end it was exposed and known."""

    breach_id: str
    title: str
    coverage: float  # of members
    outside_share: float  # of the outsiders
    exposed_days_ago: int
    known_days_ago: int
    fields: tuple[str, ...]
    by_household: bool = False  # contracts are exposed, not persons
    contact_only: bool = False  # names and birth dates, no national id


@dataclass(frozen=True)
class World:
    """Everything but the size."""

    life: Life = field(default_factory=Life)
    fraud: Fraud = field(default_factory=Fraud)
    feed: Feed = field(default_factory=Feed)
    lists: tuple[Breach, ...] = field(default_factory=lambda: LISTS)


@dataclass(frozen=True)
class Size:
    """The size of an insurer: how many members, how long, in which form."""

    members: int = 3_000
    days: int = 400  # of history in the first drop
    drops: int = 8  # daily drops after the first
    claims_a_year: float = 10.0  # a member; French acts grouped into claims, estimate
    change_factor: float = 2.0  # times the change rate: a small insurer has changes to show every week; 1 is life
    outside_people: int | None = None  # on breach lists, not insured here; None: as many as members
    form: str = "mixed"  # of the files: csv, parquet, or mixed (mostly csv, each other form once)
    malformed: bool = True  # the feed's faults; without them every row comes once, whole and in time
    cases_factor: float = 1.0  # times the world's rate of fraud; 0 and no least_cases: everybody is honest
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

# Claims: family -> (a year and member, median, sigma of the log, ceiling at level 1 or 0, TP share, share
# without public record). Frequencies and medians: estimates, set so that a member costs what is published (DREES:
# 535 a year, dental 18 %, optical 16 %, hearing 3 %).
FAMILIES: dict[str, tuple[float, float, float, int, float, float]] = {
    "consultation": (3.60, 17, 0.9, 0, 0.35, 0.02),
    "pharmacy": (3.00, 13, 0.8, 0, 0.95, 0.01),
    "laboratory": (0.90, 16, 0.7, 0, 0.95, 0.01),
    "optical": (0.26, 300, 0.45, 450, 0.80, 0.06),
    "dental": (0.80, 55, 1.15, 1200, 0.48, 0.10),
    "hearing": (0.02, 1000, 0.45, 1400, 0.80, 0.04),
    "hospital": (0.30, 160, 1.2, 2400, 0.90, 0.08),
    "soft_medicine": (0.25, 32, 0.35, 120, 0.0, 1.0),
    "prevention": (0.20, 25, 0.5, 100, 0.30, 0.40),
    "transport": (0.12, 40, 0.7, 0, 0.80, 0.02),
    "device": (0.25, 70, 0.9, 0, 0.70, 0.05),
    "other": (0.30, 50, 1.0, 0, 0.50, 0.10),
}
AGE_FACTORS = {  # family -> factor under 20, 20 to 59, 60 and over; estimates
    "hearing": (0.05, 0.2, 3.5),
    "hospital": (0.4, 0.7, 2.0),
    "pharmacy": (0.6, 0.8, 1.8),
    "optical": (0.8, 0.9, 1.3),
    "transport": (0.2, 0.5, 2.6),
}
UPLOAD_CHANNELS = {"portal": 0.40, "mobile": 0.30, "paper": 0.20, "email": 0.07, "broker": 0.03}
PLANNED_FAMILIES = ("optical", "dental", "hearing", "hospital", "device")
PLANNED_CARE = 0.0  # claims that a new member saved up for the first months of the contract; 0.1-1.5, estimate
SETTLED_EVERY = 1  # days from one settlement of claims to the next; 7 or more at some insurers, estimate
REJECTED_SHARE = 0.02
PENDED_SHARE = 0.02
REVERSED_SHARE = 0.001
RETURN_RATE = 0.0008  # of member payments without a bank change behind it

# Changes of account -------------------------------------------------------------------------------------
CHANGE_AGES = (1.7, 1.25, 0.9, 0.6)  # 16-25, 26-40, 41-65, 66 and over
CHANGE_MONTHS = {1: 1.5, 9: 1.4, 8: 0.7}  # renewals in January, students in September
EFFECT_DAYS = (0.55, 0.25, 0.12, 0.08)  # shares of 0, 1, 2, 3 days until a change takes effect; estimate
UNANNOUNCED_SHARE = 0.02  # of changes reach the payments but no feed; estimate
PROVIDER_CHANGE_RATE = 0.03
MERGER_SHARE = 0.45  # of the old bank's customers who moved by themselves
FIRST_ACCOUNT_ANNOUNCED = 0.30  # of joiners' first accounts
# cause -> share of honest changes; estimates, mobility mandates 2.4 M in two years
CAUSES: dict[str, float] = {
    "switch": 0.37, "mobility_mandate": 0.22, "marriage": 0.08, "divorce": 0.05, "first_own_account": 0.08,
    "return_driven": 0.07, "guardian": 0.01, "institution": 0.006, "foreign": 0.015,
    "typo": 0.02, "other": 0.079,
}  # fmt: skip
CHANNELS = {  # of a change its owner asks for
    "portal": 0.52, "mobile": 0.13, "call_centre": 0.11, "paper": 0.14, "branch": 0.03, "email": 0.02,
    "broker": 0.04, "employer": 0.01,
}  # fmt: skip
CAUSE_CHANNEL = {"mobility_mandate": "mobility_mandate", "merger": "bulk_migration", "guardian": "paper"}
NAME_CHECK_SHARED = (0.55, 0.20, 0.15, 0.07, 0.03)  # joint and third-party accounts

# Web accounts ------------------------------------------------------------------------------------------
HAS_WEB_ACCOUNT = 0.68
LOGINS_A_YEAR = 3.0
NEW_DEVICE_SHARE = 0.15  # of honest changes on the portal or the application
RESET_SHARE = 0.08
CONTACT_CHANGE_SHARE = 0.06  # within a month of an honest change

# Fraud -------------------------------------------------------------------------------------------------
TYPES: dict[str, float] = {  # the catalogue's kinds, as shares of the cases; estimates
    "T01": 0.24, "T02": 0.20, "T05": 0.08, "T06": 0.05, "T07": 0.06, "T08": 0.09, "T11": 0.02, "T13": 0.05,
    "T14": 0.03, "T15": 0.12, "T16": 0.03, "T20": 0.03,
    # no account changes hands here, so nobody who watches changes can see them
    "T09": 0.07, "T10": 0.05, "T17": 0.02, "T18": 0.02,
}  # fmt: skip
RING_SIZE = (3, 8)  # victims of one mule account
BATCH_SIZE = (8, 40)  # victims of one insider; 10-200 in life
RECALLED = ((2, 0.25), (10, 0.08), (10_000, 0.01))  # days since sent, chance that a recall brings the money back
INVOICE_EUROS = 1_200  # median of a clumsy made-up invoice before the ceiling; set to the published loss of a case
INVOICES_TOGETHER = 0.8  # chance that the next made-up invoice is sent in with the one before; estimate
RETURN_ASKED_DAYS = 6  # from the day money leaves for a closed account until the payee is asked about it; estimate
COMPLAINT_DAYS = 30  # median from the first money that goes astray to the victim's complaint; estimate 30-60

# Breach lists. The operator's covers 33 M of 68 M people, the agency's 36.8 M, the telecom's 24.6 M contracts; here
# each is cut to the part of it that an insurer of one region would meet ---------------------------------
LISTS: tuple[Breach, ...] = (
    Breach("TPO-1", "Third-party payment operator intrusion", 0.55, 0.80, 240, 233,
           ("name", "birth_date", "national_id", "insurer", "guarantees", "marital_status"), by_household=True),
    Breach("EMP-1", "Employment agency leak", 0.25, 0.14, 150, 96,
           ("name", "birth_date", "national_id", "email", "phone", "address")),
    Breach("TEL-1", "Telecom operator leak", 0.20, 0.06, 70, 4,
           ("name", "birth_date", "email", "phone", "address", "iban"), contact_only=True),
)  # fmt: skip
ID_ERROR = 0.006  # a wrong digit in a national id
ID_MISSING = 0.01
BIRTH_ERROR = 0.003
RANK_MISSING = 0.05
NAME_PLAIN = 0.30  # written in capitals without accents
NAME_SWAPPED = 0.01
NAME_TYPO = 0.01
