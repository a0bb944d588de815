package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/klauspost/compress/zstd"

	"github.com/weir-project/weir/collectors/ship"
)

// TestTorture lets seven logs be written to and rotated in every way there is, while
// the collector is killed every few seconds and NATS is stopped and started: every line
// is in ClickHouse at the end, once. It takes about twenty seconds of writing; with
// WEIR_TORTURE=10m, ten minutes.
func TestTorture(t *testing.T) {
	needClickHouse(t)
	length := tortureLength(t, 15*time.Second)
	dir := t.TempDir()
	logs, data := filepath.Join(dir, "logs"), filepath.Join(dir, "data")
	if err := os.Mkdir(logs, 0o700); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	nats := freeAddress(t)
	center := write("center.yml", fmt.Sprintf("data: %s\nnats: {listen: %q}\nhttp: {listen: %q}\nsources: [{file: %s}]\n",
		data, nats, freeAddress(t), filepath.Join(dir, "none.log")))
	edge := write("edge.yml", fmt.Sprintf("data: %s\nnats: {url: %q}\nhttp: {listen: %q}\nsources: [{file: %q}]\n",
		filepath.Join(dir, "edge"), "nats://"+nats, freeAddress(t), filepath.Join(logs, "*.log")))

	x := &torture{t: t, journals: filepath.Join(dir, "edge", "journal", "collect"), edge: edge, random: rand.New(rand.NewPCG(3, uint64(length)))}
	x.collector = startCommand(t, "--config", edge, "collect")
	main := startWith(t, center)
	first := []string{"renamed", "copied", "deleted", "linked", "packed", "reused"}
	var written []*tortured
	for i, kind := range append(first, "later") {
		l := &tortured{name: kind, path: filepath.Join(logs, kind+".log"), random: rand.New(rand.NewPCG(uint64(i), 7))}
		written = append(written, l)
		if kind != "later" {
			if err := errors.Join(l.open(), l.line()); err != nil {
				t.Fatal(err)
			}
		}
	}
	for _, l := range written[:len(first)] { // what is rotated before it was ever seen is of the time before weir
		until(t, l.name+" is followed", func() bool { return x.published(l.path) })
	}
	ctx, cancel := context.WithTimeout(t.Context(), length)
	defer cancel()
	var writing sync.WaitGroup
	for _, l := range written {
		writing.Go(func() { x.write(ctx, l) })
	}
	writing.Go(func() { x.kill(ctx) })
	stops := 0
	for ctx.Err() == nil { // NATS
		if pause(ctx, x.between(4*time.Second, 12*time.Second)); ctx.Err() != nil {
			break
		}
		if stops%3 == 2 {
			main.kill()
		} else {
			main.stop() // it may still be starting, and says then that it was interrupted
		}
		stops++
		pause(ctx, x.between(500*time.Millisecond, 5*time.Second))
		main = startWith(t, center)
	}
	writing.Wait()

	total := 0
	for _, l := range written {
		if l.err != nil {
			t.Errorf("%s: %v", l.name, l.err)
		}
		total += l.n
	}
	count := func() string {
		out, err := weir(t, "sql", "--data", data, "SELECT count(), uniqExact(user_agent, path) FROM requests")
		if err != nil {
			return err.Error()
		}
		return out
	}
	deadline := time.Now().Add(time.Minute + 2*length)
	for count() != fmt.Sprintf("%d\t%d", total, total) && time.Now().Before(deadline) {
		pause(t.Context(), time.Second)
	}
	for _, l := range written {
		want := fmt.Sprintf("%d\t%d\t%d", l.n, l.n, l.n-1)
		got, err := weir(t, "sql", "--data", data, fmt.Sprintf(
			"SELECT count(), uniqExact(path), max(toUInt32(substring(path, 4))) FROM requests WHERE user_agent = '%s'", l.name))
		if err != nil || got != want {
			t.Errorf("%s: count, distinct and greatest are %q (%v), want %q after %v", l.name, got, err, want, l.turns)
			t.Logf("missing: %s", mustWeir(t, "sql", "--data", data, fmt.Sprintf(
				"SELECT groupArray(20)(number) FROM (SELECT number FROM numbers(%d) WHERE number NOT IN (SELECT toUInt32(substring(path, 4)) FROM requests WHERE user_agent = '%s') ORDER BY number)", l.n, l.name)))
		}
		t.Logf("%s: %d lines, %d turns", l.name, l.n, l.turns)
	}
	t.Logf("%d lines; the collector was killed %d times, NATS stopped %d times; the collector's greatest memory was %d MiB", total, x.kills, stops, x.memory>>20)
	if t.Failed() {
		t.Logf("the collector's last words:\n%s", tailOf(x.collector.log))
	}
	x.collector.end(t)
	main.end(t)
}

