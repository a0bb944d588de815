package silent

import (
	"math"

	"github.com/weir-project/weir/processor/baseline"
	"github.com/weir-project/weir/schemas"
)

// The signals of a window of vitals.
const (
	Reading  = iota // connections of which a request has not come whole
	Accepted        // connections a second
	Refused         // connections a second: queues were full, or nginx's own places
	Cookies         // a second, for connections that are half open
	Queued          // connections that wait to be accepted, of the fullest socket
	Tracked         // by the firewall
	Packets         // received, a second
	Begun           // requests a second
	numSignals
)

type signal struct {
	name  string
	least float64 // above normal, below which nobody minds
	// A running count is known by its increase.
	running bool
	// symptom is set where more of it may well be somebody's backup: requests must have gone.
	symptom bool
	says    string
	advice  string
}

var signals = [numSignals]signal{
	Reading:  {"connections_reading", 20, false, false, "connections send no whole request", "shorten client_header_timeout, limit connections (limit_conn) or have the firewall do it"},
	Accepted: {"connections_accepted", 20, true, false, "connections a second are opened", "limit connections (limit_conn) or have the firewall do it"},
	Refused:  {"connections_refused", 5, true, false, "connections a second are refused, as queues are full", "call your provider, and see worker_connections and net.core.somaxconn"},
	Cookies:  {"syncookies", 10, true, false, "SYN cookies a second are sent for connections that are never opened", "call your provider"},
	Queued:   {"connections_queued", 50, false, false, "connections wait to be accepted", "see worker_connections, and whether nginx still runs"},
	Tracked:  {"connections_tracked", 2000, false, false, "connections are tracked by the firewall", "call your provider, and see nf_conntrack_max"},
	Packets:  {"packets_received", 2000, true, true, "packets a second are received", "call your provider"},
	Begun:    {"requests_begun", 0, true, false, "requests a second come", ""},
}

const (
	// enter is how many spreads above normal something must be, and usual up to how many above
	// normal requests are as many as ever: where they are more, the log shows what happens.
	enter, usual = 4.0, 2.5
	// gone is how many spreads below normal requests must be to have gone.
	gone = -2.5
	// leastSpread is the least that a spread is taken to be, on the logarithmic scale.
	leastSpread = 0.3
	// mostNoise is the most that counting alone is taken to spread what is hardly ever there.
	mostNoise = 0.5
)

// scales are how a baseline learns the signals: as logarithms of what a window has.
func scales() []baseline.Scale {
	all := make([]baseline.Scale, numSignals)
	for i := range all {
		all[i] = baseline.Scale{Max: 24, Daily: signals[i].running}
	}
	return all
}

func momentOf(v *schemas.Vitals) moment {
	m := moment{at: v.Time, interval: v.Interval, answered: v.Nginx.Answered}
	m.values = [numSignals]float64{
		Reading: float64(v.Nginx.Reading), Accepted: float64(v.Nginx.Accepted),
		Refused: float64(v.ListenOverflows) + max(0, float64(v.ListenDrops)-float64(v.ListenOverflows)) + max(0, float64(v.Nginx.Accepted)-float64(v.Nginx.Handled)),
		Cookies: float64(v.Syncookies), Tracked: float64(v.Conntrack), Begun: float64(v.Nginx.Requests),
	}
	for i := range v.Listen {
		m.values[Queued] = max(m.values[Queued], float64(v.Listen[i].Waiting))
	}
	for i := range v.Interfaces {
		if v.Interfaces[i].Name != "lo" {
			m.values[Packets] += float64(v.Interfaces[i].ReceivedPackets)
		}
	}
	return m
}

// reading is the signals of a window, in their own units and on the scale of the baseline.
type reading struct {
	values, even [numSignals]float64
	hour         int
	answered     bool // in the last vitals
}

func (w *Watch) window() (r reading) {
	var seconds float64
	for i := range w.moments {
		m := &w.moments[i]
		seconds += m.interval
		for s := range m.values {
			r.values[s] += m.values[s]
		}
	}
	last := &w.moments[len(w.moments)-1]
	r.answered, r.hour = last.answered, baseline.HourOf(last.at)
	for s := range r.values {
		if signals[s].running {
			r.values[s] /= max(seconds, 1e-3)
		} else {
			r.values[s] /= float64(len(w.moments))
		}
		r.even[s] = math.Log1p(r.values[s] * unit(s))
	}
	return r
}

// unit is how many of what is counted make one of a signal: noise is known of counts.
func unit(s int) float64 {
	if signals[s].running {
		return span.Seconds()
	}
	return 1
}

// scores are how many spreads each signal lies above its level, that in its own unit, and the fewest requests a second that come
// where none have gone.
type scores struct {
	score, level [numSignals]float64
	fewest       float64
}

func score(b *baseline.Site, r *reading) (sc scores) {
	for i := range signals {
		level, spread := b.Normal(i, r.hour)
		doubt := 1 + 60/float64(b.Learned(i)+1)
		spread = max(spread, leastSpread, min(mostNoise, 1/math.Sqrt(1+math.Expm1(level))))
		sc.score[i] = (r.even[i] - level) / (spread * doubt)
		sc.level[i] = math.Expm1(level) / unit(i)
		if i == Begun {
			sc.fewest = max(0, math.Expm1(level+gone*spread*doubt)) / unit(i)
		}
	}
	return sc
}

// up reports whether there is far more than normal of something. Of connections those that requests
// account for, which the log shows, are left out: as many as the requests are beyond the fewest that come. Thousands of servers
// that fetch a link open one each, while the visitors, who ask for much by each of theirs, happen to be few.
func (sc *scores) up(i int, r *reading) bool {
	above := r.values[i] - sc.level[i]
	if i == Accepted {
		above -= max(0, r.values[Begun]-sc.fewest)
	}
	return sc.score[i] >= enter && above >= signals[i].least
}

// silent reports whether there is far more than normal of what requests come by, and no more
// requests.
func (sc *scores) silent(r *reading) bool {
	if r.answered && sc.score[Begun] >= usual {
		return false
	}
	without := !r.answered || sc.score[Begun] <= gone
	for i := range signals {
		if i != Begun && sc.up(i, r) && (without || !signals[i].symptom) {
			return true
		}
	}
	return false
}

// worst is the signal that is furthest above normal.
func (sc *scores) worst(r *reading) (worst int) {
	for i := range signals {
		if i != Begun && sc.score[i] > sc.score[worst] && (sc.up(i, r) || !sc.up(worst, r)) {
			worst = i
		}
	}
	return worst
}

func (sc *scores) list(r *reading) (out []schemas.Signal) {
	for i, s := range signals {
		group := "volume"
		if i == Refused || i == Queued {
			group = "harm"
		}
		out = append(out, schemas.Signal{Name: s.name, Group: group, Value: round(r.values[i]), Normal: round(sc.level[i]), Score: round(sc.score[i])})
	}
	return out
}

func round(v float64) float64 { return math.Round(v*1000) / 1000 }
