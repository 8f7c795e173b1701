"""The pages where people compare answers and owners see what their labels are worth."""
