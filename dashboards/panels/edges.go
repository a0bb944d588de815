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
	figure := func(columns ...string) query.Query {
		return query.Query{Kind: query.Figures, Columns: columns, Edges: []string{"$edge"}}
	}
	return begin("edges", "weir: Edges", "What each edge should hold, what it holds, what it stops, and how the server itself is.").
		Refresh("10s").Time("now-1h", "now").
		WithVariable(dashboard.NewQueryVariableBuilder("edge").Label("Edge").Description("The servers.").Datasource(from()).Query(variable("edges")).Refresh(dashboard.VariableRefreshOnDashboardLoad).
			Multi(true).IncludeAll(true).AllValue("*")).
		WithPanel(rows("Intended, loaded, matching", "What each part of each edge should hold and holds. Missing for more than a minute, an error, or a long silence: decisions are not in force there. The lease is until when it enforces without hearing from weir.", 24, 8,
			query.Query{Kind: query.Edges, Edges: []string{"$edge"}}).
			OverrideByName("missing", shaded("short", 1, 100)).OverrideByName("silent", shaded("s", 10, 30)).OverrideByName("refused", shaded("short", 1, 1000))).
		WithPanel(series("How long a load took", "From the first line written until nginx was told to read it, or until nftables and HAProxy had the change, of each part of each edge. Above two seconds: a large list, a slow disk, or an nginx whose configuration takes long to test.", "s", 12, 7, figure("load_seconds"))).
		WithPanel(series("Loads", "How often each part was brought up to date, a second. Many during an attack are reloads that follow each other; see that they are not more than a few a minute.", "ops", 6, 7, figure("loads"))).
		WithPanel(series("Not in force", "Decisions that a part should hold and does not, those left out that it cannot carry. More than none for longer than a minute: the table above says why.", "short", 6, 7, figure("missing"))).
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
