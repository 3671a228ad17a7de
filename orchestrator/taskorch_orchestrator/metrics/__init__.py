"""The metrics of a namespace, as Prometheus reads them."""
