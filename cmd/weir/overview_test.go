package main

import (
	"fmt"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/internal/top"
	"github.com/weir-project/weir/schemas"
)

func rateSignal(v float64) []schemas.Signal {
	return []schemas.Signal{{Name: "request_rate", Value: v}}
}

// TestOverviewShowsIncidentsFirst: a quiet site that is attacked stands before 300 busy ones, of
// which no more than 200 are told.
func TestOverviewShowsIncidentsFirst(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	sites, b := newSiteBoard(), newBoard()
	for i := range 300 {
		sites.take(now, fmt.Sprintf("busy%03d.example", i), rateSignal(float64(1000-i)))
	}
	for name, rate := range map[string]float64{"quiet.example": 0.1, "small.example": 2, "over.example": 0.2} {
		sites.take(now, name, rateSignal(rate))
	}
	tell := func(kind schemas.EventType, id string, of ...string) {
		b.apply(schemas.Event{Type: kind, Incident: id, Kind: schemas.Flood, Sites: of, Time: now, Opened: now})
	}
	tell(schemas.IncidentOpened, "i1", "quiet.example")
	tell(schemas.IncidentUpdated, "i1", "quiet.example", "small.example")
	tell(schemas.IncidentOpened, "i2", "over.example")
	tell(schemas.IncidentClosed, "i2", "over.example")
	o := b.overview(sites, modeTable{"": config.Observe}, 0, now)
	if o.AllSites != 303 || len(o.Sites) != top.MaxSites {
		t.Fatalf("%d sites of %d", len(o.Sites), o.AllSites)
	}
	for i, want := range []string{"small.example", "quiet.example", "busy000.example", "busy001.example"} {
		s := &o.Sites[i]
		if s.Name != want || (s.Incident == "i1") != (i < 2) {
			t.Errorf("row %d is %s with incident %q, want %s", i, s.Name, s.Incident, want)
		}
	}
}

// TestSitesThatAreGoneLeaveTheBoard: a processor's sites come and go; those without a window for an
// hour make room for others.
func TestSitesThatAreGoneLeaveTheBoard(t *testing.T) {
	now := time.Unix(1_795_000_000, 0)
	sites := newSiteBoard()
	for i := range 1000 {
		sites.take(now, "real.example", rateSignal(1))
		sites.take(now, fmt.Sprintf("host%d.example", i), rateSignal(1))
		now = now.Add(10 * time.Minute)
	}
	if _, all, _ := sites.first(top.MaxSites, nil); all > 10 {
		t.Errorf("%d sites, want the real one and those of the last hour", all)
	}
	if sites.sites["real.example"] == nil || len(sites.sites["real.example"].Rate) != top.History {
		t.Error("a site that goes on lost its history")
	}
}
