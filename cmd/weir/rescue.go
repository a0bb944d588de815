package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/processor/attribute"
	"github.com/weir-project/weir/processor/onset"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/nginx"
)

type rescueCommand struct {
	logFlags
	Collateral float64 `default:"0.005" help:"The share of visitors, 0 to 1, that all measures together may touch."`
	Snippet    string  `placeholder:"FILE" help:"Write the nginx snippet there as well."`
	Quiet      bool    `short:"q" help:"No progress bar."`
}

// Run reads the logs twice: to find when it began, and to compare what came
// before with what came since. It needs no network, and a
// configuration only for the proxies in front.
func (c *rescueCommand) Run(ctx context.Context, s screen, p *program) error {
	if slices.Contains(c.Files, "-") {
		return usagef("rescue reads the log twice: give a file, not standard input")
	}
	if !(c.Collateral > 0 && c.Collateral < 1) {
		return usagef("--collateral %v: give a share between 0 and 1, such as 0.005", c.Collateral)
	}
	if input := sameFile(c.Snippet, paths(c.Files)); input != "" {
		return usagef("%s is what is read: writing there would destroy it; give another file", printable(input, 200))
	}
	inputs, err := c.inputs()
	if err != nil {
		return err
	}
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	clients, err := c.resolver(configuration)
	if err != nil {
		return err
	}
	rates := newRateTable()
	stats, readErr := readLogs(ctx, s, inputs, clients.Resolve, c.Quiet, func(chunk *tail.Chunk) error {
		rates.add(chunk.Batch)
		return nil
	})
	if stats.Parsed() == 0 {
		if readErr != nil {
			return readErr
		}
		return errors.New("rescue: no line could be read; weir check FILE shows what is wrong with them")
	}
	if readErr != nil { // what was readable is worth more now than a refusal
		fmt.Fprintf(s.err, "weir: %v; going on with what could be read\n", readErr)
	}
	sayClocks(s, stats)
	found := rates.departures()
	if len(found) == 0 {
		return errors.New("rescue: no site's traffic departs from the rest of its log; add the rotated log from before the attack, at least half an hour of it")
	}
	for _, d := range found {
		d.prepare()
	}
	if _, err := readLogs(ctx, s, inputs, clients.Resolve, c.Quiet, func(chunk *tail.Chunk) error {
		sample(found, chunk.Batch)
		return nil
	}); err != nil && readErr == nil {
		return err
	}
	return c.tell(s, stats, found)
}

// tell prints the screen, site by site, and one snippet for all of them.
func (c *rescueCommand) tell(s screen, stats tail.Stats, found []*departure) error {
	var pasted []nginx.Measure
	for _, d := range found {
		measures := believable(attribute.Analyse(d.before, d.during, attribute.Budget{Collateral: c.Collateral, Site: d.site, Since: d.from}))
		if len(measures) == 0 && len(pasted) > 0 {
			continue // beside an attack, another site's own ups and downs are not news
		}
		d.print(s.out, measures)
		pasted = append(pasted, d.measures(measures, len(found) == 1)...)
	}
	if len(pasted) == 0 {
		return errors.New("rescue: nothing sets what departs apart from visitors, and it may be no attack at all; if it is one, try --collateral 0.02, a longer log from before, or weir's own log format, which carries more traits")
	}
	rescue := nginx.NewRescue(pasted, nil)
	snippet := rescue.String()
	for _, refused := range rescue.Refused {
		fmt.Fprintf(s.err, "weir: nginx cannot carry one measure, it is left out: %s\n", printable(refused.Reason, 200))
	}
	if c.Snippet != "" {
		if err := writeFile(c.Snippet, func(w io.Writer) error { _, err := io.WriteString(w, snippet); return err }); err != nil {
			return fmt.Errorf("write snippet %s: %w", c.Snippet, err)
		}
	}
	fmt.Fprintf(s.out, "\n%s\n", snippet)
	return nil
}

// leastStopped is how much of what departs the measures must stop together: less does
// not set an attack apart, it is one of the things that differ between any two hours.
const leastStopped = 0.4

