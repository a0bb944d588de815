package schemas

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"
	"math/bits"
	"unicode/utf8"

	"github.com/klauspost/compress/s2"
	"google.golang.org/protobuf/encoding/protowire"
)

// DecodeBatch reads what EncodeBatch wrote and checks that it holds together:
// whatever it returns without an error can be walked by Rows without a panic, and
// has all its columns at full length. Errors wrap ErrBatch.
func DecodeBatch(message []byte) (*Batch, error) {
	return new(BatchDecoder).Decode(message)
}

// BatchDecoder decodes one batch after the other into the same memory. The zero
// value is ready. Not for concurrent use.
type BatchDecoder struct {
	batch    Batch
	raw      []byte
	clients  []byte // 16 bytes a row
	long     []byte // as in the message
	short    []byte // as in the message
	longBits []byte // as in the message
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
	d.forget()
	if err := d.fields(raw); err != nil {
		return fail(err)
	}
	if err := d.complete(); err != nil {
		return fail(err)
	}
	return &d.batch, nil
}

// forget empties the batch and keeps its memory.
func (d *BatchDecoder) forget() {
	x := &d.batch
	x.Version, x.Number, x.Watermark, x.Fields, x.Weight = 0, 0, 0, 0, 0
	x.Strings, x.StringLengths, x.Time = nil, x.StringLengths[:0], x.Time[:0]
	d.long, d.short, d.longBits = nil, nil, nil
	for _, c := range x.textColumns() {
		*c = (*c)[:0]
	}
	x.Status, x.Cookie = x.Status[:0], x.Cookie[:0]
	x.Bytes, x.Duration, x.UpstreamDuration = x.Bytes[:0], x.Duration[:0], x.UpstreamDuration[:0]
}

// fields reads the message's fields as they stand in it. What batch.proto does not
// know is passed over, so that fields can be added.
func (d *BatchDecoder) fields(raw []byte) error {
	var edge, source []byte
	for len(raw) > 0 {
		number, kind, n := protowire.ConsumeTag(raw)
		if n < 0 {
			return protowire.ParseError(n)
		}
		raw = raw[n:]
		var err error
		switch kind {
		case protowire.VarintType:
			var v uint64
			if v, n = protowire.ConsumeVarint(raw); n >= 0 {
				err = d.number(number, v)
			}
		case protowire.BytesType:
			var v []byte
			if v, n = protowire.ConsumeBytes(raw); n < 0 {
				break
			}
			switch number {
			case numberEdge:
				edge = v
			case numberSource:
				source = v
			default:
				err = d.bytes(number, v)
			}
		case protowire.Fixed64Type:
			var v uint64
			if v, n = protowire.ConsumeFixed64(raw); n >= 0 && number == numberWeight {
				d.batch.Weight = math.Float64frombits(v)
			}
		default:
			n = protowire.ConsumeFieldValue(number, kind, raw)
		}
		if n < 0 {
			return protowire.ParseError(n)
		}
		if err != nil {
			return fmt.Errorf("field %d: %w", number, err)
		}
		raw = raw[n:]
	}
	if d.batch.Edge != string(edge) {
		d.batch.Edge = string(edge)
	}
	if d.batch.Source != string(source) {
		d.batch.Source = string(source)
	}
	return nil
}

// number takes a field of one number, and an element of a column that is not packed.
func (d *BatchDecoder) number(number protowire.Number, v uint64) error {
	x := &d.batch
	switch number {
	case numberVersion:
		x.Version = uint32(v)
	case numberNumber:
		x.Number = v
	case numberWatermark:
		x.Watermark = int64(v)
	case numberFields:
		x.Fields = uint32(v)
	case numberStrings, numberClient, numberClient4, numberClientLong: // never numbers
	default:
		return d.bytes(number, protowire.AppendVarint(nil, v))
	}
	return nil
}

func (d *BatchDecoder) bytes(number protowire.Number, v []byte) (err error) {
	x := &d.batch
	switch number {
	case numberStrings:
		x.Strings = v
	case numberStringLengths:
		x.StringLengths, err = packed(x.StringLengths, v, textCount*MaxRows+1)
	case numberTime:
		x.Time, err = steps(x.Time, v)
	case numberClient:
		d.long = v
	case numberClient4:
		d.short = v
	case numberClientLong:
		d.longBits = v
	case numberStatus:
		x.Status, err = packed(x.Status, v, MaxRows)
	case numberBytes:
		x.Bytes, err = packed(x.Bytes, v, MaxRows)
	case numberDuration:
		x.Duration, err = packed(x.Duration, v, MaxRows)
	case numberUpstreamDuration:
		x.UpstreamDuration, err = packed(x.UpstreamDuration, v, MaxRows)
	case numberCookie:
		x.Cookie, err = packed(x.Cookie, v, MaxRows)
	default:
		if c := int(number) - numberSite; c >= 0 && c < textCount {
			column := x.textColumns()[c]
			*column, err = packed(*column, v, MaxRows)
		}
	}
	return err
}

var errLong = errors.New("too many elements")

// packed appends the varints of a packed column, of which there may be so many.
func packed[T uint32 | uint64](column []T, v []byte, most int) ([]T, error) {
	at := len(column)
	room := min(len(v), most-at) // each is a byte at least
	if cap(column)-at < room {
		column = append(make([]T, 0, at+room), column...)
	}
	out := column[at : at+room]
	k := 0
	for i := 0; i < len(v); k++ {
		if k >= len(out) {
			return column, errLong
		}
		b := v[i]
		if b < 0x80 {
			out[k] = T(b)
			i++
			continue
		}
		if i+1 < len(v) && v[i+1] < 0x80 {
			out[k] = T(b&0x7f) | T(v[i+1])<<7
			i += 2
			continue
		}
		long, n := protowire.ConsumeVarint(v[i:])
		if n < 0 {
			return column, protowire.ParseError(n)
		}
		out[k] = T(long)
		i += n
	}
	return column[:at+k], nil
}

