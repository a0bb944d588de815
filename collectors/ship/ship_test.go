package ship

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// stream is a JetStream in this process.
type stream struct {
	jetstream.JetStream
	stream jetstream.Stream
}

func newStream(t testing.TB) *stream {
	s, err := server.NewServer(&server.Options{DontListen: true, JetStream: true, StoreDir: t.TempDir(), NoSigs: true})
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	connection, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(connection.Close)
	js, err := jetstream.New(connection)
	if err != nil {
		t.Fatal(err)
	}
	made, err := js.CreateStream(t.Context(), jetstream.StreamConfig{
		Name: schemas.StreamRequests, Subjects: []string{schemas.SubjectRequestsAll, schemas.SubjectDeadAll}, Duplicates: 2 * time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return &stream{js, made}
}

// Publish implements Publisher.
func (s *stream) Publish(ctx context.Context, subject, id string, data []byte) error {
	var options []jetstream.PublishOpt
	if id != "" {
		options = append(options, jetstream.WithMsgID(id))
	}
	_, err := s.JetStream.Publish(ctx, subject, data, options...)
	return err
}

// batches reads all batches of the stream, and fails where a number is missing
// or stands twice.
func (s *stream) batches(t *testing.T) (all []*schemas.Batch, dead []string) {
	t.Helper()
	info, err := s.stream.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	next := map[string]uint64{}
	for sequence := info.State.FirstSeq; sequence <= info.State.LastSeq; sequence++ {
		m, err := s.stream.GetMsg(t.Context(), sequence)
		if err != nil {
			t.Fatal(err)
		}
		if strings.HasPrefix(m.Subject, "weir.dead.") {
			dead = append(dead, m.Subject+" "+string(m.Data))
			continue
		}
		batch, err := schemas.DecodeBatch(m.Data)
		if err != nil {
			t.Fatal(err)
		}
		if batch.Number == 0 && len(batch.Time) == 0 { // a watermark alone
			all = append(all, batch)
			continue
		}
		if next[m.Subject]++; batch.Number != next[m.Subject] {
			t.Errorf("%s: batch %d, want %d", m.Subject, batch.Number, next[m.Subject])
		}
		all = append(all, batch)
	}
	return all, dead
}

// paths counts the paths of all requests.
func (s *stream) paths(t *testing.T) map[string]int {
	t.Helper()
	count := map[string]int{}
	all, _ := s.batches(t)
	for _, batch := range all {
		var rows schemas.Rows
		var r schemas.Request
		for rows.Reset(batch); rows.Next(&r); {
			count[string(r.Path)]++
		}
	}
	return count
}

// line is the n-th line: its path is its number.
func line(n int) string {
	at := time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700")
	return fmt.Sprintf("198.51.%d.%d - - [%s] \"GET /%d HTTP/1.1\" 200 12 \"-\" \"agent %d\"\n", n%7, n%251, at, n, n%5)
}

// log is a growing log.
type log struct {
	t    testing.TB
	path string
	n    int
}

func newLog(t testing.TB) *log { return &log{t: t, path: filepath.Join(t.TempDir(), "access.log")} }

func (l *log) grow(lines int) {
	var b strings.Builder
	for range lines {
		b.WriteString(line(l.n))
		l.n++
	}
	l.write(b.String())
}

func (l *log) write(text string) {
	file, err := os.OpenFile(l.path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		l.t.Fatal(err)
	}
	defer file.Close()
	if _, err := file.WriteString(text); err != nil {
		l.t.Fatal(err)
	}
}

func (l *log) rename(to string) {
	if err := os.Rename(l.path, l.path+to); err != nil {
		l.t.Fatal(err)
	}
}

func (l *log) copyTruncate(to string) {
	content, err := os.ReadFile(l.path)
	if err == nil {
		err = os.WriteFile(l.path+to, content, 0o600)
	}
	if err == nil {
		err = os.Truncate(l.path, 0)
	}
	if err != nil {
		l.t.Fatal(err)
	}
}

// crasher stands between a Ship and its stream and journal, counts the steps,
// and ends the Ship before or after one of them.
type crasher struct {
	mu      sync.Mutex
	step    int
	crash   int // at this step; 0 for never
	after   bool
	cancel  context.CancelFunc
	next    Publisher
	journal Journal
	rows    int // ends when so many rows have been published
	seen    map[string]bool
}

var errCrash = errors.New("crash")

// do does a step, or dies before or after it.
func (c *crasher) do(step func() error) error {
	c.mu.Lock()
	c.step++
	dies := c.step == c.crash
	dead := c.crash > 0 && c.step > c.crash
	c.mu.Unlock()
	if dead || dies && !c.after {
		c.cancel()
		return errCrash
	}
	err := step()
	if dies {
		c.cancel()
		return errCrash
	}
	return err
}

func (c *crasher) Publish(ctx context.Context, subject, id string, data []byte) error {
	return c.do(func() error {
		if err := c.next.Publish(context.WithoutCancel(ctx), subject, id, data); err != nil {
			return err
		}
		c.count(data)
		return nil
	})
}

// count ends the Ship when all has arrived.
func (c *crasher) count(data []byte) {
	batch, err := schemas.DecodeBatch(data)
	if err != nil {
		return // a dead letter
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	var rows schemas.Rows
	var r schemas.Request
	for rows.Reset(batch); rows.Next(&r); {
		c.seen[string(r.Path)] = true
	}
	if c.rows > 0 && len(c.seen) >= c.rows {
		c.cancel()
	}
}

func (c *crasher) Load() (State, error) { return c.journal.Load() }
func (c *crasher) Save(s State) error {
	return c.do(func() error { return c.journal.Save(s) })
}

func options(l *log) Options {
	return Options{
		First: 1,
		Path:  l.path, Edge: "edge1", Source: "web", Rows: 8, Linger: time.Millisecond,
		Follow: tail.FollowOptions{Grace: time.Nanosecond, Poll: 5 * time.Millisecond},
	}
}

// run runs a fresh Ship until it crashes, or until rows rows have arrived.
func run(t *testing.T, o Options, c *crasher) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	c.cancel = cancel
	s, err := New(o, c, c)
	if err == nil {
		err = s.Run(ctx)
	}
	if err != nil && !errors.Is(err, errCrash) {
		t.Fatal(err)
	}
	if errors.Is(ctx.Err(), context.DeadlineExceeded) {
		t.Fatalf("%d of %d rows arrived", len(c.seen), c.rows)
	}
}

// TestExactlyOnce ends a Ship at every step of its work, and lets the log be
// rotated meanwhile; the next one takes over.
func TestExactlyOnce(t *testing.T) {
	rotations := map[string]func(*log){
		"nothing": func(*log) {},
		"renamed": func(l *log) { l.rename(".1") },
		"copied":  func(l *log) { l.copyTruncate(".1") },
		"renamed twice": func(l *log) {
			l.rename(".2")
			l.grow(9)
			l.rename(".1")
		},
	}
	for name, rotate := range rotations {
		for _, after := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s/after=%t", name, after), func(t *testing.T) {
				t.Parallel()
				js := newStream(t)
				first := 1
				if !after {
					first = 2 // before the first step there is nothing to go on with
				}
				for crash := first; crash < 24; crash += 5 {
					l := newLog(t)
					o := options(l)
					o.Edge = fmt.Sprint("edge", crash)
					seen := map[string]bool{}
					journal := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
					if err := js.stream.Purge(t.Context()); err != nil {
						t.Fatal(err)
					}
					l.grow(100)
					run(t, o, &crasher{crash: crash, after: after, next: js, journal: journal, seen: seen})
					rotate(l)
					l.grow(40)
					run(t, o, &crasher{rows: l.n, next: js, journal: journal, seen: seen})
					l.grow(3)
					run(t, o, &crasher{rows: l.n, next: js, journal: journal, seen: seen})
					js.exactly(t, l.n)
				}
			})
		}
	}
}

