package lapi

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// Options are what New needs; only Keys has no default.
type Options struct {
	Keys *Keys
	// Allow are addresses that nothing here ever touches.
	Allow []netip.Prefix
	// MaxDecisions bounds what is kept; more are refused and counted. 1,000,000.
	MaxDecisions int
	// Jitter is how long a pull is held back at most while many others are on their
	// way: bouncers that were started together ask together. 500 ms.
	Jitter     time.Duration
	Logger     *slog.Logger          // nil: none
	Registerer prometheus.Registerer // nil: none
}

// Server answers bouncers. Apply, Replace and its handlers may be called at any time,
// from any goroutine; nothing of it runs by itself.
type Server struct {
	options Options
	table   *table
	metrics *metrics
	log     *slog.Logger

	mu       sync.Mutex
	bouncers map[string]*bouncer  // by name
	cached   map[string]*snapshot // by filter
	pulling  int
}

// snapshot is one start-up answer, encoded once for all that start within snapshotAge.
type snapshot struct {
	made   time.Time
	latest uint64 // change, when it was asked for
	once   sync.Once

	body []byte
	seq  uint64 // of the latest change in it
	size int
	left int
	err  error

	packing sync.Once
	packed  []byte // body, by gzip
}

// gzipped is the body compressed, once for all that take it so.
func (n *snapshot) gzipped() []byte {
	n.packing.Do(func() {
		var to bytes.Buffer
		w, _ := gzip.NewWriterLevel(&to, gzip.BestSpeed) // a level that there is
		_, _ = w.Write(n.body)                           // memory takes everything
		if w.Close() == nil {
			n.packed = to.Bytes()
		}
	})
	return n.packed
}

// leastPacked is what a body must have for it to be worth packing, in bytes.
const leastPacked = 4096

// Bounds of the server.
const (
	snapshotAge  = time.Second
	maxSnapshots = 16 // filters whose snapshots are kept
	calm         = 8  // pulls at once that nobody need wait for
	maxWords     = 32 // of one list in a query
)

// New makes a server.
func New(o Options) *Server {
	if o.MaxDecisions <= 0 {
		o.MaxDecisions = 1_000_000
	}
	if o.Jitter <= 0 {
		o.Jitter = 500 * time.Millisecond
	}
	if o.Logger == nil {
		o.Logger = slog.New(slog.DiscardHandler)
	}
	s := &Server{
		options: o, table: newTable(o.Allow, o.MaxDecisions), log: o.Logger,
		bouncers: map[string]*bouncer{}, cached: map[string]*snapshot{},
	}
	s.metrics = newMetrics(o.Registerer, s)
	return s
}

// Apply takes changes in the order in which they happened. Events that are not about
// decisions are ignored.
func (s *Server) Apply(events ...schemas.Event) { s.take(false, events) }

// Replace takes a snapshot: what it does not name is no longer in force.
func (s *Server) Replace(events ...schemas.Event) { s.take(true, events) }

// Spare has nothing touch these addresses either, beside Options.Allow, until it is called
// again.
func (s *Server) Spare(addresses []netip.Prefix) { s.table.spare(addresses) }

// Regulars are who passes before what weir decided by itself, until it is called again.
func (s *Server) Regulars(set *schemas.RegularSet) { s.table.know(set) }

func (s *Server) take(all bool, events []schemas.Event) {
	if overflow := s.table.take(all, events, time.Now()); overflow > 0 {
		s.metrics.overflow.Add(float64(overflow))
		s.log.Warn("there is no room for some decisions; bouncers are not told of them", "decisions", overflow, "most", s.options.MaxDecisions)
	}
}

// Register adds the protocol's routes.
func (s *Server) Register(mux *http.ServeMux) {
	mux.HandleFunc("GET /v1/decisions/stream", s.authorised(s.stream)) // HEAD too
	mux.HandleFunc("GET /v1/decisions", s.authorised(s.decisions))
	mux.HandleFunc("POST /v1/usage-metrics", s.authorised(s.usage))
}

// authorised finds out who asks.
func (s *Server) authorised(handle func(http.ResponseWriter, *http.Request, *Key)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		key, err := s.options.Keys.find(r.Header.Get("X-Api-Key"))
		if err != nil {
			s.log.Error("bouncers' keys cannot be read; those known before count", "error", err)
		}
		if key == nil {
			s.metrics.refused.Inc()
			say(w, http.StatusForbidden, "access forbidden: weir bouncers add makes a key, which goes into X-Api-Key")
			return
		}
		handle(w, r, key)
	}
}

// say answers with a message, as the protocol has it.
func say(w http.ResponseWriter, status int, message string) {
	body, _ := json.Marshal(map[string]string{"message": message}) // a text cannot fail
	send(w, status, body)
}

func send(w http.ResponseWriter, status int, body []byte) error {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Header().Set("X-Content-Type-Options", "nosniff")
	w.WriteHeader(status)
	_, err := w.Write(body)
	return err
}

