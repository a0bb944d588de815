package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"google.golang.org/protobuf/encoding/protowire"
)

// BatchVersion is the layout that this code writes and reads.
const BatchVersion = 2

// Bounds on one batch, held when encoding and when decoding.
const (
	MaxRows         = 16384
	MaxBatchDecoded = 2 * MaxMessage // bytes of the uncompressed message
	MaxSource       = 4096           // bytes of a source's name: a path (Linux, PATH_MAX)
)

// rowRoom is more than any one row can add to a message: its strings at their
// bounds with their lengths, and a row of every column. What does not compress
// (and a flood's random paths do not) is sent as long as it is, so a batch is
// full before one more such row, its head and s2's own framing pass MaxMessage.
const rowRoom = 5*MaxText + 5*MaxTrait + 2*MaxSite + 5*MaxMethod + 160

// headRoom is more than what stands once in a message, beside the names of the
// edge and the source: tags, lengths of columns, numbers.
const headRoom = 256

// ErrBatch is wrapped by every error about a batch that does not hold together.
var ErrBatch = errors.New("malformed batch")

// Builder fills a Batch row by row. It copies what it is given, keeps each
// distinct string once, and keeps its memory over Reset. Not for concurrent use.
type Builder struct {
	batch   Batch
	strings stringTable
	rows    int
	last    int64
	size    int // bytes of the uncompressed message so far, at most

	texts                     [textCount]textColumn
	status, cookie            column[uint32]
	bytes, duration, upstream column[uint64]
}

// NewBuilder makes a Builder for one source of one edge.
func NewBuilder(edge, source string) *Builder {
	b := &Builder{strings: newStringTable()}
	b.batch.Edge, b.batch.Source = edge, source
	b.Reset()
	return b
}

// Rename makes it the Builder of another source, and empties it.
func (b *Builder) Rename(edge, source string) {
	b.batch.Edge, b.batch.Source = edge, source
	b.Reset()
}

// Reset empties the batch and keeps edge, source and memory.
func (b *Builder) Reset() {
	x := &b.batch
	b.strings.reset()
	b.rows, b.last, b.size = 0, 0, headRoom+len(x.Edge)+len(x.Source)
	x.Version, x.Number, x.Watermark, x.Fields, x.Weight = BatchVersion, 0, 0, 0, 0
	x.Time, x.Client = x.Time[:0], x.Client[:0]
	for i := range b.texts {
		b.texts[i].reset()
	}
	b.status.reset()
	b.cookie.reset()
	b.bytes.reset()
	b.duration.reset()
	b.upstream.reset()
}

// column is a column of a Builder. As long as all rows say the same, which most
// columns of most batches do, it holds that alone.
type column[T uint32 | uint64] struct {
	values []T
	value  T
	varies bool
}

func (c *column[T]) reset() { c.value, c.varies = 0, false }

// add appends a value to a column of so many rows.
func (c *column[T]) add(v T, rows int) {
	if v != c.value || c.varies {
		c.append(v, rows)
	}
}

func (c *column[T]) append(v T, rows int) {
	if !c.varies {
		if rows == 0 {
			c.value = v
			return
		}
		c.values, c.varies = filled(c.values, c.value, rows), true
	}
	c.values = append(c.values, v)
}

// all is the whole column.
func (c *column[T]) all(rows int) []T {
	if !c.varies {
		c.values = filled(c.values, c.value, rows)
	}
	return c.values
}

// filled is n times the same, in the given memory where that suffices.
func filled[T uint32 | uint64](memory []T, v T, n int) []T {
	if cap(memory) < n {
		memory = make([]T, n, max(n, 2*cap(memory)))
	}
	memory = memory[:n]
	if v == 0 {
		clear(memory)
	} else if n > 0 {
		memory[0] = v
		for done := 1; done < n; done *= 2 {
			copy(memory[done:], memory[:done])
		}
	}
	return memory
}

// textColumn is a column of indices into the string table.
type textColumn struct {
	column[uint32]
	recent []byte // the last row's string
	index  uint32 // and its index
}

func (c *textColumn) reset() {
	c.column.reset()
	c.recent, c.index = nil, 0
}

// textColumns are the columns of indices into the string table, in the order of
// textFields.
func (x *Batch) textColumns() [textCount]*[]uint32 {
	return [textCount]*[]uint32{
		&x.Site, &x.Method, &x.Path, &x.Query, &x.Protocol, &x.Referer, &x.UserAgent,
		&x.AcceptLanguage, &x.AcceptEncoding, &x.Tls, &x.Action, &x.Decision, &x.RequestId,
		&x.CacheStatus, &x.Extra,
	}
}

func (r *Request) textFields() [textCount]*[]byte {
	return [textCount]*[]byte{
		&r.Site, &r.Method, &r.Path, &r.Query, &r.Protocol, &r.Referer, &r.UserAgent,
		&r.AcceptLanguage, &r.AcceptEncoding, &r.TLS, &r.Action, &r.Decision, &r.RequestID,
		&r.CacheStatus, &r.Extra,
	}
}

const textCount = 15

