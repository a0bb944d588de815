package clickhouse

import (
	"encoding/binary"

	"github.com/ClickHouse/ch-go/proto"
)

// The columns of a block are kept as they go over the wire, in ClickHouse's Native
// format, so that storing a row costs no allocation and one copy of its strings.
// They are proto.ColInput.

// number is a column of integers that the table calls kind.
type number struct {
	proto.ColUInt64
	kind proto.ColumnType
}

// Type is the table's.
func (n *number) Type() proto.ColumnType { return n.kind }

// text is a column of strings, each its length (a varint) and its bytes.
type text struct {
	wire []byte
	rows int
}

func (t *text) append(indices []uint32, strings []string) {
	wire := t.wire
	for _, index := range indices {
		s := strings[index]
		wire = append(binary.AppendUvarint(wire, uint64(len(s))), s...)
	}
	t.wire, t.rows = wire, t.rows+len(indices)
}

func (t *text) appendOne(s string) {
	t.wire, t.rows = append(binary.AppendUvarint(t.wire, uint64(len(s))), s...), t.rows+1
}

func (t *text) reset() { t.wire, t.rows = t.wire[:0], 0 }

// Type is the table's.
func (t *text) Type() proto.ColumnType { return proto.ColumnTypeString }

// Rows is the number of strings.
func (t *text) Rows() int { return t.rows }

// EncodeColumn appends the column to a buffer.
func (t *text) EncodeColumn(b *proto.Buffer) { b.PutRaw(t.wire) }

// WriteColumn lends the column to a writer.
func (t *text) WriteColumn(w *proto.Writer) { w.ChainWrite(t.wire) }

// dictionary is a LowCardinality(String): each distinct string once, and an index
// into them for each row.
type dictionary struct {
	index   map[string]uint32
	strings text
	keys    proto.ColUInt32
	keys16  proto.ColUInt16
	keys8   proto.ColUInt8
	known   []uint32 // scratch: of a batch's string table, the index here plus one; 0 is not looked up yet
}

// fewRows is below which looking each row up is cheaper than a table of the batch.
const fewRows = 64

func (d *dictionary) append(indices []uint32, strings []string) {
	if len(indices) < fewRows {
		for _, index := range indices {
			d.keys = append(d.keys, d.lookup(strings[index]))
		}
		return
	}
	if cap(d.known) < len(strings) {
		d.known = make([]uint32, len(strings))
	}
	known := d.known[:len(strings)]
	clear(known)
	keys := d.keys
	for _, index := range indices {
		key := known[index]
		if key == 0 {
			key = d.lookup(strings[index]) + 1
			known[index] = key
		}
		keys = append(keys, key-1)
	}
	d.keys = keys
}

// repeat appends one string for n rows.
func (d *dictionary) repeat(s string, n int) {
	key := d.lookup(s)
	for range n {
		d.keys = append(d.keys, key)
	}
}

func (d *dictionary) lookup(s string) uint32 {
	key, ok := d.index[s]
	if !ok {
		if d.index == nil {
			d.index = make(map[string]uint32)
		}
		key = uint32(d.strings.rows)
		d.index[s] = key
		d.strings.wire = append(binary.AppendUvarint(d.strings.wire, uint64(len(s))), s...)
		d.strings.rows++
	}
	return key
}

func (d *dictionary) reset() {
	clear(d.index)
	d.strings.reset()
	d.keys = d.keys[:0]
}

// Type is the table's.
func (d *dictionary) Type() proto.ColumnType {
	return proto.ColumnTypeLowCardinality.Sub(proto.ColumnTypeString)
}

// Rows is the number of rows, not of distinct strings.
func (d *dictionary) Rows() int { return d.keys.Rows() }

// Of ClickHouse's SerializationLowCardinality: the version of the prefix, and the
// flags of a block whose dictionary comes with it.
const (
	dictionaryVersion = 1
	dictionaryFlags   = 1<<9 | 1<<10 // has additional keys, replaces the dictionary
)

// EncodeState writes the prefix.
func (d *dictionary) EncodeState(b *proto.Buffer) { b.PutInt64(dictionaryVersion) }

// EncodeColumn appends the column to a buffer.
func (d *dictionary) EncodeColumn(b *proto.Buffer) {
	if d.Rows() == 0 {
		return
	}
	keys, width := d.narrow()
	d.head(b, width)
	d.strings.EncodeColumn(b)
	b.PutInt64(int64(d.Rows()))
	keys.EncodeColumn(b)
}

// WriteColumn lends the column to a writer.
func (d *dictionary) WriteColumn(w *proto.Writer) {
	if d.Rows() == 0 {
		return
	}
	keys, width := d.narrow()
	w.ChainBuffer(func(b *proto.Buffer) { d.head(b, width) })
	d.strings.WriteColumn(w)
	w.ChainBuffer(func(b *proto.Buffer) { b.PutInt64(int64(d.Rows())) })
	keys.WriteColumn(w)
}

func (d *dictionary) head(b *proto.Buffer, width int64) {
	b.PutInt64(dictionaryFlags | width)
	b.PutInt64(int64(d.strings.rows))
}

// narrow gives the keys in as few bytes as the dictionary allows.
func (d *dictionary) narrow() (keys proto.ColInput, width int64) {
	switch {
	case d.strings.rows <= 1<<8:
		d.keys8 = d.keys8[:0]
		for _, key := range d.keys {
			d.keys8 = append(d.keys8, uint8(key))
		}
		return &d.keys8, int64(proto.KeyUInt8)
	case d.strings.rows <= 1<<16:
		d.keys16 = d.keys16[:0]
		for _, key := range d.keys {
			d.keys16 = append(d.keys16, uint16(key))
		}
		return &d.keys16, int64(proto.KeyUInt16)
	}
	return &d.keys, int64(proto.KeyUInt32)
}
