package clickhouse

import (
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

// texts are the columns of strings of the table requests, as they stand in a batch.
const numTexts = 13

var textNames = [numTexts]string{
	"site", "method", "path", "query", "protocol", "referer", "user_agent",
	"accept_language", "accept_encoding", "tls", "action", "decision", "request_id",
}

func textColumns(b *schemas.Batch) [numTexts][]uint32 {
	return [numTexts][]uint32{
		b.Site, b.Method, b.Path, b.Query, b.Protocol, b.Referer, b.UserAgent,
		b.AcceptLanguage, b.AcceptEncoding, b.Tls, b.Action, b.Decision, b.RequestId,
	}
}

// block is rows of one day on their way into the table, column by column. Its
// strings are parts of their batch's string table, which is copied once a batch.
type block struct {
	day      int64 // since 1970-01-01
	time     []int64
	client   [][16]byte
	network  [][16]byte
	texts    [numTexts][]string
	edge     []string
	status   []uint16
	bytes    []uint64
	duration []uint64
	upstream []uint64
	cookie   []int8 // enumerated as schemas.Cookie
	fields   []uint32
	weight   []float64
	sequence []uint64
}

func (b *block) rows() int { return len(b.time) }

// reset empties the block and keeps its memory, but not the strings'.
func (b *block) reset() {
	b.time, b.client, b.network = b.time[:0], b.client[:0], b.network[:0]
	for i := range b.texts {
		clear(b.texts[i])
		b.texts[i] = b.texts[i][:0]
	}
	clear(b.edge)
	b.edge, b.status, b.bytes = b.edge[:0], b.status[:0], b.bytes[:0]
	b.duration, b.upstream, b.cookie = b.duration[:0], b.upstream[:0], b.cookie[:0]
	b.fields, b.weight, b.sequence = b.fields[:0], b.weight[:0], b.sequence[:0]
}

// splitter cuts batches into the runs of rows that are of one day.
type splitter struct {
	times   []int64
	strings []string
}

// split calls add with each run [from, to) of rows of one day, with the batch's
// times and its string table, valid during the call but for the strings' bytes.
func (s *splitter) split(b *schemas.Batch, add func(day int64, from, to int)) {
	s.times = s.times[:0]
	var at int64
	for _, delta := range b.Time {
		at += delta
		s.times = append(s.times, min(max(at, minTime), maxTime))
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
		add(day, from, to)
		from = to
	}
}

// append adds the rows [from, to) of a batch that s has split.
func (b *block) append(batch *schemas.Batch, s *splitter, sequence uint64, from, to int) {
	b.time = append(b.time, s.times[from:to]...)
	for i := from; i < to; i++ {
		client := [16]byte(batch.Client[16*i:])
		b.client = append(b.client, client)
		b.network = append(b.network, networkOf(client))
	}
	for c, column := range textColumns(batch) {
		texts := b.texts[c]
		for _, index := range column[from:to] {
			texts = append(texts, s.strings[index])
		}
		b.texts[c] = texts
	}
	for _, status := range batch.Status[from:to] {
		b.status = append(b.status, uint16(min(status, 1<<16-1)))
	}
	b.bytes = append(b.bytes, batch.Bytes[from:to]...)
	b.duration = append(b.duration, batch.Duration[from:to]...)
	b.upstream = append(b.upstream, batch.UpstreamDuration[from:to]...)
	for _, cookie := range batch.Cookie[from:to] {
		if cookie > uint32(schemas.CookieSome) {
			cookie = uint32(schemas.CookieUnknown)
		}
		b.cookie = append(b.cookie, int8(cookie))
	}
	weight := batch.Weight
	if !(weight > 0) {
		weight = 1
	}
	for range to - from {
		b.edge = append(b.edge, batch.Edge)
		b.fields = append(b.fields, batch.Fields)
		b.weight = append(b.weight, weight)
		b.sequence = append(b.sequence, sequence)
	}
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
