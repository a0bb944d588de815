package clickhouse

import (
	"bufio"
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/embedded"
)

// children are the ids of this process's children that hold a store.
func children(t testing.TB) (pids []int) {
	t.Helper()
	paths, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		t.Fatal(err)
	}
	for _, path := range paths {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // from field 3 of proc(5), the state
		if len(fields) > 1 && fields[0] != "Z" && fields[1] == strconv.Itoa(os.Getpid()) {
			pid, _ := strconv.Atoi(filepath.Base(filepath.Dir(path)))
			pids = append(pids, pid)
		}
	}
	return pids
}

// runUntil runs the writer until done is closed, and fails the test where it ends
// before.
func runUntil(t *testing.T, w *Writer, done <-chan struct{}) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	ended := make(chan error, 1)
	go func() { ended <- w.Run(ctx) }()
	select {
	case <-done:
		cancel()
		if err := <-ended; err != nil {
			t.Errorf("Run: %v", err)
		}
	case err := <-ended:
		t.Fatalf("Run ended: %v", err)
	}
}

const everyRequest = "SELECT count(), uniqExact(request_id), sum(weight) FROM requests"

func TestWriterSurvivesKillsOfTheChild(t *testing.T) {
	store := home(t, t.TempDir())
	db := client(t, store)
	s := newStream(t, 4, 120, 1000, time.Date(2026, 11, 21, 23, 59, 0, 0, time.UTC), time.Millisecond)
	j := watch(journalIn(t, t.TempDir()), s)
	ctx, cancel := context.WithCancel(t.Context())
	killed := make(chan int)
	go func() { // at each kill some insert is under way
		n := 0
		defer func() { killed <- n }()
		for n < 5 && ctx.Err() == nil {
			if _, err := store.Access(ctx); err != nil {
				return
			}
			select {
			case <-ctx.Done():
			case <-time.After(time.Duration(rand.IntN(150)) * time.Millisecond):
				for _, pid := range children(t) {
					_ = syscall.Kill(pid, syscall.SIGKILL)
					n++
				}
			}
		}
	}()
	w := s.writer(db, j)
	w.rows = 1000 // many spans
	runUntil(t, w, j.all)
	cancel()
	t.Logf("%d kills", <-killed)
	if got, want := ask(t, db, everyRequest), "120000\t120000\t120000"; got != want {
		t.Errorf("rows, requests, weight are %s, want %s", got, want)
	}
}

func TestWriterCrashesBetweenAnyTwoSteps(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	s := newStream(t, 2, 40, 300, time.Date(2026, 11, 21, 23, 59, 58, 0, time.UTC), time.Millisecond)
	dir := t.TempDir()
	for n := 1; n <= 12; n++ {
		ctx, cancel := context.WithCancel(t.Context())
		j := watch(journalIn(t, dir), s)
		j.n, j.after, j.crash = n%3+1, n%2 == 0, cancel
		w := s.writer(db, j)
		w.grace, w.rows = 0, 250 // many spans
		select {
		case <-j.all:
			t.Logf("all stored before crash %d", n)
			continue
		default:
		}
		go func() { // there may be fewer writes left than until the crash
			select {
			case <-j.all:
				cancel()
			case <-ctx.Done():
			}
		}()
		if err := w.Run(ctx); err != nil {
			t.Fatal(err)
		}
	}
	j := watch(journalIn(t, dir), s)
	runUntil(t, s.writer(db, j), j.all)
	if got, want := ask(t, db, everyRequest), "12000\t12000\t12000"; got != want {
		t.Errorf("rows, requests, weight are %s, want %s", got, want)
	}
	if got := ask(t, db, "SELECT toDate(time), count() FROM requests GROUP BY 1 ORDER BY 1"); got != "2026-11-21\t2000\n2026-11-22\t10000" {
		t.Errorf("by day: %s", got)
	}
}

func TestWriterWithoutItsJournalGoesOnAfterTheTable(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	s := newStream(t, 2, 20, 100, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), time.Millisecond)
	for range 2 {
		j := watch(journalIn(t, t.TempDir()), s)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		w := s.writer(db, j)
		ended := make(chan error, 1)
		go func() { ended <- w.Run(ctx) }()
		for ask(t, db, "SELECT count() FROM requests") != "2000" {
			if ctx.Err() != nil {
				t.Fatal("not all stored in a minute")
			}
		}
		cancel()
		if err := <-ended; err != nil {
			t.Fatal(err)
		}
	}
	if got, want := ask(t, db, everyRequest), "2000\t2000\t2000"; got != want {
		t.Errorf("rows, requests, weight are %s, want %s", got, want)
	}
}

// The process that writes, and holds the store, is killed with SIGKILL in moments of
// no choosing, and started again.
func TestKillOfTheWholeProcess(t *testing.T) {
	if _, err := embedded.FindLibrary(); err != nil {
		home(t, t.TempDir()) // skips or fails
	}
	dir := t.TempDir()
	for kills := 0; ; {
		cmd := exec.Command("/proc/self/exe")
		cmd.Env = append(os.Environ(), writerEnv+"="+dir)
		cmd.Stderr = t.Output()
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		if !lines.Scan() || lines.Text() != "writing" {
			t.Fatalf("the writing process said %q: %v", lines.Text(), cmd.Wait())
		}
		if kills < 5 {
			time.AfterFunc(time.Duration(50+rand.IntN(400))*time.Millisecond, func() { _ = cmd.Process.Kill() })
		}
		for lines.Scan() {
			t.Log(lines.Text())
		}
		if err := cmd.Wait(); err == nil {
			t.Logf("done after %d kills", kills)
			break
		} else if !strings.Contains(err.Error(), "killed") {
			t.Fatal(err)
		}
		kills++
	}
	db := client(t, home(t, dir))
	if got, want := ask(t, db, everyRequest), "240000\t240000\t240000"; got != want {
		t.Errorf("rows, requests, weight are %s, want %s", got, want)
	}
}

const writerEnv = "WEIR_TEST_WRITER"

// writingProcess stores a stream into the store of dir until all of it is there.
func writingProcess(dir string) error {
	t := new(testing.T)
	store := embedded.New(embedded.Options{Dir: dir})
	running, stop := context.WithCancel(context.Background())
	defer stop()
	ended := make(chan error, 1)
	go func() { ended <- store.Run(running) }()
	db, err := Open(running, Options{Dial: dialTo(store)})
	if err != nil {
		return err
	}
	if err := db.Migrate(running); err != nil {
		return err
	}
	journal, err := NewFileJournal(filepath.Join(dir, "writer"))
	if err != nil {
		return err
	}
	s := newStream(t, 4, 120, 2000, time.Date(2026, 11, 21, 23, 59, 0, 0, time.UTC), time.Millisecond)
	j := watch(journal, s)
	fmt.Println("writing")
	ctx, cancel := context.WithCancel(running)
	defer cancel()
	written := make(chan error, 1)
	go func() { written <- s.writer(db, j).Run(ctx) }()
	<-j.all
	cancel()
	if err := <-written; err != nil {
		return err
	}
	if err := db.Close(); err != nil {
		return err
	}
	stop()
	return <-ended
}