// steps appends the zigzagged steps of time.
func steps(column []int64, v []byte) ([]int64, error) {
	at := len(column)
	room := min(len(v), MaxRows-at)
	if cap(column)-at < room {
		column = append(make([]int64, 0, at+room), column...)
	}
	out := column[at : at+room]
	k := 0
	for i := 0; i < len(v); k++ {
		if k >= len(out) {
			return column, errLong
		}
		if b := v[i]; b < 0x80 {
			out[k] = int64(b>>1) ^ -int64(b&1)
			i++
			continue
		}
		long, n := protowire.ConsumeVarint(v[i:])
		if n < 0 {
			return column, protowire.ParseError(n)
		}
		out[k] = protowire.DecodeZigZag(long)
		i += n
	}
	return column[:at+k], nil
}

// complete checks that the columns hold together, and brings each to its full length.
func (d *BatchDecoder) complete() error {
	x := &d.batch
	if err := x.checkHead(); err != nil {
		return err
	}
	rows := len(x.Time)
	if err := d.complementClients(rows); err != nil {
		return err
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
	for i, c := range x.textColumns() {
		for _, index := range *c {
			if int(index) >= len(x.StringLengths) || int(x.StringLengths[index]) > textBounds[i] {
				return fmt.Errorf("text column %d holds index %d", i, index)
			}
		}
		if err := complement(c, rows, "of strings"); err != nil {
			return fmt.Errorf("%w (%d)", err, i)
		}
	}
	if len(x.StringLengths) > 0 && x.StringLengths[0] != 0 {
		return fmt.Errorf("the first string has %d bytes, not none", x.StringLengths[0])
	}
	return d.complementNumbers(rows)
}

// complement brings a column to its full length: one element stands for all rows, none
// for as many zeros.
func complement[T uint32 | uint64](column *[]T, rows int, name string) error {
	switch n := len(*column); {
	case n == rows:
	case n == 0:
		*column = filled(*column, 0, rows)
	case n == 1 && rows > 0:
		*column = filled(*column, (*column)[0], rows)
	default:
		return fmt.Errorf("column %s has %d of %d rows", name, n, rows)
	}
	return nil
}

// complementNumbers looks that the numbers fit a Request's, which are narrower.
func (d *BatchDecoder) complementNumbers(rows int) error {
	x := &d.batch
	for _, v := range x.Status {
		if v > math.MaxUint16 {
			return fmt.Errorf("a status of %d", v)
		}
	}
	for _, v := range x.Cookie {
		if v > uint32(CookieSome) {
			return fmt.Errorf("a cookie of %d", v)
		}
	}
	for _, c := range []*[]uint64{&x.Bytes, &x.Duration, &x.UpstreamDuration} {
		all := uint64(0)
		for _, v := range *c {
			all |= v
		}
		if all > math.MaxInt64 {
			return errors.New("a number over 63 bits")
		}
	}
	return errors.Join(
		complement(&x.Status, rows, "status"), complement(&x.Cookie, rows, "cookie"), complement(&x.Bytes, rows, "bytes"),
		complement(&x.Duration, rows, "duration"), complement(&x.UpstreamDuration, rows, "upstream_duration"))
}

// complementClients makes 16 bytes of every client.
func (d *BatchDecoder) complementClients(rows int) error {
	x := &d.batch
	short, long := len(d.short)/4, len(d.long)/16
	if len(d.short)%4 != 0 || len(d.long)%16 != 0 || short+long != rows {
		return fmt.Errorf("%d and %d bytes of clients for %d rows", len(d.short), len(d.long), rows)
	}
	if short == 0 {
		x.Client = d.long
		return nil
	}
	if cap(d.clients) < 16*rows {
		d.clients = make([]byte, 16*rows)
	}
	x.Client = d.clients[:16*rows]
	if long > 0 && len(d.longBits) != (rows+7)/8 {
		return fmt.Errorf("%d bytes that tell clients apart, for %d rows", len(d.longBits), rows)
	}
	s, l := 0, 0
	for i := range rows {
		out := x.Client[16*i : 16*i+16 : 16*i+16]
		if long > 0 && d.longBits[i/8]&(1<<(i%8)) != 0 {
			if l == long {
				return errors.New("clients do not match the bits that tell them apart")
			}
			copy(out, d.long[16*l:16*l+16])
			l++
			continue
		}
		if s == short {
			return errors.New("clients do not match the bits that tell them apart")
		}
		binary.BigEndian.PutUint64(out, 0)
		binary.BigEndian.PutUint32(out[8:], 0xffff)
		copy(out[12:], d.short[4*s:4*s+4])
		s++
	}
	return nil
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
	case !utf8.ValidString(x.Edge) || !utf8.ValidString(x.Source):
		return errors.New("a name of an edge or a source that is no UTF-8")
	case !(x.Weight >= 0 && x.Weight <= MaxWeight) || bits.OnesCount32(uint32(x.Weight)) > 1 || float64(uint32(x.Weight)) != x.Weight:
		return fmt.Errorf("a weight of %v, want a power of two up to %d", x.Weight, MaxWeight)
	}
	return nil
}
