package nginx

import (
	"os"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// bubble runs an enforcer in fake time, with commands that are real but do
// nothing but count the reloads.
func bubble(t *testing.T, o Options, check func(e *Enforcer, reloads func() int)) {
	dir := dirOf(t)
	o.Dir, o.Test, o.Reload = dir, []string{"true"}, []string{"sh", "-c", "echo >> " + dir + "/reloads"}
	synctest.Test(t, func(t *testing.T) {
		time.Sleep(3 * 365 * 24 * time.Hour) // fake time begins in 2000, unix seconds of ten digits in 2001
		e := newEnforcer(t, o)
		running(t, e)
		synctest.Wait()
		check(e, func() int {
			content, _ := os.ReadFile(dir + "/reloads")
			return len(content)
		})
	})
}

func TestReloadsAreCoalesced(t *testing.T) {
	bubble(t, Options{MinReloadInterval: 2 * time.Second}, func(e *Enforcer, reloads func() int) {
		e.Apply(added(blocked(0)))
		time.Sleep(time.Millisecond)
		if n := reloads(); n != 1 {
			t.Errorf("%d reloads after the first measure, want 1 at once", n)
		}
		for n := range 100 { // ten seconds of ten a second
			e.Apply(added(blocked(n + 1)))
			time.Sleep(100 * time.Millisecond)
		}
		time.Sleep(2 * time.Second)
		if n := reloads(); n < 5 || n > 7 {
			t.Errorf("%d reloads, want one in two seconds", n)
		}
		if s := e.Status(); s.Loaded != 101 || s.Err != nil {
			t.Errorf("%+v", s)
		}
	})
}

// While old workers still serve long downloads, reloads are fewer; the first measure of an
// incident is loaded at once all the same, and the pace is back when they have ended.
func TestOldWorkersStretchThePace(t *testing.T) {
	var old atomic.Int64
	bubble(t, Options{MinReloadInterval: 2 * time.Second, OldWorkers: func() int { return int(old.Load()) }}, func(e *Enforcer, reloads func() int) {
		old.Store(100)
		count := func(from int) int {
			before := reloads()
			for n := range 60 {
				e.Apply(added(blocked(from + n)))
				time.Sleep(time.Second)
			}
			return reloads() - before
		}
		e.Apply(added(blocked(0)))
		time.Sleep(time.Millisecond)
		if n := reloads(); n != 1 {
			t.Errorf("%d reloads after the first measure, want 1 at once", n)
		}
		if n := count(1); n < 1 || n > 3 {
			t.Errorf("%d reloads in a minute with many old workers, want two", n)
		}
		old.Store(3)
		if n := count(100); n < 25 || n > 31 {
			t.Errorf("%d reloads in a minute with a few, want thirty", n)
		}
	})
}

func TestLeaseIsRenewedAndExpiredDecisionsLeave(t *testing.T) {
	bubble(t, Options{Lease: 10 * time.Minute}, func(e *Enforcer, reloads func() int) {
		long := blocked(1)
		long.Expires = time.Now().Add(58 * time.Minute)
		e.Apply(added(long))
		short := blocked(2)
		short.Expires = time.Now().Add(time.Minute)
		e.Apply(added(short))
		time.Sleep(3 * time.Second)
		if s := e.Status(); s.Loaded != 2 {
			t.Errorf("%+v", s)
		}
		time.Sleep(2 * time.Minute)
		if s := e.Status(); s.Loaded != 1 || s.Intended != 1 {
			t.Errorf("after the expiry of one: %+v", s)
		}
		for range 50 {
			time.Sleep(time.Minute)
			until := e.Status().LeaseUntil
			if least := time.Now().Add(4 * time.Minute); until.Before(least) && until.Before(long.Expires) {
				t.Errorf("at %s the lease ends at %s", time.Now(), until)
			}
			if until.After(long.Expires) {
				t.Errorf("the lease ends at %s, after the last decision", until)
			}
		}
		if n := reloads(); n > 20 {
			t.Errorf("%d reloads within an hour", n)
		}
		before := reloads()
		time.Sleep(48 * time.Hour)
		if s := e.Status(); s.Loaded != 0 || s.Version != noVersion || !s.LeaseUntil.IsZero() {
			t.Errorf("at the end: %+v", s)
		}
		if n := reloads(); n > before+4 {
			t.Errorf("%d reloads although nothing is in force", n-before)
		}
	})
}

// A clock that is set, by an hour or by less than the lease, leaves nothing let go.
func TestClockIsSet(t *testing.T) {
	bubble(t, Options{Lease: 10 * time.Minute}, func(e *Enforcer, reloads func() int) {
		var off atomic.Int64
		e.wall = func() time.Time { return time.Now().Round(0).Add(time.Duration(off.Load())) }
		long := blocked(1)
		long.Expires = time.Now().Add(24 * time.Hour)
		e.Apply(added(long))
		time.Sleep(time.Second)
		for _, to := range []time.Duration{time.Hour, 0, -time.Hour, -time.Hour + 7*time.Minute, 0} {
			off.Store(int64(to))
			before := reloads()
			time.Sleep(clockPace + time.Second)
			e.mutex.Lock()
			until, wall := e.status.LeaseUntil, e.wall()
			e.mutex.Unlock()
			if until.Before(wall.Add(time.Minute)) || until.After(wall.Add(20*time.Minute)) {
				t.Errorf("the clock was set to %s, the lease ends at %s", wall, until)
			}
			time.Sleep(time.Minute)
			if n := reloads() - before; n > 2 {
				t.Errorf("%d reloads in a minute", n)
			}
		}
	})
}

func TestRenewalAloneReloadsNothing(t *testing.T) {
	bubble(t, Options{}, func(e *Enforcer, reloads func() int) {
		e.Apply(added(blocked(1)))
		time.Sleep(time.Second)
		for range 60 {
			e.Apply(event(schemas.DecisionRenewed, blocked(1)))
			e.Replace(added(blocked(1)))
			time.Sleep(time.Second)
		}
		if n := reloads(); n != 1 {
			t.Errorf("%d reloads, want 1", n)
		}
	})
}

func TestDecisionsAreBounded(t *testing.T) {
	registry := prometheus.NewRegistry()
	e := newEnforcer(t, Options{Dir: "/nonexistent", MaxDecisions: 10, Registerer: registry})
	for n := range 20 {
		e.Apply(added(blocked(n)))
	}
	if s := e.Status(); s.Intended != 10 || counted(t, registry)["weir_nginx_decisions_overflow_total"] != 10 {
		t.Errorf("%+v", s)
	}
}

func TestOptionsAreChecked(t *testing.T) {
	for _, o := range []Options{{}, {Dir: "weir"}, {Dir: "/etc/a b"}, {Dir: "/etc/*"}, {Dir: "/etc/x;"}, {Dir: "/x", Lease: time.Second}} {
		if _, err := New(o); err == nil {
			t.Errorf("%+v is taken", o)
		}
	}
}
