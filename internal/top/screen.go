package top

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// View is what the screen shows of an Overview beside the data.
type View struct {
	Width, Height int
	Address       string // of what is looked at
	Selected      int    // site
	Detail        bool   // the selected site's signals instead of the decisions
	Mixed         bool   // its windows instead of either
	Windows       *Windows
	Paused        bool
	Colour        bool
	Problem       string // why there is nothing newer
}

const (
	minWidth = 60
	bold     = "1"
	dim      = "2"
	reverse  = "7"
	red      = "1;31"
	yellow   = "33"
)

// page gathers lines that fit the screen.
type page struct {
	View
	lines []string
}

func (p *page) left() int { return p.Height - len(p.lines) }

// add adds a line, cut to the width, in a style (SGR parameters; "" is none).
func (p *page) add(style, text string) {
	if p.left() <= 0 {
		return
	}
	text = plain(text, p.Width)
	if p.Colour && style != "" {
		text = "\x1b[" + style + "m" + text + "\x1b[0m"
	}
	p.lines = append(p.lines, text)
}

// Render draws the screen: exactly v.Height lines of v.Width columns, joined by newlines.
// Whatever strangers chose, host names for one, stands in it as text.
func Render(o *Overview, v View) string {
	v.Width, v.Height = max(v.Width, minWidth), max(v.Height, 10)
	p := &page{View: v}
	p.head(o)
	incidents, edges := min(len(o.Incidents), max(1, v.Height/6)), edgesOf(o)
	edges = edges[:min(len(edges), max(1, v.Height/8))]
	below := 2 + max(incidents, 1) + undecided(o.Incidents[:incidents]) + 2 + min(max(len(o.Decisions), 1), max(1, v.Height/5))
	if len(edges) > 0 {
		below += 2 + len(edges)
	}
	switch {
	case v.Mixed:
		below = 7 * v.Height / 8
	case v.Detail:
		below = 18
	}
	p.sites(o, max(2, p.left()-below-1))
	switch {
	case v.Mixed && v.Selected >= 0 && v.Selected < len(o.Sites):
		p.windows(o.Sites[v.Selected].Name, v.Windows)
	case v.Detail && v.Selected < len(o.Sites):
		p.detail(&o.Sites[v.Selected])
	default:
		p.incidents(o, incidents)
		p.edges(edges)
		p.decisions(o)
	}
	for p.left() > 1 {
		p.add("", "")
	}
	p.add(dim, " q quit  ↑↓ site (incidents first)  enter signals  w windows  space pause")
	return strings.Join(p.lines, "\n")
}

func (p *page) head(o *Overview) {
	rate, open := 0.0, 0
	for i := range o.Sites {
		rate += o.Sites[i].signal("request_rate").Value
	}
	for i := range o.Incidents {
		if o.Incidents[i].Type != schemas.IncidentClosed {
			open++
		}
	}
	state := ""
	if p.Paused {
		state = "   PAUSED"
	}
	right := fmt.Sprintf("   %s UTC   lag %s   mode %s%s", o.Time.UTC().Format(time.TimeOnly), span(o.Lag()), o.Mode, state)
	address := plain(p.Address, max(8, p.Width-len(" weir top   ")-len(right)))
	p.add(bold, " weir top   "+strings.TrimRight(address, " ")+right)
	style, forms := "", inForce(o)
	if open > 0 {
		style = red
	}
	for i, form := range forms {
		text := fmt.Sprintf(" %s   %s requests/s   %s open   %s", plural(o.AllSites, "site"), number(rate), plural(open, "incident"), form)
		if len(text) <= p.Width || i == len(forms)-1 {
			p.add(style, text)
			break
		}
	}
	if p.Problem != "" {
		p.add(yellow, " "+p.Problem)
	} else {
		p.add(yellow, waiting(o))
	}
}

// waiting says of decisions that are in force in name only.
func waiting(o *Overview) string {
	switch {
	case o.Cap != "":
		return " " + o.Cap
	case o.Proposed > 0:
		return " not enforced, they wait for you: " + number(float64(o.Proposed)) + "   weir decisions accept INCIDENT"
	case o.Observed > 0:
		return " not enforced, as mode observe only tells: " + number(float64(o.Observed))
	}
	return ""
}

