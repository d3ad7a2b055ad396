"""What computes a measurement. Nothing outside this folder knows which engine runs.

Read in this order: `engine` (what any of them does), `pandas` (the shortest), `duckdb` (the usual one), `plan` (what
makes a DuckDB night fast), `spark` (a cluster), `spark_functions` (two functions that Spark servers differ in).
"""
