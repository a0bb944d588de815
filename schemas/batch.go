package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"slices"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
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
	last    int64
	size    int // bytes of the uncompressed message so far, at most
}

// NewBuilder makes a Builder for one source of one edge.
func NewBuilder(edge, source string) *Builder {
	b := &Builder{strings: newStringTable()}
	b.batch.Edge, b.batch.Source = edge, source
	b.Reset()
	return b
}

// Reset empties the batch and keeps edge, source and memory.
func (b *Builder) Reset() {
	x := &b.batch
	b.strings.reset()
	b.last, b.size = 0, headRoom+len(x.Edge)+len(x.Source)
	x.Version, x.Number, x.Watermark, x.Fields, x.Weight = BatchVersion, 0, 0, 0, 0
	x.Strings, x.StringLengths = b.strings.bytes, b.strings.lengths
	x.empty()
}

// empty shortens every column to no rows and keeps its memory.
func (x *Batch) empty() {
	x.Time, x.Client = x.Time[:0], x.Client[:0]
	for _, column := range x.textColumns() {
		*column = (*column)[:0]
	}
	x.Status, x.Cookie = x.Status[:0], x.Cookie[:0]
	x.Bytes, x.Duration, x.UpstreamDuration = x.Bytes[:0], x.Duration[:0], x.UpstreamDuration[:0]
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
// far: a batch holds requests of one set of fields only, at most MaxRows rows,
// and at most MaxMessage bytes even where nothing in it can be compressed.
func (b *Builder) Fits(r *Request) bool {
	n := len(b.batch.Time)
	return n == 0 || n < MaxRows && b.batch.Fields == uint32(r.Fields) && b.size < MaxMessage-rowRoom
}

// Append adds a row, its strings cut to their bounds. The caller has asked Fits.
func (b *Builder) Append(r *Request) {
	x, t := &b.batch, &b.strings
	before := len(t.bytes) + 2*len(t.lengths)
	step := r.Time - b.last
	b.last = r.Time
	bytes, duration, upstream := uint64(max(r.Bytes, 0)), uint64(max(r.Duration, 0)), uint64(max(r.UpstreamDuration, 0))
	client := r.Client.As16()

	x.Fields = uint32(r.Fields)
	x.Time = append(x.Time, step)
	x.Client = append(x.Client, client[:]...)
	x.Site = append(x.Site, t.index(0, r.Site, MaxSite))
	x.Method = append(x.Method, t.index(1, r.Method, MaxMethod))
	x.Path = append(x.Path, t.index(2, r.Path, MaxText))
	x.Query = append(x.Query, t.index(3, r.Query, MaxText))
	x.Protocol = append(x.Protocol, t.index(4, r.Protocol, MaxMethod))
	x.Referer = append(x.Referer, t.index(5, r.Referer, MaxText))
	x.UserAgent = append(x.UserAgent, t.index(6, r.UserAgent, MaxText))
	x.AcceptLanguage = append(x.AcceptLanguage, t.index(7, r.AcceptLanguage, MaxTrait))
	x.AcceptEncoding = append(x.AcceptEncoding, t.index(8, r.AcceptEncoding, MaxTrait))
	x.Tls = append(x.Tls, t.index(9, r.TLS, MaxTrait))
	x.Action = append(x.Action, t.index(10, r.Action, MaxMethod))
	x.Decision = append(x.Decision, t.index(11, r.Decision, MaxTrait))
	x.RequestId = append(x.RequestId, t.add(r.RequestID, MaxTrait)) // each is another: no use in looking
	x.CacheStatus = append(x.CacheStatus, t.index(13, r.CacheStatus, MaxMethod))
	x.Extra = append(x.Extra, t.index(14, r.Extra, MaxTrait))
	x.Status = append(x.Status, uint32(r.Status))
	x.Cookie = append(x.Cookie, uint32(r.Cookie))
	x.Bytes = append(x.Bytes, bytes)
	x.Duration = append(x.Duration, duration)
	x.UpstreamDuration = append(x.UpstreamDuration, upstream)
	x.Strings, x.StringLengths = t.bytes, t.lengths

	b.size += rowBytes + len(t.bytes) + 2*len(t.lengths) - before +
		protowire.SizeVarint(protowire.EncodeZigZag(step)) +
		protowire.SizeVarint(bytes) + protowire.SizeVarint(duration) + protowire.SizeVarint(upstream)
	if len(t.lengths) > 1<<14 {
		b.size += textCount // three bytes an index where rowBytes counts two
	}
}

// rowBytes is what a row takes beside its strings and its varying numbers: the
// client, an index of at most two bytes for each text, the status and the cookie.
const rowBytes = 16 + textCount*2 + 3 + 1

// Len is the number of rows so far.
func (b *Builder) Len() int { return len(b.batch.Time) }

// Batch is the batch so far, valid until the next Append or Reset. Number and
// Watermark are the caller's to set.
func (b *Builder) Batch() *Batch { return &b.batch }

// EncodeBatch appends the compressed message to dst. Errors wrap ErrBatch: the
// batch is larger than a Builder that is asked Fits lets it become.
func EncodeBatch(dst []byte, b *Batch) ([]byte, error) {
	if err := b.checkHead(); err != nil {
		return dst, fmt.Errorf("encode batch: %w: %v", ErrBatch, err)
	}
	raw, err := proto.Marshal(b)
	if err != nil {
		return dst, fmt.Errorf("encode batch: %w: %v", ErrBatch, err)
	}
	if len(raw) > MaxBatchDecoded {
		return dst, fmt.Errorf("encode batch: %w: %d bytes, at most %d", ErrBatch, len(raw), MaxBatchDecoded)
	}
	start := len(dst)
	dst = slices.Grow(dst, s2.MaxEncodedLen(len(raw)))
	message := s2.Encode(dst[start:cap(dst)], raw)
	if len(message) > MaxMessage {
		return dst[:start], fmt.Errorf("encode batch: %w: %d bytes compressed, at most %d", ErrBatch, len(message), MaxMessage)
	}
	return dst[:start+len(message)], nil
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
