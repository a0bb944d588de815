package intake

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/schemas"
)

// stream keeps the requests of published batches: by edge, the paths in order; batches
// with an id that came before count once.
type stream struct {
	mu    sync.Mutex
	ids   map[string]bool
	paths map[string][]string
	away  bool
}

func (s *stream) Publish(_ context.Context, subject, id string, data []byte) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away {
		return errors.New("the stream is away")
	}
	if s.ids[id] {
		return nil
	}
	b, err := schemas.DecodeBatch(data)
	if err != nil {
		return err
	}
	if s.ids == nil {
		s.ids, s.paths = map[string]bool{}, map[string][]string{}
	}
	s.ids[id] = true
	var rows schemas.Rows
	rows.Reset(b)
	var r schemas.Request
	for rows.Next(&r) {
		s.paths[b.Edge] = append(s.paths[b.Edge], string(r.Path))
	}
	return nil
}

func (s *stream) of(edge string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.paths[edge])
}

func line(i int) []byte {
	return fmt.Appendf(nil, "192.0.2.1 - - [%s] \"GET /%d HTTP/1.1\" 200 10 \"-\" \"a\"\n", time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), i)
}

func open(t *testing.T, dir string, s *stream, change func(*Options)) (in *Intake, stop func()) {
	t.Helper()
	o := Options{Dir: dir, Source: "test", Publisher: s, Ship: ship.Options{Edge: "here", Linger: time.Millisecond}}
	if change != nil {
		change(&o)
	}
	in, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- in.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := errors.Join(<-done, in.Close()); err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return in, stop
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
		<-time.After(2 * time.Millisecond)
	}
}

// TestStreamsAreShippedApart appends from several edges, stops, and goes on: each
// edge's lines are shipped once, in order.
func TestStreamsAreShippedApart(t *testing.T) {
	dir := t.TempDir()
	var s stream
	n := 0
	for round := range 2 {
		in, stop := open(t, dir, &s, nil)
		for range 100 {
			for _, from := range []Stream{{}, {"web1", "nginx"}, {"web2", "nginx"}} {
				if err := in.Append(t.Context(), from, line(n)); err != nil {
					t.Fatal(err)
				}
			}
			n++
		}
		if round == 0 {
			stop() // perhaps in the middle
			continue
		}
		until(t, "all is shipped", func() bool { return s.of("here") == n && s.of("web1") == n && s.of("web2") == n })
	}
	for edge, paths := range s.paths {
		for i, path := range paths {
			if path != fmt.Sprintf("/%d", i) {
				t.Fatalf("%s: request %d is %s", edge, i, path)
			}
		}
	}
}

// TestStreamsAreBounded sends from more streams than there may be.
func TestStreamsAreBounded(t *testing.T) {
	dir := t.TempDir()
	var s stream
	in, _ := open(t, dir, &s, func(o *Options) { o.Streams = 3 })
	for i := range 20 {
		if err := in.Append(t.Context(), Stream{Edge: fmt.Sprintf("web%d", i)}, line(i)); err != nil {
			t.Fatal(err)
		}
	}
	until(t, "all is shipped", func() bool { return s.of("web0")+s.of("web1")+s.of("web2")+s.of("here") == 20 })
	if dirs, _ := os.ReadDir(dir); len(dirs) != 4 {
		t.Errorf("directories %v", dirs)
	}
}

// TestFullPushesBack fills an intake whose stream is away.
func TestFullPushesBack(t *testing.T) {
	s := stream{away: true}
	in, _ := open(t, t.TempDir(), &s, func(o *Options) { o.Max = 8 << 10 })
	taken := 0
	for ; ; taken++ {
		from := Stream{Edge: fmt.Sprintf("web%d", taken%2)}
		fresh, err := in.Take(from, fmt.Sprint(taken), line(taken))
		if errors.Is(err, ErrFull) {
			break
		}
		if err != nil || !fresh || taken > 1000 {
			t.Fatal(taken, fresh, err)
		}
	}
	if fresh, err := in.Take(Stream{Edge: "web0"}, "0", nil); err != nil || fresh {
		t.Errorf("what was taken, again: %v, %v", fresh, err)
	}
	short, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
	defer cancel()
	if err := in.Append(short, Stream{Edge: "web0"}, line(taken)); !errors.Is(err, ErrFull) {
		t.Errorf("appending to a full one: %v", err)
	}
	appended := make(chan error, 1)
	go func() { appended <- in.Append(t.Context(), Stream{Edge: "web0"}, line(taken)) }()
	s.mu.Lock()
	s.away = false
	s.mu.Unlock()
	until(t, "what was taken is shipped", func() bool { return s.of("web0")+s.of("web1") >= taken })
	select {
	case err := <-appended:
		if err != nil {
			t.Error(err)
		}
	case <-time.After(20 * time.Second):
		t.Error("who waited for room still waits")
	}
}

// TestOnlyLanesWithLinesAreOpenedAgain leaves an empty spool alone.
func TestOnlyLanesWithLinesAreOpenedAgain(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"web1+nginx", "no lane", "web2+nginx"} {
		if err := os.MkdirAll(filepath.Join(dir, name), 0o750); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(dir, "web2+nginx", "0000000000000001.log"), line(1), 0o600); err != nil {
		t.Fatal(err)
	}
	var s stream
	in, _ := open(t, dir, &s, nil)
	until(t, "the line that was left is shipped", func() bool { return s.of("web2") == 1 })
	in.mu.Lock()
	defer in.mu.Unlock()
	if len(in.lanes) != 1 {
		t.Errorf("%d lanes", len(in.lanes))
	}
}
