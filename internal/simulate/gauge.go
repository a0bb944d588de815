package simulate

import (
	"math"
	"math/rand/v2"
	"net/netip"
	"time"

	"github.com/weir-project/weir/schemas"
)

// keptAlive is for how many seconds a connection waits for a further request.
const keptAlive = 15

// Gauge says once a second how the edge is that a log comes from, as its collector would: what
// follows from the requests, and what a scenario adds that no request shows. Requests count
// when they are answered, as that is when they are known here.
type Gauge struct {
	c    *Config
	edge string
	r    *rand.Rand

	second   int64 // unix, that is being filled
	requests int
	bytes    float64
	busy     time.Duration
	accepted [keptAlive]int
	seen     map[netip.Addr]int64 // a client's last second
	held     held
}

// beneath is what a scenario brings to an edge in a second that no log shows.
type beneath struct {
	opened  float64 // connections that never become requests, a second
	cookies float64 // half-open connections that are answered by a SYN cookie, a second
	refused float64 // connections for which there is no place, a second
	packets float64 // a second
}

// held are connections that send no whole request: for a minute, when nginx gives up on them
// (client_header_timeout), and while it has places (worker_connections).
type held struct {
	opened [60]float64
	at     int
	all    float64
}

const places = 1024

// open lets connections come in for a second, and returns for how many there was no place.
func (h *held) open(n, others float64) (refused float64) {
	h.all -= h.opened[h.at]
	taken := max(0, min(n, places-others-h.all))
	h.opened[h.at] = taken
	h.all += taken
	h.at = (h.at + 1) % len(h.opened)
	return n - taken
}

// NewGauge measures the edge of a configuration's log.
func NewGauge(c *Config, edge string) *Gauge {
	return &Gauge{c: c, edge: edge, r: stream(c.Seed, label("vitals")), second: c.Start.Unix(), seen: map[netip.Addr]int64{}}
}

// Add takes the next line of the log; tell is given the seconds that end before it.
func (g *Gauge) Add(r *Record, tell func(*schemas.Vitals)) {
	g.until(r.Time.Unix(), tell)
	g.requests++
	g.bytes += float64(r.Bytes)
	g.busy += r.Duration
	if was, ok := g.seen[r.Client]; !ok || g.second-was > keptAlive {
		g.accepted[g.second%keptAlive]++
	}
	g.seen[r.Client] = g.second
}

// End tells of the seconds up to the end of the log.
func (g *Gauge) End(tell func(*schemas.Vitals)) { g.until(g.c.Start.Add(g.c.End()).Unix(), tell) }

func (g *Gauge) until(second int64, tell func(*schemas.Vitals)) {
	for ; g.second < second; g.second++ {
		tell(g.vitals())
		g.requests, g.bytes, g.busy = 0, 0, 0
		g.accepted[(g.second+1)%keptAlive] = 0
		if g.second%600 == 0 {
			for client, last := range g.seen {
				if g.second-last > keptAlive {
					delete(g.seen, client)
				}
			}
		}
	}
}

func (g *Gauge) vitals() *schemas.Vitals {
	at := time.Unix(g.second+1, 0).UTC()
	var b beneath
	if s := g.c.scene; s != nil && s.beneath != nil {
		b = s.beneath(at.Sub(g.c.Begins()))
	}
	alive := 0
	for _, n := range g.accepted {
		alive += n
	}
	accepted := float64(g.accepted[g.second%keptAlive])
	writing := math.Round(g.busy.Seconds())
	full := g.held.open(b.opened, float64(alive)+writing)
	reading := g.held.all + float64(g.r.IntN(2))
	active := float64(alive) + writing + reading
	packets := 12*float64(g.requests) + g.bytes/4000 + 3*accepted + 4*b.opened + float64(g.r.IntN(20))
	return &schemas.Vitals{
		Time: at, Edge: g.edge, Interval: 1,
		Nginx: &schemas.NginxVitals{
			Answered: true, Active: int64(active), Reading: int64(reading), Writing: int64(writing), Waiting: int64(alive),
			Accepted: uint64(accepted + b.opened), Handled: uint64(accepted + b.opened - full), Requests: uint64(g.requests),
		},
		ListenDrops: uint64(b.refused), Syncookies: uint64(b.cookies), Conntrack: int64(60 + 1.3*active + 20*b.cookies),
		Interfaces: []schemas.InterfaceVitals{{Name: "eth0", ReceivedPackets: uint64(packets + b.packets + b.cookies)}},
	}
}
