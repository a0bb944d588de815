package haproxy

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/gaissmai/bart"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// Options are what New needs; Socket and Map have no default.
type Options struct {
	// Socket is the runtime API, a unix socket of level admin.
	Socket string
	// Map is the file by which HAProxy's configuration names the map.
	Map string
	// Allow are addresses that nothing here ever touches.
	Allow []netip.Prefix
	// Lease is how long HAProxy goes on enforcing without weir. 5 min.
	Lease time.Duration
	// MaxDecisions bounds what is kept; more are refused and counted. 1,000,000.
	MaxDecisions int
	Logger       *slog.Logger          // nil: none
	Registerer   prometheus.Registerer // nil: none
}

// Status is what an edge reports.
type Status struct {
	Intended    int       // decisions that are to be in force
	Loaded      int       // of them, those in the map
	Matched     uint64    // requests that it has stopped since Run began
	LeaseUntil  time.Time // when HAProxy lets go without weir
	Err         error     // why what is intended is not loaded; nil where it is
	Loads       uint64    // how often it was brought up to date
	LoadedAt    time.Time // the last time
	LoadSeconds float64   // and how long that took
}

// Edge keeps the map. Apply and Replace may be called at any time, from any goroutine;
// Run does the work.
type Edge struct {
	options Options
	metrics *metrics
	log     *slog.Logger
	wake    chan struct{} // capacity 1

	mu       sync.Mutex
	intended map[string]measure
	allow    []netip.Prefix // Options.Allow, and what Spare said
	regulars *schemas.RegularSet
	told     bool
	dirty    bool
	status   Status

	// What follows is Run's alone.
	version string // of the map, as committed
	loaded  int
	until   time.Time
	counted map[string]uint64 // of matchingTable, when it was last looked at
}

// measure is one decision on a client or a prefix.
type measure struct {
	id      string
	action  schemas.Action
	value   netip.Prefix
	expires time.Time
	byHand  bool
}

// The pace of Run.
const (
	firstRetry = time.Second
	lastRetry  = 30 * time.Second
	look       = 2 * time.Second // whether HAProxy still has the map: it may have been reloaded
	answerTime = 30 * time.Second
	maxAnswer  = 1 << 20
	piece      = 12 << 10 // bytes of one command: they must fit HAProxy's buffer (tune.bufsize, 16 KiB)
)

// matchingTable is the stick table that counts, by action, the requests that match.
const matchingTable = "weir_matching"

// leaseKey is the entry that holds the lease: the broadcast address, which no client has.
const leaseKey = "255.255.255.255/32"

