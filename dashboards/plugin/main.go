// Command plugin is weir's data source for Grafana, which starts it and talks to it by gRPC.
//
//	QueryData ─▶ package query ─▶ SQL ─▶ ClickHouse ─▶ frames
//	                        └────▶ edges, health ─▶ NATS, weir's /metrics
//	RunStream ─▶ package live ─▶ NATS ─▶ frames, four a second
//	CallResource ─▶ what a person decides ─▶ NATS, with the person's name
//	CheckHealth ─▶ which of ClickHouse and NATS is wrong, and why
package main

import (
	"os"

	"github.com/grafana/grafana-plugin-sdk-go/backend/datasource"
	"github.com/grafana/grafana-plugin-sdk-go/backend/log"
)

// pluginID is the plugin's name everywhere.
const pluginID = "weir-weir-datasource"

func main() {
	if err := datasource.Manage(pluginID, newSource, datasource.ManageOpts{}); err != nil {
		log.DefaultLogger.Error("the plugin ended", "error", err)
		os.Exit(1)
	}
}
