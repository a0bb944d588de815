package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/processor/judge"
	"github.com/weir-project/weir/schemas"
)

type drillCommand struct {
	dataFlag
	Scenario string        `default:"opening" placeholder:"NAME" help:"The attack: one of those that weir simulate plays, or armed: what the site's armed signatures match."`
	Site     string        `placeholder:"NAME" help:"The site; by default the one with most requests."`
	For      time.Duration `default:"5m" help:"How long the attack goes on."`
	Seed     uint64        `default:"1" help:"Another seed is another attack of the kind."`
	Strength float64       `default:"1" help:"Multiplies the attack."`
	Baseline string        `placeholder:"FILE" help:"Start with what weir learn wrote, instead of what the data directory holds."`
	Output   string        `default:"text" enum:"text,json" help:"text or json."`
}

// What a drill is held to: the chain would have worked where an attack is noticed, decided
// on, stopped for the most part after a minute, and hardly anybody else is.
const (
	drillBase    = 30 * time.Minute // of ordinary traffic, the attack at its end
	drillLeast   = 300              // requests of a site's own that make a base
	drillStopped = 0.5
	drillTouched = 0.01
)

// drillReport is what came of it.
type drillReport struct {
	Drill    bool   `json:"drill"` // always: nothing of it has happened
	Scenario string `json:"scenario"`
	Site     string `json:"site"`
	Mode     string `json:"mode"`
	Base     string `json:"base"`  // whose ordinary traffic
	State    string `json:"state"` // whose learned state

	Attack  drillCount `json:"attack"`
	Late    drillCount `json:"late"` // of the attack later than a minute
	Noticed *float64   `json:"noticed_seconds"`
	Decided *float64   `json:"decided_seconds"`
	People  int        `json:"people"` // clients of the ordinary traffic, while it lasted
	Touched int        `json:"touched"`

	Decisions []schemas.Event `json:"decisions"`
	Told      []string        `json:"told"`
	Edges     []string        `json:"edges"`
	Failures  []string        `json:"failures"`
}

// Run plays an attack through a processor of its own, with the running weir's configuration
// and what it has learned, and before an edge of its own:
//
//	processor.state ──read──▶ processor ──▶ decisions ──▶ judge     nothing is written,
//	stored requests + attack ──▶ ┘             └────────▶ report    nothing is published
func (c *drillCommand) Run(ctx context.Context, s screen, p *program) error {
	configuration, err := p.configuration()
	if err != nil {
		return err
	}
	if c.Data != "" {
		configuration.Data = c.Data
	}
	if c.For < 2*time.Minute || c.For > drillBase/2 {
		return usagef("--for %s: give 2m to %s", c.For, short(drillBase/2))
	}
	d := &drill{command: c, config: configuration, ctx: ctx, touched: make(map[string]bool)}
	d.report = drillReport{Drill: true, Scenario: c.Scenario, Decisions: []schemas.Event{}, Told: []string{}, Edges: []string{}, Failures: []string{}}
	if err := d.learn(); err != nil {
		return err
	}
	if err := d.play(s, p); err != nil {
		return err
	}
	if err := d.readiness(); err != nil {
		return err
	}
	d.judge()
	if c.Output == "json" {
		if err := json.NewEncoder(s.out).Encode(d.report); err != nil {
			return err
		}
	} else {
		d.print(s.out)
	}
	if n := len(d.report.Failures); n > 0 {
		return fmt.Errorf("drill: the chain would not have worked: %s", d.report.Failures[0])
	}
	return nil
}

// drill is one run. All of it happens in one goroutine.
type drill struct {
	command *drillCommand
	config  config.Config
	ctx     context.Context
	report  drillReport

	processor *processor.Processor
	edge      *judge.Edge
	learned   bool      // the processor knows the site already
	begins    time.Time // the attack
	// beforeAttack says that the ordinary traffic is of before one that goes on, or went on until just now.
	beforeAttack bool

	builder   *schemas.Builder
	attacks   []bool // of the builder's rows
	decision  []byte
	touched   map[string]bool // clients of ordinary traffic, and whether they were stopped
	undecided string          // why nothing was decided
	err       error
}

