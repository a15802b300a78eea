"""Tags: words that accounts put on anything that has an id."""
