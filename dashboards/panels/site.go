//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

package panels

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/weir-project/weir/dashboards/query"
)

// site is a week of one site against its baseline.
func site() *dashboard.DashboardBuilder {
	signal := func(name string) query.Query {
		return query.Query{Kind: query.Signals, Signals: []string{name}, Normal: true, Sites: chosen}
	}
	return begin("site", "weir: Site", "One site over a week, each signal beside what is normal at that hour (dashed).").
		Refresh("1m").Time("now-7d", "now").WithVariable(siteVariable(false)).
		WithPanel(stacked(series("Requests", "By what became of them, over the time shown.", "reqps", 24, 7, query.Query{Kind: query.Traffic, Sites: chosen}))).
		WithPanel(series("Rate against normal", "Requests a second beside what is normal (dashed). A gap between the two for days on end: weir is still learning, or the site has changed.", "reqps", 12, 7, signal("request_rate"))).
		WithPanel(series("Clients against normal", "Distinct clients in ten seconds. A crowd brings more clients, too; look at the shares below to tell it from a botnet.", "short", 12, 7, signal("unique_clients"))).
		WithPanel(series("New clients", "The share of clients that were never seen before. A botnet's are nearly all new.", "percentunit", 8, 7, signal("new_client_share")).Max(1)).
		WithPanel(series("Not found", "The share of requests answered with 404 or 410. Random pages show here.", "percentunit", 8, 7, signal("not_found_share")).Max(1)).
		WithPanel(series("Variety of paths", "Entropy of the paths, in bits: how evenly requests are spread over pages. Random pages push it up, one hammered page down.", "none", 8, 7, signal("path_entropy"))).
		WithPanel(series("Errors", "The share of requests that ended with 5xx.", "percentunit", 8, 7, signal("error_share")).Max(1)).
		WithPanel(series("Given up", "The share of requests whose client left before the answer (499).", "percentunit", 8, 7, signal("abandoned_share")).Max(1)).
		WithPanel(series("Slow", "The share of requests that were slow for this site.", "percentunit", 8, 7, signal("slow_share")).Max(1)).
		WithPanel(rows("Incidents of this site", "In the time shown. Click one for all that is known of it.", 24, 7, query.Query{Kind: query.Incidents, Sites: chosen}).
			OverrideByName("incident", properties(link("This incident", toIncident))))
}
