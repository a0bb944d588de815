// Package detect tells from a site's signals whether it departs from its baseline,
// and what that is: an attack or only many visitors or a broken page.
package detect

import (
	"math"

	"github.com/weir-project/weir/processor/baseline"
	"github.com/weir-project/weir/processor/window"
	"github.com/weir-project/weir/schemas"
)

// The signals of a 10-second window, in the order of Reading.
const (
	RequestRate = iota // requests a second
	UniqueClients
	NewClients
	InFlight // requests that the application worked on at once, on the average
	NotFoundShare
	MissingShare    // of the clients, those that asked for a page that is not there
	UnknownShare    // of the clients, those that asked for a path never served before
	UnfamiliarShare // of the clients, those with a program that the site does not know
	BareShare       // of the clients, those that asked for no asset
	DeclaredShare   // of the clients, those that say that they are no browser
	PageShare       // pages without their assets
	NoRefererShare
	NewClientShare // of the clients
	DistinctPaths  // distinct paths a request
	DistinctPages  // distinct paths a request of those for no asset
	PathEntropy    // bits
	ErrorShare     // 5xx
	AbandonedShare // 499
	SlowShare
	NumSignals
)

// The groups of signals.
const (
	volume      = "volume"
	composition = "composition"
	harm        = "harm"
)

type signal struct {
	name, group string
	kind        int
}

const (
	count = iota // scale ln(1+x)
	share        // scale arcsine of the root: even spread for binomial shares
	bitsOf
)

var signals = [NumSignals]signal{
	RequestRate:     {"request_rate", volume, count},
	UniqueClients:   {"unique_clients", volume, count},
	NewClients:      {"new_clients", volume, count},
	InFlight:        {"requests_in_flight", volume, count},
	NotFoundShare:   {"not_found_share", composition, share},
	MissingShare:    {"missing_page_clients", composition, share},
	UnknownShare:    {"unknown_path_clients", composition, share},
	UnfamiliarShare: {"unfamiliar_clients", composition, share},
	BareShare:       {"bare_clients", composition, share},
	DeclaredShare:   {"declared_clients", composition, share},
	PageShare:       {"page_share", composition, share},
	NoRefererShare:  {"no_referer_share", composition, share},
	NewClientShare:  {"new_client_share", composition, share},
	DistinctPaths:   {"distinct_path_share", composition, share},
	DistinctPages:   {"distinct_page_share", composition, share},
	PathEntropy:     {"path_entropy", composition, bitsOf},
	ErrorShare:      {"error_share", harm, share},
	AbandonedShare:  {"abandoned_share", harm, share},
	SlowShare:       {"slow_share", harm, share},
}

// Scales are how a baseline learns the signals.
func Scales() []baseline.Scale {
	scales := make([]baseline.Scale, NumSignals)
	for i, s := range signals {
		switch s.kind {
		case count:
			scales[i] = baseline.Scale{Max: 16, Daily: s.group == volume}
		case share:
			// What is unknown or unfamiliar is nearly everything while the site is young.
			novel := i == UnknownShare || i == UnfamiliarShare || i == NewClientShare
			scales[i] = baseline.Scale{Max: math.Pi/2 + 0.01, Novel: novel}
		case bitsOf:
			scales[i] = baseline.Scale{Max: 24}
		}
	}
	return scales
}

// Reading is the signals of one window, in their own units and on the even scale of
// the baseline.
type Reading struct {
	Raw      [NumSignals]float64
	Even     [NumSignals]float64
	Requests float64 // in the window
	Stopped  float64 // of them, those that an edge did not let through
	Holes    float64 // of them, those that tried what scanners try
}

// Read makes the signals of a 10-second window.
func Read(c *window.Counts, r window.Reading) (out Reading) {
	n := float64(c[window.Requests])
	out.Requests, out.Stopped, out.Holes = n, float64(c[window.Stopped]), float64(c[window.Holes])
	of := func(k window.Count) float64 { return float64(c[k]) / max(n, 1) }
	marked := func(m window.Mark) float64 { return min(1, r.Marked[m]/max(r.Clients, 1)) }
	out.Raw = [NumSignals]float64{
		RequestRate: n / window.Short, UniqueClients: r.Clients, NewClients: float64(c[window.NewClients]),
		InFlight:      float64(c[window.Work]) / (window.Short * 1000),
		NotFoundShare: of(window.NotFound), MissingShare: marked(window.MissingPage),
		UnknownShare: marked(window.UnknownPath), UnfamiliarShare: marked(window.Unfamiliar),
		BareShare: max(0, 1-marked(window.Loading)), DeclaredShare: marked(window.Declared),
		PageShare: of(window.Pages), NoRefererShare: of(window.NoReferer),
		NewClientShare: min(1, float64(c[window.NewClients])/max(r.Clients, 1)),
		DistinctPaths:  min(1, r.Paths/max(n, 1)), PathEntropy: r.Entropy,
		DistinctPages: min(1, r.Pages/max(float64(c[window.Pages]), 1)),
		ErrorShare:    of(window.ServerError), AbandonedShare: of(window.Abandoned), SlowShare: of(window.Slow),
	}
	for i, v := range out.Raw {
		if signals[i].kind == share {
			of := out.of(i)
			v *= of / (of + prudence(i))
		}
		out.Even[i] = even(i, v)
	}
	return out
}

