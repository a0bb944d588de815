package main

import (
	"fmt"
	"io"
	"strings"
)

// The picture's measures, in pixels, and its colours (Okabe and Ito, "Color Universal
// Design", 2008).
const (
	plotWidth, plotHeight = 760.0, 360.0
	plotLeft, plotRight   = 64.0, 740.0
	plotTop, plotBottom   = 64.0, 300.0
	memoryBudget          = 512.0 // MiB
)

// memoryPicture draws the memory of each run over its requests.
func memoryPicture(w io.Writer, runs []memoryRun) error {
	var b strings.Builder
	fmt.Fprintf(&b, `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 %g %g" font-family="sans-serif" font-size="12" fill="#222">`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<rect width="%g" height="%g" fill="#fff"/>`+"\n", plotWidth, plotHeight)
	fmt.Fprintf(&b, `<text x="%g" y="24" font-weight="bold" font-size="14">Resident memory of the processor, MiB</text>`+"\n", plotLeft)
	most, requests := memoryBudget, 1.0
	for i := range runs {
		most, requests = max(most, runs[i].most()), max(requests, float64(runs[i].last().Requests))
	}
	top := 128.0
	for top < most {
		top += 128
	}
	x := func(n float64) float64 { return plotLeft + n/requests*(plotRight-plotLeft) }
	y := func(mib float64) float64 { return plotBottom - mib/top*(plotBottom-plotTop) }
	for mib := 0.0; mib <= top; mib += 128 {
		fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#ddd"/>`+"\n", plotLeft, plotRight, y(mib), y(mib))
		fmt.Fprintf(&b, `<text x="%g" y="%.1f" text-anchor="end">%g</text>`+"\n", plotLeft-6, y(mib)+4, mib)
	}
	fmt.Fprintf(&b, `<line x1="%g" x2="%g" y1="%.1f" y2="%.1f" stroke="#222" stroke-dasharray="4 3"/>`+"\n", plotLeft, plotRight, y(memoryBudget), y(memoryBudget))
	fmt.Fprintf(&b, `<text x="%g" y="%.1f" text-anchor="end">budget</text>`+"\n", plotRight, y(memoryBudget)-5)
	for step := range 5 {
		n := requests * float64(step) / 4
		fmt.Fprintf(&b, `<text x="%.1f" y="%g" text-anchor="middle">%.3g</text>`+"\n", x(n), plotBottom+18, n/1e6)
	}
	fmt.Fprintf(&b, `<text x="%g" y="%g" text-anchor="middle">million requests</text>`+"\n", (plotLeft+plotRight)/2, plotBottom+36)
	colours := []string{"#d55e00", "#0072b2", "#009e73"}
	for i := range runs {
		colour, points := colours[i%len(colours)], []string(nil)
		for _, p := range runs[i].Points {
			points = append(points, fmt.Sprintf("%.1f,%.1f", x(float64(p.Requests)), y(p.MiB)))
		}
		fmt.Fprintf(&b, `<polyline points="%s" fill="none" stroke="%s" stroke-width="2.5"/>`+"\n", strings.Join(points, " "), colour)
		left, at := plotLeft+float64(i%2)*350, 40+15*float64(i/2)
		fmt.Fprintf(&b, `<rect x="%g" y="%g" width="12" height="12" fill="%s"/><text x="%g" y="%g">%s</text>`+"\n", left, at-10, colour, left+17, at, runs[i].Title)
	}
	b.WriteString("</svg>\n")
	_, err := io.WriteString(w, b.String())
	return err
}
