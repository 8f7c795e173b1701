"""What a recipe for somebody's own model and preferences shall say: rules, each with its reason."""