// believable keeps the measures of what is likely an attack, and of these none that names
// a robot: search engines come in waves, and a site that locks them out is found no more.
func believable(measures []attribute.Measure) []attribute.Measure {
	stopped := 0.0
	measures = slices.DeleteFunc(measures, func(m attribute.Measure) bool {
		for _, t := range m.Signature {
			if t.Trait == schemas.TraitAgentFamily && t.Value == "robot" ||
				t.Trait == schemas.TraitUserAgent && schemas.AgentFamily([]byte(t.Value)) == "robot" {
				return true
			}
		}
		stopped += m.Stops
		return false
	})
	if stopped < leastStopped {
		return nil
	}
	return measures
}

// Bounds of the first reading.
const (
	rateBin   = 10 * 1000 // milliseconds
	rateSites = 1000      // sites told apart; more are one
	rateBins  = 7 * 24 * 360
	lowCount  = 200 // requests a site must have to be looked at
	maxShown  = 5   // sites
)

// rateTable counts requests and failed ones for each site and ten seconds.
type rateTable struct {
	sites map[string]map[int64]*[2]float64
	rows  schemas.Rows
}

func newRateTable() *rateTable { return &rateTable{sites: make(map[string]map[int64]*[2]float64)} }

const otherSites = "(other)"

func (t *rateTable) add(b *schemas.Batch) {
	t.rows.Reset(b)
	var r schemas.Request
	for t.rows.Next(&r) {
		bins := t.sites[string(r.Site)]
		if bins == nil {
			name := string(r.Site)
			if len(t.sites) >= rateSites {
				name = otherSites
			}
			if bins = t.sites[name]; bins == nil {
				bins = make(map[int64]*[2]float64)
				t.sites[name] = bins
			}
		}
		at := r.Time / rateBin
		bin := bins[at]
		if bin == nil {
			if len(bins) >= rateBins {
				continue // a week of bins: times are being made up
			}
			bin = new([2]float64)
			bins[at] = bin
		}
		bin[0]++
		if r.Status >= 400 {
			bin[1]++
		}
	}
}

// departure is a site and the stretch of its log that departs from the rest.
type departure struct {
	site           string
	from, to, last int64 // unix milliseconds; last is the end of the site's log
	score          float64
	rate, normal   float64 // requests a second within and without
	before, during *attribute.Sample
	extractor      *attribute.Extractor
	requests       uint64 // during
}

// departures finds them, the strongest first.
func (t *rateTable) departures() []*departure {
	var found []*departure
	for _, site := range slices.Sorted(maps.Keys(t.sites)) {
		if d := depart(site, t.sites[site]); d != nil {
			found = append(found, d)
		}
	}
	slices.SortStableFunc(found, func(a, b *departure) int { return cmp.Compare(b.score, a.score) })
	if len(found) > 0 { // beside an attack, a site's own ups and downs are not worth a tired person's time
		found = slices.DeleteFunc(found, func(d *departure) bool { return d.score < found[0].score/10 })
	}
	return found[:min(len(found), maxShown)]
}

func depart(site string, bins map[int64]*[2]float64) *departure {
	total := 0.0
	for _, b := range bins {
		total += b[0]
	}
	if site == otherSites || total < lowCount {
		return nil
	}
	times := slices.Sorted(maps.Keys(bins))
	first, last := span(times, bins, total)
	step := max(1, (last-first)/onset.MaxBins+1)
	n := (last-first)/step + 1
	requests, failed := make([]float64, n), make([]float64, n)
	for _, at := range times {
		if at >= first && at <= last {
			requests[(at-first)/step] += bins[at][0]
			failed[(at-first)/step] += bins[at][1]
		}
	}
	s, ok := onset.Scan(requests, failed)
	if !ok {
		return nil
	}
	width := float64(step) * rateBin / 1000
	return &departure{
		site: site, score: s.Score, rate: s.Inside / width, normal: s.Outside / width,
		from: (first + int64(s.From)*step) * rateBin, to: (first + int64(s.To)*step) * rateBin,
		last: (last + 1) * rateBin,
	}
}

