package clickhouse

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/embedded"
)

// listener tells when something in which a word stands has been logged so many times.
type listener struct {
	slog.Handler
	word string
	left *atomic.Int32
	said chan struct{}
}

func listen(next slog.Handler, word string, times int32) listener {
	l := listener{next, word, new(atomic.Int32), make(chan struct{})}
	l.left.Store(times)
	return l
}

func (l listener) Handle(ctx context.Context, r slog.Record) error {
	text := r.Message
	r.Attrs(func(a slog.Attr) bool { text += " " + a.Value.String(); return true })
	if strings.Contains(text, l.word) && l.left.Add(-1) == 0 {
		close(l.said)
	}
	return l.Handler.Handle(ctx, r)
}

// fill leaves no byte free where path is.
func fill(t *testing.T, path string) {
	t.Helper()
	f, err := os.Create(path)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	for size := 1 << 20; size > 0; {
		if _, err := f.Write(make([]byte, size)); errors.Is(err, syscall.ENOSPC) {
			size /= 2
		} else if err != nil {
			t.Fatal(err)
		}
	}
}

// A disk that becomes full while requests are stored, with a child that is killed meanwhile and has to
// start on it: what cannot be stored waits, and once there is room every request is stored, once.
func TestWriterSurvivesAFullDisk(t *testing.T) {
	dir := t.TempDir()
	if err := syscall.Mount("weir", dir, "tmpfs", 0, "size=192m"); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip("needs a file system of its own: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	// It says that it is ready, that it ended, and then either again.
	restarted := listen(logger(t).Handler(), "the store", 3)
	store := homeOf(t, embedded.Options{Dir: filepath.Join(dir, "clickhouse"), Logger: slog.New(restarted)})
	full := listen(logger(t).Handler(), "pace", 1) // "No space left on device", "Cannot reserve ... not enough space"
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	db, err := Open(ctx, Options{Logger: slog.New(full), Dial: dialTo(store), Reader: embedded.Reader})
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if err := db.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	s := newStream(t, 2, 60, 1000, time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC), time.Millisecond)
	j := watch(journalIn(t, t.TempDir()), s)
	filler := filepath.Join(dir, "filler")
	half := &fuller{watched: j, n: 10, fill: func() { fill(t, filler) }}
	go func() {
		<-full.said
		for _, pid := range children(t) {
			_ = syscall.Kill(pid, syscall.SIGKILL)
		}
		<-restarted.said
		_ = os.Remove(filler)
	}()
	w := s.writer(db, half)
	w.rows = 1000 // many spans
	runUntil(t, w, j.all)
	select {
	case <-full.said:
	default:
		t.Error("the disk was never full")
	}
	if got, want := ask(t, db, everyRequest), "60000\t60000\t60000"; got != want {
		t.Errorf("rows, requests, weight are %s, want %s", got, want)
	}
}

// fuller fills the disk when so many positions have been written.
type fuller struct {
	*watched
	once sync.Mutex
	n    int
	fill func()
}

func (f *fuller) Store(partition int, p Position) error {
	f.once.Lock()
	if f.n--; f.n == 0 {
		f.fill()
	}
	f.once.Unlock()
	return f.watched.Store(partition, p)
}
