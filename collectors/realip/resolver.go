package realip

import (
	"bytes"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/schemas"
)

// Options are what a Resolver works with.
type Options struct {
	Trust   *Trust
	Header  Header
	Metrics *Metrics      // nil counts nothing
	Found   func(Finding) // called once for a site whose peers are mostly edges; nil for no one
}

// Resolver tells the clients of one log's requests. It serves one goroutine.
type Resolver struct {
	o     Options
	sites map[string]*siteCount
	last  *siteCount
	name  []byte // of last
}

// Finding is a site whose peers are mostly proxies, and whose clients cannot be told.
type Finding struct {
	Site     string
	Network  string // whose edges they mostly are; "" for proxies that are trusted by prefix
	Requests uint64 // that were looked at
	Edges    uint64 // of them, those that came from edges and are taken for the edge itself
	Trusted  bool   // they are trusted, and yet the header did not tell
	Header   bool   // the header that would tell is in the log
}

const (
	// maxSites bounds the sites that are counted, so that random hosts cost no memory.
	maxSites = 1024
	// enough requests of a site to say something of it.
	enough = 512
)

// siteCount is what was seen of one site.
type siteCount struct {
	name     string
	requests uint64
	edges    [16]uint64 // by network; 0 is trusted proxies without one
	trusted  uint64     // of all edges
	header   uint64
	reported bool
}

// New makes a Resolver.
func New(o Options) *Resolver {
	return &Resolver{o: o, sites: make(map[string]*siteCount)}
}

// Resolve sets the client of a request whose site is known.
func (r *Resolver) Resolve(q *schemas.Request) {
	peer := r.o.Trust.look(q.Client)
	header := q.ForwardedFor
	if r.o.Header == Forwarded {
		header = q.Forwarded
	}
	source := fromPeer
	if peer.trusted {
		client, hops := r.o.Trust.client(q.Client, header, r.o.Header)
		if source = fromEdge; hops > 0 {
			q.Client, source = client, fromHeader
		}
	} else if peer.network > 0 {
		source = fromEdge
	}
	if r.o.Metrics != nil {
		r.o.Metrics.sources[source].Inc()
	}
	if s := r.site(q.Site); s != nil {
		s.requests++
		if source == fromEdge {
			r.edge(s, peer, len(header) > 0)
		}
	}
}

func (r *Resolver) edge(s *siteCount, p peer, header bool) {
	s.edges[p.network]++
	if p.trusted {
		s.trusted++
	}
	if header {
		s.header++
	}
	if s.reported || s.requests < enough {
		return
	}
	if f, mostly := s.finding(r.o.Trust); mostly {
		s.reported = true
		if r.o.Metrics != nil {
			r.o.Metrics.sites.Inc()
		}
		if r.o.Found != nil {
			r.o.Found(f)
		}
	}
}

// finding is what the counts of a site say.
func (s *siteCount) finding(t *Trust) (f Finding, mostly bool) {
	f = Finding{Site: s.name, Requests: s.requests}
	most := 0
	for network, n := range s.edges {
		if f.Edges += n; n > s.edges[most] {
			most = network
		}
	}
	f.Network = t.names[most]
	f.Trusted, f.Header = 2*s.trusted > f.Edges, 2*s.header > f.Edges
	return f, 2*f.Edges > f.Requests
}

// Findings are the sites seen so far whose peers are mostly edges, whatever the number
// of their requests, in no order.
func (r *Resolver) Findings() (all []Finding) {
	for _, s := range r.sites {
		if f, mostly := s.finding(r.o.Trust); mostly {
			all = append(all, f)
		}
	}
	return all
}

// site is the count of a site, nil where there are too many.
func (r *Resolver) site(name []byte) *siteCount {
	if r.last != nil && bytes.Equal(r.name, name) {
		return r.last
	}
	s, known := r.sites[string(name)]
	if !known {
		if len(r.sites) == maxSites {
			return nil
		}
		cut := string(name[:min(len(name), schemas.MaxSite)])
		if s = r.sites[cut]; s == nil {
			s = &siteCount{name: cut}
			r.sites[cut] = s
		}
	}
	r.last, r.name = s, append(r.name[:0], name...)
	return s
}

// source is where a client was known from.
type source uint8

const (
	fromPeer   source = iota // the address that connected
	fromHeader               // what trusted proxies said
	fromEdge                 // an edge itself: its header is not there, or not believed
	numSources = int(iota)
)

// Metrics count over all Resolvers of a process.
type Metrics struct {
	sources [numSources]prometheus.Counter
	sites   prometheus.Gauge
}

// NewMetrics registers the metrics.
func NewMetrics(r prometheus.Registerer) *Metrics {
	sources := prometheus.NewCounterVec(prometheus.CounterOpts{
		Name: "weir_collector_clients_total",
		Help: "Requests by where their client is known from: peer (it connected itself), header (trusted proxies said so), edge (an edge of a CDN, or a trusted proxy, without a header that tells).",
	}, []string{"from"})
	m := &Metrics{sites: prometheus.NewGauge(prometheus.GaugeOpts{
		Name: "weir_collector_sites_behind_edges",
		Help: "Sites whose peers are mostly edges of a CDN or proxies, and whose clients cannot be told.",
	})}
	r.MustRegister(sources, m.sites)
	for i, name := range [numSources]string{"peer", "header", "edge"} {
		m.sources[i] = sources.WithLabelValues(name)
	}
	return m
}
