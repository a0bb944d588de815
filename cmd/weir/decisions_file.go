package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

type exportDecisionsCommand struct {
	dataFlag
	Format string `default:"json" enum:"json,csv,values" help:"json (an event a line, which import takes), csv, or values: clients and prefixes alone, one a line."`
}

// Run writes what is in force.
func (c *exportDecisionsCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	events, err := newControlClient(data).events(ctx, "/api/decisions")
	if err != nil {
		return err
	}
	return exportDecisions(s.out, events, c.Format)
}

func exportDecisions(to io.Writer, events []schemas.Event, format string) error {
	w := bufio.NewWriter(to)
	table := csv.NewWriter(w)
	if format == "csv" {
		if err := table.Write([]string{"decision", "action", "scope", "value", "sites", "expires", "origin", "reason"}); err != nil {
			return err
		}
	}
	for i := range events {
		e := &events[i]
		switch format {
		case "csv":
			if err := table.Write([]string{e.ID, string(e.Action), string(e.Scope), e.Value, strings.Join(e.Sites, " "), e.Expires.UTC().Format(time.RFC3339), e.Origin, e.Reason}); err != nil {
				return err
			}
		case "values":
			if e.Scope == schemas.ScopeClient || e.Scope == schemas.ScopePrefix {
				fmt.Fprintln(w, e.Value)
			}
		default:
			line, err := schemas.AppendEvent(nil, e)
			if err != nil {
				return err
			}
			_, _ = w.Write(line) // Flush says what went wrong
		}
	}
	table.Flush()
	return errors.Join(table.Error(), w.Flush())
}

type importDecisionsCommand struct {
	dataFlag
	File   string        `arg:"" help:"What export wrote as json, or a list of addresses and prefixes, one a line; - is standard input."`
	Action string        `default:"block" enum:"block,challenge,throttle" help:"Of a list: block, challenge or throttle."`
	For    time.Duration `default:"1h" help:"Of a list: how long it is in force. What was exported keeps its own end."`
	Site   []string      `placeholder:"NAME" help:"Of a list: only on this site; may be repeated."`
	Reason string        `placeholder:"TEXT" help:"Why, for those who come after you."`
}

// Bounds of an import.
const (
	maxImport      = 256 << 20 // bytes
	maxImported    = 1_000_000 // decisions
	importedAtOnce = 200       // decisions: a request of the control socket
)

// Run takes all of a file or, where a line is wrong, nothing.
func (c *importDecisionsCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	in, name := s.in, "standard input"
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return usageError{err}
		}
		defer f.Close()
		in, name = f, c.File
	}
	text, err := io.ReadAll(io.LimitReader(in, maxImport+1))
	if err != nil {
		return err
	}
	if len(text) > maxImport {
		return usagef("%s: over %d bytes", name, maxImport)
	}
	events, err := c.read(text, time.Now())
	if err != nil {
		return usagef("%s: %w; nothing was imported", name, err)
	}
	client := newControlClient(data)
	for at := 0; at < len(events); at += importedAtOnce {
		if err := client.post(ctx, events[at:min(at+importedAtOnce, len(events))]); err != nil {
			return fmt.Errorf("%d of %d were imported: %w", at, len(events), err)
		}
	}
	fmt.Fprintf(s.out, "%s imported.\n", plural(len(events), "decision"))
	return nil
}

// read makes events of the lines; the error names the first that is wrong.
func (c *importDecisionsCommand) read(text []byte, now time.Time) (events []schemas.Event, err error) {
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line, _, _ := bytes.Cut(bytes.TrimSpace(line), []byte("#"))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		if len(events) >= maxImported {
			return nil, fmt.Errorf("line %d: more than %d decisions", number, maxImported)
		}
		var e schemas.Event
		if line[0] == '{' {
			e, err = c.exported(line, now)
		} else {
			e, err = c.listed(string(line), now)
		}
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number, err)
		}
		if e.Decision == nil { // has ended
			continue
		}
		if line[0] != '{' {
			e.ID = fmt.Sprintf("%s-%d", e.ID, len(events)+1)
		}
		events = append(events, e)
	}
	return events, nil
}

// exported is a line of an export: its own decision, which is then a person's. One that
// has ended is none.
func (c *importDecisionsCommand) exported(line []byte, now time.Time) (schemas.Event, error) {
	var e schemas.Event
	if err := json.Unmarshal(line, &e); err != nil {
		return e, err
	}
	if err := e.Validate(); err != nil {
		return e, err
	}
	if e.Decision == nil || e.ID == "" {
		return e, errors.New("not a decision")
	}
	if !e.Expires.After(now) || e.Type == schemas.DecisionRemoved {
		return schemas.Event{}, nil
	}
	// What a hand may not add it may not import.
	checked := addDecisionCommand{Scope: string(e.Scope), Value: e.Value, Action: string(e.Action), For: e.Expires.Sub(now), Site: e.Sites, Reason: e.Reason}
	made, err := checked.event(now)
	if err != nil {
		return e, err
	}
	made.Decision.ID, made.Decision.Expires = e.ID, e.Expires
	made.Decision.Reason = strings.TrimSuffix("imported: "+e.Reason, ": ")
	return made, nil
}

// listed is an address or a prefix.
func (c *importDecisionsCommand) listed(value string, now time.Time) (schemas.Event, error) {
	scope := schemas.ScopeClient
	if prefix, err := netip.ParsePrefix(value); err == nil && !prefix.IsSingleIP() {
		scope = schemas.ScopePrefix
	} else if err == nil {
		value = prefix.Addr().String()
	}
	add := addDecisionCommand{Scope: string(scope), Value: value, Action: c.Action, For: c.For, Site: c.Site, Reason: c.Reason}
	return add.event(now)
}
