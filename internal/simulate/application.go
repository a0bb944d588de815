package simulate

import (
	"math/rand/v2"
	"strings"
	"time"
)

// application is a site's, behind nginx: so many workers, so long a queue, and
// nginx's patience. It works its queue off in order, also what nobody waits for
// any more, as an application does that learns of a hang-up only when it writes.
type application struct {
	site    *Site
	r       *rand.Rand
	workers queue[struct{}] // by when each is free
	waiting []time.Duration // when each queued request will be begun, ascending
}

// crowding is how much longer a request takes where others wait: they share the
// database.
const crowding = 1.4

func newApplication(site *Site, seed uint64) *application {
	app := &application{site: site, r: stream(seed, label("application"), label(site.Name))}
	for range site.Workers {
		app.workers.push(-1<<62, struct{}{})
	}
	return app
}

// outcome is what nginx logs of a request.
type outcome struct {
	status   int
	bytes    int
	duration time.Duration
	upstream time.Duration // -1: nginx served it itself
}

// answer works on a request that arrives at a time; times must not decrease.
func (app *application) answer(at time.Duration, q *Request) outcome {
	x := q.resource
	if x.Service == 0 {
		o := app.body(q, time.Duration(app.r.Int64N(int64(2*ms))))
		o.upstream = -1
		return o
	}
	for len(app.waiting) > 0 && app.waiting[0] <= at {
		app.waiting = app.waiting[1:]
	}
	if len(app.waiting) >= app.site.Queue {
		wait := time.Duration(app.r.Int64N(int64(3 * ms)))
		return outcome{status: 502, bytes: 150, duration: wait, upstream: wait}
	}
	service := logNormal(app.r, float64(x.Service), .3)
	if len(app.waiting) > 0 {
		service *= crowding
	}
	free, _ := app.workers.pop()
	begun := max(at, time.Duration(free))
	done := begun + time.Duration(service)
	app.workers.push(int64(done), struct{}{})
	if begun > at {
		app.waiting = append(app.waiting, begun)
	}
	took := done - at
	if q.Patience < took && q.Patience < app.site.Timeout {
		return outcome{status: 499, duration: q.Patience, upstream: q.Patience}
	}
	if took > app.site.Timeout {
		return outcome{status: 504, bytes: 160, duration: app.site.Timeout, upstream: app.site.Timeout}
	}
	return app.body(q, took)
}

// body is the answer itself: its bytes by resource and encoding, and the time
// that sending takes beyond what the kernel's buffer holds.
func (app *application) body(q *Request, took time.Duration) outcome {
	x := q.resource
	o := outcome{status: x.Status, duration: took, upstream: took}
	if q.Conditional && x.Kept {
		o.status = 304
	}
	speed := logNormal(app.r, 2.5e6, 1) // bytes/s, of whoever asks
	if o.status == 304 || q.Method == "HEAD" || x.Size == 0 {
		return o
	}
	size := float64(x.Size)
	if x.Text {
		switch {
		case strings.Contains(q.AcceptEncoding, "br"):
			size *= .87
		case !strings.Contains(q.AcceptEncoding, "gzip"):
			size *= 3.6
		}
	}
	if x.Service > 0 { // a page is never quite the same twice
		size *= 1 + .01*app.r.NormFloat64()
	}
	o.bytes = int(size)
	if over := size - 64e3; over > 0 {
		o.duration += time.Duration(over / speed * 1e9)
	}
	return o
}
