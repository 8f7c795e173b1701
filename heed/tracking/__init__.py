"""Trackers: a run's metrics, findings and figures shown by TensorBoard, W&B or trackio."""
