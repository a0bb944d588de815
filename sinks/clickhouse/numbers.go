package clickhouse

import (
	"cmp"
	"slices"

	"github.com/weir-project/weir/schemas"
)

// maxSources bounds how many sources a partition remembers the numbers of.
const maxSources = 16384

// numbers are the last batch numbers of each source, to know a repeated batch by.
// Beyond maxSources the source that was heard of least recently is forgotten; what
// is remembered depends on the messages alone, so that a restart comes to the same.
type numbers struct {
	last  map[sourceKey]*heard
	clock uint64
}

type sourceKey struct{ edge, source string }

type heard struct{ number, at uint64 }

func newNumbers(list []SourceNumber) *numbers {
	n := &numbers{last: make(map[sourceKey]*heard, len(list))}
	for _, s := range list { // the oldest first
		n.clock++
		n.last[sourceKey{s.Edge, s.Source}] = &heard{number: s.Number, at: n.clock}
	}
	return n
}

// fresh reports whether the batch has not been seen, and remembers it. A batch
// without a number is always fresh.
func (n *numbers) fresh(b *schemas.Batch) bool {
	if b.Number == 0 {
		return true
	}
	n.clock++
	key := sourceKey{b.Edge, b.Source}
	h := n.last[key]
	if h == nil {
		if len(n.last) >= maxSources {
			n.forget()
		}
		n.last[key] = &heard{number: b.Number, at: n.clock}
		return true
	}
	h.at = n.clock
	if b.Number <= h.number {
		return false
	}
	h.number = b.Number
	return true
}

// forget drops the eighth that was heard of least recently, to do so seldom.
func (n *numbers) forget() {
	for _, s := range n.ordered()[:maxSources/8] {
		delete(n.last, s)
	}
}

func (n *numbers) ordered() []sourceKey {
	keys := make([]sourceKey, 0, len(n.last))
	for key := range n.last {
		keys = append(keys, key)
	}
	slices.SortFunc(keys, func(a, b sourceKey) int { return cmp.Compare(n.last[a].at, n.last[b].at) })
	return keys
}

// list is what newNumbers takes.
func (n *numbers) list() []SourceNumber {
	keys := n.ordered()
	list := make([]SourceNumber, len(keys))
	for i, key := range keys {
		list[i] = SourceNumber{Edge: key.edge, Source: key.source, Number: n.last[key].number}
	}
	return list
}
