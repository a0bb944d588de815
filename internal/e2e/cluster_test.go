package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/internal/cluster"
	"github.com/weir-project/weir/schemas"
)

// fleet is some weir process on a NATS of their own, and what they publish.
type fleet struct {
	t       testing.TB
	bus     *bus.Bus
	dir     string
	config  string
	url     string // of NATS
	members []*running

	mu      sync.Mutex
	events  []schemas.Event
	at      []time.Time // when each was published
	signals map[string]float64
	total   float64 // requests in the signals
	lags    []lag
}

// startFleet starts NATS and n processors.
func startFleet(t testing.TB, n int) *fleet {
	t.Helper()
	f := &fleet{t: t, dir: t.TempDir(), signals: make(map[string]float64)}
	address := freeAddress(t)
	b, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(f.dir, "nats"), Listen: address, StartTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	f.bus, f.config, f.url = b, filepath.Join(f.dir, "weir.yml"), "nats://"+address
	t.Cleanup(func() { _ = b.Close() })
	// All fleets hash alike: which clients are sampled, and how far a sketch is off, is then the same
	// for one processor as for many, and what is left apart is what their number does.
	if _, err := b.State().Create(t.Context(), "processor-secret", bytes.Repeat([]byte("5e"), 32)); err != nil {
		t.Fatal(err)
	}
	text := fmt.Sprintf("processor: {min_baseline: 10m}\nnats: {url: \"nats://%s\"}\n", address)
	if err := os.WriteFile(f.config, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	for range n {
		f.members = append(f.members, startCommand(t, "--config", f.config, "process"))
	}
	if n > 0 {
		f.settled()
	}
	ctx, cancel := context.WithCancel(context.Background())
	var reading sync.WaitGroup
	for _, stream := range []string{schemas.StreamIncidents, schemas.StreamDecisions} {
		reading.Go(func() { f.readEvents(ctx, stream) })
	}
	reading.Go(func() { f.readSignals(ctx) })
	t.Cleanup(func() { cancel(); reading.Wait() })
	t.Cleanup(func() {
		if t.Failed() {
			for i, m := range f.members {
				m.kill()
				t.Logf("processor %d:\n%s", i, m.log)
			}
			t.Logf("%.0f requests in the signals", f.requests())
		}
	})
	return f
}

// TestProcessorsWaitForNATS: a processor that starts before its NATS is there processes once it is.
func TestProcessorsWaitForNATS(t *testing.T) {
	f := &fleet{t: t, dir: t.TempDir()}
	nobody, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer nobody.Close()
	if err := nobody.(*net.TCPListener).SetDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	address := nobody.Addr().String()
	f.config = writeTo(t, filepath.Join(f.dir, "weir.yml"), fmt.Sprintf("nats: {url: \"nats://%s\"}\n", address))
	startCommand(t, "--config", f.config, "process")
	for range 2 { // it asks, is hung up on, and asks again
		c, err := nobody.Accept()
		if err != nil {
			t.Fatal(err)
		}
		c.Close()
	}
	nobody.Close()
	b, err := bus.Open(t.Context(), bus.Options{Dir: filepath.Join(f.dir, "nats"), Listen: address, StartTimeout: 30 * time.Second})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	f.bus = b
	f.settled()
}

// settled returns when every partition has a counter, and there is a detector.
func (f *fleet) settled() {
	f.t.Helper()
	until(f.t, "every partition has a counter", func() bool {
		for p := range schemas.Partitions {
			if f.owner(fmt.Sprintf("partition.%d", p)) == "" {
				return false
			}
		}
		return f.owner("detector") != ""
	})
}

// owner is who holds a lease.
func (f *fleet) owner(lease string) string {
	e, err := f.bus.State().Get(f.t.Context(), "lease."+lease)
	if err != nil {
		return ""
	}
	return string(e.Value())
}

// of is the process that holds a lease.
func (f *fleet) of(lease string) *running {
	owner := f.owner(lease)
	for _, m := range f.members {
		if strings.Contains(owner, fmt.Sprintf("-%d-", m.Process.Pid)) {
			return m
		}
	}
	f.t.Fatalf("%s is held by %q, none of the processes", lease, owner)
	return nil
}

func (f *fleet) readEvents(ctx context.Context, stream string) {
	var sets schemas.EventSets
	_ = f.bus.Follow(ctx, bus.FollowOptions{Stream: stream, Reader: "test"}, func(_ context.Context, m *bus.Message) error {
		header, events, err := schemas.DecodeEvents(m.Data())
		if err == nil && header.Snapshot {
			return nil
		}
		if err == nil {
			events, _, err = sets.Add(header, events)
		}
		if err != nil {
			f.t.Logf("refused: %v", err)
			return nil
		}
		f.mu.Lock()
		defer f.mu.Unlock()
		for _, e := range events {
			f.events, f.at = append(f.events, e), append(f.at, m.Time())
		}
		return nil
	})
}

func (f *fleet) readSignals(ctx context.Context) {
	_ = f.bus.Follow(ctx, bus.FollowOptions{Stream: schemas.StreamPanes, Subjects: []string{schemas.SubjectSignals}, Reader: "test"}, func(_ context.Context, m *bus.Message) error {
		f.mu.Lock()
		defer f.mu.Unlock()
		lines := bufio.NewScanner(bytes.NewReader(m.Data()))
		lines.Buffer(nil, schemas.MaxMessage)
		for lines.Scan() {
			var row schemas.SignalRow
			if err := json.Unmarshal(lines.Bytes(), &row); err != nil {
				f.t.Errorf("signal: %v", err)
				continue
			}
			if row.Window != "10s" {
				continue
			}
			key := fmt.Sprintf("%s %s %d", row.Name, row.Site, row.Time.Unix())
			if _, twice := f.signals[key]; twice {
				f.t.Errorf("%s was published twice", key)
			}
			f.signals[key] = row.Value
			if row.Name == schemas.RequestRate {
				f.total += 10 * row.Value
				f.lags = append(f.lags, lag{m.Time(), m.Time().Sub(row.Time)})
			}
		}
		return nil
	})
}

// ship publishes a log, as it grows, until the test ends.
func (f *fleet) ship(log string) {
	f.t.Helper()
	s, err := ship.New(ship.Options{Path: log, Edge: "edge", Format: accesslog.Weir, First: 1}, &ship.FileJournal{Path: filepath.Join(f.dir, "journal")}, f.bus)
	if err != nil {
		f.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); _ = s.Run(ctx) }()
	f.t.Cleanup(func() { cancel(); <-done })
}

