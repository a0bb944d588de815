package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/schemas"
)

// dataFlag says which weir a command is about.
type dataFlag struct {
	Data string `placeholder:"DIR" help:"Data directory of weir run; by default that of the configuration."`
}

// directory is the data directory that the flag or the configuration names.
func (d *dataFlag) directory(p *program) (string, error) {
	if d.Data != "" {
		return d.Data, nil
	}
	c, err := p.configuration()
	return c.Data, err
}

type decisionsCommand struct {
	List   listDecisionsCommand   `cmd:"" default:"withargs" help:"The decisions in force."`
	Add    addDecisionCommand     `cmd:"" help:"Take a decision by hand."`
	Accept acceptDecisionsCommand `cmd:"" help:"Take weir's own decisions as yours: they are enforced whatever the mode."`
	Rm     removeDecisionsCommand `cmd:"" help:"Lift decisions."`
	Export exportDecisionsCommand `cmd:"" help:"Write those in force."`
	Import importDecisionsCommand `cmd:"" help:"Take decisions from a file: an export, or a list of addresses and prefixes."`
}

type listDecisionsCommand struct {
	dataFlag
	All    bool   `help:"Also those that have ended."`
	Limit  int    `default:"-1" placeholder:"N" help:"At most so many, the newest; 0 is every one. By default 1,000 as text, and every one as JSON."`
	Armed  bool   `help:"Those that have ended and whose signatures are kept armed: where they match again, they are decided at once."`
	Output string `default:"text" enum:"text,json" help:"text or json."`
}

func (c *listDecisionsCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	now := time.Now()
	shown, more, err := c.newest(ctx, data, now)
	if err != nil {
		return err
	}
	if more > 0 {
		defer func() { fmt.Fprintf(s.err, "And %s more; --limit 0 lists every one.\n", count(more)) }()
	}
	done, err := effectsOf(ctx, data, shown)
	if err != nil { // the list is worth reading without
		fmt.Fprintf(s.err, "What the edges did for them is not known: %s\n", printable(err.Error(), 200))
	}
	edges := holding{reportedEdges(ctx, data), now}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(withEffects(shown, done, &edges))
	}
	if len(shown) == 0 {
		if c.Armed {
			fmt.Fprintln(s.out, "No signature is armed.")
		} else {
			fmt.Fprintln(s.out, "No decision in force.")
		}
		return nil
	}
	const form = "%-22s %-9s %-9s %-20s %10s %9s %8s %6s  %s"
	table := newSheet(s.out)
	if table.narrow() {
		table.line("%-22s %-9s %10s %9s %8s %6s", "decision", "action", "left", "stopped", "clients", "known")
	} else {
		table.line(form, "decision", "action", "scope", "sites", "left", "stopped", "clients", "known", "value")
	}
	for _, e := range shown {
		left := "ended"
		if c.Armed {
			left = short(e.Armed.Sub(now))
		}
		if d := e.Expires.Sub(now); d > 0 && e.Type != schemas.DecisionRemoved {
			left = short(d)
		}
		stopped, clients, known := "?", "?", "?"
		if one := done[e.ID]; one != nil {
			requests, who, _ := one.stopped()
			stopped, clients, known = count(requests), count(who), count(one.Known)
		}
		if table.narrow() {
			table.line("%-22s %-9s %10s %9s %8s %6s", printable(e.ID, 40), e.Action, left, stopped, clients, known)
			table.say(4, "%s on %s: %s", e.Scope, sitesText(e.Sites, 30), printable(e.Value, 300))
			continue
		}
		table.line(form, printable(e.ID, 40), e.Action, e.Scope, sitesText(e.Sites, 20), left, stopped, clients, known, printable(e.Value, 100))
	}
	modes, err := modesNow(ctx, data, p)
	if err != nil {
		return err
	}
	waiting := unenforcedOf(each(shown), modes, now)
	for _, line := range waiting.lines() {
		fmt.Fprintln(s.err, line)
	}
	for _, line := range notLoaded(edges.edges, shown, now) {
		fmt.Fprintln(s.err, line)
	}
	if configuration, err := p.configuration(); err == nil && more == 0 {
		if line := capLine(each(shown), configuration.Decisions.Max, now); line != "" {
			fmt.Fprintln(s.err, line)
		}
	}
	return nil
}

