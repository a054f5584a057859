"""The statistical score: what it looks at, how it is fitted, how it is graded. No database, no network."""
