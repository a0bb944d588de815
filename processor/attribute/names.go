package attribute

import "github.com/weir-project/weir/schemas"

const (
	nameSets  = 4096 // sets of 4 slots
	nameWays  = 4
	nameCount = 255
)

// names remembers the text behind hashed values in a fixed number of slots. In
// each set the most frequent values stay: a value that is not there takes one from
// the count of the weakest, and its place when that is at zero (Boyer and Moore's
// majority vote), so that random values cannot push out those that matter.
type names struct {
	sets   [nameSets][nameWays]nameSlot
	noting bool
	notes  []int32 // slots that changed hands since the last Follow, where that is noted
}

type nameSlot struct {
	hash  uint32
	trait schemas.Trait
	count uint8
	text  []byte // its memory is kept when the slot changes hands
}

func (n *names) see(t schemas.Trait, hash uint32, text []byte) {
	set := &n.sets[hash%nameSets]
	weakest, way := &set[0], 0
	for i := range set {
		slot := &set[i]
		if slot.hash == hash && slot.trait == t {
			if slot.count < nameCount {
				slot.count++
			}
			return
		}
		if slot.count < weakest.count {
			weakest, way = slot, i
		}
	}
	if weakest.count > 0 {
		weakest.count--
		return
	}
	if !t.Nameable(text) { // never named, and so never decided on
		return
	}
	weakest.hash, weakest.trait, weakest.count = hash, t, 1
	weakest.text = append(weakest.text[:0], text...)
	if n.noting {
		n.notes = append(n.notes, int32(hash%nameSets)*nameWays+int32(way))
	}
}

// touch counts a value whose text is not at hand, and reports whether it is known.
func (n *names) touch(t schemas.Trait, hash uint32) bool {
	set := &n.sets[hash%nameSets]
	for i := range set {
		if slot := &set[i]; slot.hash == hash && slot.trait == t {
			if slot.count < nameCount {
				slot.count++
			}
			return true
		}
	}
	return false
}

func (n *names) of(t schemas.Trait, hash uint32) (string, bool) {
	set := &n.sets[hash%nameSets]
	for i := range set {
		if slot := &set[i]; slot.hash == hash && slot.trait == t && hash != 0 {
			return string(slot.text), true
		}
	}
	return "", false
}
