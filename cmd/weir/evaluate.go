package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/gaissmai/bart"
	"github.com/schollz/progressbar/v3"
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/judge"
	"github.com/weir-project/weir/processor/silent"
	"github.com/weir-project/weir/schemas"
)

type evaluateCommand struct {
	Scenario    []string        `placeholder:"NAME" help:"Only these; by default all but quiet: ${scenarios}."`
	Estate      string          `default:"heldout" enum:"tuning,scorecard,heldout" help:"tuning is what constants were chosen on; scorecard what changes were tried on; heldout neither."`
	Seeds       int             `default:"10" help:"How many seeds of each."`
	First       uint64          `placeholder:"SEED" help:"The first seed; by default 1 for tuning, 1000 for scorecard, 5000 for heldout."`
	Format      []string        `default:"json,combined" enum:"json,combined" help:"What the log carries: json (all traits), combined (few)."`
	Base        []time.Duration `default:"30m,6h,72h" help:"Ordinary traffic before, in turn."`
	Span        time.Duration   `default:"0s" help:"How long a quiet time lasts; 24h where it is 0."`
	Size        float64         `default:"0" help:"Multiplies a site's traffic; 0 draws it by the seed."`
	Strength    float64         `default:"0" help:"Multiplies what happens; 0 draws it by the seed."`
	Propagation time.Duration   `default:"${propagation}" help:"From a decision's time until the edge has it."`
	Closed      bool            `help:"Stopped requests never reach the application, and bots see it; without it the log stays as it was without weir. What adapts is always closed."`
	Jobs        int             `default:"0" help:"Runs at a time; 0 is one a core."`
	From        []string        `placeholder:"FILE" help:"Play nothing: take the results of earlier runs, written with --output json."`
	Report      string          `placeholder:"FILE" help:"Put the scorecard between the marks of this file, docs/quality.md."`
	Picture     string          `placeholder:"FILE.svg" help:"Draw of each attack how much of it was stopped, and the people blocked."`
	Output      string          `default:"text" enum:"text,markdown,json" help:"text, markdown or json (one result a line)."`
	Quiet       bool            `short:"q" help:"No progress bar."`
}

// trial is one run to make.
type trial struct {
	scenario simulate.Scenario
	params   simulate.Params
	format   simulate.Format
}

// Run plays scenarios through the processor and an edge, and compares what they did with
// the truth:
//
//	simulate -> line -> parser -> processor -> events
//	   |                             ^            |
//	   +-> vitals -> silent ---------+-- judge <--+   -> scorecard
func (c *evaluateCommand) Run(ctx context.Context, s screen, p *program) error {
	if c.Report != "" { // before hours of playing
		if err := c.reportable(); err != nil {
			return err
		}
	}
	if len(c.From) > 0 {
		results, err := earlier(c.From)
		if err != nil {
			return err
		}
		return c.show(s, results)
	}
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	trials, err := c.trials()
	if err != nil {
		return err
	}
	profiles, err := profilesOf(configuration)
	if err != nil {
		return err
	}
	results := make([]simulate.Result, len(trials))
	failed := make([]error, len(trials))
	done := c.progress(s, len(trials))
	tell := &inOrder{results: results, ended: make([]bool, len(trials))}
	if c.Output == "json" {
		tell.out = json.NewEncoder(s.out)
	}
	limit := make(chan struct{}, c.jobs())
	var group sync.WaitGroup
	for i := range trials {
		select {
		case <-ctx.Done():
		case limit <- struct{}{}:
			group.Go(func() {
				defer func() { <-limit; done() }()
				run := &evaluation{command: c, trial: trials[i], ctx: ctx}
				edge := judge.New(judge.Options{Propagation: c.Propagation, Allow: configuration.Allowed(), AllowPaths: configuration.AllowedPaths(), Profiles: profiles})
				run.edge, run.verified = edge, within(configuration.Allowed())
				o := processor.Options{Known: edge.Known}
				if run.processor, failed[i] = newProcessor(configuration, secret{}, o); failed[i] == nil {
					results[i], failed[i] = run.run()
				}
				tell.end(i, failed[i] == nil)
			})
		}
	}
	group.Wait()
	if err := ctx.Err(); err != nil {
		return err
	}
	for i, err := range failed {
		if err != nil {
			return fmt.Errorf("scenario %s, seed %d: %w", trials[i].scenario.Name, trials[i].params.Seed, err)
		}
	}
	if tell.out != nil {
		return tell.err
	}
	return c.show(s, results)
}

