"""Scripted ablations: a TOML file to trained, measured and compared runs, and their report.

`read_study` reads and checks the file; `StudyFolder` finds what is there already; `run_cells` does what is missing;
`publish` writes tables, figures and report. docs/studies.md describes the file.
"""
