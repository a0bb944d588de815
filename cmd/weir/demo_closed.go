package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"

	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/sinks/nginx"
)

const (
	// demoTTL is how long a decision of a closed loop holds without fresh evidence, and
	// expireWait how long is waited until none is left: those on clients may hold longer.
	demoTTL    = 3 * time.Minute
	expireWait = 12 * time.Minute
	// The folders of the two plays.
	demoWithout = "without"
	demoWith    = "with"
)

// closedLoop plays the story twice, its first minutes without weir's measures and then all of it with
// them, and judges each promise by truth.
func (c *demoCommand) closedLoop(ctx context.Context, s screen) error {
	if c.Output != "text" {
		return usagef("--closed-loop prints text")
	}
	var reports [2]demo.Report
	var ending demo.Ending
	plans := [...]demo.Plan{demo.ClosedPlanWithout(), demo.ClosedPlan()}
	for i, folder := range []string{demoWithout, demoWith} {
		d, err := c.prepare(ctx, s, plans[i], folder)
		if err != nil {
			return err
		}
		reports[i], err = d.play(ctx)
		d.leave()
		if err == nil && folder == demoWith {
			ending = d.ending
			err = d.draw(&reports[i])
		}
		if err != nil {
			return err
		}
	}
	fmt.Fprintln(s.out, "\nThe closed loop:")
	if !demo.WriteClauses(s.out, demo.ClosedLoop(&reports[0], &reports[1], ending)) {
		return errors.New("not every promise of the closed loop held")
	}
	return nil
}

// toTheEnd waits until nothing of what was decided is in force any more, at weir and at
// every nginx.
func (d *demonstration) toTheEnd(ctx context.Context) error {
	d.ending.AttackEnded = d.board.AttackEnd()
	for _, m := range d.inbox.Told() {
		if m.Kind == "opened" {
			d.ending.Opened++
		}
	}
	d.say("\nDecisions hold for %s without fresh evidence.", demoTTL)
	if poll(ctx, expireWait, func() bool { d.ending.Held = d.held(ctx); return d.ending.Held == 0 }) {
		d.ending.Expired = time.Now()
	}
	return ctx.Err()
}

// held is how many decisions are in force, and nginx that hold some.
func (d *demonstration) held(ctx context.Context) int {
	inForce, err := d.control.events(ctx, "/api/decisions")
	if err != nil {
		return -1
	}
	n := len(inForce)
	for _, e := range d.edges {
		current, err := os.ReadFile(filepath.Join(e.decisions, nginx.CurrentName))
		if err != nil || bytes.Contains(current, []byte("include")) {
			n++
		}
	}
	return n
}
