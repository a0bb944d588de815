package main

import (
	"context"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/lapi"
	"github.com/weir-project/weir/sinks/nftables"
)

// The far ends of connections to the sites' ports, as the kernel lists them.
func TestPeersOfConnections(t *testing.T) {
	const tcp = `  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 00000000:01BB 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 1
   1: 0100A8C0:01BB 0101F7A2:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 2
   2: 0100A8C0:0016 070200C0:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 3
   3: 0100007F:0050 0100007F:D2F0 01 00000000:00000000 00:00000000 00000000     0        0 4
`
	const tcp6 = `  sl  local_address                         remote_address                        st
   0: 00000000000000000000000000000000:0050 B80D01200000000000000000070000000:1234 01
   1: 0000000000000000FFFF00000100A8C0:0050 0000000000000000FFFF0000070200C0:D2F0 01
   2: B80D0120000000000000000001000000:01BB B80D0120000000000000000007000000:D2F0 06
`
	got := append(peersOf(tcp, []int{80, 443}), peersOf(tcp6, []int{80, 443})...)
	want := []netip.Addr{netip.MustParseAddr("162.247.1.1"), netip.MustParseAddr("192.0.2.7"), netip.MustParseAddr("2001:db8::7")}
	if !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

// Active and not in force is an alarm, after half a minute of it; so is an edge that has
// fallen silent with decisions in its hands.
func TestEdgesThatLackAreAnAlarm(t *testing.T) {
	e := newEdgeBoard(nil, slog.New(slog.DiscardHandler), nil)
	now := time.Now()
	report := func(at time.Time, loaded int, off bool) {
		e.put(&schemas.EdgeReport{Time: at, Edge: "far", Off: off, Parts: []schemas.EdgePart{{Name: "nginx", Intended: 5, Loaded: loaded, Refused: 1, Error: ""}}}, at)
	}
	says := func(at time.Time) string {
		var all []string
		for _, a := range e.ailing("own", at) {
			all = append(all, a.What)
		}
		return strings.Join(all, "; ")
	}
	report(now, 4, false) // the fifth it cannot carry
	if got := says(now); got != "" {
		t.Errorf("in force: %q", got)
	}
	report(now, 2, false)
	report(now.Add(edgeTold+time.Second), 3, false)
	if got := says(now.Add(edgeTold + time.Second)); !strings.Contains(got, "not in force there: nginx holds 3 of 5") {
		t.Errorf("lacking: %q", got)
	}
	report(now.Add(edgeTold+2*time.Second), 3, true)
	if got := says(now.Add(edgeTold + 2*time.Second)); got != "" {
		t.Errorf("a person has lifted everything there: %q", got)
	}
	later := now.Add(edgeTold + 2*time.Second + edgeSilent + time.Second)
	if got := says(later); !strings.Contains(got, "has not reported for") {
		t.Errorf("silent: %q", got)
	}
	report(later, 5, true)
	if e.enforces("own", later) {
		t.Error("what is off there is said to be enforced")
	}
	if report(later, 5, false); !e.enforces("own", later) || e.enforces("far", later) || e.enforces("own", later.Add(edgeSilent)) {
		t.Error("an edge elsewhere enforces as long as it reports, and one's own is not elsewhere")
	}
	if got := says(later.Add(edgeGone + time.Second)); got != "" {
		t.Errorf("out of service: %q", got)
	}
}

// What an edge has let go of because its lease ended is not held, whether it still says so or
// says nothing any more.
func TestEdgesThatLetGoHoldNothing(t *testing.T) {
	now := time.Now()
	part := schemas.EdgePart{Name: partNginx, Intended: 601, Loaded: 601, Lease: now.Add(-time.Second)}
	if part.LetGo(now) || part.Loaded != 601 {
		t.Errorf("within the slack: %+v", part)
	}
	if !part.LetGo(now.Add(5*time.Second)) || part.Loaded != 0 || !part.Lacks() || part.Error == "" {
		t.Errorf("its lease has ended: %+v", part)
	}

	e := newEdgeBoard(nil, slog.New(slog.DiscardHandler), nil)
	// Its clock is an hour behind, and so is its lease.
	e.put(&schemas.EdgeReport{Time: now.Add(-time.Hour), Edge: "far", ClockBehind: 3600, Parts: []schemas.EdgePart{
		{Name: partNginx, Intended: 601, Loaded: 601, Lease: now.Add(time.Minute - time.Hour)},
		{Name: partNftables, Intended: 3, Loaded: 3},
	}}, now)
	loaded := func(after time.Duration) int { return e.allAt(now.Add(after))[0].Parts[0].Loaded }
	if got := loaded(50 * time.Second); got != 601 {
		t.Errorf("silent, within the lease: %d", got)
	}
	if got := loaded(2 * time.Minute); got != 0 {
		t.Errorf("silent, and its lease has ended: %d", got)
	}
	if h := e.held(1, now.Add(2*time.Minute)); len(h) != 1 || !h[0].Lacks || h[0].Loaded != 3 {
		t.Errorf("for weir top: %+v", h)
	}
	if got := e.ailing("own", now.Add(2*time.Minute)); len(got) != 1 || !strings.Contains(got[0].What, "active and not in force there: nginx holds 0 of 601: its lease has ended") {
		t.Errorf("it is said as %+v", got)
	}
}

// On this machine too, where health looks at nginx alone; and a bouncer that asked all the
// time and asks no longer is named, until it is taken to be gone.
func TestPartsBesideNginxAreAnAlarm(t *testing.T) {
	e := newEdgeBoard(nil, slog.New(slog.DiscardHandler), nil)
	now := time.Now()
	report := func(at time.Time, firewall int, pulled time.Duration, streams bool) string {
		e.put(&schemas.EdgeReport{Time: at, Edge: "own", Parts: []schemas.EdgePart{
			{Name: partNginx, Intended: 5, Loaded: 0}, {Name: partNftables, Intended: 5, Loaded: firewall, Error: "no right to"},
		}, Bouncers: []schemas.EdgeBounce{{Name: "shop", LastPull: at.Add(-pulled), Streams: streams}}}, at)
		var all []string
		for _, a := range e.ailing("own", at) {
			all = append(all, a.What)
		}
		return strings.Join(all, "; ")
	}
	if got := report(now, 2, time.Second, true); got != "" {
		t.Errorf("at once: %q", got)
	}
	if got := report(now.Add(edgeTold+time.Second), 2, time.Second, true); got != "edge own: decisions are active and not in force there: nftables holds 2 of 5: no right to" {
		t.Errorf("after half a minute: %q", got)
	}
	e = newEdgeBoard(nil, slog.New(slog.DiscardHandler), nil)
	if got := report(now, 2, bouncerSilent+time.Minute, true); !strings.Contains(got, "bouncer shop has not asked the edge own for decisions for 6m") {
		t.Errorf("a silent bouncer: %q", got)
	}
	if got := report(now, 2, bouncerSilent+time.Minute, false); got != "" {
		t.Errorf("one that asks when somebody comes: %q", got)
	}
	if got := report(now, 2, bouncerGone+time.Minute, true); got != "" {
		t.Errorf("one that is gone: %q", got)
	}
	if got := e.held(5, now); len(got) != 1 || !got[0].Lacks || got[0].Loaded != 2 || got[0].Intended != 10 {
		t.Errorf("for weir top: %+v", got)
	}
}

// What the firewall dropped comes to the counters as blocked requests of the site.
func TestDroppedPacketsBecomeRequests(t *testing.T) {
	b, err := bus.Open(t.Context(), bus.Options{Dir: t.TempDir(), StartTimeout: time.Minute})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	d := newDroppedShip(nearBus{b}, "edge1", slog.New(slog.DiscardHandler))
	client := netip.MustParseAddr("192.0.2.7")
	d.ship(t.Context(), []nftables.Dropped{
		{Client: client, Packets: 48, Decision: "i1-1", Sites: []string{"shop.example"}},
		{Client: netip.MustParseAddr("192.0.2.8"), Packets: 16}, // of which nothing is known
	})
	_, data, err := b.Last(t.Context(), schemas.StreamRequests, schemas.SubjectRequests(schemas.PartitionOf(client)))
	if err != nil {
		t.Fatal(err)
	}
	batch, err := schemas.DecodeBatch(data)
	if err != nil {
		t.Fatal(err)
	}
	var rows schemas.Rows
	var r schemas.Request
	n := 0
	for rows.Reset(batch); rows.Next(&r); n++ {
		if string(r.Site) != "shop.example" || r.Client != client || string(r.Action) != "block" || string(r.Decision) != "i1-1" || !r.Fields.Has(schemas.FieldAction) {
			t.Fatalf("%+v", r)
		}
	}
	if n != 48 {
		t.Errorf("%d requests, want 48", n)
	}
}

// A machine whose clock is an hour off holds a decision as long as everybody else.
func TestWrongClockIsCorrected(t *testing.T) {
	e := added("i1-1", "i1", "weir", "a")
	end := e.Expires
	events := []schemas.Event{e}
	byThisClock(events, time.Hour) // behind: here it is an hour earlier
	if got := events[0].Expires; !got.Equal(end.Add(-time.Hour)) || !e.Expires.Equal(end) {
		t.Errorf("ends %s, want an hour before %s; as it came: %s", got, end, e.Expires)
	}
}

// Where a machine's clock is an hour off, either way, a bouncer there is told how long a decision
// still counts by the clock of whoever took it, and HAProxy's map and the kernel's timeouts
// are made of the same.
func TestDecisionsLastAsLongByAWrongClock(t *testing.T) {
	for _, behind := range []time.Duration{time.Hour, -time.Hour, 0} {
		synctest.Test(t, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "bouncers.json")
			key, err := lapi.OpenKeys(path).Add("one", nil, nil, time.Now())
			if err != nil {
				t.Fatal(err)
			}
			server := lapi.New(lapi.Options{Keys: lapi.OpenKeys(path)})
			mux := http.NewServeMux()
			server.Register(mux)
			said := func() string {
				r := httptest.NewRequest(http.MethodGet, "/v1/decisions?ip=192.0.2.7", nil)
				r.Header.Set("X-Api-Key", key)
				w := httptest.NewRecorder()
				mux.ServeHTTP(w, r)
				return w.Body.String()
			}
			e := added("i1-1", "i1", "weir", "a")
			e.Value, e.Expires = "192.0.2.7", time.Now().Add(behind).Add(30*time.Minute) // by the right clock
			events := []schemas.Event{e}
			byThisClock(events, behind)
			server.Replace(events...)
			if got := said(); !strings.Contains(got, `"duration":"30m0s"`) {
				t.Errorf("behind by %s: %s", behind, got)
			}
			time.Sleep(29 * time.Minute)
			if got := said(); !strings.Contains(got, `"duration":"1m0s"`) {
				t.Errorf("behind by %s, a minute before it ends: %s", behind, got)
			}
			time.Sleep(time.Minute)
			if got := said(); got != "null" {
				t.Errorf("behind by %s, after it ended: %s", behind, got)
			}
		})
	}
}