// listedAsText is how many decisions people are shown unless they ask for more.
const listedAsText = 1000

// newest are the decisions that were asked for, and how many more there are.
func (c *listDecisionsCommand) newest(ctx context.Context, data string, now time.Time) (shown []schemas.Event, more int, err error) {
	limit := c.Limit
	switch {
	case limit < 0 && c.Output == "text":
		limit = listedAsText
	case limit <= 0:
		limit = math.MaxInt32
	}
	if !c.All && !c.Armed { // of many, no more than these are sent
		total, err := newControlClient(data).each(ctx, fmt.Sprintf("/api/decisions?limit=%d", limit), func(e *schemas.Event) error {
			shown = append(shown, *e)
			return nil
		})
		if !errors.Is(err, errNotRunning) {
			return shown, total - len(shown), err
		}
	}
	events, err := knownEvents(ctx, data)
	if err != nil {
		return nil, 0, err
	}
	shown = c.choose(events, now)
	more = max(0, len(shown)-limit)
	return shown[:len(shown)-more], more, nil
}

// effective is a decision with what the edges did for it.
type effective struct {
	schemas.Event
	Effect *effect `json:"effect,omitempty"`
	notHeld
}

// notHeld is where a decision that is in force stops nothing.
type notHeld struct {
	NotHeld []lack `json:"not_held,omitempty"`     // parts of edges that do not hold it
	Nowhere bool   `json:"held_nowhere,omitempty"` // none does
}

func withEffects(events []schemas.Event, done effects, edges *holding) []effective {
	list := make([]effective, len(events))
	for i, e := range events {
		list[i] = effective{e, done[decisionOf(e)], edges.of(&e)}
	}
	return list
}

// choose picks the decisions in force, or those that were asked for.
func (c *listDecisionsCommand) choose(events []schemas.Event, now time.Time) (shown []schemas.Event) {
	for _, e := range events {
		ended := e.Type == schemas.DecisionRemoved || e.Decision != nil && !e.Expires.After(now)
		if e.Decision != nil && e.ID != "" && (c.All || !ended) && !c.Armed {
			shown = append(shown, e)
		}
	}
	if c.Armed {
		return armedOf(events, now)
	}
	return shown
}

// armedOf are the decisions whose signatures are armed: of each signature of a site the one
// that was in force last.
func armedOf(events []schemas.Event, now time.Time) (list []schemas.Event) {
	type signature struct{ sites, value string }
	at, last := make(map[signature]int), make(map[signature]time.Time)
	for _, e := range events {
		if e.Decision == nil || e.ID == "" || e.Origin != schemas.OriginWeir || e.Scope != schemas.ScopeSignature {
			continue
		}
		key := signature{strings.Join(e.Sites, " "), e.Value}
		if e.Time.Before(last[key]) {
			continue
		}
		last[key] = e.Time
		i, known := at[key]
		switch {
		case !known:
			at[key] = len(list)
			list = append(list, e)
		default:
			list[i] = e
		}
	}
	return slices.DeleteFunc(list, func(e schemas.Event) bool {
		return e.Type != schemas.DecisionRemoved || !e.Armed.After(now)
	})
}

func sitesText(sites []string, width int) string {
	if len(sites) == 0 {
		return "(all)"
	}
	return printable(strings.Join(sites, ","), width)
}

type addDecisionCommand struct {
	dataFlag
	Scope  string        `arg:"" enum:"client,prefix,signature,score,site" help:"client, prefix, signature, score or site."`
	Value  string        `arg:"" help:"An address, a CIDR prefix, a site's name, or a signature such as 'user_agent=\"curl/8.0\" referer=\"none\"'."`
	Action string        `default:"block" enum:"block,challenge,throttle,allow" help:"block, challenge or throttle; or allow: nothing touches that client or prefix, on any site."`
	For    time.Duration `default:"1h" help:"How long it is in force."`
	Site   []string      `placeholder:"NAME" help:"Only on this site; by default on all. May be repeated."`
	Reason string        `placeholder:"TEXT" help:"Why, for those who come after you."`
	Own    bool          `help:"Also against this machine's own addresses, and the one that you are connected from."`
	Broad  bool          `help:"Also a signature that ordinary visitors have, such as method=\"GET\", a score, or all visitors of a site."`
}

