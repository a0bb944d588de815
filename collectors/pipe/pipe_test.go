package pipe

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/intake"
)

type kept struct {
	mu   sync.Mutex
	text strings.Builder
}

func (k *kept) Append(_ context.Context, _ intake.Stream, lines []byte) error {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.text.Write(lines)
	return nil
}

func (k *kept) all() string {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.text.String()
}

func run(t *testing.T, o Options, lines intake.Lines) (stop func()) {
	t.Helper()
	p, err := New(o, lines)
	if err == nil {
		err = p.Open()
	}
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	var once sync.Once
	stop = func() {
		once.Do(func() {
			cancel()
			if err := <-done; err != nil {
				t.Error(err)
			}
		})
	}
	t.Cleanup(stop)
	return stop
}

func until(t *testing.T, what string, condition func() bool) {
	t.Helper()
	for deadline := time.Now().Add(20 * time.Second); !condition(); <-time.After(2 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not within 20 s: %s", what)
		}
	}
}

// TestNamedPipe has writers come and go, as a server that is started again does.
func TestNamedPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "pipe")
	var lines kept
	stop := run(t, Options{Path: path}, &lines)
	if info, err := os.Stat(path); err != nil || info.Mode().Perm() != 0o660 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	want := ""
	for writer := range 3 {
		w, err := os.OpenFile(path, os.O_WRONLY, 0)
		if err != nil {
			t.Fatal(err)
		}
		for i := range 2000 {
			line := fmt.Sprintf("writer %d, line %d %s\n", writer, i, strings.Repeat("x", i%200))
			want += line
			if _, err := io.WriteString(w, line); err != nil {
				t.Fatal(err)
			}
		}
		if _, err := io.WriteString(w, "\n"+strings.Repeat("y", 3*intake.MaxLine)+"\n"); err != nil {
			t.Fatal(err)
		}
		w.Close()
	}
	until(t, "all lines came", func() bool { return lines.all() == want })
	stop()
	run(t, Options{Path: path}, &lines) // the pipe is there already
}

func TestStandardInput(t *testing.T) {
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer r.Close()
	var lines kept
	run(t, Options{Path: "-", Stdin: r}, &lines)
	fmt.Fprint(w, "a\nb\nthe last has no newline")
	w.Close()
	until(t, "all lines came", func() bool { return lines.all() == "a\nb\nthe last has no newline\n" })
}

func TestNoPipe(t *testing.T) {
	path := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{path: "is no pipe", filepath.Join(path, "x"): "not a directory"} {
		p, err := New(Options{Path: path}, &kept{})
		if err == nil {
			err = p.Open()
		}
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", path, err)
		}
	}
}
