package schemas

import (
	"fmt"
	"math"
	"net/netip"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/proto"
)

// DecodeBatch reads what EncodeBatch wrote and checks that it holds together:
// whatever it returns without an error can be walked by Rows without a panic.
// Errors wrap ErrBatch.
func DecodeBatch(message []byte) (*Batch, error) {
	return new(BatchDecoder).Decode(message)
}

// BatchDecoder decodes one batch after the other into the same memory. The zero
// value is ready. Not for concurrent use.
type BatchDecoder struct {
	batch Batch
	raw   []byte
}

// Decode is DecodeBatch; the batch is valid until the next Decode.
func (d *BatchDecoder) Decode(message []byte) (*Batch, error) {
	fail := func(err error) (*Batch, error) { return nil, fmt.Errorf("decode batch: %w: %v", ErrBatch, err) }
	size, err := s2.DecodedLen(message)
	if err != nil {
		return fail(err)
	}
	if size > MaxBatchDecoded {
		return fail(fmt.Errorf("%d bytes decoded, at most %d", size, MaxBatchDecoded))
	}
	if cap(d.raw) < size {
		d.raw = make([]byte, size)
	}
	raw, err := s2.Decode(d.raw[:cap(d.raw)], message)
	if err != nil {
		return fail(err)
	}
	// Merging appends to what is there: emptied columns keep their memory.
	x := &d.batch
	x.Edge, x.Source, x.Strings, x.StringLengths = "", "", nil, x.StringLengths[:0]
	x.Version, x.Number, x.Watermark, x.Fields, x.Weight = 0, 0, 0, 0, 0
	x.empty()
	x.Client = nil
	x.ProtoReflect().SetUnknown(nil)
	if err := (proto.UnmarshalOptions{Merge: true, DiscardUnknown: true}).Unmarshal(raw, x); err != nil {
		return fail(err)
	}
	if err := x.check(); err != nil {
		return fail(err)
	}
	return x, nil
}

func (x *Batch) check() error {
	if err := x.checkHead(); err != nil {
		return err
	}
	rows := len(x.Time)
	if len(x.Client) != 16*rows {
		return fmt.Errorf("%d bytes of clients for %d rows", len(x.Client), rows)
	}
	if len(x.StringLengths) > textCount*rows+1 { // each is worth 24 bytes to whoever reads them
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
	request.RequestID, request.CacheStatus = r.texts[b.RequestId[i]], r.texts[b.CacheStatus[i]]
	request.Extra = r.texts[b.Extra[i]]
	return true
}

// Column names a column of strings.
type Column uint8

// The columns of strings.
const (
	ColumnSite Column = iota
	ColumnMethod
	ColumnPath
	ColumnQuery
	ColumnProtocol
	ColumnReferer
	ColumnUserAgent
	ColumnAcceptLanguage
	ColumnAcceptEncoding
	ColumnTLS
	ColumnAction
	ColumnDecision
	ColumnRequestID
	ColumnCacheStatus
	ColumnExtra
)

// Indices are a column's, one a row, into the batch's string table, 0 being "".
// What is computed of a string can be kept under its index for as long as the batch
// is walked: equal indices are equal strings. The same string may have several
// indices; request ids do. Not to be changed.
func (r *Rows) Indices(c Column) []uint32 { return *r.batch.textColumns()[c] }

// Texts is the batch's string table, which Indices point into. Not to be changed.
func (r *Rows) Texts() [][]byte { return r.texts }

// Row is the index of the row that Next gave last, -1 before the first.
func (r *Rows) Row() int { return r.next - 1 }

// Len is the number of rows of the batch.
func (r *Rows) Len() int { return len(r.batch.GetTime()) }
