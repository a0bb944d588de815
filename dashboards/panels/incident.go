//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

package panels

import (
	"fmt"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/table"

	"github.com/weir-project/weir/dashboards/query"
)

const theIncident = "$incident"

func to(title, url string) []cog.Builder[dashboard.DashboardLink] {
	return []cog.Builder[dashboard.DashboardLink]{dashboard.NewDashboardLinkBuilder(title).Type(dashboard.DashboardLinkTypeLink).Url(url)}
}

// incident is all that is known of one.
func incident() *dashboard.DashboardBuilder {
	return begin("incident", "weir: Incident", "One incident: before and during, what sets it apart, requests of it, what was decided, what that stopped, and whom it may have touched.").
		Refresh("30s").Time("now-3h", "now").
		WithVariable(dashboard.NewQueryVariableBuilder("incident").Label("Incident").Description("The newest first.").Datasource(from()).Query(variable("incidents")).Refresh(dashboard.VariableRefreshOnTimeRangeChanged)).
		WithPanel(rows("What it is", "Its kind, its sites, since when, and what weir takes to be the cause. Only flood, scrape and scan lead to decisions.", 24, 4,
			query.Query{Kind: query.Incidents, Incident: theIncident}).
			OverrideByName("cause", properties(property("custom.minWidth", 380), property("custom.cellOptions", map[string]any{"type": "auto", "wrapText": true}), property("unit", "string")))).
		WithPanel(stacked(series("Requests on its sites", "Before and during, by what became of them. Set the time to reach from before it opened to after it closed.", "reqps", 12, 8,
			query.Query{Kind: query.Traffic, Incident: theIncident}))).
		WithPanel(series("What edges did for its decisions", "Requests that its decisions matched: blocked, challenged, throttled, and let through as probes, by which weir sees whom a decision hurts.", "reqps", 12, 8,
			query.Query{Kind: query.Effect, Incident: theIncident}).
			OverrideByName("probe", properties(colour(green))).OverrideByName("block", properties(colour(purple))).OverrideByName("challenge", properties(colour(orange))).OverrideByName("throttle", properties(colour(blue)))).
		WithPanel(rows("Traits that set it apart", "Its first ten minutes against the half hour before: values of traits by the bits that one request with it says.", 12, 10,
			query.Query{Kind: query.Traits, Incident: theIncident, Limit: 20}).
			OverrideByName("during", bar(vermilion)).OverrideByName("before", bar(grey)).OverrideByName("bits", shaded("none", 3, 6)).
			OverrideByName("value", properties(property("unit", "string"), property("custom.minWidth", 260)))).
		WithPanel(rows("Its decisions", "Every decision of it, with what it matched, its collateral (at most this share of the site's people, and as people an hour) and how many requests it let through as probes.", 12, 10,
			query.Query{Kind: query.Decisions, State: "all", Incident: theIncident, Limit: 100}).
			OverrideByName("decision", properties(link("Accept, lift or extend", toDecide(), "Requests that it matched", toMatched))).OverrideByName("value", properties(property("unit", "string"), link("Requests that it matches", toMatches))).OverrideByName("collateral", shaded("percentunit", 0.002, 0.005))).
		WithPanel(series("Signals against what is normal", "Rate, clients, and how strange the paths are, beside what is normal (dashed), on its sites.", "short", 12, 8,
			query.Query{Kind: query.Signals, Signals: []string{"request_rate", "unique_clients"}, Normal: true, Incident: theIncident})).
		WithPanel(series("What visitors met", "Shares of not found, of errors, and of visitors that failed, beside what is normal (dashed), on its sites.", "percentunit", 12, 8,
			query.Query{Kind: query.Signals, Signals: []string{"not_found_share", "error_share", "unserved_share"}, Incident: theIncident})).
		WithPanel(rows("Evidence", "Why each decision was taken: the traits with their bits, requests that it matches (sample), and the normal requests that come closest to being matched (nearest). Where sample and nearest look alike, look twice.", 24, 10,
			query.Query{Kind: query.Evidence, Incident: theIncident, Limit: 200}).
			OverrideByName("text", properties(property("unit", "string"), property("custom.minWidth", 520))).
			OverrideByName("of the attack", bar(vermilion)).OverrideByName("of normal traffic", bar(grey)).OverrideByName("bits", shaded("none", 3, 6)).
			OverrideByName("decision", properties(link("Requests that it matched", toMatched)))).
		WithPanel(prefixMap(query.Query{Kind: query.Prefixes, By: "map", Incident: theIncident})).
		WithPanel(rows("Where it came from", "Networks (IPv4 /16, IPv6 /32) by their requests in its first ten minutes. Many networks with one or two requests per client: a botnet, and addresses alone will not stop it.", 10, 17,
			query.Query{Kind: query.Prefixes, Incident: theIncident, Limit: 50}).
			OverrideByName("stopped", bar(purple)).OverrideByName("not found", bar(grey)).
			OverrideByName("network", properties(property("unit", "string"), link("Requests from there", "/d/weir-forensics?${__url_time_range}&var-network="+clicked)))).
		WithPanel(rows("Requests of it", "The last ones. Click an address or an agent to go on from there.", 24, 9,
			query.Query{Kind: query.Requests, Incident: theIncident, Limit: 100}).
			OverrideByName("client", properties(link("This client", "/d/weir-forensics?var-client="+clicked+"&${__url_time_range}"))).
			OverrideByName("user_agent", properties(link("This agent", "/d/weir-forensics?var-agent="+clicked+"&${__url_time_range}"))))
}

// prefixMap is the address space of IPv4 as a chart of sixteen by sixteen blocks, darker where
// more requests came from.
func prefixMap(q query.Query) *table.PanelBuilder {
	p := rows("Map of prefixes", "The address space of IPv4, a /8 a cell, by the requests of the incident's first ten minutes: the row says with which it begins, the column how many further. A botnet is spread over all that is routed, a hired server farm sits in a few cells. Click a cell for its requests.", 14, 17, q).
		Filterable(false).OverrideByName("from", properties(property("unit", "string"), property("custom.width", 52))).
		OverrideByRegexp("/^n[0-9]+$/", properties(property("custom.hidden", true)))
	for i := range 16 {
		p = p.OverrideByName(fmt.Sprintf("+%d", i), properties(
			property("unit", "short"), property("decimals", 0), property("min", 0), property("custom.minWidth", 40), property("color", map[string]any{"mode": "continuous-blues"}),
			property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}),
			link("Requests from there", fmt.Sprintf("/d/weir-forensics?${__url_time_range}&var-network=${__data.fields.n%d:percentencode}", i))))
	}
	return p
}
