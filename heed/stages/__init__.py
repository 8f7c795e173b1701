"""What each stage of a recipe does: load, wire, train, save."""
