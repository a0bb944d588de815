package processor

import (
	"cmp"
	"errors"
	"maps"
	"math"
	"slices"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// A path is known from its first success in calm traffic on: what a page brings, and what
// few ask for, was asked for once. One that looks like somebody's secret, and one that is
// first seen in an incident, wants more. Nobody can be kept from teaching a site that
// answers everything; what it can teach is bounded, and what one client taught is the first
// to go. So it is with agents and the keys of queries.
const (
	// maxPaths and maxPathBytes bound what is known of all sites together.
	maxPaths     = 1 << 17
	maxPathBytes = 8 << 20
	// maxSingles is how many paths a client may make known in a day, by one of so many
	// slots that clients share; maxOthers how many agents, and how many keys: an office has no more.
	maxSingles  = 2000
	maxOthers   = 200
	singleSlots = 1024
	// modest is how many of a list's agents, or keys, may be by one client first for it not to be the first to lose
	// them where there are too many.
	modest = 16
	// fullDays is for how many days of normal traffic a list of which there is too much stays empty.
	fullDays = 7
	// maxPending bounds the paths of an incident that wait for a second client.
	maxPending = 1024
	// secretLength is from which on a segment of letters and digits together may be a
	// secret: such a path is told to nobody before two clients have been there.
	secretLength = 20
)

// pathList is what paths a site is known to have, or what else of it. The zero value is empty.
type pathList struct {
	of      schemas.Listed
	slots   []int32 // index of an entry plus one, by its hash
	entries []pathEntry
	text    []byte
	sure    int // entries that two clients were served, or three
	pending int
	full    bool   // there are more than fit: nothing can be called unknown
	days    uint8  // for which it has been full
	version uint64 // grows with every change of what is told
	taught  []uint16
	unsure  []uint32 // that were known for sure, and were forgotten since it was last asked, see forgotten
}

type pathEntry struct {
	hash, client uint32
	at           uint32 // in text
	second       uint16 // of a pair, the other client's lower half
	length       uint8
	flags        uint8
}

const (
	pathSure    = 1 << iota // two clients were served it, three where it may be a secret
	pathSecret              // it may be somebody's secret
	pathPending             // seen in an incident only, by one
	pathPair                // it may be a secret, and just two clients were served it
	pathShared  = pathSure | pathPair
)

// told reports whether edges are told of the path.
func (e *pathEntry) told() bool {
	return e.flags&pathPending == 0 && (e.flags&pathShared != 0 || e.flags&pathSecret == 0)
}

// by reports whether it would be told of no more, or never was, had a client not been there.
func (e *pathEntry) by(client uint32) bool {
	return e.flags&pathSure == 0 && (e.client == client || e.flags&pathPair != 0 && e.second == uint16(client))
}

func (l *pathList) find(hash uint32) *pathEntry {
	if len(l.slots) == 0 {
		return nil
	}
	mask := uint32(len(l.slots) - 1)
	for i := hash & mask; l.slots[i] != 0; i = (i + 1) & mask {
		if e := &l.entries[l.slots[i]-1]; e.hash == hash {
			return e
		}
	}
	return nil
}

// knows reports whether a path would be known if a client had never been there; 0 is a
// client that has not.
func (l *pathList) knows(hash, client uint32) bool {
	e := l.find(hash)
	return e != nil && e.told() && (client == 0 || !e.by(client))
}

// learn takes a path that was served, and reports whether it is now known for sure and was
// not before.
func (l *pathList) learn(p foundPath, path []byte) (sure bool) {
	if l.full {
		return false
	}
	e := l.find(p.hash)
	if e == nil {
		l.insert(p, path)
		return false
	}
	was := e.told()
	if p.by != byEstablished {
		e.flags = l.settled(e.flags)
	}
	if e.flags&pathSure == 0 && !e.by(p.client) {
		sure = l.share(e, p.client)
	}
	if e.told() != was {
		l.version++
	}
	return sure
}

// share takes that another client was served what is not sure, and reports whether it is now: of what may be a secret, which
// two make known, neither must find it known when it is looked at what a measure would touch, and both can be told until a third comes.
func (l *pathList) share(e *pathEntry, client uint32) (sure bool) {
	e.flags = l.settled(e.flags)
	if e.flags&pathPair == 0 {
		l.sure++
	}
	if e.flags&(pathSecret|pathPair) == pathSecret {
		e.flags, e.second = e.flags|pathPair, uint16(client)
		return false
	}
	e.flags, e.second = e.flags&^pathPair|pathSure, 0
	return true
}

func (l *pathList) settled(flags uint8) uint8 {
	if flags&pathPending != 0 {
		l.pending--
	}
	return flags &^ pathPending
}

func (l *pathList) insert(p foundPath, path []byte) {
	e := pathEntry{hash: p.hash, client: p.client, length: uint8(len(path))}
	if l.of != schemas.ListedAgents && secretive(path) {
		e.flags |= pathSecret
	}
	if p.by == byEstablished {
		if e.flags |= pathPending; l.pending >= maxPending {
			return
		}
	}
	if l.taught == nil {
		l.taught = make([]uint16, singleSlots)
	}
	slot := &l.taught[p.client%singleSlots]
	if *slot >= l.singles() {
		return
	}
	if most, bytes := l.room(); len(l.entries) >= most || len(l.text)+len(path)+2*len(l.entries) > bytes-schemas.MaxKnownPath {
		if l.thin(); l.full {
			return
		}
	}
	*slot++
	if e.flags&pathPending != 0 {
		l.pending++
	}
	l.append(e, path)
	if e.told() {
		l.version++
	}
}

// singles is how many a client may make known in a day.
func (l *pathList) singles() uint16 {
	if l.of == schemas.ListedPaths {
		return maxSingles
	}
	return maxOthers
}

// room is how many there may be, and their text: LinkKeys are told beside what was learned.
func (l *pathList) room() (most, bytes int) {
	if most, bytes = l.of.Bounds(); l.of == schemas.ListedQueries {
		most, bytes = most-len(schemas.LinkKeys), bytes-len(schemas.LinkKeys)*(schemas.MaxKnownQuery+2)
	}
	return most, bytes
}

// append adds an entry that is not there.
func (l *pathList) append(e pathEntry, path []byte) {
	if 2*(len(l.entries)+1) > len(l.slots) {
		l.slots = make([]int32, max(16, 2*len(l.slots)))
		for i := range l.entries {
			l.link(int32(i))
		}
	}
	e.at = uint32(len(l.text))
	l.text = append(l.text, path...)
	l.entries = append(l.entries, e)
	l.link(int32(len(l.entries) - 1))
}

func (l *pathList) link(at int32) {
	mask := uint32(len(l.slots) - 1)
	i := l.entries[at].hash & mask
	for l.slots[i] != 0 {
		i = (i + 1) & mask
	}
	l.slots[i] = at + 1
}

// thin forgets the older half of what one client alone has been served. Where that is little, of agents and
// keys those go that are by clients who were the first with most of them: who makes them up has so many by few
// addresses. Where that is little as well the list is full: it goes, and is begun anew after fullDays. Of a list that is
// not empty something goes each time: whoever needs the room asks until there is enough.
func (l *pathList) thin() {
	single := len(l.entries) - l.sure
	if single > 0 && single >= len(l.entries)/8 {
		drop := (single + 1) / 2
		l.keep(func(e *pathEntry) bool {
			if e.flags&pathShared != 0 || drop == 0 {
				return true
			}
			drop--
			return false
		})
		return
	}
	if loud, n := l.loudest(len(l.entries) / 4); n >= max(len(l.entries)/8, 1) {
		l.keep(func(e *pathEntry) bool { return !loud[e.client] })
		return
	}
	l.keep(func(*pathEntry) bool { return false })
	l.full, l.taught = true, nil
}

// loudest are the clients by whom most entries are, as many as it takes for so many entries, or fewer where all
// others are modest; n is how many entries are theirs. Pages that there are, are nobody's: a crawler finds them all.
func (l *pathList) loudest(enough int) (loud map[uint32]bool, n int) {
	if l.of == schemas.ListedPaths {
		return nil, 0
	}
	by := make(map[uint32]int)
	for i := range l.entries {
		by[l.entries[i].client]++
	}
	clients := slices.SortedFunc(maps.Keys(by), func(x, y uint32) int { return cmp.Or(cmp.Compare(by[y], by[x]), cmp.Compare(x, y)) })
	loud = make(map[uint32]bool)
	for _, client := range clients {
		if n >= enough || by[client] <= modest {
			break
		}
		loud[client] = true
		n += by[client]
	}
	return loud, n
}

// keep forgets what is not kept.
func (l *pathList) keep(kept func(*pathEntry) bool) {
	old := *l
	*l = pathList{of: l.of, version: l.version + 1, taught: l.taught, unsure: l.unsure}
	for i := range old.entries {
		e := old.entries[i]
		if !kept(&e) {
			if e.flags&pathSure != 0 {
				l.unsure = append(l.unsure, e.hash)
			}
			continue
		}
		if e.flags&pathShared != 0 {
			l.sure++
		}
		if e.flags&pathPending != 0 {
			l.pending++
		}
		l.append(e, old.path(&e))
	}
}

// forgotten is what was known for sure and is not any more, since it was last asked.
func (l *pathList) forgotten() (hashes []uint32) {
	hashes, l.unsure = l.unsure, nil
	return hashes
}

func (l *pathList) path(e *pathEntry) []byte { return l.text[e.at : e.at+uint32(e.length)] }

// rest ends a day: who has taught may teach again, and what has been full for long is begun anew.
func (l *pathList) rest() {
	clear(l.taught)
	if !l.full {
		return
	}
	if l.days++; l.days >= fullDays {
		*l = pathList{of: l.of, version: l.version + 1, unsure: l.unsure}
	}
}

// tell is the list as edges know it.
func (l *pathList) tell(site string) *schemas.SiteList {
	told := &schemas.SiteList{Of: l.of, Site: site}
	if l.of == schemas.ListedQueries {
		told.Entries = append(told.Entries, schemas.LinkKeys[:]...)
	}
	var key []byte
	for i := range l.entries {
		if e := &l.entries[i]; e.told() {
			key, _ = l.of.Key(key[:0], l.path(e))
			told.Entries = append(told.Entries, string(key))
		}
	}
	slices.Sort(told.Entries)
	told.Entries = slices.Compact(told.Entries)
	return told
}

func (l *pathList) write(w *state.Writer) {
	w.Bool(l.full)
	w.Uint(l.version)
	w.Uint(uint64(len(l.entries)))
	for i := range l.entries {
		e := &l.entries[i]
		w.Uint(uint64(e.hash))
		w.Uint(uint64(e.client))
		w.Uint(uint64(e.written()))
		w.Text(string(l.path(e)))
	}
}

// written are the flags as they are saved: a program of before knows no pairs, see pairs.
func (e *pathEntry) written() uint8 {
	if e.flags&pathPair != 0 {
		return e.flags&^pathPair | pathSure
	}
	return e.flags
}

// pairs are the entries that just two clients were served, as they are saved beside the list; nothing where there are none.
func (l *pathList) pairs() []byte {
	w := &state.Writer{}
	for i := range l.entries {
		if e := &l.entries[i]; e.flags&pathPair != 0 {
			w.Uint(uint64(i))
			w.Uint(uint64(e.second))
		}
	}
	return w.Bytes
}

// pair takes what pairs wrote of the list as it was filled.
func (l *pathList) pair(saved []byte) error {
	r := state.NewReader(saved)
	for r.Err() == nil && r.More() {
		at, second := r.Uint(math.MaxUint32), uint16(r.Uint(math.MaxUint16))
		if at >= uint64(len(l.entries)) || l.entries[at].flags&pathShared != pathSure || l.entries[at].flags&pathSecret == 0 {
			return errors.New("a pair of clients for what is no secret")
		}
		e := &l.entries[at]
		e.flags, e.second = e.flags&^pathSure|pathPair, second
	}
	return r.Err()
}

// read fills an empty list.
func (l *pathList) read(r *state.Reader) {
	l.full, l.version = r.Bool(), r.Uint(math.MaxInt64)
	most, bytes := l.of.Bounds()
	var key []byte
	for range r.Count(schemas.MaxSitePaths) {
		e := pathEntry{hash: uint32(r.Uint(math.MaxUint32)), client: uint32(r.Uint(math.MaxUint32)), flags: uint8(r.Uint(pathSure | pathSecret | pathPending))}
		path := r.Raw(r.Count(schemas.MaxKnownPath))
		if r.Err() != nil {
			return
		}
		var ok bool
		if key, ok = l.of.Key(key[:0], path); !ok || l.find(e.hash) != nil || len(l.entries) >= most || len(l.text)+len(path)+2*len(l.entries) > bytes {
			r.Fail("a list of known paths does not hold together")
			return
		}
		if e.flags&pathShared != 0 {
			l.sure++
		}
		if e.flags&pathPending != 0 {
			l.pending++
		}
		e.length = uint8(len(path))
		l.append(e, path)
	}
}

// bytes is what it writes, nothing where there is nothing to say.
func (l *pathList) bytes() []byte {
	if len(l.entries) == 0 && !l.full {
		return nil
	}
	w := &state.Writer{}
	l.write(w)
	return w.Bytes
}

// fill reads what bytes wrote into an empty list.
func (l *pathList) fill(saved []byte) error {
	if len(saved) == 0 {
		return nil
	}
	r := state.NewReader(saved)
	l.read(r)
	r.End()
	return r.Err()
}

// secretive reports whether a path has a segment that may be a secret: long, of letters
// and digits together.
func secretive(path []byte) bool {
	run, letters, digits := 0, false, false
	for _, c := range path {
		switch {
		case c >= '0' && c <= '9':
			digits = true
		case c|0x20 >= 'a' && c|0x20 <= 'z':
			letters = true
		case c == '/' || c == '.':
			run, letters, digits = 0, false, false
			continue
		default:
			continue
		}
		if run++; run >= secretLength && letters && digits {
			return true
		}
	}
	return false
}
