"""The peers' side of each comparison, run by the peers' own Python: nothing of Heed is imported."""
