package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"net/netip"
	"slices"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// BatchVersion is the layout that this code writes and reads.
const BatchVersion = 1

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
const rowRoom = 5*MaxText + 4*MaxTrait + 2*MaxSite + 4*MaxMethod + 160

// headRoom is more than what stands once in a message, beside the names of the
// edge and the source: tags, lengths of columns, numbers.
const headRoom = 256

// ErrBatch is wrapped by every error about a batch that does not hold together.
var ErrBatch = errors.New("malformed batch")

// Builder fills a Batch row by row. It copies what it is given, keeps each
// distinct string once, and keeps its memory over Reset. Not for concurrent use.
type Builder struct {
	batch Batch
	index map[string]uint32
	last  int64
	size  int // bytes of the uncompressed message so far, at most
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
	x := &b.batch
	b.last, b.size = 0, headRoom+len(x.Edge)+len(x.Source)
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
// far: a batch holds requests of one set of fields only, at most MaxRows rows,
// and at most MaxMessage bytes even where nothing in it can be compressed.
func (b *Builder) Fits(r *Request) bool {
	n := len(b.batch.Time)
	return n == 0 || n < MaxRows && b.batch.Fields == uint32(r.Fields) && b.size < MaxMessage-rowRoom
}

// Append adds a row, its strings cut to their bounds. The caller has asked Fits.
func (b *Builder) Append(r *Request) {
	x := &b.batch
	x.Fields = uint32(r.Fields)
	step := r.Time - b.last
	x.Time = append(x.Time, step)
	b.last = r.Time
	client := r.Client.As16()
	x.Client = append(x.Client, client[:]...)
	fields := r.textFields()
	for i, column := range x.textColumns() {
		index := b.intern(*fields[i], textBounds[i])
		*column = append(*column, index)
		if index >= 1<<14 {
			b.size++ // three bytes where rowBytes counts two
		}
	}
	x.Status = append(x.Status, uint32(r.Status))
	x.Cookie = append(x.Cookie, uint32(r.Cookie))
	x.Bytes = append(x.Bytes, uint64(max(r.Bytes, 0)))
	x.Duration = append(x.Duration, uint64(max(r.Duration, 0)))
	x.UpstreamDuration = append(x.UpstreamDuration, uint64(max(r.UpstreamDuration, 0)))
	b.size += rowBytes + protowire.SizeVarint(protowire.EncodeZigZag(step)) +
		protowire.SizeVarint(x.Bytes[len(x.Bytes)-1]) +
		protowire.SizeVarint(x.Duration[len(x.Duration)-1]) +
		protowire.SizeVarint(x.UpstreamDuration[len(x.UpstreamDuration)-1])
}

// rowBytes is what a row takes beside its strings and its varying numbers: the
// client, 13 indices of at most two bytes, the status and the cookie.
const rowBytes = 16 + 13*2 + 3 + 1

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

// DecodeBatch reads what EncodeBatch wrote and checks that it holds together:
// whatever it returns without an error can be walked by Rows without a panic.
// Errors wrap ErrBatch.
func DecodeBatch(message []byte) (*Batch, error) {
	raw, err := decompress(message, MaxBatchDecoded)
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
	if err := x.checkHead(); err != nil {
		return err
	}
	rows := len(x.Time)
	if len(x.Client) != 16*rows {
		return fmt.Errorf("%d bytes of clients for %d rows", len(x.Client), rows)
	}
	if len(x.StringLengths) > 13*rows+1 { // each is worth 24 bytes to whoever reads them
		return fmt.Errorf("%d strings for %d rows", len(x.StringLengths), rows)
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
	return x.checkNumbers()
}

func (x *Batch) checkHead() error {
	switch {
	case x.Version != BatchVersion:
		return fmt.Errorf("version %d, this reads %d", x.Version, BatchVersion)
	case len(x.Time) > MaxRows:
		return fmt.Errorf("%d rows, at most %d", len(x.Time), MaxRows)
	case len(x.Edge) > MaxSite:
		return fmt.Errorf("an edge's name of %d bytes, at most %d", len(x.Edge), MaxSite)
	case len(x.Source) > MaxSource:
		return fmt.Errorf("a source's name of %d bytes, at most %d", len(x.Source), MaxSource)
	case !(x.Weight >= 0 && x.Weight <= math.MaxUint32):
		return fmt.Errorf("a weight of %v", x.Weight)
	}
	return nil
}

// checkNumbers looks that the numbers fit a Request's, which are narrower.
func (x *Batch) checkNumbers() error {
	for i := range x.Time {
		if x.Status[i] > math.MaxUint16 || x.Cookie[i] > uint32(CookieSome) {
			return fmt.Errorf("row %d has status %d and cookie %d", i, x.Status[i], x.Cookie[i])
		}
		if x.Bytes[i]|x.Duration[i]|x.UpstreamDuration[i] > math.MaxInt64 {
			return fmt.Errorf("row %d has a number over 63 bits", i)
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