func (c *addDecisionCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	event, err := c.event(time.Now())
	if err != nil {
		return usageError{err}
	}
	if !c.Broad && isBroad(&event) {
		if event.Scope == schemas.ScopeSite {
			return usagef("to %s %s is to do it to each of its visitors: --broad where that is meant", event.Action, printable(event.Value, 100))
		}
		if event.Scope == schemas.ScopeScore {
			return usagef("of a score nobody sees whom it would %s: --broad where that is meant", event.Action)
		}
		return usagef("%s is what ordinary visitors send, and would refuse most of them: add a trait that they do not have, or --broad where that is meant", printable(event.Value, 100))
	}
	rules, _, err := p.handRules(c.Own)
	if err != nil {
		return err
	}
	allowed, err := rules.check(&event)
	if err != nil {
		return usageError{err}
	}
	if allowed.IsValid() {
		fmt.Fprintf(s.err, "weir: %s is in the allowlist (%s): no edge touches that\n", printable(event.Value, 60), allowed)
	}
	if err := newControlClient(data).post(ctx, []schemas.Event{event}); err != nil {
		return err
	}
	fmt.Fprintf(s.out, "%s: %s %s %s on %s until %s\n", event.ID, event.Action, event.Scope, printable(event.Value, 100),
		sitesText(event.Sites, 60), event.Expires.UTC().Format(time.DateTime+" UTC"))
	return nil
}

// event is the decision that the flags describe, refused where no edge could
// hold it.
func (c *addDecisionCommand) event(now time.Time) (schemas.Event, error) {
	value, sites := c.Value, c.Site
	switch schemas.Scope(c.Scope) {
	case schemas.ScopeClient:
		addr, err := netip.ParseAddr(value)
		if err != nil {
			return schemas.Event{}, fmt.Errorf("client %q is not an address; a network is a prefix", value)
		}
		value = schemas.ClientOf(addr).String()
	case schemas.ScopePrefix:
		prefix, err := netip.ParsePrefix(value)
		if err != nil {
			return schemas.Event{}, fmt.Errorf("prefix %q is not of the form 192.0.2.0/24 or 2001:db8::/48", value)
		}
		if least := schemas.ShortestPrefix(prefix.Addr()); prefix.Bits() < least {
			return schemas.Event{}, fmt.Errorf("prefix %s is a part of the world: give /%d or longer, or take a decision on a site", value, least)
		}
		value = prefix.Masked().String()
	case schemas.ScopeSignature:
		signature, err := schemas.ParseSignature(value)
		if err != nil {
			return schemas.Event{}, err
		}
		value = signature.String()
	case schemas.ScopeScore:
		score, err := schemas.ParseScore(value)
		if err != nil {
			return schemas.Event{}, err
		}
		value = score.String()
	case schemas.ScopeSite:
		sites = []string{value}
	}
	sites, err := sitesByHand(sites)
	if err != nil {
		return schemas.Event{}, err
	}
	if schemas.Scope(c.Scope) == schemas.ScopeSite {
		value = sites[0]
	}
	if c.For <= 0 || c.For > schemas.LongestByHand {
		return schemas.Event{}, fmt.Errorf("--for %s: give more than 0 and at most %s", c.For, short(schemas.LongestByHand))
	}
	if schemas.Action(c.Action) == schemas.Allow && (schemas.Scope(c.Scope) == schemas.ScopeSignature || schemas.Scope(c.Scope) == schemas.ScopeScore || len(sites) > 0) {
		return schemas.Event{}, errors.New("--action allow is of a client or a prefix, and on every site: a firewall knows no sites")
	}
	now = now.UTC().Truncate(time.Millisecond)
	event := schemas.Event{
		Type: schemas.DecisionAdded, Time: now, Sites: sites,
		Decision: &schemas.Decision{
			ID:     schemas.ManualID(now),
			Action: schemas.Action(c.Action), Scope: schemas.Scope(c.Scope), Value: value,
			Expires: now.Add(c.For), Reason: c.Reason, Origin: me(),
		},
	}
	return event, enforceable(event)
}

// eachTold is of how many decisions that a command has changed each is named.
const eachTold = 50

type removeDecisionsCommand struct {
	dataFlag
	IDs []string `arg:"" name:"decision" help:"Ids, as weir decisions list shows them, or of an incident for all of its."`
}

