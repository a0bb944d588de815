package e2e

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/fsnotify/fsnotify"
	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/internal/bus"
	"github.com/weir-project/weir/schemas"
)

// besieged is an edge to which bad things happen: a real nginx, `weir enforce`, and a NATS
// that has decisions and nobody who decides. A visitor asks all the time.
type besieged struct {
	*edge
	t       *testing.T
	natsDir string
	nats    string // its address
	bus     *bus.Bus
	config  string // weir's
	metrics string // address of its /metrics
	weir    *running
	blocked int // decisions so far: client n is 198.51.100.n
	*visitor
}

// visitor asks an edge all the time.
type visitor struct {
	asked, bad atomic.Int64
}

// visit has somebody whom nothing is decided against ask until the test ends.
func (e *edge) visit(t *testing.T) *visitor {
	v := new(visitor)
	ctx, cancel := context.WithCancel(context.Background())
	var asking sync.WaitGroup
	asking.Go(func() {
		// Each closed connection keeps a port for a minute: not more than there are.
		tick := time.NewTicker(5 * time.Millisecond)
		defer tick.Stop()
		for ; ctx.Err() == nil; <-tick.C {
			if e.status("192.0.2.1") != http.StatusOK {
				v.bad.Add(1)
			}
			v.asked.Add(1)
		}
	})
	t.Cleanup(func() { cancel(); asking.Wait() })
	return v
}

// answersAll holds that no visitor's request has failed or was refused so far.
func (v *visitor) answersAll(t *testing.T, what string) {
	t.Helper()
	before := v.asked.Load()
	until(t, "a visitor asks", func() bool { return v.asked.Load() > before+1 })
	if bad := v.bad.Load(); bad > 0 {
		t.Fatalf("%s: %d of a visitor's %d requests were not answered", what, bad, v.asked.Load())
	}
}

// besiege starts all of it; more is of the configuration's nginx.
func besiege(t *testing.T, more string) *besieged {
	s := &besieged{edge: startEdge(t), t: t, natsDir: t.TempDir(), nats: freeAddress(t), metrics: freeAddress(t)}
	s.onSmallDisk()
	s.config = writeTo(t, filepath.Join(t.TempDir(), "weir.yml"), fmt.Sprintf(`data: %s
mode: enforce
edge: {name: edge1}
nats: {url: "nats://%s"}
http: {listen: %q}
nginx:
  directory: %s
  test: ["%s"]
  reload: ["%s"]
  min_reload_interval: 50ms
%s`, t.TempDir(), s.nats, s.metrics, s.weirDir, strings.Join(s.test, `", "`), strings.Join(s.reload, `", "`), more))
	s.startNATS()
	t.Cleanup(func() { _ = s.bus.Close() })
	s.start()
	s.visitor = s.visit(t)
	t.Cleanup(func() {
		if t.Failed() {
			s.weir.kill()
			t.Logf("weir:\n%s", s.weir.log)
		}
	})
	return s
}

// diskSize is that of the disk that nginx's directory is on: a few versions of a few decisions.
const diskSize = "128k"

// onSmallDisk puts weir's directory on a small disk of its own.
func (s *besieged) onSmallDisk() {
	s.t.Helper()
	if err := unix.Mount("weir", s.weirDir, "tmpfs", 0, "mode=755,size="+diskSize); err != nil {
		if os.Getenv("CI") == "true" {
			s.t.Fatalf("a small disk: %v", err)
		}
		s.t.Skipf("a small disk: %v (it needs root)", err)
	}
	s.t.Cleanup(func() { _ = unix.Unmount(s.weirDir, unix.MNT_DETACH) })
}

func (s *besieged) startNATS() {
	s.t.Helper()
	var err error
	if s.bus, err = bus.Open(s.t.Context(), bus.Options{Dir: s.natsDir, Listen: s.nats, StartTimeout: 30 * time.Second}); err != nil {
		s.t.Fatal(err)
	}
}

func (s *besieged) stopNATS() {
	s.t.Helper()
	if err := s.bus.Close(); err != nil {
		s.t.Fatal(err)
	}
}

func (s *besieged) start() { s.weir = startCommand(s.t, "--config", s.config, "enforce") }

// block publishes one decision more.
func (s *besieged) block(expires time.Duration) (client string) {
	s.t.Helper()
	s.blocked++
	client = fmt.Sprintf("198.51.100.%d", s.blocked)
	messages, err := schemas.EncodeEvents(1, false, []schemas.Event{{
		Type: schemas.DecisionAdded, Time: time.Now(), Incident: "i1", Sites: []string{"www.example.org"}, Decision: &schemas.Decision{
			ID: fmt.Sprintf("i1-%d", s.blocked), Action: schemas.Block, Scope: schemas.ScopeClient, Value: client, Expires: time.Now().Add(expires), Origin: "weir",
		},
	}})
	if err == nil {
		err = s.bus.Publish(s.t.Context(), schemas.SubjectDecisions, "", messages[0])
	}
	if err != nil {
		s.t.Fatal(err)
	}
	return client
}

