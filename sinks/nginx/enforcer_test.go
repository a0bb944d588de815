package nginx

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

func event(kind schemas.EventType, m Measure) schemas.Event {
	return schemas.Event{Type: kind, Sites: m.Sites, Decision: &schemas.Decision{
		ID: m.ID, Action: m.Action, Scope: m.Scope, Value: m.Value, Expires: m.Expires}}
}

func added(m Measure) schemas.Event { return event(schemas.DecisionAdded, m) }

// blocked is a block of one client for an hour from now.
func blocked(n int) Measure {
	return Measure{ID: fmt.Sprintf("i1-%d", n), Action: schemas.Block, Scope: schemas.ScopeClient,
		Value: netip.AddrFrom4([4]byte{10, byte(n >> 16), byte(n >> 8), byte(n)}).String(), Expires: time.Now().Add(time.Hour)}
}

func newEnforcer(t testing.TB, o Options) *Enforcer {
	t.Helper()
	e, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return e
}

func (s *server) options() Options {
	return Options{Dir: s.dir(), Test: s.command("-t"), Reload: s.command("-s", "reload"), MinReloadInterval: 10 * time.Millisecond}
}

// counted are the values of all gauges and counters.
func counted(t testing.TB, registry *prometheus.Registry) map[string]float64 {
	t.Helper()
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	for _, family := range families {
		m := family.GetMetric()[0]
		values[family.GetName()] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
	}
	return values
}

// running runs an enforcer until the test ends.
func running(t testing.TB, e *Enforcer) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run: %v", err)
		}
	})
}

func within(t testing.TB) context.Context {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	t.Cleanup(cancel)
	return ctx
}

func answers(status int) func(int, string) bool {
	return func(got int, _ string) bool { return got == status }
}

