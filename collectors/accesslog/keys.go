package accesslog

import (
	"encoding/binary"
)

// keys reads the keys of one kind of object. A log's lines have them in one order: so
// where the n-th key of the line before was written like this, this one is likely to
// be, too, and is compared instead of read.
type keys [maxKeys]learnt

// maxKeys is how many keys of an object are learnt.
const maxKeys = 48

// learnt is `"key":` as it stood in a line, with the white space around the colon, and
// the quote that opens the value where it is a text.
type learnt struct {
	words, masks [4]uint64 // the text, and which of the bytes are in it
	size         int       // 0 for none
	key          key
	text         bool // the value is a text, whose quote is part of it
}

// maxLearnt is how long a text may be to be learnt.
const maxLearnt = 32

// match reports whether text, of at least maxLearnt bytes, begins with what was learnt.
func (l *learnt) match(text []byte) bool {
	_ = text[maxLearnt-1]
	return (binary.LittleEndian.Uint64(text)^l.words[0])&l.masks[0]|
		(binary.LittleEndian.Uint64(text[8:])^l.words[1])&l.masks[1] == 0 && (l.size <= 16 ||
		(binary.LittleEndian.Uint64(text[16:])^l.words[2])&l.masks[2]|
			(binary.LittleEndian.Uint64(text[24:])^l.words[3])&l.masks[3] == 0)
}

func (l *learnt) learn(text []byte, id key, quoted bool) {
	if len(text) > maxLearnt {
		l.size = 0
		return
	}
	var bytes, mask [maxLearnt]byte
	copy(bytes[:], text)
	for i := range text {
		mask[i] = 0xff
	}
	for i := range l.words {
		l.words[i], l.masks[i] = binary.LittleEndian.Uint64(bytes[8*i:]), binary.LittleEndian.Uint64(mask[8*i:])
	}
	l.size, l.key, l.text = len(text), id, quoted
}

// next is the n-th key of an object, at i, which no white space stands before. It gives
// the index of the value, behind its quote where it is a text; -1 where there is no key.
func (k *keys) next(line []byte, i, n int, lookup func(name []byte) key, in *stops, scratch *[]byte) (id key, value int, text bool) {
	l := &k[min(n, maxKeys-1)]
	if i+maxLearnt <= len(line) && l.size > 0 && l.match(line[i:]) {
		if i += l.size; l.text || i < len(line) && line[i] > ' ' && line[i] != '"' {
			return l.key, i, l.text
		}
		if i = skipSpace(line, i); i < len(line) && line[i] == '"' {
			return l.key, i + 1, true
		}
		return l.key, i, false
	}
	return l.read(line, i, lookup, in, scratch)
}

func (l *learnt) read(line []byte, i int, lookup func(name []byte) key, in *stops, scratch *[]byte) (id key, value int, text bool) {
	start := i
	if i >= len(line) || line[i] != '"' {
		return 0, -1, false
	}
	end, escaped := in.stringEnd(line, i+1)
	if end < 0 {
		return 0, -1, false
	}
	name := line[i+1 : end]
	if escaped {
		var ok bool
		if name, ok = unescapeJSON(scratch, name); !ok {
			return 0, -1, false
		}
	}
	if i = skipSpace(line, end+1); i >= len(line) || line[i] != ':' {
		return 0, -1, false
	}
	if i = skipSpace(line, i+1); i < len(line) && line[i] == '"' {
		text = true
		i++
	}
	id = lookup(name)
	l.learn(line[start:i], id, text)
	return id, i, text
}

// unescapeJSON is the inside of a string with its escapes undone, in scratch.
func unescapeJSON(scratch *[]byte, text []byte) ([]byte, bool) {
	start := len(*scratch)
	dst, ok := appendJSON(*scratch, text)
	*scratch = dst
	return dst[start:len(dst):len(dst)], ok
}

// another is the index of the next key where a ',' stands at i behind a value, with
// white space around it, and none; at the closing brace it is that index, and ends.
func another(line []byte, i int) (next int, more bool) {
	if i+1 < len(line) && line[i] == ',' && line[i+1] == '"' {
		return i + 1, true
	}
	if i = skipSpace(line, i); i >= len(line) {
		return -1, false
	}
	if line[i] == '}' {
		return i, false
	}
	if line[i] != ',' {
		return -1, false
	}
	return skipSpace(line, i+1), true
}
