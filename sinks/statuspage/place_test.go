package statuspage

import (
	"context"
	"errors"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
)

// somewhere is a place that can be away.
type somewhere struct {
	mu   sync.Mutex
	away bool
	sight
}

type sight struct {
	puts  int
	tries int
	shown string // index.html
	news  int
}

func (s *somewhere) Name() string { return "somewhere" }

func (s *somewhere) Put(_ context.Context, files []File, news bool) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.tries++
	if s.away {
		return errors.New("no route to host")
	}
	s.puts++
	if news {
		s.news++
	}
	s.shown = string(files[len(files)-1].Body)
	return nil
}

// seen is what has come to the place until now.
func (s *somewhere) seen() sight {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.sight
}

func (s *somewhere) set(away bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.away = away
}

// A place that is away is tried again and again, more and more seldom; it is said when
// what it shows is old, and when it is not any more.
func TestPlaceAway(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place, registry := new(somewhere), prometheus.NewRegistry()
		d := newDesk(t, Options{Places: []Place{place}, Registerer: registry, PushEvery: 5 * time.Minute})
		defer func() { d.stop() }()
		d.pass(31 * time.Minute)
		if place.seen().puts < 6 || place.seen().puts > 10 {
			t.Errorf("%d pushes in half an hour, want about one in five minutes", place.seen().puts)
		}
		place.set(true)
		tried := place.seen().tries
		post := d.act(Action{Do: "publish", Components: []string{"Website"}, Title: "Hello"})
		d.pass(time.Minute)
		if place.seen().tries < tried+4 {
			t.Errorf("new words were tried %d times in a minute", place.seen().tries-tried)
		}
		stale := d.page.metrics.stale.WithLabelValues("somewhere")
		if testutil.ToFloat64(stale) != 0 {
			t.Error("stale after a minute")
		}
		d.pass(time.Hour)
		if testutil.ToFloat64(stale) != 1 || d.said(PlaceStale) != 1 {
			t.Errorf("stale is %v, said %d times", testutil.ToFloat64(stale), d.said(PlaceStale))
		}
		if n := place.seen().tries - tried; n > 30 {
			t.Errorf("%d tries in an hour", n)
		}
		place.set(false)
		d.pass(8 * time.Minute)
		if testutil.ToFloat64(stale) != 0 || d.said(PlaceRestored) != 1 || place.seen().news == 0 {
			t.Errorf("stale is %v, restored was said %d times", testutil.ToFloat64(stale), d.said(PlaceRestored))
		}
		if !contains(place.seen().shown, "Hello") || !contains(place.seen().shown, post.ID) {
			t.Error("the place does not show what was published meanwhile")
		}
		if got := testutil.ToFloat64(d.page.metrics.pushes.WithLabelValues("somewhere", "failed")); got == 0 {
			t.Error("no failure was counted")
		}
	})
}

// What is new to read is pushed within seconds.
func TestNewsAtOnce(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		place := new(somewhere)
		d := newDesk(t, Options{Places: []Place{place}, PushEvery: time.Hour})
		defer func() { d.stop() }()
		d.pass(10 * time.Minute)
		d.act(Action{Do: "publish", Components: []string{"Website"}, Title: "At once"})
		time.Sleep(2 * time.Second)
		synctest.Wait()
		if !contains(place.seen().shown, "At once") {
			t.Error("not there after two seconds")
		}
		d.unserved = 0.6 // another state is news, too
		d.pass(7 * time.Minute)
		if !contains(place.seen().shown, "Not reachable") {
			t.Error("the place does not show the new state")
		}
	})
}
