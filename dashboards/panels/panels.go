//lint:file-ignore SA1019 schema version 1 is what every Grafana since 10 shows as it is meant

// Package panels is weir's dashboards as typed Go: what each panel asks (package query), how
// it is drawn, and the words beside it. `make generate` writes them as JSON.
//
//	now.go incident.go site.go edges.go pipeline.go forensics.go ─▶ All ─▶ gen ─▶ dashboards/grafana/dashboards/*.json
package panels

import (
	"encoding/json"
	"net/url"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"

	"github.com/weir-project/weir/dashboards/query"
)

// Source is the data source that the provisioning makes.
const (
	Source     = "weir"
	SourceType = "weir-weir-datasource"
)

// Colours, of Okabe and Ito's set, which people tell apart who see colours differently. One
// colour means one thing everywhere.
const (
	blue      = "#56B4E9" // served, as it should be
	vermilion = "#D55E00" // visitors fail; act
	orange    = "#E69F00" // look
	purple    = "#CC79A7" // stopped by an edge
	grey      = "#9E9E9E" // what is normal
	green     = "#009E73" // probes let through
)

// Dashboard is one dashboard with its file's name.
type Dashboard struct {
	Name string
	dashboard.Dashboard
}

// All are the dashboards.
func All() ([]Dashboard, error) {
	var all []Dashboard
	for _, d := range []struct {
		name  string
		build func() *dashboard.DashboardBuilder
	}{{"now", now}, {"incident", incident}, {"site", site}, {"edges", edges}, {"pipeline", pipeline}, {"forensics", forensics}} {
		built, err := d.build().Build()
		if err != nil {
			return nil, err
		}
		for i := range built.Panels { // alert rules name a panel by its number
			built.Panels[i].Panel.Id = cog.ToPtr(uint32(i + 1))
		}
		all = append(all, Dashboard{d.name, built})
	}
	return all, nil
}

// target is a query in a panel.
type target struct {
	query.Query
	ref string
}

func (t target) ImplementsDataqueryVariant()        {}
func (t target) Equals(variants.Dataquery) bool     { return false }
func (t target) DataqueryType() string              { return SourceType }
func (t target) Validate() error                    { return nil }
func (t target) Build() (variants.Dataquery, error) { return t, nil }

// MarshalJSON is the query with what Grafana wants beside it.
func (t target) MarshalJSON() ([]byte, error) {
	text, err := json.Marshal(t.Query)
	if err != nil {
		return nil, err
	}
	var all map[string]any
	if err := json.Unmarshal(text, &all); err != nil {
		return nil, err
	}
	all["refId"] = t.ref
	all["datasource"] = map[string]string{"type": SourceType, "uid": Source}
	return json.Marshal(all)
}

func asks(q query.Query) cog.Builder[variants.Dataquery] { return target{q, "A"} }

func from() common.DataSourceRef {
	return common.DataSourceRef{Type: cog.ToPtr(SourceType), Uid: cog.ToPtr(Source)}
}

// begin is a dashboard with what all of them have: links to each other, incidents as
// regions, UTC as in weir's own messages.
func begin(uid, title, about string) *dashboard.DashboardBuilder {
	return dashboard.NewDashboardBuilder(title).Uid("weir-" + uid).Description(about).Tags([]string{"weir"}).
		Timezone("utc").Readonly().Tooltip(dashboard.DashboardCursorSyncCrosshair).
		Link(dashboard.NewDashboardLinkBuilder("weir").Type(dashboard.DashboardLinkTypeDashboards).Tags([]string{"weir"}).KeepTime(true)).
		Annotation(dashboard.NewAnnotationQueryBuilder().Name("incidents").Datasource(from()).Enable(true).IconColor(orange).
			Target(asks(query.Query{Kind: query.Incidents, Annotations: true, Sites: nil})))
}

// siteVariable chooses sites.
func siteVariable(several bool) *dashboard.QueryVariableBuilder {
	v := dashboard.NewQueryVariableBuilder("site").Label("Site").Description("The sites that the panels are about.").Datasource(from()).
		Query(variable("sites")).Refresh(dashboard.VariableRefreshOnDashboardLoad)
	if several {
		all := dashboard.VariableOption{Text: dashboard.StringOrArrayOfString{String: cog.ToPtr("All")}, Value: dashboard.StringOrArrayOfString{String: cog.ToPtr("$__all")}}
		v = v.Multi(true).IncludeAll(true).AllValue("*").Current(all)
	}
	return v
}

func variable(of string) dashboard.StringOrMap {
	return dashboard.StringOrMap{Map: map[string]any{"kind": query.Values, "by": of, "refId": "values"}}
}

// box is a text that narrows down.
func box(name, label, about string) *dashboard.TextBoxVariableBuilder {
	none := dashboard.StringOrArrayOfString{String: cog.ToPtr("")}
	return dashboard.NewTextBoxVariableBuilder(name).Label(label).Description(about).DefaultValue(dashboard.StringOrMap{String: cog.ToPtr("")}).
		Current(dashboard.VariableOption{Text: none, Value: none})
}

