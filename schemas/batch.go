package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/proto"
)

// BatchVersion is the layout that this code writes and reads.
const BatchVersion = 1

// Bounds on one batch, held when encoding and when decoding.
const (
	MaxRows         = 16384
	MaxBatchDecoded = 8 << 20 // bytes of the uncompressed message
)

// ErrBatch is wrapped by every error about a batch that does not hold together.
var ErrBatch = errors.New("malformed batch")

// Builder fills a Batch row by row. It copies what it is given, keeps each
// distinct string once, and keeps its memory over Reset. Not for concurrent use.
type Builder struct {
	batch Batch
	index map[string]uint32
	last  int64
	size  int // rough bytes of the message so far
}

// NewBuilder makes a Builder for one source of one edge.
func NewBuilder(edge, source string) *Builder {
	b := &Builder{index: make(map[string]uint32, 1024)}
	b.batch.Edge, b.batch.Source = edge, source
	b.Reset()
	return b
}

// Reset empties the batch and keeps edge, source and memory.
func (b *Builder) Reset() {
	clear(b.index)
	b.last, b.size = 0, 0
	x := &b.batch
	x.Version, x.Number, x.Watermark, x.Fields, x.Weight = BatchVersion, 0, 0, 0, 0
	x.Strings, x.Client = x.Strings[:0], x.Client[:0]
	x.StringLengths = append(x.StringLengths[:0], 0) // index 0 is ""
	x.Time = x.Time[:0]
	for _, column := range x.textColumns() {
		*column = (*column)[:0]
	}
	x.Status, x.Cookie = x.Status[:0], x.Cookie[:0]
	x.Bytes, x.Duration, x.UpstreamDuration = x.Bytes[:0], x.Duration[:0], x.UpstreamDuration[:0]
}

// textColumns are the columns of indices into the string table, in the order of
// textFields.
func (x *Batch) textColumns() [13]*[]uint32 {
	return [13]*[]uint32{
		&x.Site, &x.Method, &x.Path, &x.Query, &x.Protocol, &x.Referer, &x.UserAgent,
		&x.AcceptLanguage, &x.AcceptEncoding, &x.Tls, &x.Action, &x.Decision, &x.RequestId,
	}
}

func (r *Request) textFields() [13]*[]byte {
	return [13]*[]byte{
		&r.Site, &r.Method, &r.Path, &r.Query, &r.Protocol, &r.Referer, &r.UserAgent,
		&r.AcceptLanguage, &r.AcceptEncoding, &r.TLS, &r.Action, &r.Decision, &r.RequestID,
	}
}

var textBounds = [13]int{
	MaxSite, MaxMethod, MaxText, MaxText, MaxMethod, MaxText, MaxText,
	MaxTrait, MaxTrait, MaxTrait, MaxMethod, MaxTrait, MaxTrait,
}

// Fits reports whether a row can be added that carries the fields of the rows so
// far: a batch holds requests of one set of fields only, and at most MaxRows rows
// and about MaxMessage bytes before compression halves them.
func (b *Builder) Fits(r *Request) bool {
	n := len(b.batch.Time)
	return n == 0 || n < MaxRows && b.batch.Fields == uint32(r.Fields) && b.size < 2*MaxMessage
}

// Append adds a row, its strings cut to their bounds. The caller has asked Fits.
func (b *Builder) Append(r *Request) {
	x := &b.batch
	x.Fields = uint32(r.Fields)
	x.Time = append(x.Time, r.Time-b.last)
	b.last = r.Time
	client := r.Client.As16()
	x.Client = append(x.Client, client[:]...)
	fields := r.textFields()
	for i, column := range x.textColumns() {
		*column = append(*column, b.intern(*fields[i], textBounds[i]))
	}
	x.Status = append(x.Status, uint32(r.Status))
	x.Cookie = append(x.Cookie, uint32(r.Cookie))
	x.Bytes = append(x.Bytes, uint64(max(r.Bytes, 0)))
	x.Duration = append(x.Duration, uint64(max(r.Duration, 0)))
	x.UpstreamDuration = append(x.UpstreamDuration, uint64(max(r.UpstreamDuration, 0)))
	b.size += 16 + 13*2 + 12
}

func (b *Builder) intern(text []byte, bound int) uint32 {
	if len(text) == 0 {
		return 0
	}
	text = text[:min(len(text), bound)]
	if i, ok := b.index[string(text)]; ok {
		return i
	}
	i := uint32(len(b.batch.StringLengths))
	b.batch.Strings = append(b.batch.Strings, text...)
	b.batch.StringLengths = append(b.batch.StringLengths, uint32(len(text)))
	b.index[string(text)] = i
	b.size += len(text) + 2
	return i
}

// Len is the number of rows so far.
func (b *Builder) Len() int { return len(b.batch.Time) }

// Batch is the batch so far, valid until the next Append or Reset. Number and
// Watermark are the caller's to set.
func (b *Builder) Batch() *Batch { return &b.batch }

// EncodeBatch appends the compressed message to dst.
func EncodeBatch(dst []byte, b *Batch) ([]byte, error) {
	raw, err := proto.MarshalOptions{}.Marshal(b)
	if err != nil {
		return dst, fmt.Errorf("encode batch: %w", err)
	}
	if len(raw) > MaxBatchDecoded {
		return dst, fmt.Errorf("encode batch: %d bytes, at most %d: %w", len(raw), MaxBatchDecoded, ErrBatch)
	}
	return append(dst, s2.Encode(nil, raw)...), nil
}

