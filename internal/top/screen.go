package top

import (
	"fmt"
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
	incidents := min(len(o.Incidents), max(1, v.Height/6))
	below := 2 + max(incidents, 1) + 2 + min(max(len(o.Decisions), 1), max(1, v.Height/5))
	if v.Detail {
		below = 18
	}
	p.sites(o, max(2, p.left()-below-1))
	if v.Detail && v.Selected < len(o.Sites) {
		p.detail(&o.Sites[v.Selected])
	} else {
		p.incidents(o, incidents)
		p.decisions(o)
	}
	for p.left() > 1 {
		p.add("", "")
	}
	p.add(dim, " q quit   ↑↓ choose a site   enter its signals   space pause")
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
	p.add(bold, fmt.Sprintf(" weir top   %s   %s UTC   lag %s   mode %s%s", p.Address, o.Time.UTC().Format(time.TimeOnly), span(o.Lag()), o.Mode, state))
	inForce := 0
	for _, n := range o.InForce {
		inForce += n
	}
	style := ""
	if open > 0 {
		style = red
	}
	p.add(style, fmt.Sprintf(" %d sites   %s requests/s   %d incidents open   %d decisions in force (%d block, %d challenge, %d throttle)",
		o.AllSites, number(rate), open, inForce, o.InForce["block"], o.InForce["challenge"], o.InForce["throttle"]))
	if p.Problem != "" {
		p.add(yellow, " "+p.Problem)
	} else {
		p.add("", "")
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
		if o.incidentOf(s.Name) != nil {
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
