package main

import (
	"slices"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

func TestNotLoaded(t *testing.T) {
	now := time.Now()
	decided := func(id string, left time.Duration) schemas.Event {
		return schemas.Event{Type: schemas.DecisionAdded, Decision: &schemas.Decision{ID: id, Expires: now.Add(left)}}
	}
	edge := func(name string, off bool, received time.Time, parts ...schemas.EdgePart) *edgeSeen {
		return &edgeSeen{EdgeReport: &schemas.EdgeReport{Edge: name, Off: off, Parts: parts}, Received: received}
	}
	without := schemas.EdgePart{Name: "nginx", Intended: 3, Loaded: 2, Refused: 1, Without: []schemas.EdgeLack{{ID: "i1-2", Reason: "too long\x1b[2J"}}}
	broken := schemas.EdgePart{Name: "nginx", Intended: 3, Loaded: 0, Error: "nginx: map_hash_bucket_size is too small"}
	cannot := "NOT IN FORCE at nginx of edge web1: it cannot carry i1-2: too long\\x1b[2J"
	for _, c := range []struct {
		name  string
		edges []*edgeSeen
		shown []schemas.Event
		want  []string
	}{
		{"one cannot be carried", []*edgeSeen{edge("web1", false, now, without)}, []schemas.Event{decided("i1-1", time.Hour), decided("i1-2", time.Hour)}, []string{cannot}},
		{"it is another", []*edgeSeen{edge("web1", false, now, without)}, []schemas.Event{decided("i1-1", time.Hour)}, nil},
		{"it has ended", []*edgeSeen{edge("web1", false, now, without)}, []schemas.Event{decided("i1-2", -time.Hour)}, nil},
		{"nothing could be loaded", []*edgeSeen{edge("web1", false, now, broken)}, []schemas.Event{decided("i1-1", time.Hour)},
			[]string{"nginx of edge web1 holds 0 of 3 decisions: nginx: map_hash_bucket_size is too small"}},
		{"the edge is off", []*edgeSeen{edge("web1", true, now, broken)}, []schemas.Event{decided("i1-1", time.Hour)}, nil},
		{"the edge is gone", []*edgeSeen{edge("web1", false, now.Add(-2*edgeGone), broken)}, []schemas.Event{decided("i1-1", time.Hour)}, nil},
	} {
		if got := notLoaded(c.edges, c.shown, now); !slices.Equal(got, c.want) {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}
