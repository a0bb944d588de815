// Package state writes and reads what the processor keeps over a restart: numbers
// and bytes one after the other, no reflection, every length bounded, one sticky
// error.
package state

import (
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"math"
)

// ErrMalformed is wrapped by every error about bytes that do not hold together.
var ErrMalformed = errors.New("malformed state")

// Writer appends to Bytes. Where To is not nil, Bytes go there whenever they have become
// many, and with Flush: what is written need not fit into memory twice.
type Writer struct {
	Bytes []byte
	To    io.Writer
	err   error
	form  []byte
}

// spill is how many bytes are many.
const spill = 64 << 10

// Flush writes what Bytes hold to To, and returns the first error of To, if any.
func (w *Writer) Flush() error {
	if w.To != nil && len(w.Bytes) > 0 {
		if w.err == nil {
			_, w.err = w.To.Write(w.Bytes)
		}
		w.Bytes = w.Bytes[:0]
	}
	return w.err
}

// Uint appends a varint.
func (w *Writer) Uint(v uint64) {
	if w.Bytes = binary.AppendUvarint(w.Bytes, v); len(w.Bytes) > spill && w.To != nil {
		_ = w.Flush() // the error stays
	}
}

// Int appends a zigzag varint.
func (w *Writer) Int(v int64) { w.Bytes = binary.AppendVarint(w.Bytes, v) }

// Float appends 8 bytes.
func (w *Writer) Float(v float64) {
	w.Bytes = binary.LittleEndian.AppendUint64(w.Bytes, math.Float64bits(v))
}

// Bool appends one byte.
func (w *Writer) Bool(v bool) {
	b := byte(0)
	if v {
		b = 1
	}
	w.Bytes = append(w.Bytes, b)
}

// Text appends a length and the bytes.
func (w *Writer) Text(v string) {
	w.Uint(uint64(len(v)))
	w.Bytes = append(w.Bytes, v...)
}

// Form appends a length and what fill appends to a slice, whose memory is the Writer's: it is
// made once for all forms. The error is fill's.
func (w *Writer) Form(fill func(dst []byte) ([]byte, error)) (err error) {
	if w.form, err = fill(w.form[:0]); err == nil {
		w.Uint(uint64(len(w.form)))
		w.Bytes = append(w.Bytes, w.form...)
	}
	return err
}

// Reader reads what a Writer wrote. After the first error every method returns
// zero and Err tells.
type Reader struct {
	data []byte
	err  error
}

// NewReader reads from data, which it does not change.
func NewReader(data []byte) *Reader { return &Reader{data: data} }

// Err is the first error, wrapping ErrMalformed, or nil.
func (r *Reader) Err() error { return r.err }

// Fail makes err the reader's error unless it has one.
func (r *Reader) Fail(format string, args ...any) {
	if r.err == nil {
		r.err = fmt.Errorf("%w: %s", ErrMalformed, fmt.Sprintf(format, args...))
		r.data = nil
	}
}

// Uint reads a varint of at most limit.
func (r *Reader) Uint(limit uint64) uint64 {
	v, n := binary.Uvarint(r.data)
	if n <= 0 {
		r.Fail("a number is cut short")
		return 0
	}
	if v > limit {
		r.Fail("the number %d, at most %d", v, limit)
		return 0
	}
	r.data = r.data[n:]
	return v
}

// Count reads a number of elements: at most limit, and no more than there are
// bytes left, so that no more memory is asked for than the input is large.
func (r *Reader) Count(limit int) int {
	n := r.Uint(uint64(limit))
	if n > uint64(len(r.data)) {
		r.Fail("%d elements in %d bytes", n, len(r.data))
		return 0
	}
	return int(n)
}

// Int reads a zigzag varint.
func (r *Reader) Int() int64 {
	v, n := binary.Varint(r.data)
	if n <= 0 {
		r.Fail("a number is cut short")
		return 0
	}
	r.data = r.data[n:]
	return v
}

// Float reads a finite number.
func (r *Reader) Float() float64 {
	if len(r.data) < 8 {
		r.Fail("a number is cut short")
		return 0
	}
	v := math.Float64frombits(binary.LittleEndian.Uint64(r.data))
	if math.IsNaN(v) || math.IsInf(v, 0) {
		r.Fail("a number is not finite")
		return 0
	}
	r.data = r.data[8:]
	return v
}

// Bool reads one byte, 0 or 1.
func (r *Reader) Bool() bool {
	if len(r.data) < 1 || r.data[0] > 1 {
		r.Fail("a flag is neither 0 nor 1")
		return false
	}
	v := r.data[0] == 1
	r.data = r.data[1:]
	return v
}

// Raw reads n bytes, aliasing the input.
func (r *Reader) Raw(n int) []byte {
	if n < 0 || n > len(r.data) {
		r.Fail("%d bytes of %d", n, len(r.data))
		return nil
	}
	v := r.data[:n]
	r.data = r.data[n:]
	return v
}

// Text reads at most limit bytes.
func (r *Reader) Text(limit int) string { return string(r.Raw(r.Count(limit))) }

// More reports whether anything is left.
func (r *Reader) More() bool { return len(r.data) > 0 }

// End makes it an error if anything is left.
func (r *Reader) End() {
	if len(r.data) > 0 {
		r.Fail("%d bytes after the end", len(r.data))
	}
}