// New checks the options. It changes nothing.
func New(o Options) (*Edge, error) {
	for _, path := range []string{o.Socket, o.Map} {
		if !filepath.IsAbs(path) || strings.ContainsAny(path, " \t\r\n;#\"'\\") {
			return nil, fmt.Errorf("haproxy: %q: want an absolute path without spaces and quotes", path)
		}
	}
	if o.Lease <= 0 {
		o.Lease = 5 * time.Minute
	}
	if o.MaxDecisions <= 0 {
		o.MaxDecisions = 1_000_000
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	return &Edge{options: o, metrics: newMetrics(o.Registerer), log: o.Logger, wake: make(chan struct{}, 1), intended: map[string]measure{}, allow: o.Allow}, nil
}

// Snippet is what HAProxy's configuration needs: the first part into global, the second
// first into each frontend that weir protects, the third beside them.
func Snippet(socket, path string) (global, frontend, counting string) {
	return "stats socket " + socket + " mode 600 level admin\n",
		"http-request set-var(txn.weir) src,map_ip(" + path + ")\n" +
			"http-request set-var(txn.weir_now) date()\n" +
			"http-request set-var(txn.weir_lease) str(255.255.255.255),map_ip(" + path + "),word(2,:),sub(txn.weir_now)\n" +
			"http-request set-var(txn.weir_left) var(txn.weir),word(2,:),sub(txn.weir_now)\n" +
			"acl weir_counts var(txn.weir) -m found\n" +
			"acl weir_leased var(txn.weir_lease) -m int gt 0\n" +
			"acl weir_lasts var(txn.weir_left) -m int gt 0\n" +
			"http-request track-sc2 var(txn.weir),word(1,:) table " + matchingTable + " if weir_counts weir_leased weir_lasts\n" +
			"http-request return status 403 content-type text/plain lf-string \"This request was refused to protect the site.\\nIf you are a visitor, please tell the site this reference: %[var(txn.weir),word(3,:)]\\n\" if weir_counts weir_leased weir_lasts { var(txn.weir) -m beg block: }\n" +
			"http-request return status 429 content-type text/plain hdr Retry-After 30 lf-string \"The site is very busy. Please try again in half a minute.\\nReference: %[var(txn.weir),word(3,:)]\\n\" if weir_counts weir_leased weir_lasts\n",
		"backend " + matchingTable + "\nstick-table type string len 16 size 16 store http_req_cnt\n"
}

// Apply takes changes in the order in which they happened. What is not about a client or
// a prefix is ignored.
func (e *Edge) Apply(events ...schemas.Event) { e.take(false, events) }

// Replace takes a snapshot: what it does not name is no longer in force.
func (e *Edge) Replace(events ...schemas.Event) { e.take(true, events) }

// Spare has nothing touch these addresses either, beside Options.Allow, until it is called
// again.
func (e *Edge) Spare(addresses []netip.Prefix) {
	allow := slices.Concat(e.options.Allow, addresses)
	e.mu.Lock()
	e.dirty = e.dirty || !slices.Equal(allow, e.allow)
	e.allow = allow
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

// Regulars are who passes before what weir decided by itself, until it is called again.
func (e *Edge) Regulars(set *schemas.RegularSet) {
	e.mu.Lock()
	e.regulars, e.dirty = set, true
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Edge) take(all bool, events []schemas.Event) {
	e.mu.Lock()
	before := e.intended
	if all {
		e.intended = make(map[string]measure, len(events))
	}
	for i := range events {
		e.takeOne(&events[i])
	}
	e.dirty = e.dirty || !e.told || all && !maps.Equal(before, e.intended)
	e.told = true
	e.status.Intended = len(e.intended)
	e.mu.Unlock()
	select {
	case e.wake <- struct{}{}:
	default:
	}
}

func (e *Edge) takeOne(event *schemas.Event) {
	if event.Decision == nil || event.ID == "" {
		return
	}
	value, ok := valueOf(event.Decision)
	old, known := e.intended[event.ID]
	if event.Type == schemas.DecisionRemoved || !ok {
		delete(e.intended, event.ID)
		e.dirty = e.dirty || known
		return
	}
	if !known && len(e.intended) >= e.options.MaxDecisions {
		e.metrics.overflow.Inc()
		return
	}
	m := measure{event.ID, event.Action, value, event.Expires, event.Origin != schemas.OriginWeir}
	e.intended[event.ID] = m
	e.dirty = e.dirty || m != old
}

// valueOf is what a decision matches; false where a map cannot hold it.
func valueOf(d *schemas.Decision) (netip.Prefix, bool) {
	value, err := d.Network()
	return value, err == nil && plain(d.ID) && value.String() != leaseKey && d.Action.Severity() > 0
}

// plain reports whether an id can stand in a map's value.
func plain(id string) bool {
	for _, c := range []byte(id) {
		if (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '.' && c != '_' && c != '-' {
			return false
		}
	}
	return id != "" && len(id) <= schemas.MaxID
}

// Status is how things are now.
func (e *Edge) Status() Status {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.status
}

// Run enforces until ctx ends and returns nil then. Nothing that fails meanwhile ends it:
// it is logged once, counted, shown by Status, and tried again.
func (e *Edge) Run(ctx context.Context) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	retry := time.Duration(0)
	for {
		select {
		case <-ctx.Done():
			return nil
		case <-e.wake:
			if retry > 0 {
				continue
			}
		case <-timer.C:
		}
		err := e.step(ctx, time.Now().Round(0)) // by the clock on the wall, as HAProxy: it may be set
		if err == nil {
			err = e.count(ctx)
		}
		e.note(err)
		if retry = min(max(2*retry, firstRetry), lastRetry); err == nil {
			retry = 0
		}
		timer.Reset(max(retry, look))
	}
}

func (e *Edge) note(err error) {
	e.mu.Lock()
	defer e.mu.Unlock()
	known := e.status.Err != nil && err != nil && e.status.Err.Error() == err.Error()
	e.status.Err, e.status.Loaded, e.status.LeaseUntil = err, e.loaded, e.until
	if err != nil {
		e.dirty = true
		e.metrics.failures.Inc()
		if !known {
			e.log.Error("decisions are not in force at HAProxy; it keeps what it has", "error", err)
		}
	}
	e.metrics.loaded.Set(float64(e.loaded))
}

// step brings HAProxy to what is to be in force at now, and moves the lease.
func (e *Edge) step(ctx context.Context, now time.Time) error {
	e.mu.Lock()
	if !e.told {
		e.mu.Unlock()
		return nil
	}
	dirty := e.dirty
	e.mu.Unlock()
	version, err := e.mapVersion(ctx)
	if err != nil {
		return err
	}
	if dirty || version != e.version { // another version: HAProxy has started anew
		return e.load(ctx, now)
	}
	if left := e.until.Sub(now); left > e.options.Lease/2 && left <= e.options.Lease {
		return nil
	}
	return e.renew(ctx, now)
}

// content is the map at now, and how many decisions are in it: the severest of each
// value, what allowed addresses a prefix holds being named before it.
func (e *Edge) content(now time.Time) (lines []byte, decisions int) {
	e.mu.Lock()
	defer e.mu.Unlock()
	e.dirty = false
	best, byHand := make(map[netip.Prefix]measure, len(e.intended)), make(map[netip.Prefix]measure)
	for id, m := range e.intended {
		if !m.expires.After(now) {
			delete(e.intended, id)
			continue
		}
		decisions++
		if m.byHand {
			severest(byHand, m)
		} else if client(m.value) && e.regulars.Touches(m.value) {
			continue
		}
		severest(best, m)
	}
	e.status.Intended = len(e.intended)
	e.passing(best, byHand)
	var allow bart.Lite
	for _, a := range e.allow {
		allow.Insert(a.Masked())
	}
	values := slices.SortedFunc(maps.Keys(best), func(a, b netip.Prefix) int { return a.Compare(b) })
	e.until = now.Add(e.options.Lease)
	lines = e.lease(nil)
	for _, value := range values {
		if allow.LookupPrefix(value) {
			continue
		}
		m := best[value]
		if m.id == "" {
			lines = fmt.Appendf(lines, "%s allow:0:\n", value)
			continue
		}
		lines = fmt.Appendf(lines, "%s %s:%d:%s\n", value, m.action, m.expires.Unix(), m.id)
	}
	for _, a := range e.allow { // the longest match counts
		lines = fmt.Appendf(lines, "%s allow:0:\n", a)
	}
	return lines, decisions
}

// severest keeps of a value's measures the severest; of these the longest.
func severest(of map[netip.Prefix]measure, m measure) {
	old, ok := of[m.value]
	if !ok || cmp.Or(cmp.Compare(m.action.Severity(), old.action.Severity()), m.expires.Compare(old.expires), cmp.Compare(m.id, old.id)) > 0 {
		of[m.value] = m
	}
}

// client reports whether a value is one client.
func client(value netip.Prefix) bool {
	return value.Addr().Is4() && value.Bits() == 32 || value.Addr().Is6() && value.Bits() >= 64
}

// passing names the regulars within weir's own prefixes before those: with what a person
// decided on them or around them, or with nothing (a measure without an id).
func (e *Edge) passing(best, byHand map[netip.Prefix]measure) {
	passing := make(map[netip.Prefix]measure)
	for value, m := range best {
		if m.byHand || client(value) {
			continue
		}
		for regular := range e.regulars.Within(value) {
			if _, own := best[regular]; own {
				continue
			}
			of := measure{value: regular}
			for bits := regular.Bits() - 1; bits >= 8 && of.id == ""; bits-- {
				around, _ := regular.Addr().Prefix(bits) // in range
				of = byHand[around]
			}
			passing[regular] = of
		}
	}
	maps.Copy(best, passing)
}

func (e *Edge) lease(to []byte) []byte {
	return fmt.Appendf(to, "%s allow:%d:lease\n", leaseKey, e.until.Unix())
}

// load puts a whole new version of the map in place, at once.
func (e *Edge) load(ctx context.Context, now time.Time) error {
	started := time.Now()
	lines, decisions := e.content(now)
	// What HAProxy reads when it starts: first, so that a start meanwhile has it. Where
	// that cannot be written, the running one is brought up to date all the same.
	file := e.write(lines)
	answer, err := e.ask(ctx, "prepare map "+e.options.Map)
	if err != nil {
		return err
	}
	_, text, ok := strings.Cut(answer, "created:")
	version := strings.TrimSpace(text)
	if _, err := strconv.ParseUint(version, 10, 32); !ok || err != nil {
		return fmt.Errorf("haproxy: prepare map %s: %s", e.options.Map, said(answer))
	}
	for len(lines) > 0 {
		n := len(lines)
		if n > piece {
			n = bytes.LastIndexByte(lines[:piece], '\n') + 1
		}
		if answer, err := e.ask(ctx, "add map @"+version+" "+e.options.Map+" <<\n"+string(lines[:n])); err != nil {
			return err
		} else if strings.TrimSpace(answer) != "" {
			return fmt.Errorf("haproxy: add map %s: %s", e.options.Map, said(answer))
		}
		lines = lines[n:]
	}
	if answer, err := e.ask(ctx, "commit map @"+version+" "+e.options.Map); err != nil {
		return err
	} else if strings.TrimSpace(answer) != "" {
		return fmt.Errorf("haproxy: commit map %s: %s", e.options.Map, said(answer))
	}
	e.loaded = decisions
	if e.version, err = e.mapVersion(ctx); err != nil {
		return err
	}
	e.metrics.loads.Inc()
	e.mu.Lock()
	e.status.Loads++
	e.status.LoadedAt, e.status.LoadSeconds = time.Now(), time.Since(started).Seconds()
	e.mu.Unlock()
	return file
}

// renew moves the lease alone.
func (e *Edge) renew(ctx context.Context, now time.Time) error {
	e.until = now.Add(e.options.Lease)
	_, value, _ := strings.Cut(strings.TrimSpace(string(e.lease(nil))), " ")
	answer, err := e.ask(ctx, "set map "+e.options.Map+" "+leaseKey+" "+value)
	if err == nil && strings.TrimSpace(answer) != "" {
		err = fmt.Errorf("haproxy: set map %s: %s", e.options.Map, said(answer))
	}
	return err
}

// write replaces the file that HAProxy reads when it starts.
func (e *Edge) write(lines []byte) error {
	f, err := os.CreateTemp(filepath.Dir(e.options.Map), ".weir-map-*")
	if err != nil {
		return fmt.Errorf("haproxy: %w; the running one is up to date, one that starts is not", err)
	}
	defer os.Remove(f.Name())
	_, err = f.Write(lines)
	if err = errors.Join(err, f.Chmod(0o644), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), e.options.Map)
	}
	if err != nil {
		return fmt.Errorf("haproxy: map %s: %w; the running one is up to date, one that starts is not", e.options.Map, err)
	}
	return nil
}

