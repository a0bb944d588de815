package clickhouse

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/schemas"
)

// Bounds of time in the store, Unix milliseconds: what lies outside (a broken
// clock) is kept at the bound. From 1970-01-01 to the last second of which
// ClickHouse's 32-bit DateTime can name the hour, 2106-02-07 06:28:15.
const (
	minTime = 0
	maxTime = (1<<32 - 1) * 1000
	dayMs   = 24 * 60 * 60 * 1000
)

// block is rows of one day on their way into the table incoming, column by column.
type block struct {
	time            number
	client, network proto.ColIPv6

	countedClient, countedNetwork proto.ColIPv6 // by which the rollups count them

	site, method, protocol, userAgent           dictionary
	acceptLanguage, acceptEncoding, tls         dictionary
	action, decision, cacheStatus, edge, stream dictionary
	path, query, referer, requestID, extra      text
	status, partition                           proto.ColUInt16
	bytes, duration, upstreamDuration, sequence proto.ColUInt64
	cookie                                      cookies
	fields                                      proto.ColUInt32
	weight, counted                             proto.ColFloat64

	input proto.Input // all of them by name
	kept  int         // rows of a weight above 0, which are kept as rows and not counted only
}

// cookies is a column of schemas.Cookie.
type cookies struct{ proto.ColInt8 }

// Type is the table's.
func (*cookies) Type() proto.ColumnType { return "Enum8('' = 0, 'none' = 1, 'some' = 2)" }

func newBlock() *block {
	b := new(block)
	b.time.kind = "DateTime64(3, 'UTC')"
	b.input = proto.Input{
		{Name: "time", Data: &b.time}, {Name: "client", Data: &b.client}, {Name: "network", Data: &b.network},
		{Name: "counted_client", Data: &b.countedClient}, {Name: "counted_network", Data: &b.countedNetwork},
		{Name: "site", Data: &b.site}, {Name: "method", Data: &b.method}, {Name: "path", Data: &b.path},
		{Name: "query", Data: &b.query}, {Name: "protocol", Data: &b.protocol}, {Name: "referer", Data: &b.referer},
		{Name: "user_agent", Data: &b.userAgent}, {Name: "accept_language", Data: &b.acceptLanguage},
		{Name: "accept_encoding", Data: &b.acceptEncoding}, {Name: "tls", Data: &b.tls},
		{Name: "action", Data: &b.action}, {Name: "decision", Data: &b.decision}, {Name: "request_id", Data: &b.requestID},
		{Name: "cache_status", Data: &b.cacheStatus}, {Name: "extra", Data: &b.extra},
		{Name: "edge", Data: &b.edge}, {Name: "status", Data: &b.status}, {Name: "bytes", Data: &b.bytes},
		{Name: "duration", Data: &b.duration}, {Name: "upstream_duration", Data: &b.upstreamDuration},
		{Name: "cookie", Data: &b.cookie}, {Name: "fields", Data: &b.fields}, {Name: "weight", Data: &b.weight}, {Name: "counted", Data: &b.counted},
		{Name: "stream", Data: &b.stream}, {Name: "partition", Data: &b.partition}, {Name: "sequence", Data: &b.sequence},
	}
	return b
}

func (b *block) rows() int { return b.time.Rows() }

// reset empties the block and keeps its memory.
func (b *block) reset() {
	b.kept = 0
	for _, column := range b.input {
		switch c := column.Data.(type) {
		case *text:
			c.reset()
		case *dictionary:
			c.reset()
		case proto.Resettable:
			c.Reset()
		}
	}
}

// splitter cuts batches into the runs of rows that are of one day.
type splitter struct {
	times   []uint64 // Unix milliseconds, within the bounds
	strings []string // the batch's string table, copied
	filter  *filter
}

// split calls add with each run [from, to) of rows of one day (since 1970-01-01).
func (s *splitter) split(b *schemas.Batch, add func(day int64, from, to int)) {
	s.times = s.times[:0]
	var at int64
	for _, delta := range b.Time {
		at += delta
		s.times = append(s.times, uint64(min(max(at, minTime), maxTime)))
	}
	s.strings = s.strings[:0]
	table := string(b.Strings)
	from := 0
	for _, n := range b.StringLengths {
		s.strings = append(s.strings, table[from:from+int(n)])
		from += int(n)
	}
	for from := 0; from < len(s.times); {
		day := s.times[from] / dayMs
		to := from + 1
		for to < len(s.times) && s.times[to]/dayMs == day {
			to++
		}
		add(int64(day), from, to)
		from = to
	}
}