func tailOf(b *bytes.Buffer) string {
	text := b.String()
	return text[max(0, len(text)-6000):]
}

// pause waits, or until ctx ends.
func pause(ctx context.Context, d time.Duration) {
	select {
	case <-ctx.Done():
	case <-time.After(d):
	}
}

// torture is what is done to the collector.
type torture struct {
	t        *testing.T
	journals string
	edge     string // its configuration

	mu        sync.RWMutex // held for reading by who needs the collector to live
	collector *running
	kills     int
	memory    int64

	choice sync.Mutex
	random *rand.Rand
}

func (x *torture) between(least, most time.Duration) time.Duration {
	x.choice.Lock()
	defer x.choice.Unlock()
	return least + time.Duration(x.random.Int64N(int64(most-least)))
}

// kill kills the collector again and again, and starts it anew at once or later.
func (x *torture) kill(ctx context.Context) {
	for {
		if pause(ctx, x.between(500*time.Millisecond, 5*time.Second)); ctx.Err() != nil {
			return
		}
		x.mu.Lock()
		if kb := residentKB(x.collector.Process.Pid); kb<<10 > x.memory {
			x.memory = kb << 10
		}
		x.collector.kill()
		x.kills++
		pause(ctx, x.between(0, 1500*time.Millisecond))
		x.collector = startCommand(x.t, "--config", x.edge, "collect")
		x.mu.Unlock()
	}
}

// residentKB is a process' greatest resident memory, in KiB (proc(5), VmHWM).
func residentKB(pid int) (kb int64) { return statusKB(pid, "VmHWM") }

// statusKB is a field of a process' status, in KiB, 0 where it cannot be had.
func statusKB(pid int, field string) (kb int64) {
	status, _ := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	for line := range strings.Lines(string(status)) {
		if _, err := fmt.Sscanf(line, field+": %d kB", &kb); err == nil {
			return kb
		}
	}
	return 0
}

// tortured is a log that is written to and rotated.
type tortured struct {
	name, path string
	random     *rand.Rand
	file       *os.File
	n, turns   int // lines written; rotations
	err        error
}

// write writes lines whose paths are their numbers, and rotates now and then, as the
// log's name says.
func (x *torture) write(ctx context.Context, l *tortured) {
	if l.name == "later" {
		pause(ctx, 3*time.Second)
		l.err = l.open()
	}
	for l.err == nil && ctx.Err() == nil {
		for range 1 + l.random.IntN(60) {
			if l.err = l.line(); l.err != nil {
				return
			}
		}
		pause(ctx, time.Duration(l.random.IntN(100))*time.Millisecond)
		if l.random.IntN(20) == 0 && ctx.Err() == nil {
			if l.err = x.rotate(ctx, l); l.err != nil {
				l.err = fmt.Errorf("rotation %d: %w", l.turns, l.err)
			}
			l.turns++
		}
	}
	if l.file != nil {
		l.file.Close()
	}
}