func TestDecisionsReachNginxAndLeaveIt(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	registry := prometheus.NewPedanticRegistry()
	o := s.options()
	o.Registerer = registry
	e := newEnforcer(t, o)
	running(t, e)
	ctx := within(t)
	request := get("h.example", "/", "10.0.0.1")
	for _, step := range []struct {
		do     func()
		loaded int
		want   int
	}{
		{func() { e.Replace() }, 0, 200},
		{func() { e.Apply(added(blocked(1))) }, 1, 403},
		{func() { e.Apply(event(schemas.DecisionRemoved, blocked(1))) }, 0, 200},
		{func() { e.Replace(added(blocked(1)), added(blocked(2))) }, 2, 403},
		{func() { e.Replace(added(blocked(2))) }, 1, 200},
	} {
		step.do()
		// An old worker may still answer as nginx did before: an answer alone
		// does not say that this step was loaded.
		if err := eventually(ctx, func() bool { return e.Status().Loaded == step.loaded }); err != nil {
			t.Fatalf("%v: %+v, want %d loaded", err, e.Status(), step.loaded)
		}
		if err := s.until(ctx, request, answers(step.want)); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.until(ctx, get("h.example", "/", "10.0.0.2"), answers(403)); err != nil {
		t.Fatal(err)
	}
	values := map[string]float64{}
	if err := eventually(ctx, func() bool {
		values = counted(t, registry)
		return values["weir_nginx_decisions_loaded"] == 1
	}); err != nil {
		t.Fatalf("%v: %v", err, values)
	}
	if values["weir_nginx_reloads_total"] < 4 || values["weir_nginx_lease_until_seconds"] == 0 || values["weir_nginx_decisions_intended"] != 1 {
		t.Errorf("metrics: %v", values)
	}
}

func TestNginxLetsGoWhenTheLeaseEnds(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	set := Set{Measures: []Measure{measure("i1-1", schemas.Block, schemas.ScopeClient, "10.0.0.1")}}
	now := time.Now()
	ctx := within(t)
	for _, x := range []struct {
		from, until time.Duration
		action      string
	}{
		{-time.Minute, time.Minute, "block"},
		{-2 * time.Hour, -time.Hour, "allow"}, // weir has been dead for an hour
		{time.Hour, 2 * time.Hour, "allow"},   // the clock was set back by more than the lease
		{-time.Hour, 24 * time.Hour, "block"},
	} {
		files := s.applyAt(set, Lease{From: now.Add(x.from), Until: now.Add(x.until)}, now)
		command := s.command("-s", "reload")
		e := newEnforcer(t, s.options())
		if err := e.command(ctx, "reload", command); err != nil {
			t.Fatal(err)
		}
		want := answers(403)
		if x.action == "allow" {
			want = func(status int, body string) bool { return status == 200 && strings.HasSuffix(body, files.Version) }
		}
		if err := s.until(ctx, get("h.example", "/", "10.0.0.1"), want); err != nil {
			t.Errorf("lease from %s until %s: want %s: %v", x.from, x.until, x.action, err)
		}
	}
}

// TestDeadWeirLetsGo has a lease of a few seconds and nobody who renews it: the
// one test that waits for a clock, nginx's.
func TestDeadWeirLetsGo(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	now := time.Now()
	s.applyAt(Set{Measures: []Measure{measure("i1-1", schemas.Block, schemas.ScopeClient, "10.0.0.1")}},
		Lease{From: now.Add(-time.Minute), Until: now.Add(time.Second)}, now)
	s.start()
	if err := s.until(within(t), get("h.example", "/", "10.0.0.1"), answers(200)); err != nil {
		t.Fatal(err)
	}
}

// A configuration that nginx -t takes, and nginx cannot reload, is not in force, and said not to
// be; when it can, it is.
func TestReloadThatNginxDoesNotDo(t *testing.T) {
	t.Parallel()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newServer(t, includeHTTP, site)
	s.start()
	main := filepath.Join(s.root, "nginx.conf")
	good, err := os.ReadFile(main)
	if err != nil {
		t.Fatal(err)
	}
	o := s.options()
	o.CommandTimeout = 2 * time.Second
	o.Workers = s.workers
	e := newEnforcer(t, o)
	taken := strings.Replace(string(good), "server {", "server { listen "+l.Addr().String()+";", 1)
	if err := os.WriteFile(main, []byte(taken), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := s.check(); err != nil {
		t.Fatalf("nginx -t says it before: %v", err)
	}
	e.Apply(added(blocked(1)))
	e.attempt(within(t))
	if status := e.Status(); status.Err == nil || !strings.Contains(status.Err.Error(), "still runs what it had") || status.Loaded != 0 {
		t.Errorf("%+v", status)
	}
	if status, _ := s.dial().say(get("h.example", "/", "10.0.0.1")); status != 200 {
		t.Errorf("%d: nginx has reloaded", status)
	}
	if err := os.WriteFile(main, good, 0o644); err != nil {
		t.Fatal(err)
	}
	e.options.CommandTimeout = 20 * time.Second
	e.attempt(within(t))
	if status := e.Status(); status.Err != nil || status.Loaded != 1 {
		t.Errorf("%+v", status)
	}
	if status, _ := s.dial().say(get("h.example", "/", "10.0.0.1")); status != 403 {
		t.Errorf("%d: it is said to be in force", status)
	}
}

// workers are those of this nginx alone: other tests have theirs.
func (s *server) workers() map[string]string {
	mine, all := map[string]string{}, Workers()
	for _, process := range s.children() {
		if parent, ok := all[process]; ok {
			mine[process] = parent
		}
	}
	return mine
}

// Once it is said that decisions are in force, or lifted, no worker answers otherwise any more.
func TestLoadedIsInForceForEveryNewConnection(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	o := s.options()
	o.Workers = s.workers
	e := newEnforcer(t, o)
	for n := range 10 {
		want := 200
		if n%2 == 0 {
			want = 403
			e.Replace(added(blocked(1)))
		} else {
			e.Replace()
		}
		e.attempt(within(t))
		if err := e.Status().Err; err != nil {
			t.Fatal(err)
		}
		for range 100 {
			w := s.dial()
			status, _ := w.say(get("h.example", "/", "10.0.0.1"))
			w.connection.Close()
			if status != want {
				t.Fatalf("change %d: %d after it was said, want %d", n, status, want)
			}
		}
	}
}

// Of two on a machine, one that was not told to reload holds nothing up.
func TestChanged(t *testing.T) {
	before := map[string]string{"1": "a", "2": "a", "7": "b"}
	for _, x := range []struct {
		now         map[string]string
		taken, left bool
	}{
		{before, false, false},
		{map[string]string{"1": "a", "2": "a", "3": "a", "7": "b"}, true, false},
		{map[string]string{"2": "a", "3": "a", "4": "a", "7": "b"}, true, false},
		{map[string]string{"3": "a", "4": "a", "7": "b"}, true, true},
		{map[string]string{"7": "b"}, false, false},
	} {
		if taken, left := changed(before, x.now); taken != x.taken || left != x.left {
			t.Errorf("%v: %t, %t", x.now, taken, left)
		}
	}
}

// weir's clock is set an hour on and back, an hour back and on again, while nginx's stays: nginx
// lets go, because no lease is for its hour, answers everybody, and is at its decisions again
// when the clock is.
func TestClockAnHourOff(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	var off atomic.Int64
	e := newEnforcer(t, s.options())
	e.wall = func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
	running(t, e)
	stop := s.visited()
	e.Apply(added(measure("i1-1", schemas.Block, schemas.ScopeClient, "10.0.0.1")))
	for _, step := range []struct {
		off  time.Duration
		want int
	}{{0, 403}, {time.Hour, 200}, {0, 403}, {-time.Hour, 200}, {0, 403}} {
		off.Store(int64(step.off))
		if err := eventually(within(t), func() bool { // until then the workers before may answer
			left := e.Status().LeaseUntil.Sub(time.Now().Add(step.off))
			return left > 0 && left < 15*time.Minute
		}); err != nil {
			t.Fatalf("weir's clock %s off: %v, the lease ends at %s", step.off, err, e.Status().LeaseUntil)
		}
		if err := s.until(within(t), get("h.example", "/", "10.0.0.1"), answers(step.want)); err != nil {
			t.Errorf("weir's clock %s off: %v", step.off, err)
		}
	}
	if asked, failed := stop(); failed > 0 || asked < 10 {
		t.Errorf("%d of %d of a visitor's requests failed", failed, asked)
	}
}

// visited has a visitor ask on new connections all the time, until stop.
func (s *server) visited() (stop func() (asked, failed int64)) {
	ctx, cancel := context.WithCancel(context.Background())
	s.t.Cleanup(cancel)
	var all, bad atomic.Int64
	done := make(chan struct{})
	go func() {
		defer close(done)
		for ctx.Err() == nil {
			w := s.dial()
			if status, _ := w.say(get("h.example", "/", "192.0.2.9")); status != 200 {
				bad.Add(1)
			}
			w.connection.Close()
			all.Add(1)
		}
	}()
	return func() (int64, int64) { cancel(); <-done; return all.Load(), bad.Load() }
}

func TestNoRequestFailsInReloads(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	e := newEnforcer(t, s.options())
	running(t, e)
	ctx := within(t)
	stop := s.visited()
	for n := 1; n <= 10; n++ {
		e.Apply(added(blocked(n)))
		if err := s.until(ctx, get("h.example", "/", blocked(n).Value), answers(403)); err != nil {
			t.Error(err)
			break
		}
	}
	if asked, failed := stop(); failed > 0 || asked < 10 {
		t.Errorf("%d of %d requests failed during reloads", failed, asked)
	}
}

func TestBrokenConfigurationOfTheSiteIsLeftAlone(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	e := newEnforcer(t, s.options())
	main := filepath.Join(s.root, "nginx.conf")
	good, _ := os.ReadFile(main)
	if err := os.WriteFile(main, append(good, "\nnonsense;\n"...), 0o644); err != nil {
		t.Fatal(err)
	}
	e.Apply(added(blocked(1)))
	e.attempt(within(t))
	err := e.Status().Err
	if err == nil || !strings.Contains(err.Error(), "nonsense") || !strings.Contains(err.Error(), "before weir's change") {
		t.Errorf("status says %v", err)
	}
	if current, _ := os.ReadFile(filepath.Join(s.dir(), CurrentName)); string(current) != nothing {
		t.Errorf("current.conf was not taken back: %q", current)
	}
	if err := os.WriteFile(main, good, 0o644); err != nil {
		t.Fatal(err)
	}
	e.attempt(within(t))
	if err := e.Status().Err; err != nil {
		t.Error(err)
	}
	s.refuses(t, "10.0.0.1")
}

// TestRefusedSignaturesDoNotKeepAddressesOut: nginx is made to refuse any
// configuration with a signature in it.
func TestRefusedSignaturesDoNotKeepAddressesOut(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	o := s.options()
	o.Test = []string{"sh", "-c", `cd "$0"; f=$(grep -o 'decisions-[0-9a-f]*.conf' current.conf) || exit 0
		! grep -q is_user_agent $f || { echo "nginx: [emerg] no such luck" >&2; exit 1; }`, s.dir()}
	e := newEnforcer(t, o)
	e.Apply(added(blocked(1)), added(measure("i1-9", schemas.Block, schemas.ScopeSignature, `user_agent="Bad"`)))
	e.attempt(within(t))
	status := e.Status()
	if status.Err == nil || !strings.Contains(status.Err.Error(), "no such luck") || status.Loaded != 1 || status.Intended != 2 {
		t.Errorf("%+v", status)
	}
	s.refuses(t, "10.0.0.1")
}

func TestFailuresAreClearAndChangeNothing(t *testing.T) {
	ok := []string{"true"}
	tests := []struct {
		name, want string
		options    func(dir string) Options
	}{
		{"no nginx", "there is no such program: install nginx", func(dir string) Options {
			return Options{Dir: dir, Test: []string{"/nonexistent/nginx", "-t"}, Reload: ok}
		}},
		{"no reload", `nginx reload: "sh -c echo it is not running >&2; exit 1": it is not running`, func(dir string) Options {
			return Options{Dir: dir, Test: ok, Reload: []string{"sh", "-c", "echo it is not running >&2; exit 1"}}
		}},
		{"no answer", "no answer within 50ms", func(dir string) Options {
			return Options{Dir: dir, Test: []string{"sleep", "60"}, Reload: ok, CommandTimeout: 50 * time.Millisecond}
		}},
		{"no directory", "write", func(dir string) Options {
			if err := os.WriteFile(dir+"/file", nil, 0o600); err != nil {
				t.Fatal(err)
			}
			return Options{Dir: dir + "/file", Test: ok, Reload: ok}
		}},
	}
	for _, x := range tests {
		t.Run(x.name, func(t *testing.T) {
			e := newEnforcer(t, x.options(dirOf(t)))
			e.recover(t.Context())
			e.Apply(added(blocked(1)))
			e.attempt(t.Context())
			status := e.Status()
			if status.Err == nil || !strings.Contains(status.Err.Error(), x.want) || strings.Contains(status.Err.Error(), "\n") {
				t.Errorf("status says %v, want %q", status.Err, x.want)
			}
			if status.Loaded != 0 || status.Intended != 1 || e.retry != firstRetry {
				t.Errorf("%+v, retry %s", status, e.retry)
			}
		})
	}
}

func TestFullDiskLeavesWhatIsInForce(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	e := newEnforcer(t, s.options())
	e.Apply(added(blocked(1)))
	e.attempt(within(t))
	before, _ := os.ReadFile(filepath.Join(s.dir(), CurrentName))
	e.dir.step = func(name string) error {
		if strings.HasPrefix(name, "fill") {
			return syscall.ENOSPC
		}
		return nil
	}
	e.Apply(added(blocked(2)))
	e.attempt(within(t))
	if err := e.Status().Err; !errors.Is(err, syscall.ENOSPC) {
		t.Errorf("status says %v", err)
	}
	after, _ := os.ReadFile(filepath.Join(s.dir(), CurrentName))
	if string(before) != string(after) {
		t.Error("current.conf has changed")
	}
	if left, _ := filepath.Glob(filepath.Join(s.dir(), temporary+"*")); len(left) > 0 {
		t.Errorf("left over: %v", left)
	}
	if err := s.check(); err != nil {
		t.Error(err)
	}
}

// crash is kill -9 at a step: nothing after it happens.
type crash struct{}

func TestKilledBetweenAnyTwoSteps(t *testing.T) {
	steps := killableSteps(t)
	if len(steps) < 10 {
		t.Fatalf("only the steps %q", steps)
	}
	for n, step := range steps {
		t.Run(fmt.Sprintf("%d %s", n, step), func(t *testing.T) {
			t.Parallel()
			s := newServer(t, includeHTTP, site)
			e := newEnforcer(t, s.options())
			e.options.Reload = []string{"true"}
			e.Apply(added(blocked(1)))
			e.attempt(within(t))
			count := 0
			e.dir.step = func(string) error {
				if count++; count > n {
					panic(crash{})
				}
				return nil
			}
			func() {
				defer func() {
					if _, ok := recover().(crash); !ok {
						t.Fatal("no crash")
					}
				}()
				e.Apply(added(blocked(2)))
				e.attempt(within(t))
			}()
			if err := s.check(); err != nil {
				t.Errorf("nginx would not start: %v", err)
			}
			s.start() // a machine that comes up again
			next := newEnforcer(t, s.options())
			next.recover(within(t))
			next.Replace(added(blocked(1)), added(blocked(2)))
			next.attempt(within(t))
			if err := next.Status().Err; err != nil {
				t.Fatal(err)
			}
			if err := s.until(within(t), get("h.example", "/", "10.0.0.2"), answers(403)); err != nil {
				t.Error(err)
			}
			next.Replace(added(blocked(3)))
			next.attempt(within(t))
			next.Replace(added(blocked(4)))
			next.attempt(within(t))
			entries, _ := os.ReadDir(s.dir())
			if len(entries) > 4+2*3 { // two snippets, current.conf, spare.conf, two versions of three files
				t.Errorf("old files stay: %v", entries)
			}
		})
	}
}

// killableSteps are the steps of one change, in order.
func killableSteps(t *testing.T) []string {
	s := newServer(t, includeHTTP, site)
	e := newEnforcer(t, s.options())
	e.options.Reload = []string{"true"}
	e.Apply(added(blocked(1)))
	e.attempt(within(t))
	var steps []string
	e.dir.step = func(name string) error { steps = append(steps, name); return nil }
	e.Apply(added(blocked(2)))
	e.attempt(within(t))
	return steps
}

func TestInterruptedSwitchIsTakenBack(t *testing.T) {
	dir := dirOf(t)
	d := directory{path: dir}
	for name, content := range map[string]string{CurrentName: "broken", previousName: "good"} {
		if err := d.write(name, []byte(content)); err != nil {
			t.Fatal(err)
		}
	}
	e := newEnforcer(t, Options{Dir: dir, Test: []string{"grep", "-q", "good", dir + "/" + CurrentName}})
	e.recover(t.Context())
	if content, _ := os.ReadFile(dir + "/" + CurrentName); string(content) != "good" {
		t.Errorf("current.conf is %q", content)
	}
}

// Whom a person allows passes although a decision names the address, its network or its
// traits, and no longer once that ends.
func TestSparedAddressesPass(t *testing.T) {
	t.Parallel()
	s := newServer(t, includeHTTP, site)
	s.start()
	e := newEnforcer(t, s.options())
	running(t, e)
	ctx := within(t)
	e.Replace(added(blocked(1)), added(measure("n-1", schemas.Block, schemas.ScopePrefix, "10.0.0.0/24")), added(measure("s-1", schemas.Block, schemas.ScopeSignature, `user_agent="Bad"`)))
	for _, step := range []struct {
		spare []netip.Prefix
		want  int
	}{
		{nil, 403}, {[]netip.Prefix{netip.MustParsePrefix("10.0.0.1/32")}, 200}, {[]netip.Prefix{netip.MustParsePrefix("10.0.0.64/26")}, 403}, {nil, 403},
	} {
		e.Spare(step.spare)
		if err := s.until(ctx, get("h.example", "/", "10.0.0.1", "User-Agent: Bad"), answers(step.want)); err != nil {
			t.Fatalf("%v: %v", step.spare, err)
		}
		if err := s.until(ctx, get("h.example", "/", "10.0.0.2"), answers(403)); err != nil {
			t.Fatalf("the neighbour: %v", err)
		}
	}
}