// mapVersion is what the running HAProxy says of the map: the process and the version.
func (e *Edge) mapVersion(ctx context.Context) (string, error) {
	answer, err := e.ask(ctx, "show map; show info")
	if err != nil {
		return "", err
	}
	version, pid := "", ""
	for line := range strings.Lines(answer) {
		line = strings.TrimSpace(line)
		if strings.Contains(line, "("+e.options.Map+")") {
			_, rest, _ := strings.Cut(line, "curr_ver=")
			version, _, _ = strings.Cut(rest, " ")
		}
		if rest, ok := strings.CutPrefix(line, "Pid: "); ok {
			pid = rest
		}
	}
	if version == "" {
		return "", fmt.Errorf("haproxy: it has no map %s: its configuration must name it (docs/edges.md), and the file must be there when it starts", e.options.Map)
	}
	return pid + "/" + version, nil
}

// count learns how many requests were stopped since it last asked. A configuration without
// the table, as it was before there was one, counts none.
func (e *Edge) count(ctx context.Context) error {
	answer, err := e.ask(ctx, "show table "+matchingTable)
	if err != nil {
		return err
	}
	more, now := uint64(0), countsOf(answer)
	for action, n := range now {
		if before := e.counted[action]; n >= before {
			more += n - before
		} else { // HAProxy has started anew
			more += n
		}
	}
	first := e.counted == nil // what was before weir came is not what weir has stopped
	e.counted = now
	if first {
		return nil
	}
	e.metrics.matched.Add(float64(more))
	e.mu.Lock()
	e.status.Matched += more
	e.mu.Unlock()
	return nil
}

