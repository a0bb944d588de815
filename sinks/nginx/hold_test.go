package nginx

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// What nginx holds goes on while what is intended cannot be written, or is refused: its lease is
// renewed, unless somebody would stay refused by what is over.
func TestWhatIsInForceGoesOn(t *testing.T) {
	full := func(s *server, e *Enforcer) {
		e.dir.step = func(name string) error {
			if strings.HasPrefix(name, "fill") {
				return syscall.ENOSPC
			}
			return nil
		}
	}
	refused := func(s *server, e *Enforcer) {
		e.dir.step = func(name string) error {
			if name == "test" {
				current, _ := os.ReadFile(filepath.Join(s.dir(), CurrentName))
				if !strings.Contains(string(current), e.loaded.main) {
					return errors.New("no such luck")
				}
			}
			return nil
		}
	}
	soon := blocked(1)
	soon.Expires = time.Now().Add(12 * time.Minute)
	for _, x := range []struct {
		name  string
		first Measure
		trick func(*server, *Enforcer)
		then  func(*Enforcer)
		want  time.Duration // the lease's end, from the beginning
	}{
		{"disk full", blocked(1), full, func(e *Enforcer) { e.Apply(added(blocked(2))) }, 16 * time.Minute},
		{"refused", blocked(1), refused, func(e *Enforcer) { e.Apply(added(blocked(2))) }, 16 * time.Minute},
		{"until the first ends", soon, full, func(e *Enforcer) { e.Apply(added(blocked(2))) }, 12 * time.Minute},
		{"one was lifted", blocked(1), full, func(e *Enforcer) {
			e.Apply(added(blocked(2)), added(blocked(3)), event(schemas.DecisionRemoved, blocked(1)))
		}, 10 * time.Minute},
	} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, includeHTTP, site)
			s.start()
			e := newEnforcer(t, s.options())
			started := time.Now().Round(0)
			var later time.Duration
			e.wall = func() time.Time { return started.Add(later) }
			e.Apply(added(x.first))
			e.attempt(within(t))
			if err := e.Status().Err; err != nil {
				t.Fatal(err)
			}
			x.trick(s, e)
			later = 6 * time.Minute
			x.then(e)
			e.attempt(within(t))
			status := e.Status()
			if status.Err == nil || status.Loaded != 1 {
				t.Errorf("%+v: nothing was broken", status)
			}
			if got := status.LeaseUntil.Sub(started); (got - x.want).Abs() > 30*time.Second {
				t.Errorf("the lease ends after %s, want %s", got, x.want)
			}
			if got := e.loaded.lease.Until; !got.Equal(status.LeaseUntil) {
				t.Errorf("loaded says %s, status %s", got, status.LeaseUntil)
			}
			current, _ := os.ReadFile(filepath.Join(s.dir(), CurrentName))
			if !strings.Contains(string(current), "until "+status.LeaseUntil.UTC().Format(time.RFC3339)+" ") {
				t.Errorf("current.conf says %q", current)
			}
			if err := s.check(); err != nil {
				t.Error(err)
			}
			s.refuses(t, "10.0.0.1")

			// Everything can be lifted as well, on a disk as full as that, and comes back after.
			e.Replace()
			e.attempt(within(t))
			if status := e.Status(); status.Err != nil && x.name != "refused" {
				t.Errorf("lifting everything: %v", status.Err)
			}
			e.dir.step = nil
			later = 0
			e.Replace(added(blocked(2)))
			e.attempt(within(t))
			if status := e.Status(); status.Err != nil || status.Loaded != 1 {
				t.Errorf("mended: %+v", status)
			}
			s.refuses(t, "10.0.0.2")
		})
	}
}
