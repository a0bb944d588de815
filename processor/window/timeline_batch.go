package window

import (
	"encoding/json"
	"errors"
)

// Batch takes the rows of a batch, whose times are at most limit and come as differences
// from one to the next, unix ms. It returns how far they let event time, which is at latest,
// come, and calls doubted with each row that is too far ahead to be believed, and by how
// much. All rows of the batch then count with the line's correction (see Skewed).
func (t *Timeline) Batch(l *Line, deltas []int64, limit, latest, arrived int64, doubted func(ahead int64)) int64 {
	at, low, high := int64(0), int64(1<<63-1), int64(-1<<63)
	for _, d := range deltas {
		at += d
		low, high = min(low, min(at, limit)), max(high, min(at, limit))
	}
	if len(deltas) == 0 {
		return latest
	}
	if latest > 0 && l.shift == 0 && low >= latest-behind && high <= latest+far {
		t.note(l, high)
		l.own += uint64(len(deltas) - 1)
		t.timely += uint64(len(deltas) - 1)
		l.weigh(len(deltas), 0, high, latest, arrived)
		t.agreed = t.agreed || arrived > 0 && high >= arrived-agree && high <= arrived+agree
		return max(latest, high)
	}
	at = 0
	for _, d := range deltas {
		at += d
		moment, believed := t.Moment(l, min(at, limit), latest, arrived)
		if believed {
			latest = max(latest, moment)
		} else if ahead := min(at, limit) + l.shift - latest; ahead > 0 {
			doubted(ahead)
		}
	}
	return latest
}

// Timely reports whether the line's last row was believed.
func (l *Line) Timely() bool { return l.strange == 0 }

// Promise takes the promise of a source that has no rows now: that nothing comes any more
// from before at, unix ms. Where no other source has come of late, nobody says otherwise.
func (t *Timeline) Promise(l *Line, at, latest, arrived int64) int64 {
	impossible := arrived > 0 && t.agreed && at+l.shift > arrived+far
	if at+l.shift > latest && !impossible && !t.active(l, latest) {
		t.note(l, at+l.shift)
		return at + l.shift
	}
	return t.Batch(l, []int64{at}, at, latest, arrived, func(int64) {})
}

// savedTimeline and savedLine are the form that a Timeline is saved in.
type savedTimeline struct {
	Agreed  bool        `json:"agreed,omitempty"`
	Timely  uint64      `json:"timely"`
	LastBy  int         `json:"last_by"` // the place of the line; -1 is none
	LastAt  int64       `json:"last_at"`
	OtherAt int64       `json:"other_at"`
	Lines   []savedLine `json:"lines"`
}

type savedLine struct {
	Edge    string `json:"edge"`
	Source  string `json:"source"`
	Shift   int64  `json:"shift,omitempty"`
	Own     uint64 `json:"own"`
	Seen    int64  `json:"seen"`
	Strange int    `json:"strange,omitempty"`
	Early   bool   `json:"early,omitempty"`
	First   int64  `json:"first,omitempty"`
	Last    int64  `json:"last,omitempty"`
	Began   int64  `json:"began,omitempty"`
	Others  uint64 `json:"others,omitempty"`
	Heard   int64  `json:"heard,omitempty"`
	Doubt   doubt  `json:"doubt,omitzero"`
}

// MarshalJSON writes all that is known, so that whoever goes on with the same rows decides
// the same.
func (t *Timeline) MarshalJSON() ([]byte, error) {
	s := savedTimeline{Agreed: t.agreed, Timely: t.timely, LastBy: -1, LastAt: t.lastAt, OtherAt: t.otherAt, Lines: []savedLine{}}
	for _, l := range t.lines {
		if l == t.lastBy {
			s.LastBy = len(s.Lines)
		}
		s.Lines = append(s.Lines, savedLine{l.edge, l.source, l.shift, l.own, l.seen, l.strange, l.early, l.first, l.last, l.began, l.others, l.heard, l.doubt})
	}
	return json.Marshal(s)
}

// UnmarshalJSON replaces everything by what MarshalJSON wrote.
func (t *Timeline) UnmarshalJSON(data []byte) error {
	var s savedTimeline
	if err := json.Unmarshal(data, &s); err != nil {
		return err
	}
	if len(s.Lines) > maxLines || s.LastBy >= len(s.Lines) {
		return errors.New("a timeline that does not hold together")
	}
	*t = Timeline{agreed: s.Agreed, timely: s.Timely, lastAt: s.LastAt, otherAt: s.OtherAt, lines: make(map[string]*Line, len(s.Lines))}
	for i, l := range s.Lines {
		line := &Line{
			edge: l.Edge, source: l.Source, shift: l.Shift, own: l.Own, seen: l.Seen, strange: l.Strange, early: l.Early,
			first: l.First, last: l.Last, began: l.Began, others: l.Others, heard: l.Heard, doubt: l.Doubt,
		}
		if line.heard == 0 { // saved before it was noted
			line.heard = s.LastAt
		}
		t.lines[l.Edge+"\x00"+l.Source] = line
		if i == s.LastBy {
			t.lastBy = line
		}
	}
	return nil
}
