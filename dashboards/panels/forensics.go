//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

package panels

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"

	"github.com/weir-project/weir/dashboards/query"
)

// forensics is for after the first hour: click anything, and everything is about it.
func forensics() *dashboard.DashboardBuilder {
	where := map[string]string{"client": "$client", "network": "$network", "user_agent": "$agent", "path": "$path", "status": "$status", "decision": "$decision"}
	top := func(title, about, by, column, variable string) *table.PanelBuilder {
		return rows(title, about+" Click one to narrow everything down to it.", 12, 8, query.Query{Kind: query.Requests, By: by, Sites: chosen, Where: where, Limit: 50}).
			OverrideByName("stopped", bar(purple)).OverrideByName("not found", bar(grey)).
			OverrideByName(column, properties(property("unit", "string"), property("custom.minWidth", 180), link("Only this", "/d/weir-forensics?${__all_variables}&var-"+variable+"=${__value.raw}&${__url_time_range}")))
	}
	return begin("forensics", "weir: Forensics", "Requests by whom, with what and where to. Click an address, a network, an agent, a path or a status, and all tables are about it; empty a box above to go back.").
		Time("now-1h", "now").WithVariable(siteVariable(true)).
		WithVariable(box("client", "Client", "An address or a prefix.")).WithVariable(box("network", "Network", "A prefix, such as 192.0.2.0/24.")).
		WithVariable(box("agent", "Agent", "A user agent; with * at the end, its beginning.")).WithVariable(box("path", "Path", "A path; with * at the end, its beginning.")).
		WithVariable(box("status", "Status", "Such as 404.")).WithVariable(box("decision", "Decision", "What a decision matched.")).
		WithPanel(top("Clients", "Addresses by their requests.", "client", "client", "client")).
		WithPanel(top("Networks", "IPv4 /24 and IPv6 /48 by their requests.", "network", "network", "network")).
		WithPanel(top("Agents", "User agents by their requests.", "user_agent", "user_agent", "agent")).
		WithPanel(top("Paths", "Paths by their requests.", "path", "path", "path")).
		WithPanel(top("Statuses", "Answers by their status.", "status", "status", "status")).
		WithPanel(top("Decisions that matched", "Requests by the decision that an edge acted on; empty is none.", "decision", "decision", "decision")).
		WithPanel(rows("Requests", "The last ones that all boxes above let through. Texts are shown as they were sent, with what does not print replaced.", 24, 12,
			query.Query{Kind: query.Requests, Sites: chosen, Where: where, Limit: 200}).
			OverrideByName("client", properties(link("Only this client", "/d/weir-forensics?${__all_variables}&var-client=${__value.raw}&${__url_time_range}"))).
			OverrideByName("path", properties(property("custom.minWidth", 220))))
}
