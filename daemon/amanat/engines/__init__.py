"""Adapters that read databases: one package per engine, each fulfils ``ports.Engine``."""
