"""Does it hold? In come records, findings and what the paper printed and said; out go verdicts with their intervals, plans and
audits, computed and never typed. How they look does not belong here, and nothing here trains, measures or needs torch."""
