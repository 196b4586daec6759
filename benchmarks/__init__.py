"""Benchmarks: Amanat beside the stock tools, in one run, judged by the budgets (documentation/performance.md)."""
