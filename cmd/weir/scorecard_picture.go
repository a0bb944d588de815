package main

import (
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// Measures of the scorecard's picture, in pixels. A row is an attack; the panels stand side by side.
const (
	cardRow, cardTop     = 17.0, 74.0
	cardNames            = 84.0
	cardPanel, cardGap   = 250.0, 24.0
	cardPeople, cardEnds = 150.0, 16.0
	mostPeople           = 0.01 // the share at the people's scale's end
)

// cardColours are of young sites, of those known for hours, and for days (Okabe and Ito, "Color Universal Design", 2008).
var cardColours = []string{"#d55e00", "#0072b2", "#009e73", "#cc79a7"}

// cardPicture draws for each attack how much of each run was stopped, and how many people were blocked.
type cardPicture struct {
	b      strings.Builder
	names  []string
	bases  []time.Duration
	height float64
}

// scorecardPicture draws the attacks that a log shows.
func scorecardPicture(w io.Writer, results []simulate.Result) error {
	groups := grouped(results, true)
	p := &cardPicture{}
	bases := map[time.Duration]bool{}
	for _, g := range groups {
		if !slices.Contains(p.names, g.name) {
			p.names = append(p.names, g.name)
		}
		for _, r := range g.runs {
			bases[time.Duration(r.Base)] = true
		}
	}
	p.bases = slices.Sorted(maps.Keys(bases))
	p.height = cardTop + cardRow*float64(len(p.names))
	width := cardNames + 2*(cardPanel+cardGap) + cardPeople + cardEnds
	fmt.Fprintf(&p.b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12" fill="#222">`+"\n", width, p.height+56)
	fmt.Fprintf(&p.b, `<rect width="%g" height="%g" fill="#fff"/>`+"\n", width, p.height+56)
	for i, name := range p.names {
		fmt.Fprintf(&p.b, `<text x="%g" y="%g" text-anchor="end">%s</text>`+"\n", cardNames-10, p.at(i)+4, name)
	}
	p.legend()
	left := cardNames
	for _, f := range []simulate.Format{simulate.FormatJSON, simulate.FormatCombined} {
		p.stopped(left, f, groups)
		left += cardPanel + cardGap
	}
	p.people(left, groups)
	p.b.WriteString("</svg>\n")
	_, err := io.WriteString(w, p.b.String())
	return err
}

func (p *cardPicture) at(row int) float64 { return cardTop + cardRow*(float64(row)+.5) }

// known is how long a site has been known, as people say it.
func known(d time.Duration) string {
	switch {
	case d >= 48*time.Hour:
		return fmt.Sprintf("%.3g days", d.Hours()/24)
	case d >= time.Hour:
		return fmt.Sprintf("%.3g hours", d.Hours())
	}
	return fmt.Sprintf("%.3g minutes", d.Minutes())
}

func (p *cardPicture) legend() {
	x := cardNames
	fmt.Fprintf(&p.b, `<rect x="%g" y="18" width="14" height="9" fill="#e4e4e4"/><text x="%g" y="27">an oracle reaches (median)</text>`+"\n", x, x+19)
	x += 200
	fmt.Fprintf(&p.b, `<text x="%g" y="27">a dot is a run on a site known for</text>`+"\n", x)
	x += 205
	for i, base := range p.bases {
		fmt.Fprintf(&p.b, `<circle cx="%g" cy="23" r="4" fill="%s" fill-opacity=".75"/><text x="%g" y="27">%s</text>`+"\n", x, cardColours[i%len(cardColours)], x+9, known(base))
		x += 95
	}
}

// scale draws upright lines of a panel, and what they stand for.
func (p *cardPicture) scale(left, width float64, title string, most float64, marks []float64, form func(float64) string) {
	fmt.Fprintf(&p.b, `<text x="%g" y="%g" font-weight="bold">%s</text>`+"\n", left, cardTop-22, title)
	for _, v := range marks {
		x := left + v/most*width
		fmt.Fprintf(&p.b, `<line x1="%.1f" x2="%.1f" y1="%g" y2="%g" stroke="#ddd"/>`+"\n", x, x, cardTop, p.height)
		for _, y := range []float64{cardTop - 5, p.height + 14} {
			fmt.Fprintf(&p.b, `<text x="%.1f" y="%g" text-anchor="middle" font-size="10">%s</text>`+"\n", x, y, form(v))
		}
	}
}

func (p *cardPicture) stopped(left float64, format simulate.Format, groups []*group) {
	whole := func(v float64) string { return fmt.Sprintf("%.0f", 100*v) }
	for _, g := range groups {
		if g.format == format {
			reachable := median(values(g.runs, func(r *simulate.Result) float64 { return r.Reachable }))
			fmt.Fprintf(&p.b, `<rect x="%g" y="%.1f" width="%.1f" height="%g" fill="#e4e4e4"/>`+"\n", left, p.at(p.row(g))-5, reachable*cardPanel, 10.0)
		}
	}
	p.scale(left, cardPanel, string(format)+": of its requests stopped, %", 1, []float64{0, .25, .5, .75, 1}, whole)
	for _, g := range groups {
		if g.format != format {
			continue
		}
		for _, r := range g.runs {
			colour := cardColours[slices.Index(p.bases, time.Duration(r.Base))%len(cardColours)]
			fmt.Fprintf(&p.b, `<circle cx="%.1f" cy="%.1f" r="4" fill="%s" fill-opacity=".75"><title>%s, seed %d: %s</title></circle>`+"\n",
				left+r.Late.Share()*cardPanel, p.at(p.row(g)), colour, g.name, r.Seed, percent(r.Late.Share()))
		}
	}
}

func (p *cardPicture) row(g *group) int { return slices.Index(p.names, g.name) }

// people draws the share blocked of all runs of an attack, in both formats, with its 95 % bounds.
func (p *cardPicture) people(left float64, groups []*group) {
	p.scale(left, cardPeople, "people blocked, %", mostPeople, []float64{0, .002, .005, .01}, func(v float64) string { return fmt.Sprintf("%g", 100*v) })
	pools := map[string]pool{}
	for _, g := range groups {
		own := pools[g.name]
		for _, r := range g.runs {
			own.add(r.Visitors)
		}
		pools[g.name] = own
	}
	x := func(v float64) float64 { return left + min(v, mostPeople)/mostPeople*cardPeople }
	for i, name := range p.names {
		own := pools[name]
		if own.all == 0 {
			continue
		}
		low, high := own.bounds(own.blocked)
		fmt.Fprintf(&p.b, `<line x1="%.1f" x2="%.1f" y1="%.1f" y2="%.1f" stroke="#222" stroke-width="2"/>`+"\n", x(low), x(high), p.at(i), p.at(i))
		fmt.Fprintf(&p.b, `<circle cx="%.1f" cy="%.1f" r="3.5" fill="#222"><title>%s: %s</title></circle>`+"\n", x(own.share(own.blocked)), p.at(i), name, own.bound(own.blocked))
	}
}
