package statuspage

import (
	"encoding/json"
	"fmt"
	"slices"
	"time"
)

// The common status-page form: what Atlassian Statuspage answers below /api/v2, which
// monitors and dashboards read. What weir does not know is null or left out; a
// component of which nothing is known has the status "unknown", which that form lacks.
type jsonSummary struct {
	Page         jsonPage        `json:"page"`
	Components   []jsonComponent `json:"components"`
	Incidents    []jsonIncident  `json:"incidents"`
	Maintenances []jsonIncident  `json:"scheduled_maintenances"`
	Status       jsonStatus      `json:"status"`
}

type jsonPage struct {
	ID        string `json:"id"`
	Name      string `json:"name"`
	URL       string `json:"url"`
	TimeZone  string `json:"time_zone"`
	UpdatedAt string `json:"updated_at"`
}

type jsonStatus struct {
	Indicator   string `json:"indicator"` // none, minor, major, critical, maintenance, unknown
	Description string `json:"description"`
}

type jsonComponent struct {
	ID                 string   `json:"id"`
	Name               string   `json:"name"`
	Status             State    `json:"status"`
	Position           int      `json:"position"`
	Description        *string  `json:"description"`
	Showcase           bool     `json:"showcase"`
	StartDate          *string  `json:"start_date"`
	GroupID            *string  `json:"group_id"`
	PageID             string   `json:"page_id"`
	Group              bool     `json:"group"`
	OnlyShowIfDegraded bool     `json:"only_show_if_degraded"`
	UpdatedAt          string   `json:"updated_at"`
	Components         []string `json:"components,omitempty"` // of a group
}

type jsonIncident struct {
	ID             string          `json:"id"`
	Name           string          `json:"name"`
	Status         Stage           `json:"status"`
	CreatedAt      string          `json:"created_at"`
	UpdatedAt      string          `json:"updated_at"`
	MonitoringAt   *string         `json:"monitoring_at"`
	ResolvedAt     *string         `json:"resolved_at"`
	Impact         string          `json:"impact"`
	Shortlink      string          `json:"shortlink"`
	StartedAt      string          `json:"started_at"`
	PageID         string          `json:"page_id"`
	Updates        []jsonUpdate    `json:"incident_updates"`
	Components     []jsonComponent `json:"components"`
	ScheduledFor   string          `json:"scheduled_for,omitempty"`
	ScheduledUntil string          `json:"scheduled_until,omitempty"`
}

type jsonUpdate struct {
	ID         string `json:"id"`
	Status     Stage  `json:"status"`
	Body       string `json:"body"`
	IncidentID string `json:"incident_id"`
	CreatedAt  string `json:"created_at"`
	UpdatedAt  string `json:"updated_at"`
	DisplayAt  string `json:"display_at"`
}

// jsonUptime is weir's own: the days of each component.
type jsonUptime struct {
	Page       jsonPage              `json:"page"`
	Measured   string                `json:"measured_until,omitempty"`
	Components []jsonUptimeComponent `json:"components"`
}

type jsonUptimeComponent struct {
	ID   string    `json:"id"`
	Name string    `json:"name"`
	Days []jsonDay `json:"days"` // the oldest first
}

// jsonDay is one day; without shares there is no data.
type jsonDay struct {
	Date   string   `json:"date"`
	Served *float64 `json:"served"` // 0 to 1
	Fast   *float64 `json:"fast"`
	Hours  float64  `json:"hours"` // in which visitors came, of 24
}

func stamp(t time.Time) string { return t.UTC().Format("2006-01-02T15:04:05.000Z") }

func stampOrNil(t time.Time) *string {
	if t.IsZero() {
		return nil
	}
	s := stamp(t)
	return &s
}

// json are the files below api/v2.
func (r *renderer) json(v *view) ([]File, error) {
	t := r.o.Texts[0]
	page := jsonPage{
		ID: idOf("page", r.urn("page")), Name: r.o.Title, URL: r.o.URL, TimeZone: "Etc/UTC", UpdatedAt: stamp(latest(v.changed, v.measured)),
	}
	if r.o.Zone != time.UTC {
		page.TimeZone = r.o.Zone.String()
	}
	s := jsonSummary{
		Page: page, Components: r.jsonComponents(v, page), Incidents: r.jsonIncidents(v.current, v, page),
		Maintenances: r.jsonIncidents(v.planned, v, page),
		Status:       jsonStatus{indicator(v.state), t.Get("overall." + string(v.state))},
	}
	past := slices.DeleteFunc(slices.Clone(v.past), func(p *Post) bool { return p.Planned() })
	done := slices.DeleteFunc(slices.Clone(v.past), func(p *Post) bool { return !p.Planned() })
	type m = map[string]any
	bodies := []struct {
		name string
		body any
	}{
		{"summary", s},
		{"status", m{"page": page, "status": s.Status}},
		{"components", m{"page": page, "components": s.Components}},
		{"incidents", m{"page": page, "incidents": r.jsonIncidents(slices.Concat(v.current, past), v, page)}},
		{"incidents/unresolved", m{"page": page, "incidents": s.Incidents}},
		{"scheduled-maintenances", m{"page": page, "scheduled_maintenances": r.jsonIncidents(slices.Concat(v.planned, done), v, page)}},
		{"uptime", r.jsonUptime(v, page)},
	}
	var files []File
	for _, b := range bodies {
		body, err := json.MarshalIndent(b.body, "", " ")
		if err != nil {
			return nil, fmt.Errorf("status page: %w", err)
		}
		files = append(files, File{"api/v2/" + b.name + ".json", "application/json", append(body, '\n')})
	}
	return files, nil
}

