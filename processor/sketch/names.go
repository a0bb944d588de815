package sketch

import (
	"encoding/binary"
	"math"
)

const (
	namesMax = 32 // names that a Tally holds
	// NameMax is how many bytes of a name are kept.
	NameMax = 96
)

// names are what some keys of a Tally are called: the first that came, and those that
// became heavy since. 11 KiB at most.
type names struct {
	list []name // at most namesMax
	text []byte // of all of them: one piece of memory
	// least is a count that no name in a full list lies below: most keys are lighter, and
	// need not be held against every name.
	least uint32
}

type name struct {
	key  uint32
	n    uint32 // its count when it was last looked at
	at   uint16 // where its text begins
	size uint8  // bytes of it
	room uint8  // that there are for another
}

// of is the text of a name. It is valid until the names change.
func (l *names) of(i int) []byte {
	at, size := int(l.list[i].at), int(l.list[i].size)
	return l.text[at : at+size : at+size]
}

// set makes a name that of another key.
func (l *names) set(i int, key, n uint32, text []byte) {
	text = text[:min(len(text), NameMax)]
	slot := &l.list[i]
	if len(text) > int(slot.room) {
		slot.at, slot.room = uint16(len(l.text)), uint8((len(text)+15)/16*16)
		l.grow(int(slot.room))
	}
	slot.key, slot.n, slot.size = key, n, uint8(len(text))
	copy(l.text[slot.at:], text)
}

// grow makes the text longer. There are tens of thousands of lists, which keep their memory:
// doubled ones would stand half empty.
func (l *names) grow(by int) {
	n := len(l.text)
	if n+by > cap(l.text) {
		text := make([]byte, n, n+by+n/8)
		copy(text, l.text)
		l.text = text
	}
	l.text = l.text[:n+by]
}

// add makes a name of a key that has none, where there is room.
func (l *names) add(key, n uint32, text []byte) {
	if len(l.list) == cap(l.list) {
		l.list = append(make([]name, 0, min(len(l.list)+4, namesMax)), l.list...)
	}
	l.list = append(l.list, name{})
	l.set(len(l.list)-1, key, n, text)
	l.least = 0
}

// name remembers what a key with n requests is called, where that is worth it. The key is
// in the table.
func (t *Tally) name(key, n uint32, text []byte) {
	if len(text) == 0 || len(t.names.list) == namesMax && (n <= t.names.least || uint64(n)*(4*namesMax) < t.total) {
		return
	}
	t.names.offer(key, n, text)
}

// offer keeps the name of a key in the table, if there is room or a lighter key to replace.
func (t *Tally) offer(key uint32, text []byte) {
	if s := t.find(key); s != nil {
		t.names.offer(key, s.n, text)
	}
}

// offer keeps the name of a key with n requests if there is room, or one of a lighter key to
// replace.
func (l *names) offer(key, n uint32, text []byte) {
	list := l.list
	lightest, least, second := -1, n, uint32(math.MaxUint32)
	for i := range list {
		switch {
		case list[i].key == key:
			list[i].n = max(list[i].n, n)
			return
		case list[i].n < least:
			if lightest >= 0 {
				second = least
			}
			lightest, least = i, list[i].n
		case list[i].n < second:
			second = list[i].n
		}
	}
	if len(list) < namesMax {
		l.add(key, n, text)
		return
	}
	if l.least = min(n, second); lightest >= 0 {
		l.set(lightest, key, n, text)
	}
}

// Name is what the key is called, or nil. It is valid until the tally changes.
func (t *Tally) Name(key uint32) []byte {
	return t.names.named(key)
}

func (l *names) named(key uint32) []byte {
	for i := range l.list {
		if l.list[i].key == key {
			return l.of(i)
		}
	}
	return nil
}

// Forget drops all names.
func (t *Tally) Forget() { t.names.reset() }

// Names is what keys are called, apart from a tally. The zero value has none.
type Names struct{ kept names }

// TakeMemory drops all names, and hands on the memory for them.
func (t *Tally) TakeMemory() Names {
	memory := t.names
	memory.reset()
	t.names = names{}
	return Names{memory}
}

// GiveMemory drops all names, and takes memory for others.
func (t *Tally) GiveMemory(memory Names) { t.names = memory.kept }

// Empty reports whether there is no memory for any.
func (n *Names) Empty() bool { return cap(n.kept.list) == 0 }

// Take learns what a tally's keys are called: those first that have many requests there.
func (n *Names) Take(t *Tally) {
	l := &n.kept
	for i := range t.names.list {
		if o := &t.names.list[i]; len(l.list) < namesMax || o.n > l.least {
			l.offer(o.key, o.n, t.names.of(i))
		}
	}
}

// Of is what a key is called, or nil. It is valid until the names change.
func (n *Names) Of(key uint32) []byte { return n.kept.named(key) }

// Reset drops all names, and keeps the memory for others.
func (n *Names) Reset() { n.kept.reset() }

func (l *names) reset() { l.list, l.text, l.least = l.list[:0], l.text[:0], 0 }

// append writes the names of the keys, which are sorted.
func (l *names) append(dst []byte, keys []tallied) []byte {
	var order [namesMax]uint16
	var number [namesMax]uint16
	count := 0
	for i := range l.list {
		at, ok := searchKey(keys, l.list[i].key)
		if !ok {
			continue
		}
		j := count
		for ; j > 0 && number[j-1] > uint16(at); j-- {
			number[j], order[j] = number[j-1], order[j-1]
		}
		number[j], order[j] = uint16(at), uint16(i)
		count++
	}
	dst = binary.AppendUvarint(dst, uint64(count))
	for i := range count {
		text := l.of(int(order[i]))
		dst = binary.AppendUvarint(dst, uint64(number[i]))
		dst = binary.AppendUvarint(dst, uint64(len(text)))
		dst = append(dst, text...)
	}
	return dst
}

func searchKey(keys []tallied, key uint32) (int, bool) {
	low, high := 0, len(keys)
	for low < high {
		mid := (low + high) / 2
		if keys[mid].key < key {
			low = mid + 1
		} else {
			high = mid
		}
	}
	return low, low < len(keys) && keys[low].key == key
}

// readNames takes the names that follow the keys.
func (t *Tally) readNames(in *input, keys []uint32) {
	last := -1
	for range in.uint(namesMax) {
		number, length := int(in.uint(TallyMax)), int(in.uint(NameMax))
		text := in.bytes(length)
		if in.bad == "" && (number >= len(keys) || number <= last || length == 0) {
			in.fail("a name of no key, or out of order, or empty")
		}
		if in.bad != "" {
			return
		}
		last = number
		t.offer(keys[number], text)
	}
}
