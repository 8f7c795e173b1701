"""Models on the Hugging Face stack: loading, saving, heads, adapters, chat formats."""
