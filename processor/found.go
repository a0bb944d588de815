package processor

import (
	"math"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// Bounds of what panes and steps bring.
const (
	paneFound       = 128     // paths of one pane
	paneFoundBytes  = 8 << 10 // and their text
	bucketFound     = 1024    // of one step of a site
	bucketFoundText = 64 << 10
	heldFoundBytes  = 8 << 20 // of all steps of all sites, what they served and was not known among it
)

// How a client is known that found a path.
const (
	byAnybody     = iota // while nothing was wrong
	byEstablished        // in an incident, one that the site had served before it
	byRegular            // in an incident, one that the site knows from an earlier day
	numFinders
)

// found are paths that the site served and that it does not know for sure, the agents that it served them
// to and the keys of their queries. The zero value is empty.
type found struct {
	list []foundPath
	text []byte
	held [schemas.NumListed]struct{ n, text uint32 } // by what they are of
}

type foundPath struct {
	hash, client uint32 // keyed
	length       uint8
	by           uint8
	of           schemas.Listed
}

func (f *found) reset() {
	f.list, f.text = f.list[:0], f.text[:0]
	clear(f.held[:])
}

// othersShare of the room is left to agents, and as much to query keys: any request can make those up and be
// served, and a site's new pages must become known beside them.
const othersShare = 4

// add takes a path as sent, or something else, which schemas.Listed.Key takes, while there is room.
func (f *found) add(p foundPath, path []byte, most, bytes int) {
	held := &f.held[p.of]
	if p.of != schemas.ListedPaths && (int(held.n) >= most/othersShare || int(held.text)+len(path) > bytes/othersShare) {
		return
	}
	if len(f.list) < most && len(f.text)+len(path) <= bytes {
		held.n, held.text = held.n+1, held.text+uint32(len(path))
		p.length = uint8(len(path))
		f.list, f.text = append(roomy(f.list, 1), p), append(roomy(f.text, len(path)), path...)
	}
}

// roomy is a list with room for n more: there are thousands of lists that wait, and a doubled
// one would stand half empty.
func roomy[T any](list []T, n int) []T {
	if len(list)+n <= cap(list) {
		return list
	}
	return append(make([]T, 0, len(list)+n+(len(list)+n)/8+4), list...)
}

// foundPathBytes is what a foundPath takes.
const foundPathBytes = 12

// bytes is what it takes.
func (f *found) bytes() int { return cap(f.text) + cap(f.list)*foundPathBytes }

// join adds what other holds, while there is room.
func (f *found) join(other *found, most, bytes int) {
	other.each(func(p foundPath, path []byte) { f.add(p, path, most, bytes) })
}

func (f *found) each(do func(p foundPath, path []byte)) {
	at := 0
	for _, p := range f.list {
		do(p, f.text[at:at+int(p.length)])
		at += int(p.length)
	}
}

const (
	foundPaths   = 1 // of paths alone
	foundVersion = 2
)

func (f *found) write(w *state.Writer) {
	w.Uint(foundVersion)
	w.Uint(uint64(len(f.list)))
	f.each(func(p foundPath, path []byte) {
		w.Uint(uint64(p.hash))
		w.Uint(uint64(p.client))
		w.Uint(uint64(p.by) + numFinders*uint64(p.of))
		w.Text(string(path))
	})
}

func (f *found) read(r *state.Reader) {
	f.reset()
	kinds := uint64(schemas.NumListed)
	switch r.Uint(math.MaxUint32) {
	case foundPaths:
		kinds = 1
	case foundVersion:
	default:
		r.Fail("found paths of another version")
	}
	var key []byte
	for range r.Count(paneFound) {
		p := foundPath{hash: uint32(r.Uint(math.MaxUint32)), client: uint32(r.Uint(math.MaxUint32))}
		by := r.Uint(numFinders*kinds - 1)
		p.by, p.of = uint8(by%numFinders), schemas.Listed(by/numFinders)
		path := r.Raw(r.Count(schemas.MaxKnownPath))
		if r.Err() != nil {
			return
		}
		var ok bool
		if key, ok = p.of.Key(key[:0], path); !ok {
			r.Fail("a found path that cannot be known")
			return
		}
		f.add(p, path, paneFound, paneFoundBytes)
	}
}