// of is what a share signal is a share of.
func (r *Reading) of(i int) float64 {
	switch {
	case clientShare(i):
		return r.Raw[UniqueClients]
	case i == DistinctPages:
		return r.Raw[PageShare] * r.Requests
	}
	return r.Requests
}

// prudence is how many unmarked clients or requests are added before a share is
// learned or compared: one scanner among three visitors in the night is no sign of
// anything, and must not make the site look as if it often were so.
func prudence(i int) float64 {
	if clientShare(i) {
		return 10
	}
	return 20
}

func even(i int, v float64) float64 {
	switch {
	case signals[i].kind == count:
		return math.Log1p(v * unit(i))
	case signals[i].kind == share:
		return math.Asin(math.Sqrt(min(max(v, 0), 1)))
	}
	return v
}

// unit is how many of what is counted make one of a signal: noise is known of counts.
func unit(i int) float64 {
	switch i {
	case RequestRate:
		return window.Short
	case InFlight:
		return window.Short * 10 // tenths of a second of work
	}
	return 1
}

// raw is the inverse of even.
func raw(i int, v float64) float64 {
	switch {
	case signals[i].kind == count:
		return math.Expm1(v) / unit(i)
	case signals[i].kind == share:
		s := math.Sin(v)
		return s * s
	}
	return v
}

// clientShare reports whether a share is of the clients.
func clientShare(i int) bool {
	switch i {
	case MissingShare, UnknownShare, UnfamiliarShare, NewClientShare, BareShare, DeclaredShare:
		return true
	}
	return false
}

// Scores are how many spreads each signal lies above its level.
type Scores struct {
	Score [NumSignals]float64
	Level [NumSignals]float64 // in the signal's own unit
	// Uneven is how many times as much as independent visitors would do those of this site vary in
	// whether they load what pages bring with them, by variance: at least 1.
	Uneven float64
	// Limits are what the scores are held against: of a site of which nothing is known, until
	// they are set.
	Limits Limits
}

// Score compares a reading with the baseline at an hour of day. A spread is never
// taken to be smaller than what counting alone would give (Poisson for counts,
// binomial for shares), and is widened while the baseline is young.
func Score(b *baseline.Site, hour int, r *Reading) (s Scores) {
	s.Limits = LimitsOf(&Tail{}, 1, 1)
	for i := range signals {
		level, spread := b.Normal(i, hour)
		doubt := 1 + 60/float64(b.Learned(i)+1)
		switch signals[i].kind {
		case count:
			spread = max(spread, 0.15, 1/math.Sqrt(1+math.Expm1(level)))
		case share:
			spread = max(spread, 0.03, 0.5/math.Sqrt(r.of(i)+prudence(i)))
		default:
			spread = max(spread, 0.25)
		}
		s.Score[i] = (r.Even[i] - level) / (spread * doubt)
		s.Level[i] = raw(i, level)
	}
	for i := range signals {
		if signals[i].kind == share { // without the prudence
			of := s.Level[RequestRate] * window.Short
			if clientShare(i) {
				of = s.Level[UniqueClients]
			} else if i == DistinctPages {
				of *= s.Level[PageShare]
			}
			s.Level[i] = min(1, s.Level[i]*(of+prudence(i))/max(of, 1))
		}
	}
	s.Uneven = uneven(b, hour)
	return s
}

// uneven is Scores.Uneven of a baseline: how much wider the share of those that load nothing is than counting
// them makes it, and how well its middle is known.
func uneven(b *baseline.Site, hour int) float64 {
	_, spread := b.Normal(BareShare, hour)
	clients, _ := b.Normal(UniqueClients, hour)
	counted := 0.5 / math.Sqrt(math.Expm1(clients)+prudence(BareShare))
	return max(1, spread*spread/(counted*counted)) * (1 + stayWindows/float64(b.Learned(BareShare)+1))
}