// span leaves out the first and last thousandth of the requests, where a clock
// that was wrong would stretch the log over years.
func span(times []int64, bins map[int64]*[2]float64, total float64) (first, last int64) {
	first, last = times[0], times[len(times)-1]
	if last-first < rateBins {
		return first, last
	}
	seen := 0.0
	for _, at := range times {
		if seen < total/1000 {
			first = at
		}
		if seen += bins[at][0]; seen > total*0.999 {
			return first, min(at, first+rateBins)
		}
	}
	return first, min(last, first+rateBins)
}

// Sizes of the samples: enough to certify half a percent of the visitors.
const (
	beforeClients = 20000
	duringClients = 8000
	guard         = 30 * 1000 // milliseconds before the onset that belong to neither
)

func (d *departure) prepare() {
	d.extractor = attribute.NewExtractor(0)
	d.before = attribute.NewSample(d.extractor, beforeClients)
	d.during = attribute.NewSample(d.extractor, duringClients)
}

// sample fills the samples of every departure from one batch.
func sample(found []*departure, b *schemas.Batch) {
	var rows schemas.Rows
	var r schemas.Request
	rows.Reset(b)
	for rows.Next(&r) {
		for _, d := range found {
			if string(r.Site) != d.site {
				continue
			}
			switch {
			case r.Time < d.from-guard:
				d.before.Add(d.extractor.ClientHash(schemas.ClientOf(r.Client).As16()), &r)
			case r.Time >= d.from && r.Time < d.to:
				d.during.Add(d.extractor.ClientHash(schemas.ClientOf(r.Client).As16()), &r)
				d.requests++
			}
		}
	}
}

// measures are what the snippet is made of: signatures, which also stop addresses
// that never came before.
func (d *departure) measures(proposed []attribute.Measure, alone bool) []nginx.Measure {
	var out []nginx.Measure
	sites := []string{d.site}
	if alone { // the snippet is pasted into its server only
		sites = nil
	}
	for i, m := range proposed {
		if m.Scope != schemas.ScopeSignature {
			continue
		}
		out = append(out, nginx.Measure{
			ID: fmt.Sprintf("rescue-%d", i+1), Action: m.Action, Scope: m.Scope, Value: m.Value,
			Sites: sites, Expires: time.UnixMilli(d.last).Add(time.Hour),
		})
	}
	return out
}

func (d *departure) print(w io.Writer, measures []attribute.Measure) {
	at := func(ms int64) string { return time.UnixMilli(ms).UTC().Format(time.DateTime) }
	end := "and goes on at the end of the log"
	if d.to < d.last-rateBin {
		end = "until about " + at(d.to)
	}
	site := printable(d.site, 100)
	if site == "" {
		site = "(the log does not name its site)"
	}
	fmt.Fprintf(w, "\n%s\n  It began at about %s UTC %s.\n", site, at(d.from), end)
	fmt.Fprintf(w, "  %s requests a second instead of %s; about %s clients.\n", figure(d.rate), figure(d.normal), count(uint64(d.during.Clients())))
	if len(measures) == 0 {
		fmt.Fprintf(w, "  Compared with %s clients before it, nothing sets it apart safely: it may be no attack.\n", count(uint64(d.before.Clients())))
		return
	}
	stops, collateral := 0.0, 0.0
	fmt.Fprintln(w, "  What sets it apart:")
	for i, m := range measures {
		if m.Scope != schemas.ScopeSignature {
			continue
		}
		stops += m.Stops
		collateral = max(collateral, m.Collateral)
		fmt.Fprintf(w, "  %2d. %s\n      %s: stops %.1f %% of the attack, would have touched at most %.2f %% of the visitors before it\n",
			i+1, printable(m.Value, 160), strings.ToUpper(string(m.Action)), 100*m.Stops, 100*m.Collateral)
	}
	fmt.Fprintf(w, "  Together: about %.0f %% of the attack's requests; measured on %s clients from before it.\n",
		100*min(1, stops), count(uint64(d.before.Clients())))
}
