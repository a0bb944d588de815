package main

import (
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/weir-project/weir/internal/config"
)

// alone puts what the flags of a role that runs alone say over the configuration, and reports
// whether that names a NATS.
func (c *runCommand) alone(configuration *config.Config, nats string) bool {
	c.override(configuration)
	if nats != "" {
		configuration.NATS.URL = nats
	}
	return configuration.NATS.URL != ""
}

// runtimeMetrics are what Go and the system know of this process, to which roles add theirs.
func runtimeMetrics() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	return registry
}
