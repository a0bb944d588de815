package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/judge"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// logFlags say which logs to read, for every command that reads past ones.
type logFlags struct {
	Files  []string `arg:"" name:"file" help:"Logs: plain, .gz or .zst, directories of them, '-' for standard input; HOST=FILE where the log does not name its site."`
	Format string   `default:"auto" help:"Log format: ${formats}; or an nginx log_format or Apache LogFormat as it stands in the configuration."`
	Trust  []string `placeholder:"PROXY" help:"Proxies whose X-Forwarded-For is believed, besides those of the configuration: addresses, prefixes, or ${proxies}."`
}

type replayCommand struct {
	logFlags
	Events      string        `placeholder:"FILE" help:"Write incidents and decisions there, one JSON object a line; '-' is standard output."`
	Verdicts    string        `placeholder:"FILE" help:"Write there what an edge would have done with every line, tab-separated."`
	Propagation time.Duration `default:"${propagation}" help:"From a decision's time until the edge has it."`
	Baseline    string        `placeholder:"FILE" help:"Start with what weir learn wrote."`
	Data        string        `placeholder:"DIR" help:"Store requests, incidents and decisions in the embedded ClickHouse there."`
	ClickHouse  string        `name:"clickhouse" placeholder:"DSN" help:"Store them in this ClickHouse instead."`
	Report      string        `placeholder:"FILE.html" help:"Write the page of the first attack there, as weir incident --report does, and of further incidents beside it, FILE-INCIDENT.html. Without --data or --clickhouse the store is a temporary one."`
	Probation   bool          `help:"As on a site where nothing was enforced before: the first enforcement lapses unless its probes are clean. Without it, as if a person had confirmed it."`
	Quiet       bool          `short:"q" help:"No progress bar and no report."`
}

// Run is the pipeline in event time:
//
//	files -> tail (parse, merge) -> processor -> events
//	                                   ^            |
//	                                   +-- judge <--+   what an edge would do
func (c *replayCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	inputs, err := c.inputs()
	if err != nil {
		return err
	}
	clients, err := c.resolver(configuration)
	if err != nil {
		return err
	}
	profiles, err := profilesOf(configuration)
	if err != nil {
		return err
	}
	r := &replay{
		edge:    judge.New(judge.Options{Propagation: c.Propagation, Allow: configuration.Allowed(), AllowPaths: configuration.AllowedPaths(), Profiles: profiles}),
		summary: newSummary(),
	}
	o := processor.Options{Known: r.edge.Known}
	if c.Probation {
		o.Enforced = func(string) bool { return true }
	}
	if c.stores() {
		o.Signals = r.takeSignals
	}
	if r.processor, _, err = fromBaseline(configuration, c.Baseline, secret{}, o); err != nil {
		return err
	}
	if c.Propagation >= overlapped {
		r.processor.Overlap()
	}
	outputs, err := c.open(s, r)
	if err != nil {
		return err
	}
	removed, err := c.reported()
	if err != nil {
		return errors.Join(err, outputs())
	}
	defer removed()
	if s, err = c.withHead(s, inputs); err != nil {
		return errors.Join(err, outputs())
	}
	store, err := c.store(ctx, s, configuration, inputs)
	if err != nil {
		return errors.Join(err, outputs())
	}
	stats, err := readLogs(ctx, s, inputs, clients.Resolve, c.Quiet, func(chunk *tail.Chunk) error {
		if err := r.chunk(chunk); err != nil {
			return err
		}
		return store.write(ctx, chunk.Batch, r.verdicts, r.takeEvents(), &r.signals)
	})
	if r.processor.Finish(r.emit); err == nil {
		err = r.err
	}
	err = errors.Join(err, store.close(ctx, r.takeEvents(), &r.signals, err == nil, func(db *clickhouse.DB) error {
		return c.report(ctx, s, db, r.incidents)
	}), outputs())
	if !c.Quiet && (err == nil || stats.Lines() > 0) {
		out := s.out
		if c.Events == "-" || c.Verdicts == "-" {
			out = s.err // standard output carries data
		}
		r.summary.print(out, stats, r.processor.Sites())
	}
	sayClocks(s, stats)
	if err == nil {
		err = emptyLogs(s, stats)
	}
	return err
}

// overlapped is how long decisions must take to the edge for the overlap not to be seen: an
// event comes up to a second later, and no verdict may need it before.
const overlapped = time.Second

