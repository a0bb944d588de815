// Package journald takes access-log lines from the systemd journal, through the export
// format of journalctl, and gives them to a ship. The journal's cursor is the place, so
// that a restart goes on behind the last line that was published.
package journald

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
)

// Bounds of an entry. The journal itself lets a field have 768 MiB.
const (
	maxValue  = 128 << 10 // bytes of a field that is wanted
	maxName   = 256       // bytes of a field's name (systemd has 64)
	maxFields = 2048      // of an entry
)

// entry is what is wanted of a journal entry.
type entry struct {
	cursor  []byte // __CURSOR
	message []byte // MESSAGE
	long    bool   // the message is longer than maxValue, and absent
	fields  int
}

// decoder reads the journal export format
// (https://systemd.io/JOURNAL_EXPORT_FORMATS/): fields, each "NAME=text" and a newline,
// or "NAME", a newline, the length as 64 bits little-endian, so many bytes, and a
// newline; and an empty line after the last of an entry.
type decoder struct {
	in    *bufio.Reader
	entry entry
	name  []byte
}

func newDecoder(r io.Reader) *decoder { return &decoder{in: bufio.NewReaderSize(r, 64<<10)} }

// errFormat says that what comes is no export format: where the next entry begins
// cannot be said.
var errFormat = errors.New("it is not the journal export format")

// next gives the next entry; it is valid until next is called again. The error is
// io.EOF between two entries, io.ErrUnexpectedEOF within one.
func (d *decoder) next() (*entry, error) {
	d.entry = entry{cursor: d.entry.cursor[:0], message: d.entry.message[:0]}
	for {
		ended, err := d.field()
		switch {
		case errors.Is(err, io.EOF) && d.entry.fields > 0:
			return nil, io.ErrUnexpectedEOF
		case err != nil:
			return nil, err
		case ended && d.entry.fields > 0:
			return &d.entry, nil
		case d.entry.fields > maxFields:
			return nil, fmt.Errorf("%w: an entry of more than %d fields", errFormat, maxFields)
		}
	}
}

// field reads one field; ended says that it was the empty line.
func (d *decoder) field() (ended bool, err error) {
	part, err := d.in.ReadSlice('\n')
	if errors.Is(err, io.EOF) && len(part) > 0 {
		err = io.ErrUnexpectedEOF
	}
	if err != nil && !errors.Is(err, bufio.ErrBufferFull) {
		return false, err
	}
	whole := err == nil
	if whole {
		part = part[:len(part)-1]
	}
	if whole && len(part) == 0 {
		return true, nil
	}
	d.entry.fields++
	at := bytes.IndexByte(part, '=')
	if at > maxName || at < 0 && len(part) > maxName || at == 0 {
		return false, fmt.Errorf("%w: a field's name of more than %d bytes, or none", errFormat, maxName)
	}
	if at < 0 {
		return false, d.binary(append(d.name[:0], part...))
	}
	into, kept := d.wanted(part[:at])
	if into == nil {
		return false, d.restOfLine(whole)
	}
	*into = append((*into)[:0], part[at+1:]...)
	for !whole {
		part, err = d.in.ReadSlice('\n')
		if whole = err == nil; whole {
			part = part[:len(part)-1]
		} else if !errors.Is(err, bufio.ErrBufferFull) {
			return false, unexpected(err)
		}
		if len(*into)+len(part) > maxValue {
			d.drop(into, kept)
			return false, d.restOfLine(whole)
		}
		*into = append(*into, part...)
	}
	if len(*into) > maxValue {
		d.drop(into, kept)
	}
	return false, nil
}

// binary reads a field that is given with its length.
func (d *decoder) binary(name []byte) error {
	d.name = name
	var length [8]byte
	if _, err := io.ReadFull(d.in, length[:]); err != nil {
		return unexpected(err)
	}
	n := binary.LittleEndian.Uint64(length[:])
	if n > 1<<40 {
		return fmt.Errorf("%w: a field of %d bytes", errFormat, n)
	}
	into, kept := d.wanted(name)
	switch {
	case into != nil && n <= maxValue:
		if cap(*into) < int(n) {
			*into = make([]byte, n)
		}
		*into = (*into)[:n]
		if _, err := io.ReadFull(d.in, *into); err != nil {
			return unexpected(err)
		}
	default:
		if into != nil {
			d.drop(into, kept)
		}
		if _, err := io.CopyN(io.Discard, d.in, int64(n)); err != nil {
			return unexpected(err)
		}
	}
	end, err := d.in.ReadByte()
	if err != nil {
		return unexpected(err)
	}
	if end != '\n' {
		return fmt.Errorf("%w: no newline after a field", errFormat)
	}
	return nil
}

// wanted is where a field's value goes, nil for those that nobody wants; message says
// that it is the message.
func (d *decoder) wanted(name []byte) (into *[]byte, message bool) {
	switch string(name) {
	case "__CURSOR":
		return &d.entry.cursor, false
	case "MESSAGE":
		return &d.entry.message, true
	}
	return nil, false
}

// drop leaves out a value that is too long.
func (d *decoder) drop(into *[]byte, message bool) {
	*into = (*into)[:0]
	d.entry.long = d.entry.long || message
}

func (d *decoder) restOfLine(whole bool) error {
	for !whole {
		_, err := d.in.ReadSlice('\n')
		if whole = err == nil; !whole && !errors.Is(err, bufio.ErrBufferFull) {
			return unexpected(err)
		}
	}
	return nil
}

// unexpected makes an end within an entry of an end.
func unexpected(err error) error {
	if errors.Is(err, io.EOF) {
		return io.ErrUnexpectedEOF
	}
	return err
}