func (c *removeDecisionsCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	client := newControlClient(data)
	found := make(map[string]bool, len(c.IDs))
	var removed []schemas.Event
	if _, err := client.each(ctx, "/api/decisions", func(e *schemas.Event) error {
		if own, its := slices.Contains(c.IDs, e.ID), e.Incident != "" && slices.Contains(c.IDs, e.Incident); own || its {
			found[e.ID], found[e.Incident] = true, found[e.Incident] || its
			gone := *e
			gone.Type, gone.Time = schemas.DecisionRemoved, time.Now().UTC().Truncate(time.Millisecond)
			removed = append(removed, gone)
		}
		return nil
	}); err != nil {
		return err
	}
	for _, id := range c.IDs {
		if !found[id] {
			return fmt.Errorf("no decision %s is in force; weir decisions list shows those that are", printable(id, 60))
		}
	}
	if err := client.post(ctx, removed); err != nil {
		return err
	}
	for _, e := range removed[:min(len(removed), eachTold)] {
		fmt.Fprintf(s.out, "%s lifted\n", printable(e.ID, 60))
	}
	if n := len(removed) - eachTold; n > 0 {
		fmt.Fprintf(s.out, "and %s more lifted\n", count(n))
	}
	return nil
}

type incidentsCommand struct {
	List       listIncidentsCommand   `cmd:"" default:"withargs" help:"Those known."`
	Close      closeIncidentCommand   `cmd:"" help:"Say that one was normal traffic."`
	Confirm    confirmIncidentCommand `cmd:"" help:"Say that one is an attack: its decisions are not on probation any more."`
	Postmortem postmortemCommand      `cmd:"" help:"Draft a post-mortem of one, in Markdown."`
}

// incidentCommand is about one incident.
type incidentCommand struct {
	Incident string `arg:"" help:"Its id, as weir incidents shows it, or latest."`
	dataFlag
	ClickHouse string `name:"clickhouse" placeholder:"DSN" help:"Ask this ClickHouse instead."`
	Report     string `required:"" placeholder:"FILE.html" help:"Write one page there that opens offline: what happened, as charts and tables."`
}

type listIncidentsCommand struct {
	dataFlag
	Output string `default:"text" enum:"text,json" help:"text or json."`
}

func (c *listIncidentsCommand) Run(ctx context.Context, s screen, p *program) error {
	data, err := c.directory(p)
	if err != nil {
		return err
	}
	events, err := knownEvents(ctx, data)
	if err != nil {
		return err
	}
	var shown, decided []schemas.Event
	for _, e := range events {
		if decisionOf(e) == "" {
			shown = append(shown, e)
		} else {
			decided = append(decided, e)
		}
	}
	edges := holding{reportedEdges(ctx, data), time.Now()}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(withHeld(shown, decided, &edges))
	}
	if len(shown) == 0 {
		fmt.Fprintln(s.out, "No incident.")
		return nil
	}
	table := newSheet(s.out)
	const form = "%-17s %-8s %-19s  %-14s %s" // with the sites last, of which a terminal of 80 columns has room for some
	table.line(form, "incident", "kind", "opened (UTC)", "state", "sites")
	for _, e := range shown {
		state := "open " + short(time.Since(e.Opened))
		if e.Type == schemas.IncidentClosed {
			state = "lasted " + short(e.Closed.Sub(e.Opened))
		}
		table.line(form, printable(e.Incident, 40), printable(string(e.Kind), 20), e.Opened.UTC().Format(time.DateTime), state, sitesText(e.Sites, 60))
	}
	sheet := newSheet(s.err)
	for _, e := range withHeld(shown, decided, &edges) {
		if line := e.line(); line != "" {
			sheet.say(0, "%s: %s", printable(e.Incident, 40), line)
		}
	}
	for _, e := range shown {
		if e.Type == schemas.IncidentClosed {
			continue
		}
		for _, line := range undecidedLines(&e) {
			sheet.say(0, "%s: %s", printable(e.Incident, 40), line)
		}
	}
	return nil
}

// knownEvents are the latest events of incidents and decisions: of the running
// weir, or else of the store that it left.
func knownEvents(ctx context.Context, data string) ([]schemas.Event, error) {
	events, err := newControlClient(data).events(ctx, "/api/events")
	if !errors.Is(err, errNotRunning) {
		return events, err
	}
	return storedEvents(ctx, data)
}
