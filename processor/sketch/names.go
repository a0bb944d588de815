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
// became heavy since. 4 KiB at most.
type names struct {
	list []name // at most namesMax; beyond its length, memory to use again
	// least is a count that no name in a full list lies below: most keys are lighter, and
	// need not be held against every name.
	least uint32
}

type name struct {
	key  uint32
	n    uint32 // its count when it was last looked at
	text []byte
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
		lightest = len(list)
		if lightest < cap(list) {
			l.list = list[:lightest+1]
		} else {
			l.list = append(list, name{})
		}
		l.least = 0
	} else {
		l.least = min(n, second)
	}
	if lightest < 0 {
		return
	}
	slot := &l.list[lightest]
	slot.key, slot.n, slot.text = key, n, append(slot.text[:0], text[:min(len(text), NameMax)]...)
}

// Name is what the key is called, or nil. It is valid until the tally changes.
func (t *Tally) Name(key uint32) []byte {
	for i := range t.names.list {
		if t.names.list[i].key == key {
			return t.names.list[i].text
		}
	}
	return nil
}

// Forget drops all names.
func (t *Tally) Forget() { t.names.reset() }

// SwapNames exchanges the names, and the memory for them, with another tally's. Names of
// keys that a tally does not have are of no consequence.
func (t *Tally) SwapNames(other *Tally) { t.names, other.names = other.names, t.names }

// TakeNames learns what other's keys are called, without their counts: those first that
// have many in other.
func (t *Tally) TakeNames(other *Tally) {
	for i := range other.names.list {
		if o := &other.names.list[i]; len(t.names.list) < namesMax || o.n > t.names.least {
			t.names.offer(o.key, o.n, o.text)
		}
	}
}

func (n *names) reset() { n.list, n.least = n.list[:0], 0 }

// append writes the names of the keys, which are sorted.
func (n *names) append(dst []byte, keys []tallied) []byte {
	var order [namesMax]uint16
	var number [namesMax]uint16
	count := 0
	for i := range n.list {
		at, ok := searchKey(keys, n.list[i].key)
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
		text := n.list[order[i]].text
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