// DecodeBatch reads what EncodeBatch wrote and checks that it holds together:
// whatever it returns without an error can be walked by Rows without a panic.
// Errors wrap ErrBatch.
func DecodeBatch(message []byte) (*Batch, error) {
	size, err := s2.DecodedLen(message)
	if err != nil {
		return nil, fmt.Errorf("decode batch: %w: %v", ErrBatch, err)
	}
	if size > MaxBatchDecoded {
		return nil, fmt.Errorf("decode batch: %w: %d bytes decoded, at most %d", ErrBatch, size, MaxBatchDecoded)
	}
	raw, err := s2.Decode(nil, message)
	if err != nil {
		return nil, fmt.Errorf("decode batch: %w: %v", ErrBatch, err)
	}
	b := new(Batch)
	if err := proto.Unmarshal(raw, b); err != nil {
		return nil, fmt.Errorf("decode batch: %w: %v", ErrBatch, err)
	}
	if err := b.check(); err != nil {
		return nil, fmt.Errorf("decode batch: %w: %v", ErrBatch, err)
	}
	return b, nil
}

func (x *Batch) check() error {
	if x.Version != BatchVersion {
		return fmt.Errorf("version %d, this reads %d", x.Version, BatchVersion)
	}
	rows := len(x.Time)
	if rows > MaxRows {
		return fmt.Errorf("%d rows, at most %d", rows, MaxRows)
	}
	if len(x.Edge) > MaxSite {
		return fmt.Errorf("an edge name of %d bytes", len(x.Edge))
	}
	if len(x.Client) != 16*rows {
		return fmt.Errorf("%d bytes of clients for %d rows", len(x.Client), rows)
	}
	total := 0
	for _, n := range x.StringLengths {
		if n > MaxText {
			return fmt.Errorf("a string of %d bytes", n)
		}
		total += int(n)
	}
	if total != len(x.Strings) || rows > 0 && len(x.StringLengths) == 0 {
		return fmt.Errorf("%d bytes of strings for lengths of %d", len(x.Strings), total)
	}
	for i, column := range x.textColumns() {
		if len(*column) != rows {
			return fmt.Errorf("text column %d has %d of %d rows", i, len(*column), rows)
		}
		for _, index := range *column {
			if int(index) >= len(x.StringLengths) || int(x.StringLengths[index]) > textBounds[i] {
				return fmt.Errorf("text column %d holds index %d", i, index)
			}
		}
	}
	for name, n := range map[string]int{
		"status": len(x.Status), "cookie": len(x.Cookie), "bytes": len(x.Bytes),
		"duration": len(x.Duration), "upstream_duration": len(x.UpstreamDuration),
	} {
		if n != rows {
			return fmt.Errorf("column %s has %d of %d rows", name, n, rows)
		}
	}
	return nil
}

// Rows walks the rows of a batch without allocating per row. It may be reused
// for another batch with Reset.
type Rows struct {
	batch *Batch
	texts [][]byte
	next  int
	time  int64
}

// Reset starts at the first row of a batch that DecodeBatch returned or a
// Builder built.
func (r *Rows) Reset(b *Batch) {
	r.batch, r.next, r.time = b, 0, 0
	r.texts = r.texts[:0]
	at := 0
	for _, n := range b.StringLengths {
		r.texts = append(r.texts, b.Strings[at:at+int(n):at+int(n)])
		at += int(n)
	}
}

// Next fills request with the next row and reports whether there was one. The
// slices alias the batch.
func (r *Rows) Next(request *Request) bool {
	i, b := r.next, r.batch
	if b == nil || i >= len(b.Time) {
		return false
	}
	r.next++
	r.time += b.Time[i]
	request.Time = r.time
	request.Client = netip.AddrFrom16([16]byte(b.Client[16*i : 16*i+16])).Unmap()
	request.Status = uint16(b.Status[i])
	request.Cookie = Cookie(b.Cookie[i])
	request.Bytes = int64(b.Bytes[i])
	request.Duration = int64(b.Duration[i])
	request.UpstreamDuration = int64(b.UpstreamDuration[i])
	request.Fields = Fields(b.Fields)
	request.Site, request.Method = r.texts[b.Site[i]], r.texts[b.Method[i]]
	request.Path, request.Query = r.texts[b.Path[i]], r.texts[b.Query[i]]
	request.Protocol, request.Referer = r.texts[b.Protocol[i]], r.texts[b.Referer[i]]
	request.UserAgent, request.AcceptLanguage = r.texts[b.UserAgent[i]], r.texts[b.AcceptLanguage[i]]
	request.AcceptEncoding, request.TLS = r.texts[b.AcceptEncoding[i]], r.texts[b.Tls[i]]
	request.Action, request.Decision = r.texts[b.Action[i]], r.texts[b.Decision[i]]
	request.RequestID = r.texts[b.RequestId[i]]
	return true
}

// Len is the number of rows of the batch.
func (r *Rows) Len() int { return len(r.batch.GetTime()) }

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