// exactly fails unless every line is there once.
func (s *stream) exactly(t *testing.T, lines int) {
	t.Helper()
	got := s.paths(t)
	for n := range lines {
		if got[fmt.Sprint("/", n)] != 1 {
			t.Fatalf("line %d stands in the stream %d times (%d paths, %d lines)", n, got[fmt.Sprint("/", n)], len(got), lines)
		}
	}
	if len(got) != lines {
		t.Fatalf("%d paths, want %d", len(got), lines)
	}
}

func TestRefusedLines(t *testing.T) {
	js, l := newStream(t), newLog(t)
	registry := prometheus.NewRegistry()
	o := options(l)
	o.Registerer = registry
	l.grow(5)
	l.write(strings.Repeat("what is \"this\"?\n", 100))
	l.grow(5)
	run(t, o, &crasher{rows: l.n, next: js, journal: &FileJournal{Path: filepath.Join(t.TempDir(), "j")}, seen: map[string]bool{}})
	js.exactly(t, 10)
	if got := gathered(t, registry); got["weir_collector_lines_total"] != 110 || got["weir_collector_lines_refused_total"] != 100 {
		t.Errorf("metrics %v", got)
	}
}

// A server is told to log in another format while it is followed: every request comes, also
// of the lines that old workers write meanwhile, and after a start.
func TestFormatChanges(t *testing.T) {
	js, l := newStream(t), newLog(t)
	journal := &FileJournal{Path: filepath.Join(t.TempDir(), "j")}
	seen := map[string]bool{}
	other := func(n int) string {
		return fmt.Sprintf(`{"time":"%d.5","host":"www.example.org","client":"192.0.2.%d","method":"GET","uri":"/%d","protocol":"HTTP/2.0","status":200,"bytes":1}`+"\n", time.Now().Unix(), n%250, n)
	}
	l.grow(50)
	for i := range 50 {
		l.write(other(l.n))
		l.n++
		if i < 5 {
			l.grow(1)
		}
	}
	for range 2 {
		run(t, options(l), &crasher{rows: l.n, next: js, journal: journal, seen: seen})
		js.exactly(t, l.n)
		for range 20 {
			l.write(other(l.n))
			l.n++
		}
	}
	run(t, options(l), &crasher{rows: l.n, next: js, journal: journal, seen: seen})
	js.exactly(t, l.n)
	sites := map[string]int{}
	all, _ := js.batches(t)
	for _, batch := range all {
		var rows schemas.Rows
		var r schemas.Request
		for rows.Reset(batch); rows.Next(&r); {
			sites[string(r.Site)]++
		}
	}
	if sites["www.example.org"] != 90 || len(sites) != 2 {
		t.Errorf("requests by site: %v", sites)
	}
}