// within reports of an address whether one of the prefixes has it.
func within(prefixes []netip.Prefix) func(netip.Addr) bool {
	table := new(bart.Lite)
	for _, p := range prefixes {
		table.Insert(p.Masked())
	}
	return func(a netip.Addr) bool { return table.Contains(a.Unmap()) }
}

// earlier are the results of runs that were written as JSON: a long scorecard is made in
// parts.
func earlier(files []string) (all []simulate.Result, err error) {
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return nil, usagef("read %s: %w", path, unwrapPath(err))
		}
		defer f.Close()
		in := json.NewDecoder(f)
		for n := 1; ; n++ {
			var r simulate.Result
			if err := in.Decode(&r); errors.Is(err, io.EOF) {
				break
			} else if err != nil {
				return nil, usagef("read %s, result %d: %w; it is to be what --output json wrote", path, n, err)
			}
			all = append(all, r)
		}
	}
	return all, nil
}

// show prints the scorecard, and puts it where it is to stand.
func (c *evaluateCommand) show(s screen, results []simulate.Result) error {
	if c.Report != "" {
		var card strings.Builder
		if err := scorecard(&printedTable{w: &card, markdown: true}, results); err != nil {
			return err
		}
		if err := c.report(strings.TrimSpace(card.String()) + "\n"); err != nil {
			return err
		}
	}
	if c.Picture != "" {
		if err := writeFile(c.Picture, func(w io.Writer) error { return scorecardPicture(w, results) }); err != nil {
			return fmt.Errorf("draw the scorecard: %w", err)
		}
	}
	return scorecard(&printedTable{w: s.out, markdown: c.Output == "markdown"}, results)
}

// inOrder writes results as soon as those before them are there.
type inOrder struct {
	out     *json.Encoder // nil: not as JSON
	results []simulate.Result
	mu      sync.Mutex
	ended   []bool
	told    int
	err     error
}

func (o *inOrder) end(i int, good bool) {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.ended[i] = good
	for ; o.told < len(o.ended) && o.ended[o.told]; o.told++ {
		if o.out != nil && o.err == nil {
			o.err = o.out.Encode(&o.results[o.told])
		}
	}
}

func (c *evaluateCommand) jobs() int {
	if c.Jobs > 0 {
		return c.Jobs
	}
	return runtime.GOMAXPROCS(0)
}

// progress shows a bar of the runs; the function returned says that one is over.
func (c *evaluateCommand) progress(s screen, n int) func() {
	if c.Quiet || !isTerminal(s.err) {
		return func() {}
	}
	bar := progressbar.NewOptions(n, progressbar.OptionSetWriter(s.err), progressbar.OptionSetWidth(30),
		progressbar.OptionShowCount(), progressbar.OptionSetPredictTime(true), progressbar.OptionClearOnFinish(),
		progressbar.OptionSetDescription("playing"))
	return func() { _ = bar.Add(1) } // only the screen is lost
}

// trials are the runs, the longest first so that the last core is not alone with one.
func (c *evaluateCommand) trials() (all []trial, err error) {
	names := c.Scenario
	if len(names) == 0 {
		for _, s := range simulate.Scenarios() {
			if !s.Quiet {
				names = append(names, s.Name)
			}
		}
	}
	first := c.First
	if first == 0 {
		first = simulate.FirstSeed(c.Estate)
	}
	if err := c.check(names); err != nil {
		return nil, err
	}
	for _, name := range names {
		s, err := simulate.FindScenario(name)
		if err != nil {
			return nil, usageError{err}
		}
		for i := range c.Seeds {
			p := c.params(first+uint64(i), c.Base[i%len(c.Base)])
			if _, err := s.Config(p); err != nil {
				return nil, usageError{err}
			}
			for _, f := range c.Format {
				if (s.Name == "estate" || s.Silent) && f == string(simulate.FormatCombined) {
					continue // a combined log does not name the site; vitals are the same
				}
				all = append(all, trial{s, p, simulate.Format(f)})
			}
		}
	}
	if len(all) == 0 {
		return nil, usagef("nothing to play: a combined log names no site, and shows nothing of a silent attack; give --format json for %s", strings.Join(names, ", "))
	}
	slices.SortStableFunc(all, func(a, b trial) int { return int(b.params.Base - a.params.Base) })
	return all, nil
}

