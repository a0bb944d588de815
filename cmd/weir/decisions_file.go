package main

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

type exportDecisionsCommand struct {
	dataFlag
	Format string `default:"json" enum:"json,csv,values" help:"json (an event a line), csv, or values: clients and prefixes alone, one a line. import takes each."`
}

// Run writes what is in force.
func (c *exportDecisionsCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	return exportDecisions(s.out, c.Format, func(write func(*schemas.Event) error) error {
		_, err := newControlClient(data).each(ctx, "/api/decisions", write)
		return err
	})
}

// exportDecisions writes each as it comes.
func exportDecisions(to io.Writer, format string, each func(write func(*schemas.Event) error) error) error {
	w := bufio.NewWriter(to)
	table := csv.NewWriter(w)
	if format == "csv" {
		if err := table.Write(tableColumns); err != nil {
			return err
		}
	}
	if err := each(func(e *schemas.Event) error {
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
		return nil
	}); err != nil {
		return err
	}
	table.Flush()
	return errors.Join(table.Error(), w.Flush())
}

// tableColumns are those of an export as CSV. A table that is imported needs value alone, and
// may have others.
var tableColumns = []string{"decision", "action", "scope", "value", "sites", "expires", "origin", "reason"}

type importDecisionsCommand struct {
	dataFlag
	File   string        `arg:"" help:"What export wrote, any CSV with a column value, or a list of addresses and prefixes, one a line; - is standard input."`
	Action string        `default:"block" enum:"block,challenge,throttle" help:"Of a list: block, challenge or throttle."`
	For    time.Duration `default:"1h" help:"Of a list: how long it is in force. What was exported keeps its own end."`
	Site   []string      `placeholder:"NAME" help:"Of a list: only on this site; may be repeated."`
	Reason string        `placeholder:"TEXT" help:"Why, for those who come after you."`
	Own    bool          `help:"Also against this machine's own addresses, and the one that you are connected from."`
}

// Bounds of an import.
const (
	maxImport      = 256 << 20 // bytes
	maxImported    = 1_000_000 // decisions
	importedAtOnce = 900 << 10 // bytes: a request of the control socket, which takes maxBody
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
	rules, configuration, err := p.handRules(c.Own)
	if err != nil {
		return err
	}
	began := time.Now()
	events, allowed, err := c.read(text, rules, began)
	if err != nil {
		return usagef("%s: %w; nothing was imported", name, err)
	}
	client := newControlClient(data)
	inForce, err := client.each(ctx, "/api/decisions?limit=0", func(*schemas.Event) error { return nil })
	if err != nil {
		return err
	}
	if most := configuration.Decisions.Max; inForce+len(events) > most {
		return usagef("%s: %s, and %s are in force: edges hold %s at most (decisions.max); nothing was imported", name, plural(len(events), "decision"), count(inForce), count(most))
	}
	if err := c.importAll(ctx, client.post, events, began); err != nil {
		return err
	}
	fmt.Fprintln(s.out, imported(events, time.Now()))
	if allowed > 0 {
		fmt.Fprintf(s.err, "weir: no edge touches %d of them, which are in the allowlist\n", allowed)
	}
	return nil
}

// imported says how many were, and how many of them have ended before the last was.
func imported(events []schemas.Event, now time.Time) string {
	over := 0
	for i := range events {
		if !events[i].Expires.After(now) {
			over++
		}
	}
	text := plural(len(events), "decision") + " imported"
	if over == 0 {
		return text + "."
	}
	return fmt.Sprintf("%s; %s of them have ended already: give a longer --for.", text, count(over))
}

// importAll hands over all of them, or takes back what it has. What has no end of its own is in
// force as long as was said from when it is handed over; began is when it was read.
func (c *importDecisionsCommand) importAll(ctx context.Context, post func(context.Context, []schemas.Event) error, events []schemas.Event, began time.Time) error {
	began = began.UTC().Truncate(time.Millisecond)
	for at := 0; at < len(events); {
		now := time.Now().UTC().Truncate(time.Millisecond)
		some := events[at:]
		some = some[:requestOf(some)]
		for i := range some {
			if some[i].Time = now; some[i].Expires.Equal(began.Add(c.For)) {
				some[i].Decision.Expires = now.Add(c.For)
			}
		}
		at += len(some)
		err := post(ctx, some)
		if err == nil {
			continue
		}
		for back := 0; back < at; {
			gone := events[back:at]
			gone = slices.Clone(gone[:requestOf(gone)])
			for i := range gone {
				gone[i].Type, gone[i].Time = schemas.DecisionRemoved, time.Now().UTC().Truncate(time.Millisecond)
			}
			if again := post(context.WithoutCancel(ctx), gone); again != nil {
				return fmt.Errorf("%d of %d were imported, and could not be taken back (%w): %w; weir decisions list shows them", at-len(some), len(events), again, err)
			}
			back += len(gone)
		}
		return fmt.Errorf("nothing was imported: %w", err)
	}
	return nil
}

