"""Live figures for other systems (Prometheus, OpenTelemetry); it reads `live` and changes nothing."""
