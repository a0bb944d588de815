package statuspage

import (
	"context"
	"crypto/sha256"
	"fmt"
	"math/rand/v2"
	"sync"
	"time"
)

// Place is somewhere that does not go down with the sites.
type Place interface {
	// Name names the place to people and metrics, without any secret.
	Name() string
	// Put makes the place show the files, in their order, and returns once it does. news
	// says that there is something new to read, and not only newer figures. It may be
	// called again with the same files. It ends when ctx does. Errors hold no secret.
	Put(ctx context.Context, files []File, news bool) error
}

// Paces of pushing.
const (
	pushTimeout = 2 * time.Minute
	pauseFirst  = time.Second
	pauseLast   = 5 * time.Minute
	staleLeast  = 10 * time.Minute
)

// pusher keeps one place at the page. Only the newest page is ever waiting.
type pusher struct {
	place   Place
	o       *Options
	metrics *metrics
	wake    chan struct{}

	mu     sync.Mutex
	files  []File
	made   time.Time // when files were
	news   bool      // since the last success there was something new to read
	shown  time.Time // when what the place shows was made; at first when weir began
	stale  bool
	pushed [sha256.Size]byte
}

func newPusher(place Place, o *Options, m *metrics) *pusher {
	m.stale.WithLabelValues(place.Name()).Set(0)
	return &pusher{place: place, o: o, metrics: m, wake: make(chan struct{}, 1)}
}

// offer hands over the newest page.
func (p *pusher) offer(files []File, news bool) {
	p.mu.Lock()
	p.files, p.made, p.news = files, time.Now(), p.news || news
	p.mu.Unlock()
	select {
	case p.wake <- struct{}{}:
	default:
	}
}

// run pushes until ctx ends.
func (p *pusher) run(ctx context.Context) {
	p.shown = time.Now()
	check := time.NewTicker(watchEvery)
	defer check.Stop()
	var last, notBefore time.Time // the last success; after a failure
	pause := pauseFirst
	for {
		select {
		case <-ctx.Done():
			return
		case <-p.wake:
		case <-check.C:
		}
		now := time.Now()
		p.judge(now)
		if now.Before(notBefore) || !p.wants(now, last) {
			continue
		}
		err := p.push(ctx)
		switch {
		case ctx.Err() != nil:
			return
		case err == nil:
			last, pause, notBefore = now, pauseFirst, time.Time{}
		default:
			p.o.Logger.Error("the status page was not pushed; it is tried again", "place", p.place.Name(), "error", err, "pause", pause)
			notBefore = time.Now().Add(pause + rand.N(pause/4))
			pause = min(2*pause, pauseLast)
		}
		p.judge(time.Now())
	}
}

// wants reports whether it is time to push.
func (p *pusher) wants(now, last time.Time) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return len(p.files) > 0 && (p.news || now.Sub(last) >= p.o.PushEvery)
}

// push makes the place show the newest page.
func (p *pusher) push(ctx context.Context) error {
	p.mu.Lock()
	files, made, news := p.files, p.made, p.news
	p.news = false
	p.mu.Unlock()
	sum := sumOf(files)
	var err error
	if sum != p.pushed {
		within, cancel := context.WithTimeout(ctx, pushTimeout)
		err = p.place.Put(within, files, news)
		cancel()
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.news = p.news || news
		p.metrics.pushes.WithLabelValues(p.place.Name(), "failed").Inc()
		return err
	}
	p.pushed, p.shown = sum, made
	p.metrics.pushes.WithLabelValues(p.place.Name(), "done").Inc()
	p.metrics.shown.WithLabelValues(p.place.Name()).Set(float64(made.Unix()))
	return nil
}

func sumOf(files []File) (sum [sha256.Size]byte) {
	h := sha256.New()
	for _, f := range files {
		fmt.Fprintf(h, "%s %d\n", f.Name, len(f.Body))
		h.Write(f.Body)
	}
	h.Sum(sum[:0])
	return sum
}

// judge says when the place begins and ceases to show something old.
func (p *pusher) judge(now time.Time) {
	p.mu.Lock()
	age := now.Sub(p.shown)
	stale := age > max(3*p.o.PushEvery, staleLeast)
	changed := stale != p.stale
	p.stale = stale
	shown := p.shown
	p.mu.Unlock()
	if !changed {
		return
	}
	n := Notice{ID: fmt.Sprintf("status/place/%s/%d", p.place.Name(), shown.Unix()), Kind: PlaceRestored, Title: p.place.Name()}
	p.metrics.stale.WithLabelValues(p.place.Name()).Set(0)
	if stale {
		n.Kind, n.Text = PlaceStale, fmt.Sprintf("it shows the status page of %s ago", age.Round(time.Second))
		p.metrics.stale.WithLabelValues(p.place.Name()).Set(1)
	}
	p.o.Notify(n)
}
