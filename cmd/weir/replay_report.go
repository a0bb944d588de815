package main

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// maxReports bounds the pages of one replay.
const maxReports = 20

// stores reports whether the replay is stored, if only for its report.
func (c *replayCommand) stores() bool { return c.Data != "" || c.ClickHouse != "" || c.Report != "" }

// reported makes a store for the report where there is none; the function it returns removes
// that again, with the addresses in it.
func (c *replayCommand) reported() (remove func(), err error) {
	if c.Report == "" {
		return func() {}, nil
	}
	if input := sameFile(c.Report, append(paths(c.Files), c.Baseline)); input != "" {
		return nil, usagef("%s is what is read: writing there would destroy it; give another file", printable(input, 200))
	}
	if info, err := os.Stat(filepath.Dir(c.Report)); err != nil {
		return nil, fmt.Errorf("write %s: %w", printable(c.Report, 200), unwrapPath(err))
	} else if !info.IsDir() {
		return nil, fmt.Errorf("write %s: not in a directory", printable(c.Report, 200))
	}
	if c.Data != "" || c.ClickHouse != "" {
		return func() {}, nil
	}
	folder, err := os.MkdirTemp("", "weir-replay-*")
	if err != nil {
		return nil, unwrapPath(err)
	}
	c.Data = folder
	return func() { _ = os.RemoveAll(folder) }, nil
}

// report writes the pages of incidents: of the first attack, or else the first, to the file
// itself, of the others beside it.
func (c *replayCommand) report(ctx context.Context, s screen, db *clickhouse.DB, incidents []schemas.Event) error {
	if c.Report == "" {
		return nil
	}
	if len(incidents) == 0 {
		fmt.Fprintf(s.err, "weir: no incident, so that there is nothing to write to %s\n", printable(c.Report, 200))
		return nil
	}
	if first := slices.IndexFunc(incidents, func(e schemas.Event) bool { return e.Kind.Attack() }); first > 0 {
		attack := incidents[first]
		copy(incidents[1:first+1], incidents[:first])
		incidents[0] = attack
	}
	for i, e := range incidents {
		if i == maxReports {
			fmt.Fprintf(s.err, "weir: %d incidents, of which %d have a page; with --data the others can be had by weir incident\n", len(incidents), maxReports)
			break
		}
		path := c.Report
		if i > 0 {
			extension := filepath.Ext(path)
			path = strings.TrimSuffix(path, extension) + "-" + e.Incident + extension
		}
		if err := writeReport(ctx, db, e.Incident, path); err != nil {
			return err
		}
	}
	return nil
}