// place is where in a stream a batch stands.
type place struct {
	stream    string
	partition int
	sequence  uint64
	sample    uint32 // of so many clients, one is kept as rows
	seed      uint64 // of which ones
}

// sampleSeed makes the writer's choice of clients independent of a collector's, and with the
// key of privacy one that nobody can foresee: who knew which clients are left out would attack
// from those.
func sampleSeed(p Privacy) uint64 {
	const seed = 0x5745495253544f52
	if len(p.Key) == 0 {
		return seed
	}
	mac := hmac.New(sha256.New, p.Key)
	mac.Write([]byte("which clients are kept as rows"))
	return seed ^ binary.LittleEndian.Uint64(mac.Sum(nil))
}

// keeps reports whether a client's requests are kept as rows.
func (p place) keeps(client []byte) bool {
	return p.sample == 1 || xxh3.HashSeed(client, p.seed)%uint64(p.sample) == 0
}

// append adds the rows [from, to) of a batch that s has split.
func (b *block) append(x *schemas.Batch, s *splitter, at place, from, to int) {
	b.time.ColUInt64 = append(b.time.ColUInt64, s.times[from:to]...)
	for i := from; i < to; i++ {
		client, network := s.filter.client([16]byte(x.Client[16*i:]))
		b.client = append(b.client, proto.IPv6(client))
		b.network = append(b.network, proto.IPv6(network))
		b.countedClient = append(b.countedClient, proto.IPv6(s.filter.count(client)))
		b.countedNetwork = append(b.countedNetwork, proto.IPv6(s.filter.count(network)))
	}
	b.appendTexts(x, s, from, to)
	for _, status := range x.Status[from:to] {
		b.status = append(b.status, uint16(min(status, 1<<16-1)))
	}
	b.bytes = append(b.bytes, x.Bytes[from:to]...)
	b.duration = append(b.duration, x.Duration[from:to]...)
	b.upstreamDuration = append(b.upstreamDuration, x.UpstreamDuration[from:to]...)
	for _, cookie := range x.Cookie[from:to] {
		if cookie > uint32(schemas.CookieSome) {
			cookie = uint32(schemas.CookieUnknown)
		}
		b.cookie.ColInt8 = append(b.cookie.ColInt8, int8(cookie))
	}
	weight := x.Weight
	if !(weight > 0) { // also where it is not a number
		weight = 1
	}
	b.edge.repeat(x.Edge, to-from)
	b.stream.repeat(at.stream, to-from)
	for i := from; i < to; i++ {
		b.fields = append(b.fields, x.Fields)
		kept := 0.0
		if at.keeps(x.Client[16*i : 16*i+16]) {
			kept = weight * float64(at.sample)
			b.kept++
		}
		b.weight = append(b.weight, kept)
		b.counted = append(b.counted, weight)
		b.partition = append(b.partition, uint16(at.partition))
		b.sequence = append(b.sequence, at.sequence)
	}
}

func (b *block) appendTexts(x *schemas.Batch, s *splitter, from, to int) {
	strings := s.strings
	b.site.append(x.Site[from:to], strings)
	b.method.append(x.Method[from:to], strings)
	b.path.append(x.Path[from:to], strings)
	s.filter.appendTo(&b.query, x.Query[from:to], strings, s.filter.query)
	b.protocol.append(x.Protocol[from:to], strings)
	s.filter.appendTo(&b.referer, x.Referer[from:to], strings, s.filter.referer)
	b.userAgent.append(x.UserAgent[from:to], strings)
	b.acceptLanguage.append(x.AcceptLanguage[from:to], strings)
	b.acceptEncoding.append(x.AcceptEncoding[from:to], strings)
	b.tls.append(x.Tls[from:to], strings)
	b.action.append(x.Action[from:to], strings)
	b.decision.append(x.Decision[from:to], strings)
	b.requestID.append(x.RequestId[from:to], strings)
	b.cacheStatus.append(x.CacheStatus[from:to], strings)
	s.filter.appendExtra(&b.extra, x.Extra[from:to], strings)
}

// networkOf is an address's IPv4 /24 or IPv6 /48, in 16 bytes.
func networkOf(client [16]byte) [16]byte {
	if [12]byte(client[:12]) == [12]byte{10: 0xff, 11: 0xff} {
		client[15] = 0
		return client
	}
	clear(client[6:])
	return client
}