func TestIdleBeats(t *testing.T) {
	js, l := newStream(t), newLog(t)
	registry := prometheus.NewRegistry()
	o := options(l)
	o.Registerer, o.Beat = registry, 5*time.Millisecond
	l.grow(1)
	l.write("what is \"this\"?\n")
	ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
	defer cancel()
	published := 0
	publisher := publishFunc(func(ctx context.Context, subject, id string, data []byte) error {
		return js.Publish(ctx, subject, id, data)
	})
	var mu sync.Mutex
	s, err := New(o, &FileJournal{Path: filepath.Join(t.TempDir(), "j")}, publishFunc(func(ctx context.Context, subject, id string, data []byte) error {
		mu.Lock()
		defer mu.Unlock()
		if published++; published == 50 {
			cancel()
		}
		return publisher(context.WithoutCancel(ctx), subject, id, data)
	}))
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Run(ctx); err != nil {
		t.Fatal(err)
	}
	all, dead := js.batches(t)
	if len(dead) != 1 || dead[0] != `weir.dead.combined {"edge":"edge1","source":"web","reason":"syntax","line":"what is \"this\"?"}` {
		t.Errorf("dead letters %q", dead)
	}
	last := int64(0)
	for i, batch := range all {
		if batch.Watermark < last-1 || batch.Watermark > time.Now().UnixMilli() {
			t.Errorf("batch %d: watermark %d after %d", i, batch.Watermark, last)
		}
		last = max(last, batch.Watermark)
	}
	if len(all) < 40 {
		t.Errorf("%d batches", len(all))
	}
	if got := gathered(t, registry); got["weir_collector_lines_total"] != 2 || got["weir_collector_lines_refused_total"] != 1 || got["weir_collector_batches_total"] < 40 {
		t.Errorf("metrics %v", got)
	}
}

// gathered gives each metric's sum over its labels.
func gathered(t *testing.T, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	sums := map[string]float64{}
	for _, family := range families {
		for _, metric := range family.GetMetric() {
			sums[family.GetName()] += metric.GetCounter().GetValue() + metric.GetGauge().GetValue()
		}
	}
	return sums
}

type publishFunc func(ctx context.Context, subject, id string, data []byte) error

func (f publishFunc) Publish(ctx context.Context, subject, id string, data []byte) error {
	return f(ctx, subject, id, data)
}
