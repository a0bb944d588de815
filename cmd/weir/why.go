package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/netip"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
	"github.com/weir-project/weir/sinks/clickhouse"
)

type whyCommand struct {
	Subject string `arg:"" help:"An address, a decision's id or an incident's id."`
	dataFlag
	Events string `placeholder:"FILE" help:"Where weir replay --events wrote them, instead of a data directory; '-' is standard input."`
	All    bool   `help:"Of an incident, every decision with its evidence, instead of one page."`
	Output string `default:"text" enum:"text,json" help:"text or json."`
}

func (c *whyCommand) Run(ctx context.Context, s screen, p *program) error {
	events, err := c.read(ctx, s, p)
	if err != nil {
		return err
	}
	found := about(events, c.Subject)
	if addr, err := netip.ParseAddr(c.Subject); err == nil && c.Events == "" {
		touched, err := c.touched(ctx, s, p, addr)
		if err != nil {
			return err
		}
		for _, e := range events {
			if e.Decision != nil && touched[e.ID] && !slices.ContainsFunc(found, func(f schemas.Event) bool { return f.Decision != nil && f.ID == e.ID }) {
				found = append(found, e)
			}
		}
	}
	allowed, err := c.sayAllowed(s.out, p)
	if err != nil {
		return err
	}
	if len(found) == 0 && allowed {
		return nil
	}
	if len(found) == 0 {
		return fmt.Errorf("why %s: no incident or decision is about it", printable(c.Subject, 80))
	}
	if c.Output == "json" {
		encoder := json.NewEncoder(s.out)
		encoder.SetEscapeHTML(false)
		edges := holding{now: time.Now()}
		if c.Events == "" {
			data, err := c.directory(p)
			if err != nil {
				return err
			}
			edges.edges = reportedEdges(ctx, data)
		}
		for _, e := range found {
			if err := encoder.Encode(effective{Event: e, notHeld: edges.of(&e)}); err != nil {
				return err
			}
		}
		return nil
	}
	known, err := c.applications(ctx, p)
	if err != nil {
		return err
	}
	done, err := c.effects(ctx, p, found)
	if err != nil { // the rest is worth reading without
		fmt.Fprintf(s.err, "What the edges did for it is not known: %s\n", printable(err.Error(), 200))
	}
	sheet := newSheet(s.out)
	if c.Events == "" {
		data, err := c.directory(p)
		if err != nil {
			return err
		}
		if sheet.modes, err = modesNow(ctx, data, p); err != nil {
			return err
		}
		sheet.events = events
		sheet.edges = holding{reportedEdges(ctx, data), time.Now()}
		defer func() {
			for _, line := range notLoaded(sheet.edges.edges, found, time.Now()) {
				fmt.Fprintln(s.err, line)
			}
		}()
		if configuration, err := p.configuration(); err == nil {
			sheet.open = openPaths(configuration.AllowedPaths(), found)
			sheet.cap = capLine(each(events), configuration.Decisions.Max, time.Now())
		}
	}
	if first := found[0]; !c.All && first.Incident == c.Subject && len(found) > 1 {
		sheet.incidentPage(found, known, done)
		return nil
	}
	if sheet.requestsOf, err = c.askedBy(ctx, p, found); err != nil {
		fmt.Fprintf(s.err, "What it asked for is not known: %s\n", printable(err.Error(), 200))
	}
	for _, e := range found {
		sheet.explain(e, known, done)
	}
	return nil
}

// applications are what the sites are: by the running weir, or else by the configuration.
func (c *whyCommand) applications(ctx context.Context, p *program) (map[string]*profile.Profile, error) {
	configuration, err := p.configuration()
	if err != nil {
		return nil, err
	}
	known, err := profilesOf(configuration)
	if err != nil || c.Events != "" {
		return known, err
	}
	data, err := c.directory(p)
	if err != nil {
		return nil, err
	}
	answer, err := newControlClient(data).do(ctx, http.MethodGet, "/api/applications", nil)
	var list map[string]application
	if err != nil || json.Unmarshal(answer, &list) != nil {
		return known, nil // it does not run, or is older than this
	}
	for site, one := range list {
		if p, err := profile.ByName(one.Profile); err == nil {
			known[site] = p
		}
	}
	return known, nil
}

func (c *whyCommand) read(ctx context.Context, s screen, p *program) ([]schemas.Event, error) {
	if c.Events != "" {
		return readEvents(s, c.Events)
	}
	data, err := c.directory(p)
	if err != nil {
		return nil, err
	}
	return knownEvents(ctx, data)
}

