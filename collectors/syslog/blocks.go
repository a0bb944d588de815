package syslog

import (
	"bytes"
	"context"

	"github.com/weir-project/weir/collectors/intake"
)

// Bounds of what is gathered before it is brought to safety.
const (
	blockBytes   = 256 << 10
	blockStreams = 64
)

// block are lines of one stream, each with its newline.
type block struct {
	host, tag []byte // as they stand in the messages
	stream    intake.Stream
	data      []byte
	lines     int
}

// blocks gather lines by their streams.
type blocks struct {
	all   []block
	used  int // of all
	bytes int // of the data in all
}

// add takes a message's line; false where there are too many streams already.
func (b *blocks) add(m *message) bool {
	for i := range b.all[:b.used] {
		if one := &b.all[i]; bytes.Equal(one.tag, m.tag) && bytes.Equal(one.host, m.host) {
			b.put(one, m.line)
			return true
		}
	}
	if b.used == blockStreams {
		return false
	}
	if b.used == len(b.all) {
		b.all = append(b.all, block{})
	}
	one := &b.all[b.used]
	b.used++
	if !bytes.Equal(one.tag, m.tag) || !bytes.Equal(one.host, m.host) || one.lines == 0 {
		one.host, one.tag = append(one.host[:0], m.host...), append(one.tag[:0], m.tag...)
		one.stream = intake.StreamOf(m.host, m.tag)
	}
	one.data, one.lines = one.data[:0], 0
	b.put(one, m.line)
	return true
}

func (b *blocks) put(one *block, line []byte) {
	one.data = append(append(one.data, line...), '\n')
	one.lines++
	b.bytes += len(line) + 1
}

// reset forgets the lines. The first blocks keep their memory, for the streams are
// mostly the same.
func (b *blocks) reset() {
	for i := range b.all[:b.used] {
		if i > 0 && cap(b.all[i].data) > blockBytes {
			b.all[i].data = nil
		}
	}
	b.used, b.bytes = 0, 0
}

// append brings all lines to safety, stream by stream, and forgets them. The error is
// the last stream's that could not; lost is how many lines were not taken.
func (l *Listener) append(ctx context.Context, b *blocks) (lost int, err error) {
	for i := range b.all[:b.used] {
		one := &b.all[i]
		if failed := l.lines.Append(ctx, one.stream, one.data); failed != nil {
			lost, err = lost+one.lines, failed
			continue
		}
		l.metrics.Took(one.lines, len(one.data))
	}
	b.reset()
	return lost, err
}
