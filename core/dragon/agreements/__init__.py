"""Agreements about availability: what certified figures of a period are worth. Pure, no clock."""
