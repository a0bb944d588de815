//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

package panels

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/weir-project/weir/dashboards/query"
)

// edges is whether what was decided is in force, and how the servers are.
func edges() *dashboard.DashboardBuilder {
	vital := func(columns ...string) query.Query {
		return query.Query{Kind: query.Vitals, Columns: columns, Edges: []string{"$edge"}}
	}
	return begin("edges", "weir: Edges", "What each edge should hold, what it holds, what it stops, and how the server itself is.").
		Refresh("10s").Time("now-1h", "now").
		WithVariable(dashboard.NewQueryVariableBuilder("edge").Label("Edge").Description("The servers.").Datasource(from()).Query(variable("edges")).Refresh(dashboard.VariableRefreshOnDashboardLoad).
			Multi(true).IncludeAll(true).AllValue("*")).
		WithPanel(rows("Intended, loaded, matching", "What each part of each edge should hold and holds. Missing for more than a minute, an error, or a long silence: decisions are not in force there. The lease is until when it enforces without hearing from weir.", 24, 8,
			query.Query{Kind: query.Edges, Edges: []string{"$edge"}}).
			OverrideByName("missing", shaded("short", 1, 100)).OverrideByName("silent", shaded("s", 10, 30)).OverrideByName("refused", shaded("short", 1, 1000))).
		WithPanel(rows("Lifted by hand", "Who lifted everything everywhere (off), and when it was enforced again (on). While it is off, nothing that weir decides is in force on any edge.", 24, 4,
			query.Query{Kind: query.SQL, Limit: 20, SQL: "SELECT time, if(off, 'off', 'on') AS panic, by FROM panics ORDER BY time DESC"})).
		WithPanel(series("Connections at nginx", "Open connections. Many that are being read and few requests: slow clients hold them (slowloris).", "short", 12, 7, vital("nginx_active", "nginx_reading"))).
		WithPanel(series("Requests begun at nginx", "As nginx itself counts them: when this goes up and the log does not, requests are hanging.", "reqps", 12, 7, vital("nginx_requests"))).
		WithPanel(series("Waiting to be accepted", "Connections in the listen queue. Growing: nginx cannot keep up, visitors wait before they are seen.", "short", 8, 7, vital("listen_waiting"))).
		WithPanel(series("Refused and cookies", "Connections refused because a queue was full, and SYN cookies sent: a flood below HTTP, which only your provider can stop.", "cps", 8, 7, vital("listen_overflows", "syncookies"))).
		WithPanel(series("Connection tracking", "How full the firewall's table is. At 100 % the kernel drops everybody.", "percentunit", 8, 7, vital("conntrack_share")).Max(1)).
		WithPanel(series("Load per core", "Above 100 % something waits for a processor.", "percentunit", 8, 7, vital("load"))).
		WithPanel(series("Memory in use", "Share of the server's memory.", "percentunit", 8, 7, vital("memory_used")).Max(1)).
		WithPanel(series("Network", "Bytes a second of all interfaces. At the line's limit, filtering on the server does not help: call the provider.", "Bps", 8, 7, vital("received", "sent")))
}
