"""What a running system tells of itself: numbers for Prometheus, traces for OpenTelemetry."""
