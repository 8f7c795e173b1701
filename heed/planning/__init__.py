"""What a recipe will cost, before it runs: counts, operations, memory, time, labels. No torch."""
