"""What may stop a run: each gate asks one question of its data, its labels or its training."""
