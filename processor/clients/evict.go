package clients

import "net/netip"

// The clock holds a byte for each record: its segment in the low bits, its credit above.

const (
	segmentBits = 2
	maxCredit   = 60 // days, of a regular; the byte has room for 63
	// juniors is how many regulars a new one is compared with where there is no room.
	juniors = 32
	// maxSteps bounds the clients of its segment that a hand passes to find one that
	// goes; the one with the least credit among them goes then.
	maxSteps = 4096
)

func (t *Table) segment(at int) segment { return segment(t.clock[at] & (1<<segmentBits - 1)) }
func (t *Table) credit(at int) uint8    { return t.clock[at] >> segmentBits }

func (t *Table) set(at int, s segment, credit uint8) {
	t.clock[at] = uint8(s) | credit<<segmentBits
}

// room is how many clients a segment may hold.
func (t *Table) room(s segment) int {
	switch s {
	case regulars:
		return t.max / 2
	case returned:
		return t.max / 4
	}
	return t.max
}

// admit makes a record for a client that has none.
func (t *Table) admit(hash, net uint64, second uint32) (at int) {
	if len(t.clock) < t.max {
		at = t.extend()
	} else {
		at = t.victim(newcomers)
		t.unlink(at)
		t.forgotten++
	}
	*t.record(at) = record{net: net, first: second, last: second}
	t.set(at, newcomers, 0)
	t.link(hash, at)
	return at
}

// extend adds a record at the end; the caller links it.
func (t *Table) extend() (at int) {
	t.grow()
	at = len(t.clock)
	t.clock, t.hashes = append(t.clock, 0), append(t.hashes, 0)
	if at/chunkRecords == len(t.chunks) {
		t.chunks = append(t.chunks, new([chunkRecords]record))
	}
	t.size[newcomers]++
	return at
}

// victim moves the hand of a segment that is not empty to the client that goes.
func (t *Table) victim(s segment) int {
	least, steps := -1, 0
	for at := t.hand[s]; ; at++ {
		if at >= len(t.clock) {
			at = 0
		}
		if t.segment(at) != s {
			continue
		}
		credit := t.credit(at)
		if least < 0 || credit < t.credit(least) {
			least = at
		}
		if steps++; credit == 0 || steps == maxSteps {
			t.hand[s] = at + 1
			return least
		}
		t.set(at, s, credit-1)
	}
}

// junior is who has to leave the regulars for the client at: who has been one for the fewest days,
// less those on which it did not come, of some that the hand passes; that client itself where nobody
// is its junior. So a crowd of clients that come for weeks displaces each other, and not those who came
// before them.
func (t *Table) junior(at int) int {
	least, next := at, t.hand[regulars]
	for steps := 0; steps < juniors; next++ {
		if next >= len(t.clock) {
			next = 0
		}
		if next == at || t.segment(next) != regulars {
			continue
		}
		if steps++; t.credit(next) < t.credit(least) {
			least = next
		}
	}
	t.hand[regulars] = next
	return least
}

// touch gives a client that came its credit, and moves it up where it has earned that.
func (t *Table) touch(at int, r *record, calm bool) {
	s, was := t.segment(at), t.credit(at)
	if s != regulars && calm {
		if days := r.regularDays(); days > 0 {
			t.move(at, regulars, creditOf(days))
			return
		}
		if s == newcomers && r.last-r.first >= returnedAfter && r.counts[Served] > r.counts[NotFound]+r.counts[Refused] {
			t.move(at, returned, 1)
			return
		}
	}
	switch {
	case s == regulars && was < maxCredit:
		t.set(at, s, max(was, creditOf(r.regularDays())))
	case s == newcomers && was < 1:
		t.set(at, s, 1)
	case s == returned && was < 2:
		t.set(at, s, 2)
	}
}

func creditOf(days int) uint8 { return uint8(min(days, maxCredit)) }

// move puts a client into a segment above its own; where that is full, another one
// moves down.
func (t *Table) move(at int, to segment, credit uint8) {
	from := t.segment(at)
	t.size[from]--
	t.set(at, to, credit)
	t.size[to]++
	for s := to; s > newcomers && t.size[s] > t.room(s); s-- {
		down := 0
		if s == regulars {
			down = t.junior(at)
		} else {
			down = t.victim(s)
		}
		t.size[s]--
		t.size[s-1]++
		t.set(down, s-1, 1)
	}
}

// drop forgets, once a day, whoever has not come for long, and takes half of every
// score, and one credit from each regular that did not come.
func (t *Table) drop() {
	t.swept = t.now - t.now%(24*3600)
	for at := 0; at < len(t.clock); {
		r := t.record(at)
		r.score /= 2
		r.lapse(tickOf(t.now))
		away := t.now - min(r.last, t.now)
		if s, credit := t.segment(at), t.credit(at); s == regulars && credit > 0 && away >= 24*3600 {
			t.set(at, s, credit-1)
		}
		if away < forgetAfter {
			at++
			continue
		}
		t.remove(at)
	}
}

// remove puts the last record in the place of one.
func (t *Table) remove(at int) {
	t.unlink(at)
	t.size[t.segment(at)]--
	last := len(t.clock) - 1
	if at != last {
		i := t.place(last)
		t.slots[i] += uint32(at) - uint32(last) // the tag stays
		*t.record(at), t.clock[at], t.hashes[at] = *t.record(last), t.clock[last], t.hashes[last]
	}
	t.clock, t.hashes = t.clock[:last], t.hashes[:last]
	t.chunks = t.chunks[:(last+chunkRecords-1)/chunkRecords]
	for s := range t.hand {
		if t.hand[s] >= len(t.clock) {
			t.hand[s] = 0
		}
	}
}

// Forget drops what is kept of a client.
func (t *Table) Forget(client netip.Addr) {
	if at := t.find(t.Hash(client), netOf(client)); at >= 0 {
		t.remove(at)
	}
}
