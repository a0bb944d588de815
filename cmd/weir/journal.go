package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/intake"
	"github.com/weir-project/weir/collectors/journald"
	"github.com/weir-project/weir/collectors/pipe"
	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/internal/config"
)

// newJournal makes the collector of units of the systemd journal. The journal keeps the
// lines, and its cursor is the place: there is no spool.
func (c *collecting) newJournal(units string, source *config.Source) (*pushed, error) {
	format, err := accesslog.ByName(source.Format)
	if err != nil {
		return nil, usageError{err}
	}
	name := "journal " + units
	metrics, err := intake.NewMetrics(c.metrics, name)
	if err != nil {
		return nil, err
	}
	o := journald.Options{Directory: source.Directory, Metrics: metrics, Logger: c.log}
	for unit := range strings.SplitSeq(units, ",") {
		o.Units = append(o.Units, strings.TrimSpace(unit))
	}
	journals := filepath.Join(c.config.Data, "journal", "collect")
	if err := os.MkdirAll(journals, 0o750); err != nil {
		return nil, fmt.Errorf("journal %s: %w", journals, unwrapPath(err))
	}
	shipping := c.shipOptions(source.Site, format)
	shipping.Open, shipping.Source, shipping.Resolve = func() ship.Input { return journald.New(o) }, name, c.resolve()
	s, err := ship.New(shipping, &ship.FileJournal{Path: filepath.Join(journals, fileName(name)+".json")}, c.to)
	if err != nil {
		return nil, err
	}
	return &pushed{run: s.Run}, nil
}

// newPipe makes the collector of a named pipe, or of standard input.
func (c *collecting) newPipe(path string, source *config.Source) (*pushed, error) {
	in, metrics, err := c.newIntake("pipe "+path, source)
	if err != nil {
		return nil, err
	}
	p, err := pipe.New(pipe.Options{Path: path, Group: source.Group, Metrics: metrics, Logger: c.log}, in)
	if err != nil {
		return nil, err
	}
	if err := p.Open(); err != nil {
		return nil, err
	}
	return &pushed{listener: p, intake: in}, nil
}