// close promises, for the log and every partition, that nothing comes before a time.
func (f *fleet) close(log string, at time.Time) {
	f.t.Helper()
	for p := range schemas.Partitions {
		b := schemas.NewBuilder("edge", log).Batch()
		b.Watermark = at.UnixMilli()
		data, err := schemas.EncodeBatch(nil, b)
		if err != nil {
			f.t.Fatal(err)
		}
		if err := f.bus.Publish(f.t.Context(), schemas.SubjectRequests(p), "", data); err != nil {
			f.t.Fatal(err)
		}
	}
}

func (f *fleet) seen(t schemas.EventType) bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.ContainsFunc(f.events, func(e schemas.Event) bool { return e.Type == t })
}

func (f *fleet) requests() float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	return math.Round(f.total)
}

// until are the signals of windows that ended by then: later ones may still be coming.
func (f *fleet) until(end time.Time) map[string]float64 {
	f.mu.Lock()
	defer f.mu.Unlock()
	out := make(map[string]float64)
	for key, value := range f.signals {
		var name, site string
		var second int64
		if _, err := fmt.Sscan(key, &name, &site, &second); err == nil && second <= end.Unix() {
			out[key] = value
		}
	}
	return out
}

// incidents and decisions are what there was, in the order of their ids.
func (f *fleet) incidents() (out []string) {
	for _, e := range f.events {
		if e.Decision == nil {
			out = append(out, fmt.Sprint(e.Type, " ", e.Incident, " ", e.Kind, " ", e.Sites))
		}
	}
	slices.Sort(out)
	return out
}

func (f *fleet) decisions() (out []string) {
	for _, e := range f.events {
		if e.Decision != nil && e.Type == schemas.DecisionAdded {
			out = append(out, fmt.Sprint(e.ID, " ", e.Action, " ", e.Scope, " ", e.Value))
		}
	}
	slices.Sort(out)
	return out
}

// simulated is half an hour, the opening story and three minutes more.
func simulated(t *testing.T, args ...string) (log string, lines int, end time.Time) {
	t.Helper()
	log = filepath.Join(t.TempDir(), "access.log")
	mustWeir(t, append([]string{"simulate", log, "--hours", "0.5", "--tail", "4m", "--requests", "4000", "--addresses", "1500", "--duration", "4m", "--seed", "8"}, args...)...)
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	all := bytes.Split(bytes.TrimSpace(text), []byte("\n"))
	var last struct {
		Time string `json:"time"`
	}
	if err := json.Unmarshal(all[len(all)-1], &last); err != nil {
		t.Fatal(err)
	}
	var seconds float64
	if _, err := fmt.Sscan(last.Time, &seconds); err != nil {
		t.Fatal(err)
	}
	return log, len(all), time.UnixMilli(int64(seconds * 1000))
}

