package sketch

import (
	"encoding/binary"
	"errors"
	"fmt"
)

// ErrMalformed is wrapped by every error about bytes that do not hold together.
var ErrMalformed = errors.New("malformed sketch")

// input reads a binary form. After the first error every method returns zero.
type input struct {
	what string // the sketch, for the error
	data []byte
	bad  string // what is wrong; empty while nothing is
}

// err is the first error, also where bytes are left over.
func (in *input) err() error {
	if in.bad == "" && len(in.data) > 0 {
		in.bad = fmt.Sprintf("%d bytes follow its end", len(in.data))
	}
	if in.bad == "" {
		return nil
	}
	return fmt.Errorf("%s: %s: %w", in.what, in.bad, ErrMalformed)
}

func (in *input) fail(reason string) {
	if in.bad == "" {
		in.bad, in.data = reason, nil
	}
}

// header reads the letter of the sketch and the version.
func (in *input) header(letter, version byte) {
	if len(in.data) < 2 || in.data[0] != letter {
		in.fail("it does not begin like one")
		return
	}
	if in.data[1] != version {
		in.fail(fmt.Sprintf("version %d, this program knows %d", in.data[1], version))
		return
	}
	in.data = in.data[2:]
}

// uint reads a varint of at most limit, written in as few bytes as can be.
func (in *input) uint(limit uint64) uint64 {
	if len(in.data) > 0 && in.data[0] < 0x80 && uint64(in.data[0]) <= limit { // the common case
		v := uint64(in.data[0])
		in.data = in.data[1:]
		return v
	}
	v, n := binary.Uvarint(in.data)
	switch {
	case n <= 0:
		in.fail("a number is cut short")
		return 0
	case v > limit:
		in.fail(fmt.Sprintf("the number %d, at most %d", v, limit))
		return 0
	case n > 1 && in.data[n-1] == 0:
		in.fail("a number is longer than it must be")
		return 0
	}
	in.data = in.data[n:]
	return v
}

// word reads 4 bytes, least significant first.
func (in *input) word() uint32 {
	if len(in.data) < 4 {
		in.fail("it is cut short")
		return 0
	}
	v := binary.LittleEndian.Uint32(in.data)
	in.data = in.data[4:]
	return v
}

// bytes reads n bytes. They alias the input.
func (in *input) bytes(n int) []byte {
	if len(in.data) < n {
		in.fail("it is cut short")
		return nil
	}
	v := in.data[:n]
	in.data = in.data[n:]
	return v
}
