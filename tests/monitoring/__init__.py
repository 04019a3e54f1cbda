"""The dashboard, the alerts and the metrics that they stand on."""
