package schemas

import (
	"errors"
	"fmt"
)

// ErrStale is wrapped where a message's revision is older than one seen before:
// a detector that lost its lease still speaks. Drop the message.
var ErrStale = errors.New("stale revision")

// EventSets puts the messages of a stream of snapshots and changes together, in
// the order of the stream: changes pass at once, because each event carries the
// whole state of what it is about; a snapshot is held back until its last part,
// because what is not in it has ended. The zero value is ready. Not for
// concurrent use.
type EventSets struct {
	// Revision is the greatest seen; set it to refuse older ones from the start.
	Revision uint64

	snapshot []Event
	part     int // of the snapshot that is coming in; 0 is none
	parts    int
}

// maxRoom bounds for how many parts room is made before they have come.
const maxRoom = 512

// Add takes what DecodeEvents returned. It returns the events to apply now, and
// whether they replace everything applied before. A snapshot whose parts do not
// follow on one another is dropped with an error that wraps ErrEvents; one of
// an older revision with one that wraps ErrStale. Errors leave the set usable.
func (s *EventSets) Add(h EventsHeader, events []Event) (ready []Event, replace bool, err error) {
	if h.Revision < s.Revision {
		return nil, false, fmt.Errorf("revision %d after %d: %w", h.Revision, s.Revision, ErrStale)
	}
	if h.Revision > s.Revision { // a new detector: the old one's half snapshot is void
		s.Revision, s.snapshot, s.part = h.Revision, nil, 0
	}
	if !h.Snapshot {
		return events, false, nil
	}
	if h.Part == 1 {
		s.snapshot, s.part, s.parts = nil, 0, h.Parts
	}
	if h.Part != s.part+1 || h.Parts != s.parts {
		err := fmt.Errorf("%w: part %d of %d of a snapshot after part %d of %d", ErrEvents, h.Part, h.Parts, s.part, s.parts)
		s.snapshot, s.part = nil, 0
		return nil, false, err
	}
	if s.snapshot == nil && h.Parts > 1 { // the parts are of about one size
		s.snapshot = make([]Event, 0, min(h.Parts, maxRoom)*len(events)*21/20)
	}
	s.snapshot, s.part = append(s.snapshot, events...), h.Part
	if h.Part < h.Parts {
		return nil, false, nil
	}
	ready, s.snapshot, s.part = s.snapshot, nil, 0
	return ready, true, nil
}