// converges holds that everything that was decided comes into force.
func (s *besieged) converges(after string) {
	s.t.Helper()
	until(s.t, after+": what was decided is in force", func() bool {
		for n := 1; n <= s.blocked; n++ {
			if s.status(fmt.Sprintf("198.51.100.%d", n)) != http.StatusForbidden {
				return false
			}
		}
		return true
	})
	s.answersAll(s.t, after)
}

// startable holds that nginx would start as things lie on the disk.
func (s *besieged) startable(what string) {
	s.t.Helper()
	if err := s.check(); err != nil {
		s.t.Errorf("%s: nginx would not start: %v", what, err)
	}
}

func (s *besieged) check() error {
	if out, err := exec.Command(s.test[0], s.test[1:]...).CombinedOutput(); err != nil {
		return fmt.Errorf("%w: %s", err, out)
	}
	return nil
}

// failures counts what weir could not do, -1 while it does not say.
func (s *besieged) failures() float64 { return s.metric("weir_nginx_failures_total") }

// metric is one of weir's, -1 while it does not say.
func (s *besieged) metric(name string) (n float64) {
	answer, err := http.Get("http://" + s.metrics + "/metrics")
	if err != nil {
		return -1
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	found := regexp.MustCompile(`(?m)^` + name + ` (\S+)$`).FindSubmatch(text)
	if err != nil || found == nil {
		return -1
	}
	_, _ = fmt.Sscan(string(found[1]), &n)
	return n
}

// while breaks something, sees that a new decision does not come into force, that weir
// counts it, and that everybody is answered as before; and mends it again.
func (s *besieged) while(broken string, stands bool, break_, mend func() error) {
	s.t.Helper()
	before := s.failures()
	if err := break_(); err != nil {
		s.t.Fatalf("%s: %v", broken, err)
	}
	client := s.block(time.Hour)
	until(s.t, broken+": weir says that it fails", func() bool { return s.failures() > before })
	if got := s.status(client); got != http.StatusOK {
		s.t.Errorf("%s: the new decision's client gets %d: nothing was broken", broken, got)
	}
	if got := s.status("198.51.100.1"); got != http.StatusForbidden {
		s.t.Errorf("%s: who was refused gets %d", broken, got)
	}
	if stands {
		s.startable(broken)
	}
	if err := mend(); err != nil {
		s.t.Fatalf("%s: %v", broken, err)
	}
	s.converges(broken)
}

// TestEdgeInChaos takes away everything that an edge leans on, one thing after the other,
// and kills it at many moments. A visitor is answered all the time, and what was decided is
// in force afterwards.
func TestEdgeInChaos(t *testing.T) {
	s := besiege(t, "")
	s.block(time.Hour)
	s.converges("at first")

	s.stopNATS()
	s.weir.kill()
	s.start() // it has never heard of a decision
	until(t, "weir runs without NATS", func() bool { return s.failures() == 0 })
	if got := s.status("198.51.100.1"); got != http.StatusForbidden {
		t.Errorf("NATS and weir gone, and weir back: who was refused gets %d", got)
	}
	s.startNATS()
	s.block(time.Hour)
	s.converges("NATS gone")

	filler := filepath.Join(s.weirDir, "filler")
	s.while("disk full", true, func() error {
		err := os.WriteFile(filler, make([]byte, 1<<20), 0o600)
		if !errors.Is(err, unix.ENOSPC) {
			return fmt.Errorf("it is not full: %w", err)
		}
		return nil
	}, func() error { return os.Remove(filler) })

	remount := func(flags uintptr) func() error {
		return func() error {
			var err error
			until(t, "the disk is mounted anew", func() bool { // busy while a file is being written
				err = unix.Mount("weir", s.weirDir, "tmpfs", unix.MS_REMOUNT|flags, "size="+diskSize)
				return !errors.Is(err, unix.EBUSY)
			})
			return err
		}
	}
	s.while("directory not writable", true, remount(unix.MS_RDONLY), remount(0))

	away := s.program + ".away"
	s.while("nginx missing", false, func() error { return os.Rename(s.program, away) }, func() error { return os.Rename(away, s.program) })

	text, err := os.ReadFile(s.conf)
	if err != nil {
		t.Fatal(err)
	}
	s.while("the site's own configuration broken", false,
		func() error { return os.WriteFile(s.conf, append(bytes.Clone(text), "nonsense;\n"...), 0o600) },
		func() error { return os.WriteFile(s.conf, text, 0o600) })

	s.halve()
	if s.check() == nil {
		t.Error("lists half written: nginx would start: nothing was broken")
	}
	s.weir.kill()
	s.start()
	until(t, "lists half written: they are whole again", func() bool { return s.check() == nil })
	s.block(time.Hour)
	s.converges("lists half written")

	s.killAtEveryStep()
	s.panics()
}

// TestEnforceAndNATSGone kills weir enforce and NATS: nginx goes on refusing until its lease
// ends, then lets go by itself, answers all the time, and refuses again once they are back.
// With NATS alone away the lease is renewed.
func TestEnforceAndNATSGone(t *testing.T) {
	t.Parallel() // it waits for a clock, nginx's
	s := besiege(t, "  lease: 30s\n")
	client := s.block(time.Hour)
	s.converges("at first")
	s.stopNATS()
	until(t, "the lease is renewed without NATS", func() bool { return s.metric("weir_nginx_reloads_total") >= 2 })
	if got := s.status(client); got != http.StatusForbidden {
		t.Errorf("NATS gone: who was refused gets %d", got)
	}
	s.weir.kill()
	killed := time.Now()
	if got := s.status(client); got != http.StatusForbidden {
		t.Errorf("weir killed: who was refused gets %d at once: the lease is not over", got)
	}
	until(t, "the lease ends", func() bool { return s.answers(client, http.StatusOK) })
	t.Logf("nginx let go %s after weir enforce was killed", time.Since(killed).Round(time.Second))
	s.startable("weir and NATS gone")
	s.answersAll(s.t, "weir and NATS gone")
	s.startNATS()
	s.start()
	s.converges("weir and NATS back")
}

// panics lifts everything on the edge by hand, while NATS is gone: with weir running, and
// with weir gone as well.
func (s *besieged) panics() {
	s.t.Helper()
	lifted := func(what, said, want string) {
		s.t.Helper()
		if !strings.Contains(said, want) {
			s.t.Errorf("%s: weir panic off says %q", what, said)
		}
		until(s.t, what+": nobody is refused", func() bool { return s.answers("198.51.100.1", http.StatusOK) })
	}
	s.stopNATS()
	lifted("NATS gone", mustWeir(s.t, "--config", s.config, "panic", "off", "--here"), "on this machine")
	if out, err := weir(s.t, "--config", s.config, "panic", "on", "--here"); err == nil || !strings.Contains(err.Error(), "as soon as NATS") {
		s.t.Errorf("NATS gone: weir panic on says %q, %v", out, err)
	}
	s.startNATS()
	s.converges("panic on")
	s.stopNATS()
	s.weir.kill()
	lifted("NATS and weir gone", mustWeir(s.t, "--config", s.config, "panic", "off"), "not running here")
	s.start()
	s.startNATS()
	until(s.t, "weir reads decisions", func() bool { return s.failures() == 0 })
	s.answersAll(s.t, "panic off")
	if got := s.status("198.51.100.1"); got != http.StatusOK {
		s.t.Errorf("panic off does not outlast a start of weir: %d", got)
	}
	mustWeir(s.t, "--config", s.config, "panic", "on")
	s.converges("panic on again")
}

// halve leaves half of each list and zeros, as a machine that lost its power may, and what an
// interrupted write does.
func (s *besieged) halve() {
	s.t.Helper()
	lists, err := filepath.Glob(filepath.Join(s.weirDir, "*-*"))
	if err != nil || len(lists) < 2 {
		s.t.Fatalf("the lists %q, %v", lists, err)
	}
	for _, name := range lists {
		info, err := os.Stat(name)
		if err == nil {
			err = errors.Join(os.Truncate(name, info.Size()/2), os.Truncate(name, info.Size()))
		}
		if err != nil {
			s.t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(s.weirDir, ".weir-current.conf-1"), []byte("map {"), 0o600); err != nil {
		s.t.Fatal(err)
	}
}

// killAtEveryStep kills weir after the first change in its directory that a start and a
// decision lead to, then after the second, and so on, until it gets through.
func (s *besieged) killAtEveryStep() {
	s.t.Helper()
	stride := 7
	if os.Getenv("WEIR_LONG") != "" {
		stride = 1
	}
	watcher, err := fsnotify.NewBufferedWatcher(1024)
	if err == nil {
		err = watcher.Add(s.weirDir)
	}
	if err != nil {
		s.t.Fatal(err)
	}
	defer watcher.Close()
	kills := 0
	for n := 1; ; n += stride {
		s.weir.kill()
		for drained := false; !drained; {
			select {
			case <-watcher.Events:
			default:
				drained = true
			}
		}
		client := s.block(time.Hour)
		s.start()
		seen, tick := 0, time.NewTicker(20*time.Millisecond)
		for through := false; seen < n && !through; {
			select {
			case <-watcher.Events:
				seen++
			case <-tick.C:
				through = s.status(client) == http.StatusForbidden && s.failures() >= 0
			}
		}
		tick.Stop()
		s.weir.kill()
		s.startable(fmt.Sprintf("killed after change %d of the directory", seen))
		s.answersAll(s.t, fmt.Sprintf("killed after change %d of the directory", seen))
		if seen < n {
			break
		}
		kills++
	}
	s.start()
	s.converges("killed at every step")
	s.t.Logf("killed at %d moments; a visitor asked %d times", kills, s.asked.Load())
	if kills < 3 {
		s.t.Errorf("only %d kills before everything was in force", kills)
	}
}
