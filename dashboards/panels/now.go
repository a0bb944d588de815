//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

package panels

import (
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/weir-project/weir/dashboards/query"
)

// chosen is what the variable site holds.
var chosen = []string{"$site"}

// now is the page for someone who was just woken: the first row answers how bad it is, the
// second since when and where, the third what it looks like and what weir does about it.
// The first two fit a screen of 1366 x 768.
func now() *dashboard.DashboardBuilder {
	return begin("now", "weir: Now", "Which sites are under attack, since when, how bad it is for visitors, what it looks like, what weir does, and what is left to decide.").
		Refresh("10s").Time("now-30m", "now").WithVariable(siteVariable(true)).
		WithPanel(number("Incidents open", "Incidents that go on at this moment, of any kind. None: nothing departs from what is normal. Click for the page about it.", "none", "count", "/^incident$/", 4, 1, 1,
			query.Query{Kind: query.Incidents, State: "open", Sites: chosen}).DataLinks(to("Incident", "/d/weir-incident?${__url_time_range}"))).
		WithPanel(number("Visitors failing", "Of the requests that were let through, the share that ended with an error (5xx) or whose visitor gave up (499): the worst site of the last ten seconds. This is what people feel.", "percentunit", "max", "/^unserved_share$|visitors failing/", 4, 0.05, 0.25,
			query.Query{Kind: query.Sites, Sites: chosen})).
		WithPanel(number("Stopped at the edges", "The share of requests that edges stopped in the last ten seconds, at the site where it is greatest. High with few visitors failing: weir is winning.", "percentunit", "max", "/^stopped_share$|^stopped$/", 4, 0.5, 2,
			query.Query{Kind: query.Sites, Sites: chosen})).
		WithPanel(number("Above normal", "By how many spreads the rate of requests lies above what is normal at this hour, at the site where it is greatest. Up to 3 is an ordinary day.", "none", "max", "/^score$|above normal/", 4, 3, 6,
			query.Query{Kind: query.Sites, Sites: chosen}).Decimals(1)).
		WithPanel(number("Waiting for you", "Decisions of weir's own in force that no person has accepted and no edge has acted on: in the modes observe and propose they wait for you. Click one in the table below.", "none", "count", "/^decision$/", 4, 1, 1000,
			query.Query{Kind: query.Decisions, State: "review", Sites: chosen})).
		WithPanel(number("Out of force", "Decisions that edges should hold and do not. More than none for longer than a minute: see the dashboard Edges.", "none", "sum", "/^missing$/", 4, 1, 1,
			query.Query{Kind: query.Edges}).DataLinks(to("Edges", "/d/weir-edges?${__url_time_range}"))).
		WithPanel(stacked(series("Requests by what became of them", "Live, four times a second. Blue is served, vermilion failed, purple was stopped at an edge. A gap is time in which NATS could not be heard: unknown, not zero. Shaded regions are incidents.", "reqps", 13, 9,
			query.Query{Kind: query.Traffic, Sites: chosen, Live: true}))).
		WithPanel(rows("Sites", "The worst first: sites with an open incident, then by requests. Click a site for its week, an incident for what is known of it.", 11, 9,
			query.Query{Kind: query.Sites, Sites: chosen}).
			OverrideByName("site", properties(link("This site", toSite), property("custom.minWidth", 130))).
			OverrideByName("incident", properties(link("This incident", toIncident))).
			OverrideByName("kind", properties(property("custom.cellOptions", map[string]any{"type": "color-text"}), colour(vermilion))).
			OverrideByName("visitors failing", shaded("percentunit", 0.05, 0.25)).OverrideByName("above normal", shaded("none", 3, 6))).
		WithPanel(rows("What sets these requests apart", "Values of traits by how much more frequent they became: the last ten minutes of the time shown against the half hour before it. 3 bits are eight times as frequent. Many bits on few lines: the attack has a signature.", 12, 9,
			query.Query{Kind: query.Traits, Sites: chosen, Limit: 12}).
			OverrideByName("during", bar(vermilion)).OverrideByName("before", bar(grey)).OverrideByName("bits", shaded("none", 3, 6)).
			OverrideByName("value", properties(property("unit", "string"), property("custom.minWidth", 260)))).
		WithPanel(rows("Decisions in force", "What weir and people have decided, by how much it matched in the time shown. Click a decision to accept, lift or extend it (needs the role Editor).", 12, 9,
			query.Query{Kind: query.Decisions, Sites: chosen, Limit: 50}).
			OverrideByName("decision", properties(link("Accept, lift or extend", toDecide()))).
			OverrideByName("collateral", shaded("percentunit", 0.002, 0.005)).
			OverrideByName("incident", properties(link("This incident", toIncident)))).
		WithPanel(series("Visitors failing, by site", "Of what was let through, the share that failed. Every ten seconds, live.", "percentunit", 12, 7,
			query.Query{Kind: query.Signals, Signals: []string{"unserved_share"}, Sites: chosen, Live: true}).Max(1)).
		WithPanel(series("Clients, by site", "Distinct clients in ten seconds, beside what is normal (dashed). A botnet shows here first: many clients, each with few requests.", "short", 12, 7,
			query.Query{Kind: query.Signals, Signals: []string{"unique_clients"}, Normal: true, Sites: chosen, Live: true}))
}
