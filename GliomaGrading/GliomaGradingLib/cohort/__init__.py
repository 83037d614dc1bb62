"""Cohorts: which layout a folder of cases has, what is in it, and grading all of it."""