// jsonComponents are groups and components, in the order of the page.
func (r *renderer) jsonComponents(v *view, page jsonPage) []jsonComponent {
	out := []jsonComponent{}
	groups := make(map[string]int)
	for i := range v.components {
		c := &v.components[i]
		j := jsonOf(c, page)
		if c.Group != "" {
			id := idOf("group", c.Group)
			j.GroupID = &id
			at, known := groups[c.Group]
			if !known {
				at = len(out)
				groups[c.Group] = at
				out = append(out, jsonComponent{ID: id, Name: c.Group, Status: Operational, PageID: page.ID, Group: true, UpdatedAt: page.UpdatedAt, Position: at + 1})
			}
			out[at].Status = worse(out[at].Status, c.state)
			out[at].Components = append(out[at].Components, c.id)
		}
		j.Position = len(out) + 1
		out = append(out, j)
	}
	return out
}

func jsonOf(c *componentView, page jsonPage) jsonComponent {
	j := jsonComponent{ID: c.id, Name: c.Name, Status: c.state, PageID: page.ID, UpdatedAt: page.UpdatedAt}
	if c.About != "" {
		j.Description = &c.About
	}
	for _, d := range c.days {
		if d.Visitors > 0 {
			date := d.start.Format(dayLayout)
			j.StartDate = &date
			break
		}
	}
	return j
}

func (r *renderer) jsonIncidents(posts []*Post, v *view, page jsonPage) []jsonIncident {
	t := r.o.Texts[0]
	out := []jsonIncident{}
	for _, post := range posts {
		j := jsonIncident{
			ID: post.ID, Name: r.words(post.Title, t), Status: post.Stage(v.now), CreatedAt: stamp(post.Published),
			UpdatedAt: stamp(post.changed()), Impact: string(post.Impact), Shortlink: r.link("index.html#" + post.ID),
			StartedAt: stamp(post.Began), PageID: page.ID, Components: []jsonComponent{}, Updates: []jsonUpdate{},
		}
		if post.over(v.now) {
			j.ResolvedAt = stampOrNil(post.endOf())
		}
		if post.Planned() {
			j.Impact, j.ScheduledFor, j.ScheduledUntil = "maintenance", stamp(post.From), stamp(post.Until)
			j.StartedAt = j.ScheduledFor
		}
		for i := len(post.Updates) - 1; i >= 0; i-- {
			u := &post.Updates[i]
			if u.Stage == Monitoring {
				j.MonitoringAt = stampOrNil(u.Time)
			}
			j.Updates = append(j.Updates, jsonUpdate{
				ID: fmt.Sprintf("%s.%d", post.ID, i+1), Status: u.Stage, Body: r.words(u.Text, t), IncidentID: post.ID,
				CreatedAt: stamp(u.Time), UpdatedAt: stamp(u.Time), DisplayAt: stamp(u.Time),
			})
		}
		for i := range v.components {
			if slices.Contains(post.Components, v.components[i].Site) {
				c := jsonOf(&v.components[i], page)
				c.Position = i + 1
				j.Components = append(j.Components, c)
			}
		}
		out = append(out, j)
	}
	return out
}

func (r *renderer) jsonUptime(v *view, page jsonPage) jsonUptime {
	u := jsonUptime{Page: page, Components: []jsonUptimeComponent{}}
	if !v.measured.IsZero() {
		u.Measured = stamp(v.measured)
	}
	for i := range v.components {
		c := &v.components[i]
		j := jsonUptimeComponent{ID: c.id, Name: c.Name}
		for _, d := range c.days {
			day := jsonDay{Date: d.start.Format(dayLayout), Hours: float64(d.Windows*windowSeconds*10/3600) / 10}
			if served, fast, ok := d.Shares(); ok {
				served, fast = floor(served), floor(fast)
				day.Served, day.Fast = &served, &fast
			}
			j.Days = append(j.Days, day)
		}
		u.Components = append(u.Components, j)
	}
	return u
}

// floor rounds a share down to a tenth of a percent, as everywhere on the page.
func floor(share float64) float64 { return float64(int(share*1000+1e-9)) / 1000 }
