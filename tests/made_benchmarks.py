"""Files of benchmarks as `make bench` would have left them, without a measurement."""

ROW = {"unit": "s", "low": None, "high": None, "goal": "", "note": "", "met": None}


def measured(device: str, threads: int = 1, **groups: list[dict]) -> dict:
    """Of one device; rows have at least ``what`` and ``value``."""
    origin = {"device": device, "threads": threads, "dirty": False, "commit": None, "versions": {"torch": "2"},
              "measured": "2026-01-01T00:00:00"}
    return {"device": device, "type": "cpu", "groups": {
        name: {"rows": [{"group": name, **ROW, **row} for row in rows], "provenance": origin} for name, rows in groups.items()}}
