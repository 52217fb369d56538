"""How it looks. In come verdicts, records and studies; out go tables, figures, cards and pages as HTML and Markdown. Nothing here
decides anything, and nothing here needs torch before a page describes code that does."""
