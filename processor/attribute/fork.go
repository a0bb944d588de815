package attribute

import (
	"maps"
	"slices"
)

// Fork makes an Extractor that knows what x knows. From then on it notes what it hears, and x
// hears of it by Follow; meanwhile the two may be used beside each other.
func (x *Extractor) Fork() *Extractor {
	f := new(Extractor)
	*f = *x
	for i := range f.names.sets {
		for j := range f.names.sets[i] {
			slot := &f.names.sets[i][j]
			slot.text = slices.Clone(slot.text)
		}
	}
	f.familyNames, f.scratch, f.memo = maps.Clone(x.familyNames), nil, memo{}
	f.memo.init(f)
	f.names.noting = true
	return f
}

// Follow learns the names that a fork has heard since it was last followed. Neither may be used
// meanwhile.
func (x *Extractor) Follow(fork *Extractor) {
	for _, at := range fork.names.notes {
		from, to := &fork.names.sets[at/nameWays][at%nameWays], &x.names.sets[at/nameWays][at%nameWays]
		to.hash, to.trait, to.count = from.hash, from.trait, from.count
		to.text = append(to.text[:0], from.text...)
	}
	fork.names.notes = fork.names.notes[:0]
	if len(fork.familyNames) != len(x.familyNames) {
		maps.Copy(x.familyNames, fork.familyNames)
	}
}