// requestOf is how many of the first go into one request, at least one.
func requestOf(events []schemas.Event) (n int) {
	size := 0
	for ; n < len(events); n++ {
		text, err := json.Marshal(&events[n])
		if size += len(text) + 1; err != nil || n > 0 && size > importedAtOnce {
			break
		}
	}
	return max(n, 1)
}

// read makes events of the lines, and counts those of which nothing comes because they are in
// the allowlist; the error names the first line that is wrong.
func (c *importDecisionsCommand) read(text []byte, rules *handRules, now time.Time) (events []schemas.Event, allowed int, err error) {
	take := func(number int, e schemas.Event, err error) error {
		if err == nil && e.Decision == nil { // has ended
			return nil
		}
		var within netip.Prefix
		if err == nil {
			within, err = rules.check(&e)
		}
		if err == nil && len(events) >= maxImported {
			err = fmt.Errorf("more than %d decisions", maxImported)
		}
		if err != nil {
			return fmt.Errorf("line %d: %w", number, err)
		}
		if within.IsValid() {
			allowed++
		}
		events = append(events, e)
		return nil
	}
	text = bytes.TrimPrefix(text, []byte("\ufeff")) // of spreadsheets
	if c.isTable(text) {
		return events, allowed, c.table(text, now, take)
	}
	number := 0
	for line := range bytes.Lines(text) {
		number++
		line = bytes.TrimSpace(line)
		if len(line) > 0 && line[0] == '{' {
			e, err := c.exported(line, now)
			if err := take(number, e, err); err != nil {
				return nil, 0, err
			}
			continue
		}
		line, _, _ = bytes.Cut(line, []byte("#"))
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		e, err := c.listed(string(line), number, now)
		if err := take(number, e, err); err != nil {
			return nil, 0, err
		}
	}
	return events, allowed, nil
}

// isTable reports whether a file is CSV: its first line has a column value.
func (c *importDecisionsCommand) isTable(text []byte) bool {
	line, _, _ := bytes.Cut(text, []byte("\n"))
	head, err := csv.NewReader(bytes.NewReader(line)).Read()
	return err == nil && slices.Contains(head, "value")
}

// table reads CSV with a head: what a row does not say, the flags do.
func (c *importDecisionsCommand) table(text []byte, now time.Time, take func(int, schemas.Event, error) error) error {
	rows := csv.NewReader(bytes.NewReader(text))
	head, err := rows.Read()
	if err != nil {
		return err
	}
	for {
		row, err := rows.Read()
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err // it names the line
		}
		number, _ := rows.FieldPos(0)
		field := func(name string) string {
			if at := slices.Index(head, name); at >= 0 {
				return strings.TrimSpace(row[at])
			}
			return ""
		}
		e, err := c.row(field, number, now)
		if err := take(number, e, err); err != nil {
			return err
		}
	}
}

// row is one row of a table.
func (c *importDecisionsCommand) row(field func(string) string, number int, now time.Time) (schemas.Event, error) {
	one := *c
	one.Action, one.Reason = cmp.Or(field("action"), c.Action), cmp.Or(field("reason"), c.Reason)
	if sites := strings.Fields(field("sites")); len(sites) > 0 {
		one.Site = sites
	}
	scope := field("scope")
	if scope == string(schemas.ScopeSite) {
		one.Site = nil // it is the value
	}
	if until := field("expires"); until != "" {
		end, err := time.Parse(time.RFC3339, until)
		if err != nil {
			return schemas.Event{}, fmt.Errorf("expires %q is not of the form 2026-11-22T05:08:12Z", until)
		}
		if !end.After(now) {
			return schemas.Event{}, nil
		}
		one.For = end.Sub(now)
	}
	var e schemas.Event
	var err error
	if scope == "" {
		e, err = one.listed(field("value"), number, now)
	} else {
		add := addDecisionCommand{Scope: scope, Value: field("value"), Action: one.Action, For: one.For, Site: one.Site, Reason: one.Reason}
		e, err = add.event(now)
	}
	if err != nil {
		return e, err
	}
	e.ID = cmp.Or(field("decision"), fmt.Sprintf("%s-%d", schemas.ManualID(now), number))
	return e, e.Validate()
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
func (c *importDecisionsCommand) listed(value string, number int, now time.Time) (schemas.Event, error) {
	scope := schemas.ScopeClient
	if prefix, err := netip.ParsePrefix(value); err == nil && !prefix.IsSingleIP() {
		scope = schemas.ScopePrefix
	} else if err == nil {
		value = prefix.Addr().String()
	}
	add := addDecisionCommand{Scope: string(scope), Value: value, Action: c.Action, For: c.For, Site: c.Site, Reason: c.Reason}
	e, err := add.event(now)
	if err == nil {
		e.ID = fmt.Sprintf("%s-%d", e.ID, number)
	}
	return e, err
}
