package main

import (
	"fmt"
	"math"
	"strings"
)

// panel is one of the plot's four: the error of a cell as a share of what is allowed.
type panel struct {
	title string
	of    func(*cell) float64
}

var panels = []panel{
	{"distinct: 95 % of trials, of 2 %", func(c *cell) float64 { return c.p95 / 0.02 }},
	{"entropy: worst trial, of 0.1 bit or 2 %", func(c *cell) float64 { return c.entropy / c.allowed }},
	{"heavy keys: worst count, of 1 %", func(c *cell) float64 {
		if c.heavy == 0 {
			return math.NaN()
		}
		return c.counts / 0.01
	}},
	{"p50, p95, p99: worst, of 2 %", func(c *cell) float64 { return c.quantile / 0.02 }},
}

// colours of the kinds, told apart by those who see few as well.
var colours = []string{"#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000"}

const (
	panelW, panelH = 340, 220
	plotW, plotH   = 260, 150
	left, top      = 55, 40
)

// plot draws the cells: an axis of requests, an axis of the error as a share of what is
// allowed, a solid line for whole streams and a dashed one for 64 parts merged.
func plot(cells []cell) string {
	var b strings.Builder
	width, height := 2*panelW, 2*panelH+80
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %d %d" font-family="sans-serif" font-size="11" fill="#222">`+"\n", width, height)
	fmt.Fprintf(&b, `<rect width="%d" height="%d" fill="#fff"/>`+"\n", width, height)
	for i, p := range panels {
		fmt.Fprintf(&b, `<g transform="translate(%d %d)">`+"\n", i%2*panelW, i/2*panelH)
		p.draw(&b, cells)
		b.WriteString("</g>\n")
	}
	legend(&b, cells, 2*panelH+20)
	b.WriteString("</svg>\n")
	return b.String()
}

func (p *panel) draw(b *strings.Builder, cells []cell) {
	fmt.Fprintf(b, `<text x="%d" y="%d" font-weight="bold">%s</text>`+"\n", left, top-14, p.title)
	y := func(v float64) float64 { return top + plotH - v/1.25*plotH }
	for _, v := range []float64{0, 0.25, 0.5, 0.75, 1} {
		stroke, dash := "#ddd", ""
		if v == 1 {
			stroke, dash = "#b00020", ` stroke-dasharray="2 2"`
		}
		fmt.Fprintf(b, `<line x1="%d" y1="%.1f" x2="%d" y2="%.1f" stroke="%s"%s/>`+"\n", left, y(v), left+plotW, y(v), stroke, dash)
		fmt.Fprintf(b, `<text x="%d" y="%.1f" text-anchor="end">%.0f %%</text>`+"\n", left-6, y(v)+4, 100*v)
	}
	fmt.Fprintf(b, `<text x="%d" y="%.1f" fill="#b00020" text-anchor="end">allowed</text>`+"\n", left+plotW, y(1)-4)
	for e := 3; e <= 7; e++ {
		fmt.Fprintf(b, `<text x="%.1f" y="%d" text-anchor="middle">10<tspan dy="-4" font-size="8">%d</tspan></text>`+"\n", x(e), top+plotH+16, e)
	}
	for k, kind := range names(cells) {
		for _, merged := range []bool{false, true} {
			p.line(b, cells, kind, colours[k%len(colours)], merged, y)
		}
	}
}

func x(exponent int) float64 { return left + 12 + float64(exponent-3)/4*(plotW-24) }

func (p *panel) line(b *strings.Builder, cells []cell, kind, colour string, merged bool, y func(float64) float64) {
	var points []string
	dash := ""
	if merged {
		dash = ` stroke-dasharray="5 3"`
	}
	for i := range cells {
		c := &cells[i]
		v := p.of(c)
		if c.kind != kind || c.parts > 1 != merged || math.IsNaN(v) {
			continue
		}
		px, py := left+12+(math.Log10(float64(c.n))-3)/4*(plotW-24), y(min(v, 1.25))
		points = append(points, fmt.Sprintf("%.1f,%.1f", px, py))
		if !merged {
			fmt.Fprintf(b, `<circle cx="%.1f" cy="%.1f" r="2.5" fill="%s"/>`+"\n", px, py, colour)
		}
	}
	fmt.Fprintf(b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.5"%s/>`+"\n", strings.Join(points, " "), colour, dash)
}

func legend(b *strings.Builder, cells []cell, y int) {
	for k, kind := range names(cells) {
		at, row := left+k%4*150, y+k/4*20
		fmt.Fprintf(b, `<line x1="%d" y1="%d" x2="%d" y2="%d" stroke="%s" stroke-width="3"/><text x="%d" y="%d">%s</text>`+"\n",
			at, row, at+20, row, colours[k%len(colours)], at+26, row+4, kind)
	}
	fmt.Fprintf(b, `<text x="%d" y="%d">solid: whole; dashed: 64 parts merged; across: requests</text>`+"\n", left, y+44)
}

func names(cells []cell) (all []string) {
	for i := range cells {
		if len(all) == 0 || all[len(all)-1] != cells[i].kind {
			all = append(all, cells[i].kind)
		}
	}
	return all
}
