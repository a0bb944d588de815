package bus

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/weir-project/weir/schemas"
)

// open starts a bus of its own for the test, or on a store that is there.
func open(t testing.TB, o Options) *Bus {
	t.Helper()
	if o.Dir == "" && o.URL == "" {
		o.Dir = t.TempDir()
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.NewTextHandler(io.Discard, nil))
	}
	o.StartTimeout = time.Minute // the machine may be busy
	b, err := Open(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = b.Close() })
	return b
}

func publish(t testing.TB, b *Bus, subject, id, data string) {
	t.Helper()
	if err := b.Publish(t.Context(), subject, id, []byte(data)); err != nil {
		t.Fatal(err)
	}
}

// take reads so many messages, acknowledges them, and stops.
func take(t testing.TB, b *Bus, o ConsumerOptions, n int) []string {
	t.Helper()
	var got []string
	enough := errors.New("enough")
	err := b.Consume(t.Context(), o, func(_ context.Context, m *Message) error {
		got = append(got, string(m.Data()))
		if err := m.Ack(); err != nil {
			return err
		}
		if len(got) == n {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) {
		t.Fatalf("consume: %v", err)
	}
	if err := b.conn.Flush(); err != nil {
		t.Fatal(err)
	}
	return got
}

func counted(t testing.TB, c prometheus.Counter) float64 {
	t.Helper()
	var m dto.Metric
	if err := c.Write(&m); err != nil {
		t.Fatal(err)
	}
	return m.GetCounter().GetValue()
}

func wantStrings(t testing.TB, got []string, want ...string) {
	t.Helper()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("got %v, want %v", got, want)
	}
}

func TestPublishConsumeReopen(t *testing.T) {
	registry := prometheus.NewRegistry()
	dir := t.TempDir()
	b := open(t, Options{Dir: dir, Registerer: registry})
	subject := schemas.SubjectRequests(3)
	for _, id := range []string{"a", "b", "b", "c", "a"} { // the stream takes an id once
		publish(t, b, subject, id, id)
	}
	o := ConsumerOptions{Stream: schemas.StreamRequests, Durable: "store", Subjects: []string{subject}}
	wantStrings(t, take(t, b, o, 2), "a", "b")
	if got := counted(t, b.metrics.duplicates); got != 2 {
		t.Errorf("%v duplicates counted, want 2", got)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}

	// The streams, the ids and what the consumer has got survive.
	b = open(t, Options{Dir: dir, Registerer: registry})
	publish(t, b, subject, "c", "c")
	publish(t, b, subject, "d", "d")
	wantStrings(t, take(t, b, o, 2), "c", "d")
}

func TestIDsAreKeptApart(t *testing.T) {
	b := open(t, Options{})
	ids := []string{"a", " a", "a ", "a\n", "a\r\nX: y", "\"a\"", "é\x00\xff"}
	for _, id := range ids {
		publish(t, b, schemas.SubjectRequests(0), id, id)
	}
	got := take(t, b, ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"}, len(ids))
	wantStrings(t, got, ids...)
}

func TestUnacknowledgedComesAgain(t *testing.T) {
	b := open(t, Options{})
	for i := range 4 {
		publish(t, b, schemas.SubjectRequests(0), "", fmt.Sprint(i))
	}
	o := ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"}
	seen := map[string]int{}
	finished := errors.New("finished")
	err := b.Consume(t.Context(), o, func(_ context.Context, m *Message) error {
		data := string(m.Data())
		seen[data]++
		switch {
		case data == "1" && m.Delivered() == 1:
			return m.Nak(time.Millisecond)
		case data == "2":
			return m.Term("cannot be read")
		}
		if err := m.Ack(); err != nil {
			return err
		}
		if len(seen) == 4 && seen["1"] == 2 {
			return finished
		}
		return nil
	})
	if !errors.Is(err, finished) {
		t.Fatal(err)
	}
	if seen["0"] != 1 || seen["1"] != 2 || seen["2"] != 1 || seen["3"] != 1 {
		t.Errorf("delivered %v", seen)
	}
}

// A reader that waits for its store holds messages longer than AckWait; they
// must not be given to it a second time meanwhile.
func TestHeldMessagesAreNotRedelivered(t *testing.T) {
	b := open(t, Options{})
	publish(t, b, schemas.SubjectRequests(0), "", "first")
	o := ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r", AckWait: time.Second, MaxPending: 10}
	var first *Message
	finished := errors.New("finished")
	err := b.Consume(t.Context(), o, func(_ context.Context, m *Message) error {
		if m.Delivered() > 1 {
			return fmt.Errorf("%s was delivered again", m.Data())
		}
		if first == nil {
			first = m
		} else if err := m.Ack(); err != nil {
			return err
		}
		if m.Time().Sub(first.Time()) > 2500*time.Millisecond {
			return errors.Join(finished, first.Ack())
		}
		return b.Publish(t.Context(), schemas.SubjectRequests(0), "", []byte("next"))
	})
	if !errors.Is(err, finished) {
		t.Fatal(err)
	}
}

// A store that is slow to acknowledge is waited for, not given more.
func TestMaxPending(t *testing.T) {
	b := open(t, Options{})
	for i := range 10 {
		publish(t, b, schemas.SubjectRequests(0), "", fmt.Sprint(i))
	}
	waiting := make(chan *Message, 10)
	finished := errors.New("finished")
	ctx, cancel := context.WithCancelCause(t.Context())
	var seen []string
	done := make(chan error)
	go func() {
		done <- b.Consume(ctx, ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r", MaxPending: 2},
			func(_ context.Context, m *Message) error {
				seen = append(seen, string(m.Data()))
				waiting <- m
				return nil
			})
	}()
	for range 10 {
		m := <-waiting
		if len(waiting) > 1 {
			t.Errorf("%d unacknowledged messages besides one", len(waiting))
		}
		if err := m.Ack(); err != nil {
			t.Error(err)
		}
	}
	cancel(finished)
	if err := <-done; err != nil {
		t.Error(err)
	}
	wantStrings(t, seen, strings.Fields("0 1 2 3 4 5 6 7 8 9")...)
	if n := counted(t, b.metrics.restarts.WithLabelValues(schemas.StreamRequests, "r")); n != 0 {
		t.Errorf("%v restarts", n)
	}
}

func TestConsumerThatWasRemovedIsSetUpAgain(t *testing.T) {
	b := open(t, Options{})
	o := ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"}
	publish(t, b, schemas.SubjectRequests(0), "", "1")
	finished := errors.New("finished")
	removed := false
	err := b.Consume(t.Context(), o, func(ctx context.Context, m *Message) error {
		if err := m.Ack(); err != nil {
			return err
		}
		if string(m.Data()) == "2" {
			return finished
		}
		if !removed {
			removed = true
			if err := b.js.DeleteConsumer(ctx, o.Stream, o.Durable); err != nil {
				return err
			}
			return b.Publish(ctx, schemas.SubjectRequests(0), "", []byte("2"))
		}
		return nil
	})
	if !errors.Is(err, finished) {
		t.Fatal(err)
	}
	if counted(t, b.metrics.restarts.WithLabelValues(o.Stream, o.Durable)) == 0 {
		t.Error("no restart was counted")
	}
}

func TestPipeline(t *testing.T) {
	b := open(t, Options{})
	p := b.Pipeline(16)
	const n = 500
	sequences := make(chan uint64, n)
	for i := range n {
		err := p.Publish(t.Context(), schemas.SubjectRequests(i%schemas.Partitions), fmt.Sprint(i), []byte("data"),
			func(sequence uint64, err error) {
				if err != nil {
					t.Error(err)
				}
				sequences <- sequence
			})
		if err != nil {
			t.Fatal(err)
		}
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Fatal(err)
	}
	if len(sequences) != n {
		t.Fatalf("%d acknowledged when Wait returned, want %d", len(sequences), n)
	}
	for want := uint64(1); want <= n; want++ {
		if got := <-sequences; got == 0 || got > n {
			t.Fatalf("sequence %d", got)
		}
	}
	tooLarge := make([]byte, maxPayload+1)
	err := p.Publish(t.Context(), schemas.SubjectRequests(0), "", tooLarge, func(uint64, error) { t.Error("called") })
	if err == nil {
		t.Error("a message over the server's bound was taken")
	}
	if err := p.Wait(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestStreamsAreEnsured(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{Dir: dir})
	s, err := b.js.Stream(t.Context(), schemas.StreamRequests)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if c.Duplicates != duplicates || c.Discard != jetstream.DiscardOld || c.MaxAge != 24*time.Hour || c.MaxBytes <= 0 {
		t.Errorf("%+v", c)
	}
	c.MaxAge = time.Hour
	if _, err := b.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	b.Close()
	b = open(t, Options{Dir: dir, MaxBytes: 100 << 20})
	s, err = b.js.Stream(t.Context(), schemas.StreamRequests)
	if err != nil {
		t.Fatal(err)
	}
	if c := s.CachedInfo().Config; c.MaxAge != 24*time.Hour || c.MaxBytes >= 100<<20 {
		t.Errorf("after opening again: %+v", c)
	}
	if _, err := b.State().PutString(t.Context(), "lease", "me"); err != nil {
		t.Error(err)
	}
	if err := b.Check(); err != nil {
		t.Error(err)
	}
}

func TestDiskFull(t *testing.T) {
	dir := t.TempDir()
	b := open(t, Options{Dir: dir, Reserve: 1 << 62})
	err := b.Publish(t.Context(), schemas.SubjectRequests(0), "", []byte("data"))
	if !errors.Is(err, ErrDiskFull) || !strings.Contains(err.Error(), dir) {
		t.Errorf("error %v, want one of a full disk that names %s", err, dir)
	}
	if err := b.Pipeline(1).Publish(t.Context(), schemas.SubjectRequests(0), "", nil, nil); !errors.Is(err, ErrDiskFull) {
		t.Errorf("pipeline: error %v", err)
	}
	if err := b.Check(); !errors.Is(err, ErrDiskFull) {
		t.Errorf("check: %v", err)
	}
}

func TestJetStreamIsRevived(t *testing.T) {
	b := open(t, Options{})
	publish(t, b, schemas.SubjectRequests(0), "1", "before")
	if err := b.server.server.DisableJetStream(); err != nil { // what it does on a full disk
		t.Fatal(err)
	}
	publish(t, b, schemas.SubjectRequests(0), "2", "after")
	wantStrings(t, take(t, b, ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"}, 2), "before", "after")
}

// Others may fill the disk to its last byte. When there is room again every stream and bucket
// takes messages, though the server itself would go on refusing them.
func TestAFullDiskPasses(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("weir", dir, "tmpfs", 0, "size=128m"); err != nil {
		t.Skip("needs a file system of its own: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	b := open(t, Options{Dir: filepath.Join(dir, "nats"), Reserve: 1 << 20})
	publish(t, b, schemas.SubjectRequests(0), "1", "before")
	filler, err := os.Create(filepath.Join(dir, "filler"))
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = filler.Write(make([]byte, 1<<20))
	}
	for err = nil; err == nil; { // its buffers are full, too
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		_, err = b.State().Put(ctx, "lease", make([]byte, 64<<10))
		cancel()
	}
	if err := errors.Join(filler.Close(), os.Remove(filler.Name())); err != nil {
		t.Fatal(err)
	}
	publish(t, b, schemas.SubjectRequests(0), "2", "after")
	if _, err := b.State().PutString(t.Context(), "lease", "me"); err != nil {
		t.Errorf("the bucket stays as it was on the full disk: %v", err)
	}
	wantStrings(t, take(t, b, ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"}, 2), "before", "after")
}

func TestOpenRefuses(t *testing.T) {
	held := t.TempDir()
	open(t, Options{Dir: held})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		options Options
		want    string
	}{
		"neither":      {Options{}, "want either a directory (embedded) or a URL"},
		"both":         {Options{Dir: "x", URL: "y"}, "want either a directory (embedded) or a URL"},
		"in use":       {Options{Dir: held}, fmt.Sprintf("in use by the process %d", os.Getpid())},
		"a file":       {Options{Dir: file}, "not a directory"},
		"open to all":  {Options{Dir: t.TempDir(), Listen: "0.0.0.0:0"}, "other machines could publish and read everything"},
		"no port":      {Options{Dir: t.TempDir(), Listen: "127.0.0.1"}, "want host:port"},
		"no such port": {Options{Dir: t.TempDir(), Listen: "127.0.0.1:http"}, `"http" is no port`},
	} {
		t.Run(name, func(t *testing.T) {
			b, err := Open(t.Context(), c.options)
			if err == nil {
				b.Close()
			}
			if err == nil || !strings.Contains(err.Error(), c.want) || strings.Contains(err.Error(), "\n") {
				t.Errorf("error %q, want one line with %q", err, c.want)
			}
		})
	}
	if _, err := Open(t.Context(), Options{Dir: held}); err == nil {
		t.Error("the lock was lost by a failed attempt")
	}
}

const benchMessage = 64 << 10

func BenchmarkPublish(b *testing.B) {
	bus := open(b, Options{})
	data := make([]byte, benchMessage)
	b.SetBytes(benchMessage)
	b.ReportAllocs()
	for b.Loop() {
		if err := bus.Publish(b.Context(), schemas.SubjectRequests(0), "", data); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkPipelineAndConsume(b *testing.B) {
	bus := open(b, Options{})
	data := make([]byte, benchMessage)
	b.SetBytes(benchMessage)
	b.ReportAllocs()
	p := bus.Pipeline(64)
	n := 0
	for b.Loop() {
		if err := p.Publish(b.Context(), schemas.SubjectRequests(0), "", data, func(_ uint64, err error) {
			if err != nil {
				b.Error(err)
			}
		}); err != nil {
			b.Fatal(err)
		}
		n++
	}
	if err := p.Wait(b.Context()); err != nil {
		b.Fatal(err)
	}
	start := time.Now()
	take(b, bus, ConsumerOptions{Stream: schemas.StreamRequests, Durable: "r"}, n)
	b.ReportMetric(float64(time.Since(start).Nanoseconds())/float64(n), "consume-ns/op")
}