// inForce says what is in force, at length and in fewer words.
func inForce(o *Overview) (forms []string) {
	all, parts := 0, []string(nil)
	for _, action := range []schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle} {
		if n := o.InForce[string(action)]; n > 0 {
			all += n
			parts = append(parts, number(float64(n))+" "+string(action))
		}
	}
	short := number(float64(all)) + " in force"
	if len(parts) == 0 {
		return []string{"nothing in force"}
	}
	return []string{plural(all, "decision") + " in force (" + strings.Join(parts, ", ") + ")", short + ": " + strings.Join(parts, ", "), short}
}

// edge is what is shown of one.
type edge struct {
	name   string
	vitals *schemas.Vitals // nil where there are none
	clock  *Clock          // the worst; nil where all are right
	held   *Held           // nil where it enforces nothing
}

// edgesOf are the edges, those first that have something wrong.
func edgesOf(o *Overview) (edges []edge) {
	at := make(map[string]int)
	of := func(name string) *edge {
		i, ok := at[name]
		if !ok {
			i, edges = len(edges), append(edges, edge{name: name})
			at[name] = i
		}
		return &edges[i]
	}
	for i := range o.Clocks {
		if e := of(o.Clocks[i].Edge); e.clock == nil {
			e.clock = &o.Clocks[i]
		}
	}
	for _, v := range o.Vitals {
		of(v.Edge).vitals = v
	}
	for i := range o.Held {
		of(o.Held[i].Edge).held = &o.Held[i]
	}
	slices.SortStableFunc(edges, func(a, b edge) int { return cmp.Compare(b.trouble(), a.trouble()) })
	return edges
}

// trouble orders edges: a wrong clock, what is not in force, connections lost, and then the
// load of a core.
func (e *edge) trouble() (t float64) {
	if e.held != nil {
		t += e.held.Trouble()
	}
	if e.clock != nil {
		t += 4000
	}
	if v := e.vitals; v != nil {
		if v.ListenOverflows+v.ListenDrops > 0 || v.Nginx != nil && !v.Nginx.Answered {
			t += 2000
		}
		t += min(1000, v.Load/float64(max(v.Cores, 1)))
	}
	return t
}

func (p *page) edges(edges []edge) {
	if len(edges) == 0 {
		return
	}
	const form = " %s%10s%8s%6s%7s%7s%8s%5s%5s  %s"
	p.add("", "")
	p.add(reverse, fmt.Sprintf(form, plain("EDGE", 16), "HOLDS", "STOPPED", "LOAD", "ACTIVE", "QUEUED", "DROPPED", "CPU", "IO", "CLOCK"))
	for i := range edges {
		e := &edges[i]
		load, active, queued, dropped, cpu, io, clock, style := "-", "-", "-", "-", "-", "-", "right", ""
		wrong := "" // how far its clock is, on a line of its own: columns are narrow
		if v := e.vitals; v != nil {
			load, cpu, io = number(v.Load), percent(v.CPUPressure), percent(v.IOPressure)
			if n := v.Nginx; n != nil {
				active = number(float64(n.Active))
				if !n.Answered {
					active, style = "silent", red
				}
			}
			waiting := int64(0)
			for _, q := range v.Listen {
				waiting += q.Waiting
			}
			queued, dropped = number(float64(waiting)), number(float64(v.ListenDrops))
			if v.ListenDrops > 0 {
				style = red
			}
		}
		if c := e.clock; c != nil {
			way, ahead := "ahead", time.Duration(c.Ahead*float64(time.Second))
			if ahead < 0 {
				if way, ahead = "behind", -ahead; ahead <= time.Minute {
					way = "behind, or its requests come late"
				}
			}
			clock, wrong, style = "wrong", span(ahead)+" "+way, yellow
			if c.Doubted > 0 {
				if wrong = "standing still or jumping: " + percent(c.Doubted) + " of its times fit nothing"; c.Ahead != 0 {
					wrong += ", and " + span(ahead) + " " + way
				}
			}
			wrong += " (" + c.Source + ")"
		}
		holds, stopped := "-", "-"
		if h := e.held; h != nil {
			holds, stopped = number(float64(h.Loaded)), number(float64(h.Matching))
			switch {
			case h.Off:
				holds, style = "off", yellow
			case h.Silent > 0:
				holds, style = "silent", red
			case h.Lacks:
				holds, style = number(float64(h.Loaded))+" of "+number(float64(h.Intended-h.Refused)), red
			}
		}
		p.add(style, fmt.Sprintf(form, plain(e.name, 16), holds, stopped, load, active, queued, dropped, cpu, io, clock))
		if wrong != "" {
			p.add(style, "   its clock is "+wrong)
		}
	}
}