// check refuses flags that mean nothing, or that are left out of account.
func (c *evaluateCommand) check(names []string) error {
	switch {
	case c.Seeds < 1 || c.Seeds > 10000:
		return usagef("--seeds %d: give 1 to 10000", c.Seeds)
	case len(c.Base) == 0:
		return usagef("--base: give at least one, such as 30m")
	case c.Jobs < 0:
		return usagef("--jobs %d: give 1 or more, or 0 for one a core", c.Jobs)
	case c.Propagation < 0 || c.Propagation > time.Hour:
		return usagef("--propagation %s: give 0s to 1h", c.Propagation)
	}
	for _, b := range c.Base {
		if b <= 0 || b > mostHours*time.Hour {
			return usagef("--base %s: give more than 0, at most %dh", b, mostHours)
		}
	}
	orOne := func(v float64) float64 { // 0 is drawn by the seed
		if v == 0 {
			return 1
		}
		return v
	}
	quiet := false
	for _, name := range names {
		s, err := simulate.FindScenario(name)
		if err != nil {
			return usageError{err}
		}
		span := time.Duration(0)
		if s.Quiet {
			span, quiet = c.Span, true
		}
		if err := checkScenario(name, "--size", orOne(c.Size), orOne(c.Strength), span); err != nil {
			return err
		}
	}
	if c.Span != 0 && !quiet {
		return usagef("--span %s: only quiet has a span, and it is not among what is played", c.Span)
	}
	return nil
}

// params draws sizes and hour by the seed: scenarios are not all alike.
func (c *evaluateCommand) params(seed uint64, base time.Duration) simulate.Params {
	r := rand.New(rand.NewPCG(seed, 6))
	p := simulate.Params{Seed: seed, Estate: c.Estate, Base: base, Span: c.Span, Hour: r.IntN(24)}
	p.Size = []float64{.5, .7, 1, 1.5, 2.5}[r.IntN(5)]
	p.Strength = []float64{.6, .8, 1, 1.5, 2.5}[r.IntN(5)]
	if base > 24*time.Hour { // days of a small site
		p.Size = min(p.Size, .7)
	}
	if c.Size > 0 {
		p.Size = c.Size
	}
	if c.Strength > 0 {
		p.Strength = c.Strength
	}
	return p
}

// evaluation is one run. All of it happens in one goroutine.
type evaluation struct {
	command *evaluateCommand
	trial
	ctx       context.Context
	processor *processor.Processor
	edge      *judge.Edge
	verified  func(netip.Addr) bool // whom nothing may touch
	compare   *simulate.Trial
	gauge     *simulate.Gauge
	watch     *silent.Watch
	parser    accesslog.Parser
	builder   *schemas.Builder
	request   schemas.Request
	records   []*simulate.Record // of the rows that the builder holds
	line      []byte
	scratch   []byte
	traits    [schemas.NumTraits]uint64
	decision  []byte // of the last request
	closed    bool
	err       error
}

// batchRows is how many rows are consumed at a time; what comes of them does not depend on it.
const batchRows = 256

func (e *evaluation) run() (simulate.Result, error) {
	c, err := e.scenario.Config(e.params)
	if err != nil {
		return simulate.Result{}, err
	}
	e.compare = simulate.NewTrial(&e.scenario, &c)
	e.compare.Verified = e.verified
	e.parser = accesslog.New(accesslog.Weir)
	if e.format == simulate.FormatCombined {
		e.parser = accesslog.New(accesslog.Combined)
	}
	e.builder = schemas.NewBuilder("edge", "log")
	e.gauge, e.watch = simulate.NewGauge(&c, "edge"), silent.New("edge")
	e.closed = e.command.Closed || e.scenario.Closed
	if e.closed {
		err = simulate.Closed(c, e.atEdge, e.add)
	} else {
		err = simulate.Run(c, e.add)
	}
	if err == nil {
		e.gauge.End(e.vitals)
		e.flush()
		err = e.err
	}
	result := e.compare.Result()
	result.Estate, result.Format = e.params.Estate, e.format
	return result, err
}

// vitals takes how the edge is.
func (e *evaluation) vitals(v *schemas.Vitals) {
	if event, changed := e.watch.Take(v); changed {
		e.emit(event)
	}
}

