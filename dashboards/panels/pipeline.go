//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

package panels

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/weir-project/weir/dashboards/query"
)

// pipeline is whether weir itself is well.
func pipeline() *dashboard.DashboardBuilder {
	figure := func(columns ...string) query.Query {
		return query.Query{Kind: query.Figures, Columns: columns}
	}
	return begin("pipeline", "weir: Pipeline", "Whether weir itself is well: how late it is, what it drops, what it takes of memory and disk.").
		Refresh("10s").Time("now-1h", "now").
		WithPanel(series("Stored after", "From a request's time to when it was in the store, at most. Above half a minute the store is behind: detection goes on, it does not wait for the store.", "s", 12, 8,
			query.Query{Kind: query.Lag}).OverrideByName("stored", properties(property("custom.hideFrom", map[string]any{"viz": true, "legend": true, "tooltip": true})))).
		WithPanel(series("Requests by site", "Requests a second of the twenty busiest sites. Live. A site that falls to nothing while the others go on: its log is not read.", "reqps", 12, 8,
			query.Query{Kind: query.Traffic, By: "site", Live: true})).
		WithPanel(series("Behind", "How late lines are read, of the slowest source, and how far the detector is behind. Above a few seconds an attack is noticed later by as much.", "s", 8, 7,
			figure("collector_lag", "detector_lag"))).
		WithPanel(series("Read and counted", "Lines read and requests counted, a second. Where they part for long, lines are refused or the processor is behind.", "ops", 8, 7,
			figure("lines", "processed"))).
		WithPanel(series("Drops", "A second: lines that no parser took, messages that listeners dropped, messages discarded before they were read, requests too late for their window, inserts tried again. All should be none.", "ops", 8, 7,
			figure("lines_refused", "listener_dropped", "bus_lost", "late_requests", "store_retries"))).
		WithPanel(series("Memory", "What weir (with the embedded NATS), NATS's streams in memory, and ClickHouse hold. It should be flat over hours, also during an attack.", "bytes", 12, 8,
			figure("weir_memory", "nats_memory", "clickhouse_memory"))).
		WithPanel(series("Disk", "What NATS's streams and ClickHouse's tables take. NATS is bounded by nats.disk, the tables by how long rows are kept.", "bytes", 12, 8,
			figure("nats_disk", "clickhouse_disk"))).
		WithPanel(rows("Numbers", "What NATS, ClickHouse and weir say of themselves at this moment: lag (age of the newest), drops and refusals since the start, memory and disk in bytes.", 14, 13,
			query.Query{Kind: query.Health, Limit: 100}).OverrideByName("about", properties(property("unit", "string"), property("custom.minWidth", 420)))).
		WithPanel(series("Pressure on the machines", "The share of the last ten seconds in which something waited for processor, memory or disk, by edge.", "percentunit", 10, 6,
			query.Query{Kind: query.Vitals, Columns: []string{"cpu_pressure", "memory_pressure", "io_pressure"}}).Max(1)).
		WithPanel(rows("Tables on disk", "Rows and bytes of each table of the store, and how much each row takes.", 10, 7,
			query.Query{Kind: query.SQL, Limit: 50, SQL: "SELECT table, sum(rows) AS rows, sum(bytes_on_disk) AS bytes, round(bytes / rows, 1) AS bytes_per_row FROM system.parts WHERE active AND database = currentDatabase() GROUP BY table ORDER BY bytes DESC"}))
}
