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
	if len(found) == 0 {
		return fmt.Errorf("why %s: no incident or decision is about it", printable(c.Subject, 80))
	}
	if c.Output == "json" {
		encoder := json.NewEncoder(s.out)
		encoder.SetEscapeHTML(false)
		for _, e := range found {
			if err := encoder.Encode(e); err != nil {
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
	for _, e := range found {
		explain(s.out, e, known, done[decisionOf(e)])
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
	client := schemas.ClientOf(addr)
	first, last := client.As16(), client.As16()
	if !client.Is4() {
		for i := 8; i < len(last); i++ {
			last[i] = 0xFF
		}
	}
	var body bytes.Buffer
	query := fmt.Sprintf(`SELECT decision, action, toUInt64(sum(weight)) AS requests, formatDateTime(min(time), '%%F %%T') AS first, formatDateTime(max(time), '%%F %%T') AS last
		FROM requests WHERE client BETWEEN toIPv6('%s') AND toIPv6('%s') GROUP BY decision, action ORDER BY min(time) LIMIT 100`,
		netip.AddrFrom16(first), netip.AddrFrom16(last))
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
		e.Signals, e.Cause = old.Signals, old.Cause
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

// explain prints one incident or decision so that a tired person understands it.
// done is what the edges did for it so far, whole lines.
func explain(w io.Writer, e schemas.Event, known map[string]*profile.Profile, done string) {
	if e.Decision == nil || e.ID == "" {
		explainIncident(w, e)
		return
	}
	d := e.Decision
	fmt.Fprintf(w, "Decision %s: %s %s %s\n", d.ID, d.Action, d.Scope, printable(d.Value, 160))
	sites := "every site"
	if len(e.Sites) > 0 {
		sites = printable(strings.Join(e.Sites, ", "), 80)
	}
	state := "until " + d.Expires.UTC().Format(time.DateTime) + " UTC"
	if e.Type == schemas.DecisionRemoved {
		state = "removed " + e.Time.UTC().Format(time.DateTime) + " UTC"
		if !d.Armed.IsZero() {
			state += ", armed until " + d.Armed.UTC().Format(time.DateOnly)
		}
	}
	fmt.Fprintf(w, "  on %s, %s; by %s", sites, state, printable(d.Origin, 40))
	if e.Incident != "" {
		fmt.Fprintf(w, ", for incident %s", e.Incident)
	}
	fmt.Fprintln(w)
	if d.Reason != "" {
		fmt.Fprintf(w, "  %s\n", printable(d.Reason, 400))
	}
	if d.Origin == "weir" {
		fmt.Fprintf(w, "  Would touch at most %.2f %% of the site's visitors (%.1f an hour), measured on %s of normal traffic.\n",
			100*d.Collateral, d.CollateralPerHour, plural(d.CollateralClients, "held-out client"))
	}
	fmt.Fprint(w, done)
	if l := d.Live; l != nil {
		fmt.Fprintf(w, "  %s let through to see, %d of them like people: of the clients that it matches at most %.0f %% are.\n",
			plural(l.Probes, "probe"), l.People, 100*l.Upper)
	}
	var app *profile.Profile
	if len(e.Sites) == 1 {
		app = known[e.Sites[0]]
	}
	explainEvidence(w, d.Evidence, app)
}

func explainIncident(w io.Writer, e schemas.Event) {
	state := "still open"
	if e.Type == schemas.IncidentClosed {
		state = "closed " + e.Time.UTC().Format(time.DateTime) + " UTC"
	}
	fmt.Fprintf(w, "Incident %s: %s on %s, %s\n", e.Incident, e.Kind, printable(strings.Join(e.Sites, ", "), 80), state)
	if e.Cause != "" {
		fmt.Fprintf(w, "  %s\n", printable(e.Cause, 200))
	}
	for _, g := range e.Signals {
		fmt.Fprintf(w, "  %-22s %10s   normal %10s   score %.1f\n", g.Name, figure(g.Value), figure(g.Normal), g.Score)
	}
	fmt.Fprintln(w)
}

func explainEvidence(w io.Writer, e *schemas.Evidence, app *profile.Profile) {
	if e == nil {
		fmt.Fprintln(w)
		return
	}
	fmt.Fprintf(w, "  Matches %.1f %% of the attack's requests and %.2f %% of normal clients (at least %.0f times as likely in the attack).\n",
		100*e.AttackShare, 100*e.NormalShare, e.RiskRatio)
	if len(e.Traits) > 0 {
		fmt.Fprintf(w, "  %-16s %8s %8s %6s  %s\n", "trait", "attack", "normal", "bits", "value")
		for _, t := range e.Traits {
			fmt.Fprintf(w, "  %-16s %6.1f %% %6.1f %% %6.1f  %s\n", t.Trait, 100*t.Attack, 100*t.Normal, t.Bits, printable(fmt.Sprintf("%q", t.Value), 80))
		}
	}
	for _, list := range []struct {
		title string
		lines []string
	}{{"Requests that it matches", e.Samples}, {"The nearest normal requests", e.Nearest}} {
		if len(list.lines) > 0 {
			fmt.Fprintf(w, "  %s:%s\n", list.title, dearOf(list.lines, app))
		}
		for _, line := range list.lines {
			kind := ""
			if kind = kindOf(app, targetOf(line)); kind != "" {
				kind = "(" + kind + ") "
			}
			fmt.Fprintf(w, "    %s%s\n", kind, printable(line, 140))
		}
	}
	if e.SQL != "" {
		fmt.Fprintf(w, "  To see for yourself:\n    %s\n", printable(e.SQL, 1000))
	}
	fmt.Fprintln(w)
}

// targetOf is the path and query of a request as evidence has it: "GET /a?b=c | agent".
func targetOf(line string) string {
	request, _, _ := strings.Cut(line, " | ")
	_, target, _ := strings.Cut(request, " ")
	return target
}

// dearOf says how many of some requests are for what costs the application much.
func dearOf(lines []string, app *profile.Profile) string {
	n := 0
	for _, line := range lines {
		if kindOf(app, targetOf(line)) == profile.Dear.String() {
			n++
		}
	}
	if n == 0 {
		return ""
	}
	return fmt.Sprintf(" (%d of %d are for what is dear to %s)", n, len(lines), app.Name())
}