// touched asks the store which decisions met requests of a client, and says so: a
// signature names no address, and yet stops its requests.
func (c *whyCommand) touched(ctx context.Context, s screen, p *program, addr netip.Addr) (map[string]bool, error) {
	data, err := c.directory(p)
	if err != nil {
		return nil, err
	}
	db, closeDB, err := openData(ctx, data, false, nil)
	if err != nil {
		return nil, err
	}
	var body bytes.Buffer
	query := fmt.Sprintf(`SELECT decision, action, toUInt64(sum(weight)) AS requests, formatDateTime(min(time), '%%F %%T') AS first, formatDateTime(max(time), '%%F %%T') AS last
		FROM requests WHERE client BETWEEN toIPv6('%s') AND toIPv6('%s') GROUP BY decision, action ORDER BY min(time) LIMIT 100`,
		firstOf(addr), lastOf(addr))
	err = db.Query(ctx, query, clickhouse.QueryOptions{Format: "JSONEachRow", Settings: map[string]any{"output_format_json_quote_64bit_integers": 0}}, &body)
	if err = errors.Join(err, closeDB()); err != nil {
		return nil, err
	}
	met := make(map[string]bool)
	for decoder := json.NewDecoder(&body); decoder.More(); {
		var row struct {
			Decision, Action, First, Last string
			Requests                      uint64
		}
		if err := decoder.Decode(&row); err != nil {
			return nil, err
		}
		what := "let through"
		if row.Decision != "" {
			if what = row.Action + " by " + row.Decision; row.Action == string(schemas.Allow) {
				what = "let through, as a probe of " + row.Decision
			}
			met[row.Decision] = true
		}
		if c.Output == "text" {
			fmt.Fprintf(s.out, "%s requests of %s, %s to %s UTC: %s\n", count(row.Requests), addr, row.First, row.Last, printable(what, 100))
		}
	}
	return met, nil
}

// readEvents reads NDJSON events and keeps the latest of each incident and
// decision, in the order in which they first came.
func readEvents(s screen, path string) ([]schemas.Event, error) {
	in := s.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return nil, fmt.Errorf("read events %s: %w", path, unwrapPath(err))
		}
		defer f.Close()
		in = f
	}
	latest := newLatest()
	decoder := json.NewDecoder(bufio.NewReader(in))
	for n := 1; ; n++ {
		var e schemas.Event
		err := decoder.Decode(&e)
		if errors.Is(err, io.EOF) {
			return latest.events, nil
		}
		if err != nil {
			return nil, fmt.Errorf("read events %s: object %d: %w", path, n, err)
		}
		latest.add(e)
	}
}

// latest keeps the newest event of each incident and each decision.
type latest struct {
	events []schemas.Event
	at     map[string]int
}

func newLatest() *latest { return &latest{at: make(map[string]int)} }

func (l *latest) add(e schemas.Event) {
	key := e.Incident
	if e.Decision != nil && e.ID != "" {
		key = e.ID
	}
	if i, ok := l.at[key]; ok {
		old := l.events[i]
		keepPeak(&e, &old)
		if e.Decision != nil && old.Decision != nil && e.Evidence == nil {
			e.Evidence = old.Evidence
		}
		l.events[i] = e
		return
	}
	l.at[key] = len(l.events)
	l.events = append(l.events, e)
}

// keepPeak lets an incident's newest event tell of its worst moment, not of its end.
func keepPeak(e, old *schemas.Event) {
	if worst(e.Signals) < worst(old.Signals) {
		said := strings.HasPrefix(e.Cause, schemas.ClosedAsNormal) && !strings.HasPrefix(old.Cause, schemas.ClosedAsNormal)
		if e.Signals = old.Signals; !said { // who called it normal is not to be lost
			e.Cause = old.Cause
		}
	}
	if e.Kind == "" {
		e.Kind = old.Kind
	}
}

// about picks what concerns the subject: an incident with its decisions, one
// decision, or what names an address.
func about(events []schemas.Event, subject string) []schemas.Event {
	addr, err := netip.ParseAddr(subject)
	isAddress := err == nil
	var found []schemas.Event
	for _, e := range events {
		switch {
		case isAddress:
			if e.Decision != nil && concerns(e.Decision, addr) {
				found = append(found, e)
			}
		case e.Incident == subject, e.Decision != nil && e.ID == subject:
			found = append(found, e)
		}
	}
	return found
}

func concerns(d *schemas.Decision, addr netip.Addr) bool {
	switch d.Scope {
	case schemas.ScopeClient:
		a, err := netip.ParseAddr(d.Value)
		return err == nil && schemas.ClientOf(a) == schemas.ClientOf(addr)
	case schemas.ScopePrefix:
		p, err := netip.ParsePrefix(d.Value)
		return err == nil && p.Contains(addr.Unmap())
	}
	return false
}