// Panic for everybody reaches an edge elsewhere, and is taken back there.
func TestPanicEverywhere(t *testing.T) {
	b, c := busAndEnforce(t)
	far, err := newEnforcing(nearBus{b}, c, newApplications(c), slog.New(slog.DiscardHandler), nil)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := far.keys.Add("one", nil, nil, time.Now()); err != nil {
		t.Fatal(err)
	}
	var roles stage
	ctx, cancel := context.WithCancel(t.Context())
	defer roles.wait()
	defer cancel()
	roles.keep(ctx, far.log, "decisions", far.follow)
	roles.keep(ctx, far.log, "panic", far.followPanic)
	messages, err := schemas.EncodeEvents(1, false, []schemas.Event{added("i1-1", "i1", "weir", "a")})
	if err != nil {
		t.Fatal(err)
	}
	if err := b.Publish(ctx, schemas.SubjectDecisions, "", messages[0]); err != nil {
		t.Fatal(err)
	}
	near := &enforcing{bus: nearBus{b}}
	holds := func() int { return far.bouncers.Size() }
	until := func(what string, ok func() bool) {
		t.Helper()
		for end := time.Now().Add(time.Minute); !ok(); <-time.After(5 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal(what)
			}
		}
	}
	until("the decision does not arrive", func() bool { return holds() == 1 })
	for range 2 {
		if err := near.panicEverywhere(ctx, true, "somebody"); err != nil {
			t.Fatal(err)
		}
		until("panic off does not arrive", func() bool { return holds() == 0 && !far.on() && panicked(c.Data).Off })
		if err := near.panicEverywhere(ctx, false, "somebody"); err != nil {
			t.Fatal(err)
		}
		until("panic on does not arrive", func() bool { return holds() == 1 && far.on() && !panicked(c.Data).Off })
	}
}
