package main

import (
	"context"
	"errors"
	"fmt"
	"os"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

type learnCommand struct {
	logFlags
	Baseline string `short:"o" required:"" placeholder:"FILE" help:"Where to keep what was learned; what it already holds is learned on."`
	Quiet    bool   `short:"q" help:"No progress bar and no report."`
}

// Run feeds past logs to a processor that only learns, and keeps its baselines.
func (c *learnCommand) Run(ctx context.Context, s screen, p *program) error {
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
	from := c.Baseline
	if _, err := os.Stat(from); errors.Is(err, os.ErrNotExist) {
		from = ""
	}
	engine, key, err := fromBaseline(configuration, from, newSecret(), processor.Options{LearnOnly: true})
	if err != nil {
		return err
	}
	apps, targets := newApplications(configuration), newTargets()
	var rows schemas.Rows
	var request schemas.Request
	stats, err := readLogs(ctx, s, inputs, clients.Resolve, c.Quiet, func(chunk *tail.Chunk) error {
		engine.ConsumeShifted(chunk.Batch, chunk.Shifts, nil, func(schemas.Event) {})
		rows.Reset(chunk.Batch)
		for rows.Next(&request) {
			apps.add(&request)
			targets.add(&request)
		}
		return nil
	})
	if err != nil {
		return err
	}
	sayClocks(s, stats)
	if err := emptyLogs(s, stats); err != nil {
		return err
	}
	if stats.Parsed() == 0 {
		return fmt.Errorf("learn: no line of %s could be read, nothing learned", plural(len(inputs), "file"))
	}
	if err := saveBaseline(c.Baseline, key, engine); err != nil {
		return fmt.Errorf("write baseline %s: %w", c.Baseline, err)
	}
	if c.Quiet {
		return nil
	}
	fmt.Fprintf(s.out, "Learned from %s requests (%s lines refused) into %s\n", count(stats.Parsed()), count(stats.Lines()-stats.Parsed()), c.Baseline)
	printRefused(s.out, stats)
	printSites(s.out, engine.Sites())
	printApplications(s.out, apps.all(targets))
	return nil
}