// add takes a line of the log.
func (e *evaluation) add(r *simulate.Record) error {
	e.gauge.Add(r, e.vitals)
	e.line = e.format.Append(e.line[:0], r)
	if reason := e.parser.Parse(bytes.TrimSuffix(e.line, []byte("\n")), &e.request); reason != 0 {
		return fmt.Errorf("its own line is refused (%s): %.200s", reason, e.line)
	}
	if e.format == simulate.FormatCombined {
		e.request.Site = append(e.request.Site[:0:0], r.Site...)
		e.request.Fields |= schemas.FieldSite
	}
	if !e.builder.Fits(&e.request) {
		e.flush()
	}
	e.builder.Append(&e.request)
	if e.records = append(e.records, r); len(e.records) >= batchRows {
		e.flush()
	}
	if e.err == nil {
		e.err = e.ctx.Err()
	}
	return e.err
}

// flush hands what was added to the processor.
func (e *evaluation) flush() {
	if len(e.records) == 0 {
		return
	}
	e.processor.Consume(e.builder.Batch(), e.judge, e.emit)
	e.builder.Reset()
	e.records = e.records[:0]
}

func (e *evaluation) judge(row int, q *schemas.Request) schemas.Action {
	r := e.records[row]
	action, decision := e.edge.Judge(q)
	if e.closed {
		if action = r.Action; action.Severity() > 0 { // what the edge did when it was sent
			decision = ""
		}
	}
	q.Decision = append(e.decision[:0], decision...)
	e.decision = q.Decision
	e.compare.Add(r, action, e.visible(q))
	return action
}

// visible are hashes of what an edge can see of a request.
func (e *evaluation) visible(q *schemas.Request) *[schemas.NumTraits]uint64 {
	for t := range schemas.NumTraits {
		value, known := schemas.Trait(t).Value(e.scratch[:0], q)
		if e.scratch, e.traits[t] = value, 0; known {
			e.traits[t] = xxh3.Hash(value)
		}
	}
	return &e.traits
}

// atEdge is what the edge does with a request when it is sent.
func (e *evaluation) atEdge(q *simulate.Request, sent time.Time) schemas.Action {
	if e.edge.Held() == 0 && len(e.records) < batchRows {
		// Nothing can be in force before what waits is consumed: decisions take a while.
		if len(e.records) == 0 || sent.Sub(e.records[0].Time) < e.command.Propagation {
			return schemas.Allow
		}
	}
	e.flush()
	if e.edge.Held() == 0 {
		return schemas.Allow
	}
	r := simulate.Record{Request: *q, Time: sent, Sent: sent, Upstream: -1}
	e.line = e.format.Append(e.line[:0], &r)
	var request schemas.Request
	if e.parser.Parse(bytes.TrimSuffix(e.line, []byte("\n")), &request) != 0 {
		return schemas.Allow
	}
	request.Site = []byte(q.Site)
	action, _ := e.edge.Judge(&request)
	return action
}

func (e *evaluation) emit(event schemas.Event) {
	if err := e.edge.Apply(event); err != nil && e.err == nil {
		e.err = err
	}
	e.compare.Event(event)
}

// marks of the file that the scorecard goes into.
const reportBegin, reportEnd = "<!-- scorecard -->", "<!-- end -->"

// reportable refuses a file that the scorecard cannot be put into.
func (c *evaluateCommand) reportable() error {
	text, err := os.ReadFile(c.Report)
	if err != nil {
		return usagef("read %s: %w", c.Report, unwrapPath(err))
	}
	_, err = c.between(string(text), "")
	return err
}

// between is a file's text with the scorecard between its marks.
func (c *evaluateCommand) between(old, card string) (string, error) {
	head, rest, ok := strings.Cut(old, reportBegin)
	_, tail, closed := strings.Cut(rest, reportEnd)
	if !ok || !closed {
		return "", usagef("%s has no %s followed by %s: the scorecard goes between them", c.Report, reportBegin, reportEnd)
	}
	return head + reportBegin + "\n\n" + card + "\n" + reportEnd + tail, nil
}

// report replaces what stands between the marks of a file.
func (c *evaluateCommand) report(card string) error {
	return editFile(c.Report, func(old string) (string, error) { return c.between(old, card) })
}