var textBounds = [textCount]int{
	MaxSite, MaxMethod, MaxText, MaxText, MaxMethod, MaxText, MaxText,
	MaxTrait, MaxTrait, MaxTrait, MaxMethod, MaxTrait, MaxTrait,
	MaxMethod, MaxTrait,
}

// Fits reports whether a row can be added that carries the fields of the rows so
// far: a batch holds requests of one set of fields and one weight only, at most MaxRows
// rows, and at most MaxMessage bytes even where nothing in it can be compressed.
func (b *Builder) Fits(r *Request) bool {
	return b.rows == 0 || b.rows < MaxRows && b.batch.Fields == uint32(r.Fields) && b.batch.Weight == float64(r.Weight) && b.size < MaxMessage-rowRoom
}

// Append adds a row, its strings cut to their bounds. The caller has asked Fits.
func (b *Builder) Append(r *Request) {
	x, t := &b.batch, &b.strings
	before := len(t.bytes) + 2*len(t.lengths)
	step := r.Time - b.last
	b.last = r.Time
	bytes, duration, upstream := uint64(max(r.Bytes, 0)), uint64(max(r.Duration, 0)), uint64(max(r.UpstreamDuration, 0))
	client := r.Client.As16()

	x.Fields, x.Weight = uint32(r.Fields), float64(r.Weight)
	x.Time = append(x.Time, step)
	x.Client = append(x.Client, client[:]...)
	b.text(ColumnSite, r.Site, MaxSite)
	b.text(ColumnMethod, r.Method, MaxMethod)
	b.text(ColumnPath, r.Path, MaxText)
	b.text(ColumnQuery, r.Query, MaxText)
	b.text(ColumnProtocol, r.Protocol, MaxMethod)
	b.text(ColumnReferer, r.Referer, MaxText)
	b.text(ColumnUserAgent, r.UserAgent, MaxText)
	b.text(ColumnAcceptLanguage, r.AcceptLanguage, MaxTrait)
	b.text(ColumnAcceptEncoding, r.AcceptEncoding, MaxTrait)
	b.text(ColumnTLS, r.TLS, MaxTrait)
	b.text(ColumnAction, r.Action, MaxMethod)
	b.text(ColumnDecision, r.Decision, MaxTrait)
	b.texts[ColumnRequestID].add(t.add(r.RequestID, MaxTrait), b.rows) // each is another: no use in looking
	b.text(ColumnCacheStatus, r.CacheStatus, MaxMethod)
	b.text(ColumnExtra, r.Extra, MaxTrait)
	b.status.add(uint32(r.Status), b.rows)
	b.cookie.add(uint32(r.Cookie), b.rows)
	b.bytes.add(bytes, b.rows)
	b.duration.add(duration, b.rows)
	b.upstream.add(upstream, b.rows)
	b.rows++

	b.size += rowBytes + len(t.bytes) + 2*len(t.lengths) - before +
		protowire.SizeVarint(protowire.EncodeZigZag(step)) +
		protowire.SizeVarint(bytes) + protowire.SizeVarint(duration) + protowire.SizeVarint(upstream)
	if len(t.lengths) > 1<<14 {
		b.size += textCount // three bytes an index where rowBytes counts two
	}
}

// text adds a string to a column, which often says the same as in the row before.
func (b *Builder) text(c Column, text []byte, bound int) {
	k := &b.texts[c]
	if string(text) != string(k.recent) {
		k.index, k.recent = b.strings.index(text, bound)
	}
	if k.varies || k.index != k.value {
		k.append(k.index, b.rows)
	}
}

// rowBytes is what a row takes beside its strings and its varying numbers: the
// client with its bit, an index of at most two bytes for each text, the status and
// the cookie.
const rowBytes = 17 + textCount*2 + 3 + 1

// Len is the number of rows so far.
func (b *Builder) Len() int { return b.rows }

// Batch is the batch so far, valid until the next call of Append, Reset or Batch.
// Number and Watermark are the caller's to set.
func (b *Builder) Batch() *Batch {
	x := &b.batch
	x.Strings, x.StringLengths = b.strings.bytes, b.strings.lengths
	for i, c := range x.textColumns() {
		*c = b.texts[i].all(b.rows)
	}
	x.Status, x.Cookie = b.status.all(b.rows), b.cookie.all(b.rows)
	x.Bytes, x.Duration, x.UpstreamDuration = b.bytes.all(b.rows), b.duration.all(b.rows), b.upstream.all(b.rows)
	return x
}

// MessageID is the deterministic id of a batch on its partition, from its source
// and number alone, so that a batch published again is stored once.
func (x *Batch) MessageID(partition int) string {
	return fmt.Sprintf("%s/%s/%d/%d", x.Edge, x.Source, partition, x.Number)
}

// PartitionOf is the partition of a client: stable across collectors and
// versions. IPv6 counts by /64.
func PartitionOf(client netip.Addr) int {
	b := client.As16()
	h := binary.BigEndian.Uint64(b[:8])
	if client.Is4() || client.Is4In6() {
		h = binary.BigEndian.Uint64(b[8:])
	}
	h *= 0x9E3779B97F4A7C15 // Fibonacci hashing (Knuth, TAOCP 3, 6.4)
	return int(h >> 61)     // the top 3 bits: Partitions is 8
}