// stream answers a pull: everything at the start, then what has changed since the last
// pull of this key that was answered whole.
func (s *Server) stream(w http.ResponseWriter, r *http.Request, key *Key) {
	f, problem := s.filterOf(r, key)
	if problem != "" {
		say(w, http.StatusBadRequest, problem)
		return
	}
	if r.Method == http.MethodHead {
		w.WriteHeader(http.StatusOK)
		return
	}
	defer s.wait(r.Context())()
	startup := r.URL.Query().Get("startup") == "true"
	b := s.bouncer(key, r.UserAgent())
	since, known := b.last()
	var body []byte
	var seq uint64
	var size, left int
	var err error
	if startup || !known {
		n := s.snapshot(f)
		body, seq, size, left, err = n.body, n.seq, n.size, n.left, n.err
		if err == nil && len(body) >= leastPacked && strings.Contains(r.Header.Get("Accept-Encoding"), "gzip") {
			w.Header().Set("Content-Encoding", "gzip")
			body = n.gzipped()
		}
	} else {
		now := time.Now()
		a := s.table.delta(f, since, now)
		body, err = a.encode(now)
		seq, size, left = a.seq, len(a.fresh)+len(a.deleted), a.left
	}
	if err != nil {
		s.log.Error("decisions for a bouncer", "bouncer", key.Name, "error", err)
		say(w, http.StatusInternalServerError, "decisions could not be written")
		return
	}
	if err := send(w, http.StatusOK, body); err != nil {
		return // it has not got it: it is told again
	}
	b.pulled(time.Now(), seq, startup, size, left)
	s.metrics.pulls.WithLabelValues(strconv.FormatBool(startup)).Inc()
	s.metrics.items.Add(float64(size))
}

// wait holds a pull back for a moment where many are on their way.
func (s *Server) wait(ctx context.Context) (done func()) {
	s.mu.Lock()
	s.pulling++
	crowded := s.pulling > calm
	s.mu.Unlock()
	if crowded {
		timer := time.NewTimer(rand.N(s.options.Jitter))
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-ctx.Done():
		}
	}
	return func() {
		s.mu.Lock()
		s.pulling--
		s.mu.Unlock()
	}
}

// snapshot is what a bouncer with this filter starts from: at most snapshotAge old, and
// made once for all that ask for it meanwhile; what has changed since counts only while
// few ask.
func (s *Server) snapshot(f *filter) *snapshot {
	name, now, latest := f.key(), time.Now(), s.table.latest()
	s.mu.Lock()
	n := s.cached[name]
	if n == nil || now.Sub(n.made) > snapshotAge || n.latest != latest && s.pulling <= calm {
		if len(s.cached) >= maxSnapshots {
			clear(s.cached)
		}
		n = &snapshot{made: now, latest: latest}
		s.cached[name] = n
	}
	s.mu.Unlock()
	n.once.Do(func() {
		a := s.table.snapshot(f, now)
		n.seq, n.size, n.left = a.seq, len(a.fresh), a.left
		n.body, n.err = a.encode(now)
		s.metrics.snapshots.Inc()
	})
	return n
}

// decisions answers what is in force on one address, or on all: null where nothing is.
func (s *Server) decisions(w http.ResponseWriter, r *http.Request, key *Key) {
	f, problem := s.filterOf(r, key)
	if problem != "" {
		say(w, http.StatusBadRequest, problem)
		return
	}
	query, now := r.URL.Query(), time.Now()
	var a answer
	switch {
	case query.Get("ip") != "" || query.Get("range") != "":
		within, err := netip.ParsePrefix(query.Get("range"))
		if ip := query.Get("ip"); ip != "" {
			var addr netip.Addr
			addr, err = netip.ParseAddr(ip)
			addr = addr.Unmap().WithZone("")
			within = netip.PrefixFrom(addr, addr.BitLen())
		}
		if err != nil {
			say(w, http.StatusBadRequest, "ip: want an address; range: want a prefix")
			return
		}
		f.ip, f.ranges, f.hosts = true, true, false // an address is asked for, whatever holds it
		a.fresh = s.table.matching(f, within, now)
	case query.Get("value") != "" || query.Get("scope") != "" && query.Get("scope") != "ip" && query.Get("scope") != "range":
		// Other scopes (countries, networks by number) are none of weir's.
	default:
		a = s.table.snapshot(f, now)
	}
	s.bouncer(key, r.UserAgent()).asked(now)
	if len(a.fresh) == 0 {
		_ = send(w, http.StatusOK, []byte("null"))
		return
	}
	for i := range a.fresh {
		a.fresh[i].Duration = a.fresh[i].expires.Sub(now).Truncate(time.Second).String()
	}
	body, err := json.Marshal(a.fresh)
	if err != nil {
		say(w, http.StatusInternalServerError, "decisions could not be written")
		return
	}
	_ = send(w, http.StatusOK, body) // who has gone asks again
}

// filterOf reads what a bouncer wants; problem is empty where that can be understood.
func (s *Server) filterOf(r *http.Request, key *Key) (f *filter, problem string) {
	query := r.URL.Query()
	f = &filter{
		types: key.Types, sites: key.Sites,
		// It covers a network's first address alone.
		hosts: strings.HasPrefix(r.UserAgent(), "crowdsec-firewall-bouncer"),
	}
	words := func(name string) []string {
		var list []string
		for _, w := range strings.Split(query.Get(name), ",") {
			if w = strings.TrimSpace(w); w != "" {
				list = append(list, w)
			}
		}
		if len(list) > maxWords {
			problem = name + ": too many"
		}
		return list
	}
	for _, scope := range words("scopes") {
		f.ip = f.ip || strings.EqualFold(scope, "ip")
		f.ranges = f.ranges || strings.EqualFold(scope, "range")
	}
	if query.Get("scopes") == "" {
		f.ip, f.ranges = true, true
	}
	f.ranges = f.ranges || f.hosts && f.ip
	f.origins = words("origins")
	f.with, f.without = words("scenarios_containing"), words("scenarios_not_containing")
	if kind := query.Get("type"); kind != "" {
		f.types = slices.DeleteFunc(slices.Clone(key.Types), func(a schemas.Action) bool { return a != actionOf(kind) })
	}
	return f, problem
}
