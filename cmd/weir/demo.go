package main

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/internal/simulate"
)

type demoCommand struct {
	Dir     string        `placeholder:"DIR" help:"Where to work; by default a new folder for temporary files. It stays."`
	Seed    uint64        `default:"3" help:"Who comes: the same seed, the same visitors and bots; it also picks the library that the bots are written with."`
	Hours   time.Duration `default:"24h" help:"Ordinary hours to learn from first."`
	Edges   int           `default:"1" help:"Edges, each with an nginx and a weir of its own in a network namespace; more than one needs root."`
	Apart   bool          `hidden:"" help:"The network is the demo's own."`
	Closed  bool          `name:"closed-loop" help:"Judge each promise of a closed loop: an application of 30 requests a second, first with a weir that only looks on, then with one that enforces, until everything that it decided has expired. A good twenty minutes."`
	Keep    bool          `help:"Leave everything running until Ctrl-C."`
	Picture string        `placeholder:"FILE" help:"Draw the table there, as SVG; DIR/demo.svg is always drawn."`
	Output  string        `default:"text" enum:"text,json" help:"The table at the end: text or json."`
}

// Run plays the opening story on this machine with the real parts:
//
//	simulate ─▶ learn ─▶ baseline
//	visitors, botnet ─▶ nginx ─▶ a small application
//	                     │  ▲
//	            access log  decisions
//	                     ▼  │
//	                    weir run
func (c *demoCommand) Run(ctx context.Context, s screen) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Edges > 1 && !c.Apart {
		return c.apart(ctx, s)
	}
	if c.Closed {
		return c.closedLoop(ctx, s)
	}
	d, err := c.prepare(ctx, s, demo.DefaultPlan(), "")
	if err != nil {
		return err
	}
	defer d.leave()
	report, err := d.play(ctx)
	if err != nil {
		return err
	}
	if err := d.draw(&report); err != nil {
		return err
	}
	if c.Output == "json" {
		if err := report.JSON(s.out); err != nil {
			return err
		}
	}
	if verdict := report.Verdict(); !verdict.Passed {
		return fmt.Errorf("the demo did not do what it promises: %s", strings.Join(verdict.Why, "; "))
	}
	return nil
}

// draw writes the pictures.
func (d *demonstration) draw(report *demo.Report) error {
	for _, path := range []string{d.path("demo.svg"), d.Picture} {
		if path == "" {
			continue
		}
		if err := writeFile(path, report.Picture); err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
	}
	return nil
}

// demonstration is one run of the demo.
type demonstration struct {
	*demoCommand
	screen  screen
	dir     string
	self    string // this program
	plan    demo.Plan
	board   *demo.Scoreboard
	traffic *simulate.Traffic
	app     *demo.App
	edges   []*demoEdge
	nats    string // where weir run listens for the others, "" where it is alone
	control *controlClient
	inbox   *demo.Inbox
	observe bool // weir looks on and enforces nothing
	ending  demo.Ending
}

// prepare makes everything that the play needs and starts nothing.
// It works in a folder of that name in --dir, or, where it is empty, in --dir itself.
func (c *demoCommand) prepare(ctx context.Context, s screen, plan demo.Plan, folder string) (*demonstration, error) {
	d := &demonstration{demoCommand: c, screen: s, plan: plan, observe: folder == demoWithout}
	if err := d.folder(folder); err != nil {
		return nil, err
	}
	var err error
	if d.self, err = os.Executable(); err != nil {
		return nil, err
	}
	d.say("Working in %s", d.dir)
	if err := d.learn(ctx); err != nil {
		return nil, err
	}
	d.board = demo.NewScoreboard(d.plan)
	d.control = newControlClient(d.path("data"))
	if err := d.stage(); err != nil {
		d.leave()
		return nil, err
	}
	return d, nil
}

func (d *demonstration) say(format string, args ...any) {
	if d.Output == "text" {
		fmt.Fprintf(d.screen.out, format+"\n", args...)
	}
}

// play runs all of it to the end of the plan, prints the table, and stops what it
// started.
func (d *demonstration) play(ctx context.Context) (demo.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts stage
	defer parts.wait()
	defer cancel(nil)
	part := func(name string, run func(context.Context) error) {
		parts.running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("demo: %s: %w", name, err))
			}
		})
	}
	part("the application", d.app.Run)
	for _, e := range d.edges {
		part("nginx", e.nginx.Run)
	}
	part("the inbox", d.inbox.Run)
	for _, e := range d.edges {
		select {
		case <-e.nginx.Ready():
		case <-ctx.Done():
			return demo.Report{}, context.Cause(ctx)
		}
	}
	part("weir run", func(ctx context.Context) error {
		return d.weir(ctx, "weir.log", nil, "--config", d.path("weir.yml"), "run", "--baseline", d.path("baseline"))
	})
	if err := d.waitReady(ctx); err != nil {
		return demo.Report{}, err
	}
	var addresses []string
	for n, e := range d.edges {
		addresses = append(addresses, e.nginx.Address())
		if d.Edges > 1 {
			d.startEdge(n, e, part)
		}
	}
	if err := d.edgesThere(ctx); err != nil {
		return demo.Report{}, err
	}
	d.say("nginx answers at %s, weir follows its log and enforces.\nOrdinary visitors for %s, then a botnet for %s, then %s of peace.\n",
		strings.Join(addresses, ", "), d.plan.Before, d.plan.Attack, d.plan.After)

	part("watching", d.watch)
	var view sync.WaitGroup
	viewing, endView := context.WithCancel(ctx)
	defer endView()
	if d.Output == "text" {
		view.Go(func() { demo.NewLive(d.screen.out, d.board).Run(viewing, d.extra(ctx)) })
	}
	traffic := demo.NewTraffic(demo.TrafficOptions{Addresses: addresses, Visits: d.traffic, Plan: d.plan, Board: d.board})
	if err := traffic.Run(ctx); err != nil {
		endView()
		view.Wait()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return demo.Report{}, err
	}
	endView() // before the table, or it would be drawn over
	view.Wait()
	report := d.board.Report()
	report.Unjudged = d.Closed
	if d.Output == "text" {
		fmt.Fprintln(d.screen.out)
		if err := report.Table(d.screen.out); err != nil {
			return report, err
		}
		if d.observe {
			return report, nil
		}
		if err := d.told(ctx); err != nil {
			return report, err
		}
		if d.Closed {
			return report, d.toTheEnd(ctx)
		}
		d.next(ctx)
	}
	if d.Keep {
		d.say("\nEverything is still running; Ctrl-C ends it.")
		<-ctx.Done()
	}
	return report, nil
}