// sites draws a table of at most rows lines, its head among them.
func (p *page) sites(o *Overview, rows int) {
	name := min(40, max(16, p.Width-63))
	spark := max(0, min(History, p.Width-name-48))
	line := func(mark, site string, fields ...string) string {
		var b strings.Builder
		fmt.Fprintf(&b, "%s%s", mark, plain(site, name))
		for i, width := range []int{7, 8, 7, 6, 6, 8} {
			fmt.Fprintf(&b, "%*s", width, fields[i])
		}
		return b.String() + "  " + fields[6]
	}
	p.add(reverse, line(" ", "SITE", "REQ/S", "CLIENTS", "NEW", "404", "5XX", "ENTROPY", "LAST 10 MIN"))
	if len(o.Sites) == 0 {
		p.add(dim, " no window has closed yet: nothing was read, or the first ten seconds are not over")
		return
	}
	first := max(0, min(p.Selected-(rows-2)/2, len(o.Sites)-(rows-1)))
	for i := max(first, 0); i < min(len(o.Sites), first+rows-1); i++ {
		s := &o.Sites[i]
		mark, style := " ", ""
		if s.Incident != "" {
			mark, style = "!", red
		}
		if i == p.Selected {
			mark = ">"
			if style == "" {
				style = bold
			}
		}
		p.add(style, line(mark, s.Name, number(s.signal("request_rate").Value), number(s.signal("unique_clients").Value),
			number(s.signal("new_clients").Value), percent(s.signal("not_found_share").Value),
			percent(s.signal("error_share").Value), number(s.signal("path_entropy").Value), sparkline(s.Rate, spark)))
	}
}

// undecided is how many of the open incidents nothing is decided in, or no more though much is left: they have a line more.
func undecided(incidents []schemas.Event) (n int) {
	for i := range incidents {
		if incidents[i].Type != schemas.IncidentClosed && len(incidents[i].Undecided) > 0 {
			n++
		}
	}
	return n
}

func (p *page) incidents(o *Overview, most int) {
	p.add("", "")
	p.add(reverse, " INCIDENTS")
	if len(o.Incidents) == 0 {
		p.add(dim, " none")
	}
	for i := range o.Incidents[:most] {
		e := &o.Incidents[i]
		style, since := red, "open "+span(o.Time.Sub(e.Opened))
		if e.Type == schemas.IncidentClosed {
			style, since = dim, "closed "+span(o.Time.Sub(e.Closed))+" ago"
		}
		p.add(style, fmt.Sprintf(" %s %s %s  %s", plain(string(e.Kind), 8), plain(since, 16), plain(strings.Join(e.Sites, ", "), 24), e.Cause))
		if e.Type != schemas.IncidentClosed && len(e.Undecided) > 0 {
			u := &e.Undecided[0]
			is := "nothing decided"
			if u.Left > 0 {
				is = fmt.Sprintf("%.0f %% is left", 100*u.Left)
			}
			p.add(yellow, "   "+is+" ("+cmp.Or(u.Setting, u.Cap)+"): "+u.Why)
		}
	}
}

func (p *page) decisions(o *Overview) {
	p.add("", "")
	p.add(reverse, " NEWEST DECISIONS IN FORCE")
	if len(o.Decisions) == 0 {
		p.add(dim, " none")
	}
	for i := range o.Decisions {
		if p.left() <= 1 {
			return
		}
		d := &o.Decisions[i]
		p.add("", fmt.Sprintf(" %s %s %s collateral %5.2f%%  %s", plain(string(d.Action), 9), plain(string(d.Scope), 9),
			plain("ends in "+span(d.Expires.Sub(o.Time)), 14), 100*d.Collateral, d.Value))
	}
}

// detail is all signals of a site beside what is normal for it.
func (p *page) detail(s *Site) {
	p.add("", "")
	p.add(reverse, fmt.Sprintf(" %s%10s %10s %7s   %s, 10 s to %s UTC", plain("SIGNAL", 26), "NOW", "NORMAL", "SCORE", s.Name, s.End.UTC().Format(time.TimeOnly)))
	for _, g := range s.Signals {
		if p.left() <= 1 {
			return
		}
		style := ""
		if g.Score >= 3 {
			style = red
		}
		p.add(style, fmt.Sprintf(" %s%10.3f %10.3f %7.1f   %s", plain(g.Name, 26), g.Value, g.Normal, g.Score, g.Group))
	}
}
