package processor

import "slices"

// branch is a Knowledge that knows the same, for a Counter that runs beside the Detector: what
// is learned from now on it is told by tellBranch, to the last key.
func (k *Knowledge) branch() *Knowledge {
	b := NewKnowledge()
	for _, name := range k.names {
		s := k.sites[name]
		s.twin = b.told(name)
		s.twin.known, s.twin.familiar = s.known.Clone(), s.familiar.Clone()
		s.twin.sure = pathSet{slots: slices.Clone(s.sure.slots), n: s.sure.n}
	}
	k.branched = b
	return b
}

// lesson is something that a site learned.
type lesson struct {
	site *siteKnowledge
	what lessonKind
	hash uint64
}

type lessonKind uint8

const (
	lessonPath lessonKind = iota
	lessonProgram
	lessonSure
)

func (k *Knowledge) lesson(s *siteKnowledge, what lessonKind, hash uint64) {
	if k.branched != nil {
		k.lessons = append(k.lessons, lesson{s, what, hash})
	}
}

// tellBranch tells the branch what was learned since it was last told. Nothing else may use
// either meanwhile.
func (k *Knowledge) tellBranch() {
	for _, name := range k.left {
		k.branched.gone(name)
	}
	k.left = k.left[:0]
	for _, name := range k.names {
		s := k.sites[name]
		if s.twin == nil {
			s.twin = k.branched.told(name)
		}
		if s.twin.troubled = s.troubled; len(s.decisions)+len(s.twin.decisions) > 0 {
			clear(s.twin.decisions)
			s.twin.decisions = append(s.twin.decisions[:0], s.decisions...)
		}
	}
	for _, l := range k.lessons {
		twin := l.site.twin
		if twin == nil { // the site has come and gone since
			continue
		}
		switch l.what {
		case lessonPath:
			twin.known.Add(l.hash)
		case lessonProgram:
			twin.familiar.Add(l.hash)
		case lessonSure:
			twin.learnSure(l.hash)
		}
	}
	k.lessons = k.lessons[:0]
}
