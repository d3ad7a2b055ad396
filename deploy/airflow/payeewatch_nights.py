"""One DAG per insurer: the night of the day that ended, then the deletion of what is due.

A night that fails is tried again by Airflow; the command is safe to run again, and a later night catches up a missed
one. `max_active_runs=1`, because one command at a time writes in a home.
"""

from __future__ import annotations

from datetime import timedelta

import pendulum
from airflow import DAG
from airflow.operators.bash import BashOperator

INSURERS = ("alpha", "beta")
COMMAND = "set -a; . /etc/payeewatch/{insurer}.env; set +a; exec /opt/payeewatch/.venv/bin/payeewatch"

for insurer in INSURERS:
    with DAG(
        dag_id=f"payeewatch_{insurer}",
        schedule="30 2 * * *",
        start_date=pendulum.datetime(2024, 9, 23, tz="Europe/Paris"),
        catchup=False,  # the command catches up by itself, in order
        max_active_runs=1,
        default_args={"retries": 2, "retry_delay": timedelta(minutes=15)},
    ) as dag:
        command, day = COMMAND.format(insurer=insurer), "{{ data_interval_start | ds }}"
        night = BashOperator(task_id="night", bash_command=f"{command} night {day} --wait --json")
        purge = BashOperator(task_id="purge", bash_command=f"{command} purge --until {day} --wait --json")
        night >> purge
    globals()[dag.dag_id] = dag
