"""The report: reads run directories only, writes one HTML page and its figures as JSON."""