// series draws over time.
func series(title, about, unit string, width, height uint32, q query.Query) *timeseries.PanelBuilder {
	return timeseries.NewPanelBuilder().Title(title).Description(about).Unit(unit).Datasource(from()).Span(width).Height(height).WithTarget(asks(q)).
		LineWidth(1.5).FillOpacity(10).Min(0).ShowPoints(common.VisibilityModeNever).NoValue("nothing in this time").
		Legend(common.NewVizLegendOptionsBuilder().DisplayMode(common.LegendDisplayModeList).Placement(common.LegendPlacementBottom).ShowLegend(true).Calcs([]string{"lastNotNull"})).
		Tooltip(common.NewVizTooltipOptionsBuilder().Mode(common.TooltipDisplayModeMulti).Sort(common.SortOrderDescending)).
		OverrideByRegexp("/normally$/", properties(dashed()...))
}

// properties of an override.
func properties(p ...dashboard.DynamicConfigValue) []dashboard.DynamicConfigValue { return p }

func property(id string, value any) dashboard.DynamicConfigValue {
	return dashboard.DynamicConfigValue{Id: id, Value: value}
}

func colour(c string) dashboard.DynamicConfigValue {
	return property("color", map[string]any{"mode": "fixed", "fixedColor": c})
}

// dashed is how what is normal is drawn.
func dashed() []dashboard.DynamicConfigValue {
	return properties(colour(grey), property("custom.lineStyle", map[string]any{"fill": "dash", "dash": []int{8, 6}}), property("custom.fillOpacity", 0))
}

// stacked is requests by what became of them.
func stacked(p *timeseries.PanelBuilder) *timeseries.PanelBuilder {
	return p.Stacking(common.NewStackingConfigBuilder().Mode(common.StackingModeNormal)).FillOpacity(40).
		OverrideByName("served", properties(colour(blue))).OverrideByName("failed", properties(colour(vermilion))).OverrideByName("stopped", properties(colour(purple)))
}

// limits colours a number: fine, look, act.
func limits(look, act float64) *dashboard.ThresholdsConfigBuilder {
	return dashboard.NewThresholdsConfigBuilder().Mode(dashboard.ThresholdsModeAbsolute).
		Steps([]dashboard.Threshold{{Color: blue}, {Value: &look, Color: orange}, {Value: &act, Color: vermilion}})
}

// number is one big figure: calc of the fields that match. Background colours are for the
// wall, words for those who do not see them.
func number(title, about, unit, calc, fields string, width uint32, look, act float64, q query.Query) *stat.PanelBuilder {
	return stat.NewPanelBuilder().Title(title).Description(about).Unit(unit).Datasource(from()).Span(width).Height(4).WithTarget(asks(q)).
		ReduceOptions(common.NewReduceDataOptionsBuilder().Calcs([]string{calc}).Fields(fields).Values(false)).
		Thresholds(limits(look, act)).ColorMode(common.BigValueColorModeBackground).GraphMode(common.BigValueGraphModeNone).TextMode(common.BigValueTextModeValue).NoValue("none")
}

// rows is a table.
func rows(title, about string, width, height uint32, q query.Query) *table.PanelBuilder {
	return table.NewPanelBuilder().Title(title).Description(about).Unit("short").Datasource(from()).Span(width).Height(height).WithTarget(asks(q)).
		CellHeight(common.TableCellHeightSm).Filterable(true).ShowHeader(true).NoValue("none").
		OverrideByFieldType("string", properties(property("unit", "string")))
}

// link goes on from a cell; more are further titles with their addresses.
func link(title, url string, more ...string) dashboard.DynamicConfigValue {
	links := []map[string]any{{"title": title, "url": url}}
	for i := 0; i+1 < len(more); i += 2 {
		links = append(links, map[string]any{"title": more[i], "url": more[i+1]})
	}
	return property("links", links)
}

// bar draws a share as a bar.
func bar(c string) []dashboard.DynamicConfigValue {
	return properties(property("custom.cellOptions", map[string]any{"type": "gauge", "mode": "basic"}), property("min", 0), property("max", 1), property("unit", "percentunit"), colour(c))
}

// shaded colours a cell by its limits.
func shaded(unit string, look, act float64) []dashboard.DynamicConfigValue {
	return properties(property("unit", unit), property("custom.cellOptions", map[string]any{"type": "color-background", "mode": "basic"}),
		property("thresholds", map[string]any{"mode": "absolute", "steps": []map[string]any{{"color": "transparent", "value": nil}, {"color": orange, "value": look}, {"color": vermilion, "value": act}}}))
}

// clicked is the value of the cell that was clicked, whatever somebody has put into it.
const clicked = "${__value.raw:percentencode}"

const (
	toIncident  = "/d/weir-incident?var-incident=" + clicked + "&${__url_time_range}"
	toSite      = "/d/weir-site?var-site=" + clicked + "&${__url_time_range}"
	toForensics = "/d/weir-forensics?${__url_time_range}&${site:queryparam}"
	toMatched   = "/d/weir-forensics?${__url_time_range}&var-decision=" + clicked
	toMatches   = "/d/weir-forensics?${__url_time_range}&var-matches=" + clicked
)

// toDecide opens a decision where it can be accepted, lifted and extended.
func toDecide() string {
	before := `{"w":{"datasource":"` + Source + `","queries":[{"refId":"A","datasource":{"type":"` + SourceType + `","uid":"` + Source + `"},"kind":"decisions","state":"in_force","where":{"decision":"`
	return "/explore?schemaVersion=1&panes=" + url.QueryEscape(before) + clicked + url.QueryEscape(`"}}],"range":{"from":"now-1h","to":"now"}}}`)
}
