package lapi

import (
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Bouncer is how one of them is, for a person.
type Bouncer struct {
	Key
	Agent    string    `json:"agent,omitempty"` // as it calls itself
	LastPull time.Time `json:"last_pull,omitzero"`
	Streams  bool      `json:"streams"` // it follows the changes; otherwise it asks for one address after the other
	Items    int       `json:"items"`   // of the last pull, additions and deletions
	// NotCarried is how many values of the last pull it cannot hold: networks, for one
	// that takes addresses alone.
	NotCarried int `json:"not_carried"`
	// What it says itself, of the last span that it reported.
	Active    float64   `json:"active_decisions"`
	Dropped   float64   `json:"dropped"`
	Processed float64   `json:"processed"`
	Reported  time.Time `json:"reported,omitzero"`
	// DroppedInAll sums Dropped up since weir started here.
	DroppedInAll float64 `json:"dropped_in_all"`
}

// bouncer is the same while the server runs. Safe for concurrent use.
type bouncer struct {
	mu    sync.Mutex
	hash  string // of the key: with another it is another bouncer
	is    Bouncer
	known bool   // it has been told everything
	seq   uint64 // up to which change
}

// bouncer finds who asks, and notes what it calls itself.
func (s *Server) bouncer(key *Key, agent string) *bouncer {
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.bouncers[key.Name]
	if b == nil || b.hash != key.Hash { // as many as there are keys
		b = &bouncer{hash: key.Hash}
		s.bouncers[key.Name] = b
	}
	b.mu.Lock()
	b.is.Key, b.is.Agent = *key, printable(agent)
	b.mu.Unlock()
	return b
}

// printable is what a bouncer calls itself, fit for a terminal.
func printable(text string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r > '~' {
			return -1
		}
		return r
	}, text[:min(len(text), 100)])
}

func (b *bouncer) last() (seq uint64, known bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.seq, b.known
}

func (b *bouncer) pulled(now time.Time, seq uint64, all bool, items, left int) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.known, b.seq = true, seq
	b.is.Streams = true
	b.is.LastPull, b.is.Items = now, items
	if b.is.NotCarried += left; all {
		b.is.NotCarried = left
	}
}

func (b *bouncer) asked(now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.is.LastPull = now
}

// Bouncers are those that have a key, with what is known of them.
func (s *Server) Bouncers() ([]Bouncer, error) {
	keys, err := s.options.Keys.All()
	list := make([]Bouncer, len(keys))
	s.mu.Lock()
	defer s.mu.Unlock()
	for name := range s.bouncers {
		if !slices.ContainsFunc(keys, func(k Key) bool { return k.Name == name }) {
			delete(s.bouncers, name)
		}
	}
	for i, key := range keys {
		list[i].Key = key
		if b := s.bouncers[key.Name]; b != nil && b.hash == key.Hash {
			b.mu.Lock()
			list[i] = b.is
			b.mu.Unlock()
		}
	}
	return list, err
}

// usageReport is what is read of the protocol's usage metrics.
type usageReport struct {
	RemediationComponents []struct {
		Metrics []struct {
			Items []struct {
				Name  string  `json:"name"`
				Value float64 `json:"value"`
				Unit  string  `json:"unit"`
			} `json:"items"`
		} `json:"metrics"`
	} `json:"remediation_components"`
}

// maxUsage bounds a report, in bytes.
const maxUsage = 1 << 20

// usage takes what a bouncer says of its work.
func (s *Server) usage(w http.ResponseWriter, r *http.Request, key *Key) {
	data, err := io.ReadAll(http.MaxBytesReader(w, r.Body, maxUsage))
	if err != nil {
		say(w, http.StatusRequestEntityTooLarge, "a report of more than 1 MiB")
		return
	}
	var report usageReport
	if err := json.Unmarshal(data, &report); err != nil {
		say(w, http.StatusUnprocessableEntity, "usage metrics: not as the protocol has them")
		return
	}
	var active, dropped, processed float64
	for _, c := range report.RemediationComponents {
		for _, m := range c.Metrics {
			for _, i := range m.Items {
				switch {
				case !(i.Value >= 0 && i.Value < 1<<53) || i.Unit == "byte":
				case i.Name == "active_decisions":
					active += i.Value
				case i.Name == "dropped":
					dropped += i.Value
				case i.Name == "processed":
					processed += i.Value
				}
			}
		}
	}
	b := s.bouncer(key, r.UserAgent())
	b.mu.Lock()
	b.is.Active, b.is.Dropped, b.is.Processed, b.is.Reported = active, dropped, processed, time.Now()
	b.is.DroppedInAll = min(b.is.DroppedInAll+dropped, 1<<62)
	b.mu.Unlock()
	s.metrics.dropped.WithLabelValues(key.Name).Add(dropped)
	s.metrics.processed.WithLabelValues(key.Name).Add(processed)
	send(w, http.StatusCreated, []byte(`{"message":"ok"}`))
}

// metrics are what this package counts.
type metrics struct {
	overflow, refused, snapshots, items prometheus.Counter
	pulls, dropped, processed           *prometheus.CounterVec
}

func newMetrics(to prometheus.Registerer, s *Server) *metrics {
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: "weir_lapi_" + name, Help: help})
	}
	vector := func(name, help, label string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "weir_lapi_" + name, Help: help}, []string{label})
	}
	m := &metrics{
		overflow:  counter("decisions_overflow_total", "Decisions that there was no room for."),
		refused:   counter("refused_total", "Requests with a key that is none."),
		snapshots: counter("snapshots_total", "Start-up answers that were made."),
		items:     counter("items_total", "Additions and deletions that bouncers were told."),
		pulls:     vector("pulls_total", "Pulls that were answered whole.", "startup"),
		dropped:   vector("dropped_total", "What bouncers say that they stopped: requests or packets.", "bouncer"),
		processed: vector("processed_total", "What bouncers say that they looked at.", "bouncer"),
	}
	if to != nil {
		to.MustRegister(m.overflow, m.refused, m.snapshots, m.items, m.pulls, m.dropped, m.processed,
			prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "weir_lapi_decisions", Help: "Decisions that bouncers are told of."},
				func() float64 { return float64(s.table.size()) }))
	}
	return m
}
