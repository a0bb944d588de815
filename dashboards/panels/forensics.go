//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

package panels

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"

	"github.com/weir-project/weir/dashboards/query"
)

// forensics is for after the first hour: click anything, and everything is about it.
func forensics() *dashboard.DashboardBuilder {
	where := map[string]string{"client": "$client", "network": "$network", "user_agent": "$agent", "path": "$path", "status": "$status", "decision": "$decision", "matches": "$matches"}
	top := func(title, about, by, column, variable string) *table.PanelBuilder {
		return rows(title, about+" Click one to narrow everything down to it.", 12, 8, query.Query{Kind: query.Requests, By: by, Sites: chosen, Where: where, Limit: 50}).
			OverrideByName("stopped", bar(purple)).OverrideByName("not found", bar(grey)).
			OverrideByName(column, properties(property("unit", "string"), property("custom.minWidth", 180), link("Only this", only(variable))))
	}
	return begin("forensics", "weir: Forensics", "Requests by whom, with what and where to. Click an address, a network, an agent, a path, a status or a signature, and all tables are about it; empty a box above to go back.").
		Time("now-1h", "now").WithVariable(siteVariable(true)).
		WithVariable(box("client", "Client", "An address or a prefix.")).WithVariable(box("network", "Network", "A prefix, such as 192.0.2.0/24.")).
		WithVariable(box("agent", "Agent", "A user agent; with * at the end, its beginning.")).WithVariable(box("path", "Path", "A path; with * at the end, its beginning.")).
		WithVariable(box("status", "Status", "Such as 404.")).WithVariable(box("decision", "Decision", "What a decision matched.")).
		WithVariable(box("matches", "Signature", "A signature as a decision has it, such as user_agent=\"curl/8.0\" referer=\"none\"; also an address, a prefix or a site.")).
		WithPanel(top("Clients", "Addresses by their requests.", "client", "client", "client")).
		WithPanel(top("Networks", "IPv4 /24 and IPv6 /48 by their requests.", "network", "network", "network")).
		WithPanel(top("Agents", "User agents by their requests.", "user_agent", "user_agent", "agent")).
		WithPanel(top("Paths", "Paths by their requests.", "path", "path", "path")).
		WithPanel(top("Statuses", "Answers by their status.", "status", "status", "status")).
		WithPanel(top("Decisions that matched", "Requests by the decision that an edge acted on; empty is none.", "decision", "decision", "decision")).
		WithPanel(rows("Requests", "The last ones that all boxes above let through. Texts are shown as they were sent, with what does not print replaced.", 24, 12,
			query.Query{Kind: query.Requests, Sites: chosen, Where: where, Limit: 200}).
			OverrideByName("client", properties(link("Only this client", only("client")))).
			OverrideByName("network", properties(link("Only this network", only("network")))).
			OverrideByName("user_agent", properties(property("custom.minWidth", 260), link("Only this agent", only("agent")))).
			OverrideByName("decision", properties(link("Only what it matched", only("decision")))).
			OverrideByName("path", properties(property("custom.minWidth", 220), link("Only this path", only("path"))))).
		WithPanel(rows("Decisions and signatures", "What was decided in the time shown, by what it matched. Click a value (an address, a prefix, a signature) and all tables are about the requests that have it.", 24, 9,
			query.Query{Kind: query.Decisions, State: "all", Sites: chosen, Limit: 100}).
			OverrideByName("value", properties(property("unit", "string"), property("custom.minWidth", 300), link("Only what it matches", only("matches")))).
			OverrideByName("decision", properties(link("Accept, lift or extend", toDecide(), "Only what it matched", only("decision")))))
}

// boxes are the texts that narrow down.
var boxes = []string{"client", "network", "agent", "path", "status", "decision", "matches"}

// only leads back here with one text changed to what was clicked. Every other one stands there
// once by its name: of a text that stands there twice Grafana takes the first.
func only(variable string) string {
	url := "/d/weir-forensics?var-" + variable + "=" + clicked + "&${__url_time_range}&${site:queryparam}"
	for _, name := range boxes {
		if name != variable {
			url += "&${" + name + ":queryparam}"
		}
	}
	return url
}
