"""What the doctor decides, purely: from facts about host, schedules and rules to checks with a remedy."""

from amanat.domain.doctor.check import Check, Level, Name, asked

__all__ = ["Check", "Level", "Name", "asked"]
