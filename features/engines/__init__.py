"""The engines that compute a measurement. No code outside this folder depends on which engine runs.

Read in this order: `engine` (what every engine does), `pandas` (the shortest), `duckdb` (the usual one), `plan` (what
makes a night on DuckDB fast), `spark` (a cluster), `spark_functions` (two functions that Spark servers differ in).
"""