func (l *tortured) open() (err error) {
	path := l.path
	if l.name == "linked" {
		path = filepath.Join(filepath.Dir(l.path), fmt.Sprintf("linked-2026-%06d.log", l.turns))
		os.Remove(l.path)
		if err := os.Symlink(filepath.Base(path), l.path); err != nil {
			return err
		}
	}
	l.file, err = os.OpenFile(path, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	return err
}

func (l *tortured) line() error {
	_, err := fmt.Fprintf(l.file, "198.51.%d.%d - - [%s] \"GET /n/%d HTTP/1.1\" 200 10 \"-\" \"%s\"\n",
		l.n/250%250, l.n%250, time.Now().UTC().Format("02/Jan/2006:15:04:05 -0700"), l.n, l.name)
	l.n++
	return err
}

// rotate does to a log what its name says. The writer waits meanwhile, but for what it
// writes into a renamed file before it turns to the new one.
func (x *torture) rotate(ctx context.Context, l *tortured) error {
	switch l.name {
	case "renamed", "later", "packed", "reused":
		if err := l.shift(l.name == "packed"); err != nil {
			return err
		}
		for range l.random.IntN(20) { // into the renamed file
			if err := l.line(); err != nil {
				return err
			}
		}
		first := l.file
		if l.name == "reused" { // the inode of a file that was read is free, and the next one's
			defer first.Close()
			return x.whileAllIsRead(ctx, l.path+".1", func() error {
				if err := os.Remove(l.path + ".2"); err != nil && !errors.Is(err, fs.ErrNotExist) {
					return err
				}
				return l.open()
			})
		}
		if err := l.open(); err != nil {
			return err
		}
		first.Close()
		if l.name == "packed" {
			return l.pack(l.path + ".1")
		}
	case "copied":
		if err := l.shift(false); err != nil {
			return err
		}
		return l.file.Truncate(0)
	case "linked":
		l.file.Close()
		l.turns++
		err := l.open()
		l.turns--
		return err
	case "deleted": // what nobody has seen cannot be had back
		return x.whileAllIsRead(ctx, l.path, func() error {
			l.file.Close()
			if err := os.Remove(l.path); err != nil {
				return err
			}
			return l.open()
		})
	}
	return nil
}

// keptTurns is how many rotated files there are at most: more than a test makes, because
// what is deleted before it is read is lost.
const keptTurns = 2000

// shift moves .1 to .2 and so on, and the log to .1, or copies it.
func (l *tortured) shift(packed bool) error {
	for n := min(l.turns+1, keptTurns); n > 0; n-- {
		for _, packing := range []string{"", ".gz", ".zst"} {
			from := fmt.Sprint(l.path, ".", n, packing)
			if _, err := os.Stat(from); err != nil {
				continue
			}
			to := fmt.Sprint(l.path, ".", n+1, packing)
			if n == keptTurns {
				if err := os.Remove(from); err != nil {
					return err
				}
				continue
			}
			if err := os.Rename(from, to); err != nil {
				return err
			}
		}
	}
	if l.name != "copied" {
		return os.Rename(l.path, l.path+".1")
	}
	content, err := os.ReadFile(l.path)
	if err != nil {
		return err
	}
	return os.WriteFile(l.path+".1", content, 0o600)
}

// pack does what gzip and zstd do, at once.
func (l *tortured) pack(path string) error {
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	content, err := os.ReadFile(path)
	if err != nil {
		return err
	}
	var packed bytes.Buffer
	var w io.WriteCloser = gzip.NewWriter(&packed)
	suffix := ".gz"
	if l.random.IntN(2) == 0 {
		suffix = ".zst"
		if w, err = zstd.NewWriter(&packed, zstd.WithEncoderConcurrency(1)); err != nil {
			return err
		}
	}
	if _, err := w.Write(content); err != nil {
		return err
	}
	if err := w.Close(); err != nil {
		return err
	}
	half := packed.Len() / 2 // a packer takes its time
	out, err := os.OpenFile(path+suffix, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	defer out.Close()
	if _, err := out.Write(packed.Bytes()[:half]); err != nil {
		return err
	}
	<-time.After(time.Duration(l.random.IntN(50)) * time.Millisecond)
	if _, err := out.Write(packed.Bytes()[half:]); err != nil {
		return err
	}
	if err := os.Chtimes(path+suffix, info.ModTime(), info.ModTime()); err != nil {
		return err
	}
	return os.Remove(path)
}

// whileAllIsRead does something to a log once the collector says that it has read
// every line of it, and does not let it be killed meanwhile.
func (x *torture) whileAllIsRead(ctx context.Context, path string, do func() error) error {
	for ctx.Err() == nil {
		x.mu.RLock()
		if x.published(path) {
			defer x.mu.RUnlock()
			return do()
		}
		x.mu.RUnlock()
		pause(ctx, 100*time.Millisecond)
	}
	return nil
}

// published reports whether the collector's journal says that all of a file is.
func (x *torture) published(path string) bool {
	info, err := os.Stat(path)
	if err != nil {
		return false
	}
	inode := info.Sys().(*syscall.Stat_t).Ino
	log, _, _ := strings.Cut(path, ".log")
	journals, _ := filepath.Glob(filepath.Join(x.journals, filepath.Base(log)+".log-*.json"))
	for _, name := range journals {
		journal := ship.FileJournal{Path: name}
		if state, err := journal.Load(); err == nil && state.Position.Inode == inode && state.Position.Offset == info.Size() {
			return true
		}
	}
	return false
}