// open makes the files that were asked for; the function it returns flushes and
// closes them.
func (c *replayCommand) open(s screen, r *replay) (closeAll func() error, err error) {
	var closers []func() error
	closeAll = func() error {
		var first error
		for _, f := range closers {
			if err := f(); err != nil && first == nil {
				first = err
			}
		}
		return first
	}
	if c.Events != "" && c.Events != "-" && c.Events == c.Verdicts && c.Events != os.DevNull {
		return nil, usagef("--events and --verdicts: give each a file of its own")
	}
	create := func(path string) (io.Writer, error) {
		if path == "-" {
			return s.out, nil
		}
		if input := sameFile(path, append(paths(c.Files), c.Baseline)); input != "" {
			return nil, usagef("%s is what is read: writing there would destroy it; give another file", printable(input, 200))
		}
		f, err := os.Create(path)
		if err != nil {
			return nil, fmt.Errorf("write %s: %w", path, unwrapPath(err))
		}
		closers = append(closers, f.Close)
		return f, nil
	}
	if c.Events != "" {
		w, err := create(c.Events)
		if err != nil {
			return nil, err
		}
		buffered := bufio.NewWriter(w)
		r.events = json.NewEncoder(buffered)
		r.events.SetEscapeHTML(false)
		closers = append([]func() error{buffered.Flush}, closers...)
	}
	if c.Verdicts != "" {
		w, err := create(c.Verdicts)
		if err != nil {
			return nil, err
		}
		r.verdictWriter = newVerdictWriter(w, paths(c.Files))
		closers = append([]func() error{r.verdictWriter.flush}, closers...)
	}
	return closeAll, nil
}

// sameFile is the one of the paths that is the same file as path, "" if none.
func sameFile(path string, paths []string) string {
	info, err := os.Stat(path)
	if err != nil || !info.Mode().IsRegular() {
		return ""
	}
	for _, other := range paths {
		if is, err := os.Stat(other); err == nil && os.SameFile(info, is) {
			return other
		}
	}
	return ""
}

// replay is one run over past logs. All of it happens in one goroutine.
type replay struct {
	processor     *processor.Processor
	edge          *judge.Edge
	summary       *summary
	events        *json.Encoder  // nil: not asked for
	verdictWriter *verdictWriter // nil: not asked for
	verdicts      []verdict      // of the chunk's rows
	emitted       []schemas.Event
	incidents     []schemas.Event     // how each was opened
	signals       []schemas.SignalRow // for the store
	probe         []byte              // the decision of the last request
	err           error
}

// verdict is what the edge did with one row.
type verdict struct {
	action   schemas.Action
	decision string
}

func (r *replay) chunk(c *tail.Chunk) error {
	r.verdicts = r.verdicts[:0]
	r.processor.ConsumeShifted(c.Batch, c.Shifts, r.judge, r.emit)
	if r.err == nil && r.verdictWriter != nil {
		r.err = r.verdictWriter.write(c, r.verdicts)
	}
	return r.err
}

func (r *replay) judge(_ int, request *schemas.Request) schemas.Action {
	action, decision := r.edge.Judge(request)
	r.verdicts = append(r.verdicts, verdict{action, decision})
	r.summary.request(request, action, decision)
	request.Decision = append(r.probe[:0], decision...) // as the edge's log would have it
	r.probe = request.Decision
	return action
}

func (r *replay) emit(event schemas.Event) {
	if err := r.edge.Apply(event); err != nil && r.err == nil {
		r.err = fmt.Errorf("a decision that no edge can hold: %w", err)
	}
	r.summary.event(event)
	if event.Type == schemas.IncidentOpened {
		r.incidents = append(r.incidents, event)
	}
	r.emitted = append(r.emitted, event)
	if r.events != nil {
		if err := r.events.Encode(event); err != nil && r.err == nil {
			r.err = fmt.Errorf("write events: %w", err)
		}
	}
}

func (r *replay) takeSignals(end time.Time, site string, signals []schemas.Signal) {
	r.signals = appendSignals(r.signals, end, site, signals)
}

// appendSignals makes rows of a site's signals.
func appendSignals(rows []schemas.SignalRow, end time.Time, site string, signals []schemas.Signal) []schemas.SignalRow {
	for _, g := range signals {
		rows = append(rows, schemas.SignalRow{Time: end, Site: site, Window: "10s", Signal: g})
	}
	return rows
}