// stayWindows is in how many windows in a row the same visitors are seen, so that those count as one.
const stayWindows = 12

// Signals are what an event shows: those out of their range, and always the rate,
// the clients, and what visitors met.
func Signals(r *Reading, s *Scores) []schemas.Signal {
	return append(list(r, s, func(i int) bool { return i == RequestRate || i == UniqueClients || s.Score[i] >= 3 }), visitors(r)...)
}

// All are every signal, as the store keeps them, and beside them what nothing is learned or
// judged by, so that it has no normal: what visitors met, and how mixed the agents, referers
// and clients were, in bits, and how long answers took, in seconds, where that is known.
func All(r *Reading, s *Scores, x *window.Mix) []schemas.Signal {
	return append(append(list(r, s, func(int) bool { return true }), visitors(r)...), mixed(r, x)...)
}

func mixed(r *Reading, x *window.Mix) (out []schemas.Signal) {
	if r.Requests == 0 {
		return nil
	}
	put := func(name, group string, v float64) {
		out = append(out, schemas.Signal{Name: name, Group: group, Value: v})
	}
	put("agent_entropy", composition, round(x.Entropies[window.ByAgent]))
	put("referer_entropy", composition, round(x.Entropies[window.ByReferer]))
	put("client_entropy", composition, round(x.Entropies[window.ByClient]))
	if d := &x.Duration; d.Known() {
		put("latency_p50", harm, fine(d.P50/1e6))
		put("latency_p95", harm, fine(d.P95/1e6))
		put("latency_p99", harm, fine(d.P99/1e6))
	}
	return out
}

func visitors(r *Reading) []schemas.Signal {
	return []schemas.Signal{
		{Name: schemas.StoppedShare, Group: harm, Value: fine(r.Stopped / max(r.Requests, 1))},
		{Name: schemas.UnservedShare, Group: harm, Value: fine(r.unserved())},
	}
}

// unserved is the share of the requests that an edge let through that ended with 5xx or
// with 499, the visitor having given up. An edge's own refusal is no 5xx.
func (r *Reading) unserved() float64 {
	through := r.Requests - r.Stopped
	if through <= 0 {
		return 0
	}
	return min(1, (r.Raw[ErrorShare]+r.Raw[AbandonedShare])*r.Requests/through)
}

// fine is round to six decimals, for shares that are summed up over days.
func fine(v float64) float64 { return math.Round(v*1e6) / 1e6 }

func list(r *Reading, s *Scores, wanted func(int) bool) []schemas.Signal {
	var out []schemas.Signal
	for i, sig := range signals {
		if !wanted(i) {
			continue
		}
		out = append(out, schemas.Signal{
			Name: sig.name, Group: sig.group, Value: round(r.Raw[i]), Normal: round(s.Level[i]), Score: round(s.Score[i]),
		})
	}
	return out
}

// round to three decimals: an event is for people, and its bytes must not hang on
// the last bit.
func round(v float64) float64 { return math.Round(v*1000) / 1000 }

// alerting is how many counts are looked at all the time.
const alerting = 5

// Alert is how large counts of the window must be to be worth reading the sketches for:
// requests, new clients, pages, what is not there, milliseconds of work.
type Alert [alerting]float64

// alerts are what an Alert bounds.
var alerts = [alerting]window.Count{window.Requests, window.NewClients, window.Pages, window.NotFound, window.Work}

// AlertOf is the alert of a site at an hour of the week: two spreads above the level or, of
// what has no level of its own, half as much again and more, and a few.
func AlertOf(b *baseline.Site, hour int, sc *Scores) Alert {
	above := func(i int) float64 {
		level, spread := b.Normal(i, hour)
		return math.Expm1(level + 2*max(spread, 0.15))
	}
	usual := sc.Level[RequestRate] * window.Short
	return Alert{
		above(RequestRate), above(NewClients),
		1.5*sc.Level[PageShare]*usual + minExcess/2,
		3*sc.Level[NotFoundShare]*usual + minExcess/2,
		1000 * (3*sc.Level[InFlight]*window.Short + 1),
	}
}

// By reports whether counts of a window exceed it.
func (a *Alert) By(c *window.Counts) bool {
	for i, which := range alerts {
		if float64(c[which]) > a[i] {
			return true
		}
	}
	return false
}