// cutAt copies what of a log is before a time, and returns the rest.
func cutAt(t *testing.T, log string, at time.Time) (begun string, rest []byte) {
	t.Helper()
	text, err := os.ReadFile(log)
	if err != nil {
		t.Fatal(err)
	}
	begun = filepath.Join(t.TempDir(), "access.log")
	n := 0
	for n < len(text) {
		line := text[n : n+bytes.IndexByte(text[n:], '\n')+1]
		var row struct {
			Time float64 `json:"time,string"`
		}
		if err := json.Unmarshal(line, &row); err != nil {
			t.Fatal(err)
		}
		if row.Time >= float64(at.UnixMilli())/1000 {
			break
		}
		n += len(line)
	}
	if n == 0 || n == len(text) {
		t.Fatalf("%d of %d bytes are before %s", n, len(text), at)
	}
	if err := os.WriteFile(begun, text[:n], 0o600); err != nil {
		t.Fatal(err)
	}
	return begun, text[n:]
}

func appendTo(t *testing.T, name string, data []byte) {
	t.Helper()
	file, err := os.OpenFile(name, os.O_APPEND|os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := file.Write(data); err != nil {
		t.Fatal(err)
	}
	if err := file.Close(); err != nil {
		t.Fatal(err)
	}
}

// shipped is up to when, unix ms, the log's lines are published.
func (f *fleet) shipped() (newest int64) {
	for p := range schemas.Partitions {
		_, data, err := f.bus.Last(f.t.Context(), schemas.StreamRequests, schemas.SubjectRequests(p))
		if err != nil {
			continue
		}
		if b, err := schemas.DecodeBatch(data); err == nil {
			newest = max(newest, b.Watermark)
		}
	}
	return newest
}

// saved is the second, of event time, up to which the holder of a lease has saved what came; 0
// where nothing is saved.
func (f *fleet) saved(lease string) int64 {
	data, err := cluster.Snapshots{Bucket: f.bus.Snapshots()}.Load(f.t.Context(), lease)
	if err != nil {
		return 0
	}
	line, _, _ := bytes.Cut(data, []byte("\n"))
	var at struct {
		Closed []int64 `json:"closed"` // the detector's, by partition
		Told   int64   `json:"told"`   // a counter's
	}
	if err := json.Unmarshal(line, &at); err != nil {
		f.t.Fatal(err)
	}
	if len(at.Closed) > 0 {
		return slices.Min(at.Closed)
	}
	return at.Told
}

// agreement is what is compared: run a log through n processors, one of which may be
// killed in the midst of the attack. Until then nothing later than two minutes of it is there, or
// a log that is read faster than it was written would be over; and the kill waits until what its
// lease is for was saved since the attack began, or whoever is next would begin at the first
// message, and restore nothing.
func agreement(t *testing.T, log string, lines int, end time.Time, n int, kill string) *fleet {
	t.Helper()
	f := startFleet(t, n)
	rest := []byte(nil)
	cut := end.Add(-6 * time.Minute) // the attack's four and the four after it, less two
	if kill != "" {
		log, rest = cutAt(t, log, cut)
	}
	f.ship(log)
	until(t, "the incident opens", func() bool { return f.seen(schemas.IncidentOpened) })
	if kill != "" {
		until(t, kill+" was saved in the midst of the attack", func() bool { return f.saved(kill) >= cut.Unix()-30 })
		f.of(kill).kill()
		appendTo(t, log, rest)
		until(t, "all of the log is shipped", func() bool { return f.shipped() >= end.UnixMilli()-1000 })
	}
	f.close(log, end.Add(5*time.Minute))
	until(t, fmt.Sprintf("all %d requests are in the signals", lines), func() bool { return f.requests() >= float64(lines) })
	until(t, "the incident closes", func() bool { return f.seen(schemas.IncidentClosed) })
	if got := f.requests(); got != float64(lines) {
		t.Errorf("%.0f requests in the signals, %d in the log", got, lines)
	}
	if kill == "detector" {
		next := f.of(kill)
		next.kill()
		if text := next.log.String(); !strings.Contains(text, "detecting") || strings.Contains(text, "closed=1970") {
			t.Errorf("the next detector began anew, and restored nothing: the test shows nothing:\n%s", text)
		}
	}
	ids := make(map[string]int)
	for _, e := range f.events {
		id := e.Incident
		if e.Decision != nil {
			id = e.ID
		}
		ids[fmt.Sprint(e.Type, id, e.Time.UnixMilli())]++
	}
	for id, times := range ids {
		if times > 1 {
			t.Errorf("%s was published %d times", id, times)
		}
	}
	return f
}

// sameEffect holds what the decisions of two fleets do to the same log against each other.
// Which of two signatures that match nearly the same requests is chosen hangs on marks of
// single clients, which hang on how soon a counter heard what the detector had learned;
// what is stopped, and whom it touches, hardly does: within 5 % of the attack, for one signature more or
// less at the end of a list, and one in a hundred of the other clients.
func sameEffect(t *testing.T, one, many *fleet, log string) {
	t.Helper()
	a, b := effectOf(t, log, one.events), effectOf(t, log, many.events)
	t.Logf("one: %+v; many: %+v", a, b)
	if a.stopped < a.attack/2 {
		t.Errorf("one stops %d of the attack's %d requests: too few to compare", a.stopped, a.attack)
	}
	if math.Abs(share(a.stopped, a.attack)-share(b.stopped, b.attack)) > 0.05 || math.Abs(share(a.touched, a.others)-share(b.touched, b.others)) > 0.01 {
		t.Errorf("one decides\n%s\nmany decide\n%s", strings.Join(one.decisions(), "\n"), strings.Join(many.decisions(), "\n"))
	}
}

// TestProcessorsAgree sends one log through one processor, and through four of which the
// detector is killed in mid-attack, and with WEIR_LONG also through two, and
// through four of which another counter is killed. All see the same.
func TestProcessorsAgree(t *testing.T) {
	log, lines, end := simulated(t)
	one := agreement(t, log, lines, end, 1, "")
	runs := []struct {
		n    int
		kill string
	}{{4, "detector"}}
	if os.Getenv("WEIR_LONG") != "" {
		runs = append(runs, []struct {
			n    int
			kill string
		}{{2, ""}, {4, ""}, {4, "partition.3"}}...)
	}
	for _, run := range runs {
		t.Run(fmt.Sprintf("%d processors, killed %s", run.n, run.kill), func(t *testing.T) {
			many := agreement(t, log, lines, end, run.n, run.kill)
			sameSight(t, one, many, log, end)
		})
	}
}

// TestProcessorsAgreeInAFlood is the same where sketches have to leave out: a thousand requests
// a second from a hundred thousand addresses, more in ten seconds than a tally holds.
func TestProcessorsAgreeInAFlood(t *testing.T) {
	if os.Getenv("WEIR_LONG") == "" {
		t.Skip("a quarter of a million requests, five times: WEIR_LONG=1")
	}
	log, lines, end := simulated(t, "--requests", "250000", "--addresses", "100000")
	one := agreement(t, log, lines, end, 1, "")
	if most := one.greatest("unique_clients "); most < 5000 {
		t.Errorf("at most %.0f clients in a window: sketches have nothing to leave out", most)
	}
	for _, run := range []struct {
		n    int
		kill string
	}{{2, ""}, {4, ""}, {4, "detector"}, {4, "partition.3"}} {
		t.Run(fmt.Sprintf("%d processors, killed %s", run.n, run.kill), func(t *testing.T) {
			many := agreement(t, log, lines, end, run.n, run.kill)
			sameSight(t, one, many, log, end)
		})
	}
}

// greatest is the greatest value of a signal.
func (f *fleet) greatest(prefix string) (most float64) {
	f.mu.Lock()
	defer f.mu.Unlock()
	for key, value := range f.signals {
		if strings.HasPrefix(key, prefix) {
			most = max(most, value)
		}
	}
	return most
}

// sameSight holds what many processors saw against what one did: incidents, what decisions do,
// and signals, within 2 % or 0.05.
func sameSight(t *testing.T, one, many *fleet, log string, end time.Time) {
	t.Helper()
	if a, b := one.incidents(), many.incidents(); !slices.Equal(a, b) {
		t.Errorf("one:\n%s\nmany:\n%s", strings.Join(a, "\n"), strings.Join(b, "\n"))
	}
	sameEffect(t, one, many, log)
	apart, worst := make(map[string]int), make(map[string]float64)
	before, after := one.until(end), many.until(end)
	for key, want := range before {
		got, ok := after[key]
		name, _, _ := strings.Cut(key, " ")
		off := math.Abs(got - want)
		if ok {
			worst[name] = max(worst[name], off/max(math.Abs(want), 2.5))
		}
		switch {
		case ok && off <= max(0.02*math.Abs(want), 0.05):
			continue
		case ok && name == "unique_clients" && want > 1000 && off <= 0.05*want:
			apart[name]++
			continue
		}
		// Clients are marked, and an incident makes nobody known, by what the counter knew
		// of the detector's when they were counted, a second ago or two.
		if !ok || !slices.Contains([]string{"unknown_path_clients", "unfamiliar_clients", "new_clients", "new_client_share"}, name) {
			t.Errorf("%s: %g by one, %g by many", key, want, got)
		}
		apart[name]++
	}
	all := 0
	for _, n := range apart {
		all += n
	}
	t.Logf("%d signals, %d of them more than 2 %% apart: %v; at worst, as a share of the value:", len(before), all, apart)
	for _, name := range slices.Sorted(maps.Keys(worst)) {
		t.Logf("%24s %.4f", name, worst[name])
	}
	if all > len(before)/100 {
		t.Errorf("%d of %d signals are apart", all, len(before))
	}
}