// countsOf reads "0x55...: key=block use=0 exp=0 shard=0 http_req_cnt=3" of each line.
func countsOf(answer string) map[string]uint64 {
	counts := make(map[string]uint64)
	for line := range strings.Lines(answer) {
		_, rest, ok := strings.Cut(line, " key=")
		action, rest, _ := strings.Cut(rest, " ")
		_, number, found := strings.Cut(rest, "http_req_cnt=")
		if n, err := strconv.ParseUint(strings.TrimSpace(number), 10, 64); ok && found && err == nil && len(counts) < 16 {
			counts[action] = n
		}
	}
	return counts
}

// ask sends one line, with what follows it, and returns the whole answer.
func (e *Edge) ask(ctx context.Context, command string) (string, error) {
	return ask(ctx, e.options.Socket, command)
}

func ask(ctx context.Context, socket, command string) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTime)
	defer cancel()
	var d net.Dialer
	c, err := d.DialContext(ctx, "unix", socket)
	if err != nil {
		return "", fmt.Errorf("haproxy: %w; is it running, with stats socket %s level admin?", err, socket)
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if _, err := io.WriteString(c, command+"\n"); err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	answer, err := io.ReadAll(io.LimitReader(c, maxAnswer))
	if err != nil {
		return "", fmt.Errorf("haproxy: %w", err)
	}
	return string(answer), nil
}

func said(answer string) string {
	answer = strings.TrimSpace(answer)
	return answer[:min(len(answer), 200)]
}

// Lift takes everything away at once, whether or not Run ever ran: for a person who
// wants weir out of the way. It is not for use beside Run.
func Lift(ctx context.Context, o Options) error {
	e, err := New(o)
	if err != nil {
		return err
	}
	e.Replace()
	return e.step(ctx, time.Now())
}

// metrics are what this package counts.
type metrics struct {
	loaded                             prometheus.Gauge
	overflow, failures, loads, matched prometheus.Counter
}

func newMetrics(to prometheus.Registerer) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_haproxy_" + name, Help: help})
	}
	m := &metrics{
		loaded:   prometheus.NewGauge(prometheus.GaugeOpts{Name: "weir_haproxy_decisions_loaded", Help: "Decisions in the map."}),
		overflow: counter("decisions_overflow_total", "Decisions that there was no room for."),
		failures: counter("failures_total", "Attempts that failed."),
		loads:    counter("loads_total", "Versions of the map that were put in place."),
		matched:  counter("matched_total", "Requests that HAProxy has stopped."),
	}
	if to != nil {
		to.MustRegister(m.loaded, m.overflow, m.failures, m.loads, m.matched)
	}
	return m
}