// drillLine is a request on its way to the log: as weir's own format has it.
type drillLine struct {
	at     time.Time
	attack bool
	text   []byte
}

// play sends the lines in their order through parser, processor and edge.
func (d *drill) play(s screen, p *program) error {
	lines, err := d.lines(s, p)
	if err != nil {
		return err
	}
	d.report.Mode = string(d.config.ModeOf(d.report.Site))
	d.edge = judge.New(judge.Options{Propagation: d.config.Decisions.Propagation, Allow: d.config.Allowed(), AllowPaths: d.config.AllowedPaths()})
	d.builder = schemas.NewBuilder("drill", "drill")
	slices.SortStableFunc(lines, func(a, b drillLine) int { return a.at.Compare(b.at) })
	if d.learned { // whoever came of late is known here
		if err := d.each(lines, func(l *drillLine) bool { return !l.attack }, d.processor.Acquaint); err != nil {
			return err
		}
		d.processor.Rewind()
	}
	return d.each(lines, func(*drillLine) bool { return true }, func(b *schemas.Batch) { d.processor.Consume(b, d.verdict, d.emit) })
}

// each hands lines over in batches.
func (d *drill) each(lines []drillLine, wanted func(*drillLine) bool, take func(*schemas.Batch)) error {
	parser := accesslog.New(accesslog.Weir)
	var r schemas.Request
	flush := func() {
		if len(d.attacks) > 0 {
			take(d.builder.Batch())
			d.builder.Reset()
			d.attacks = d.attacks[:0]
		}
	}
	for i := range lines {
		l := &lines[i]
		if !wanted(l) {
			continue
		}
		if reason := parser.Parse(bytes.TrimSpace(l.text), &r); reason != 0 {
			return fmt.Errorf("drill: its own line is refused (%s): %.200s", reason, l.text)
		}
		if !d.builder.Fits(&r) || len(d.attacks) >= batchRows {
			flush()
		}
		d.builder.Append(&r)
		d.attacks = append(d.attacks, l.attack)
		if err := d.ctx.Err(); err != nil {
			return err
		}
	}
	flush()
	return d.err
}

// verdict is what the drill's edge does.
func (d *drill) verdict(row int, r *schemas.Request) schemas.Action {
	action, decision := d.edge.Judge(r)
	r.Decision = append(d.decision[:0], decision...)
	d.decision = r.Decision
	at := time.UnixMilli(r.Time)
	switch {
	case d.attacks[row]:
		d.report.Attack.add(action)
		if at.Sub(d.begins) > time.Minute {
			d.report.Late.add(action)
		}
	case !at.Before(d.begins) && string(r.Site) == d.report.Site:
		client := schemas.ClientOf(r.Client).String()
		d.touched[client] = d.touched[client] || action.Severity() > 0 && r.Status < 400
	}
	return action
}

// emit notes what was noticed and decided; it goes no further than the drill's edge.
func (d *drill) emit(e schemas.Event) {
	if len(e.Undecided) > 0 && e.Undecided[0].Left == 0 {
		d.undecided = e.Undecided[0].Why
	}
	if err := d.edge.Apply(e); err != nil {
		d.err = errors.Join(d.err, err)
	}
	if e.Time.Before(d.begins) || !slices.Contains(e.Sites, d.report.Site) {
		return
	}
	after := e.Time.Sub(d.begins).Seconds()
	switch {
	case e.Decision == nil && e.Kind.Attack() && e.Type != schemas.IncidentClosed && d.report.Noticed == nil:
		d.report.Noticed = &after
	case e.Type == schemas.DecisionAdded:
		if d.report.Decided == nil {
			d.report.Decided = &after
		}
		marked := *e.Decision
		marked.ID, marked.Evidence = "drill-"+marked.ID, nil
		e.Decision, e.Incident = &marked, "drill-"+e.Incident
		d.report.Decisions = append(d.report.Decisions, e)
	}
}