// takeEvents returns what was emitted since it was last called.
func (r *replay) takeEvents() []schemas.Event {
	events := r.emitted
	r.emitted = r.emitted[:0] // what was returned is used up before more is emitted
	return events
}

// newProcessor makes the processor that the configuration asks for, its hashes keyed
// by secret; o adds what the configuration does not say.
func newProcessor(c config.Config, secret secret, o processor.Options) (*processor.Processor, error) {
	options, err := processorOptions(c, secret, o)
	if err != nil {
		return nil, err
	}
	return processor.New(options)
}

// processorOptions are the same for what is not a Processor in one.
func processorOptions(c config.Config, secret secret, o processor.Options) (processor.Options, error) {
	profiles, err := profilesOf(c)
	if err != nil {
		return o, err
	}
	trust, err := newTrust(c, nil)
	if err != nil {
		return o, err
	}
	probation := time.Duration(-1) // of past traffic: nobody can confirm anything in it
	if o.Enforced != nil {
		probation = orNever(c.Decisions.Probation)
	}
	return processor.Options{
		Profiles: profiles, Proxies: trust.Edges(),
		Secret: secret, Lateness: c.Processor.Lateness, Allow: c.Allowed(),
		TTL: c.Decisions.TTL, Collateral: float64(c.Decisions.Collateral), ArmedFor: orNever(c.Decisions.ArmedFor),
		Probation: probation, Longest: c.Decisions.Longest, MaxDecisions: c.Decisions.Max, Enforced: o.Enforced, Stops: o.Stops,
		MinBaseline: c.Processor.MinBaseline, FalseIncidents: float64(c.Processor.FalseIncidents),
		MaxSites: c.Processor.MaxSites, Named: slices.Sorted(maps.Keys(c.Sites)), MaxClients: c.Processor.MaxClients,
		LearnOnly: o.LearnOnly, Registerer: o.Registerer, Signals: o.Signals, LeftOut: o.LeftOut, Strange: o.Strange, Known: o.Known,
	}, nil
}

// orNever makes of 0, the configuration's word for never, the processor's.
func orNever(d time.Duration) time.Duration {
	if d == 0 {
		return -1
	}
	return d
}

// inputs turns the arguments into what tail reads.
func (l *logFlags) inputs() ([]tail.Input, error) {
	var format accesslog.Format
	if l.Format != "auto" {
		f, err := accesslog.ByName(l.Format)
		if err != nil {
			return nil, usageError{err}
		}
		format = f
	}
	files, err := expandDirectories(l.Files)
	if err != nil {
		return nil, err
	}
	l.Files = files
	inputs := make([]tail.Input, 0, len(l.Files))
	for _, argument := range l.Files {
		site, path := splitHost(argument)
		inputs = append(inputs, tail.Input{Path: path, Site: site, Format: format})
	}
	return inputs, nil
}

// maxInputs bounds how many files of directories are read at once.
const maxInputs = 1000

// expandDirectories puts the logs of a directory, and of those in it, in its place, as if
// each had been named: rotated ones and packed ones, too. Their lines are merged by time.
func expandDirectories(arguments []string) ([]string, error) {
	var all []string
	for _, argument := range arguments {
		site, path := splitHost(argument)
		if info, err := os.Stat(path); err != nil || !info.IsDir() {
			all = append(all, argument)
			continue
		}
		logs, err := tail.Directory(path)
		if err != nil {
			return nil, err
		}
		if len(logs) == 0 {
			return nil, fmt.Errorf("log %s is a directory without a log in it", printable(path, 200))
		}
		for _, log := range logs {
			if site != "" {
				log = site + "=" + log
			}
			all = append(all, log)
		}
	}
	if len(all) > maxInputs && len(all) > len(arguments) {
		return nil, usagef("%d logs in all, at most %d are read together: name fewer directories", len(all), maxInputs)
	}
	return all, nil
}

// splitHost splits HOST=FILE; an argument that is itself a file, or whose part
// before '=' cannot be a host name, is a file.
func splitHost(argument string) (host, path string) {
	host, path, ok := strings.Cut(argument, "=")
	if !ok || host == "" || strings.ContainsAny(host, "/\\ ") {
		return "", argument
	}
	if _, err := os.Stat(argument); err == nil {
		return "", argument
	}
	return strings.ToLower(host), path
}

func paths(arguments []string) []string {
	out := make([]string, 0, len(arguments))
	for _, a := range arguments {
		_, path := splitHost(a)
		out = append(out, path)
	}
	return out
}
