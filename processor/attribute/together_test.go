package attribute

import (
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// TestTogetherIsOfTheUnion: look after look measures other clients. What all of them touch together
// is told as one bound, which stays within what blocks and challenges may touch together, and is not
// charged again with each look.
func TestTogetherIsOfTheUnion(t *testing.T) {
	normal, _, r := people(6, 4000)
	alike, measured := make(Alike), map[netip.Addr]schemas.Action{}
	sum, together, looks := 0.0, 0.0, 0
	for range 12 {
		suspect := NewSample(normal.x, 4096)
		for range 60 {
			browse(suspect, r, agents[r.IntN(len(agents))])
		}
		mimics(suspect, r, 500)
		suspect.Span = time.Minute
		measures := Analyse(normal, suspect, Budget{MaxClients: 4096, Alike: alike,
			Measured: func(a netip.Addr) schemas.Action { return measured[a] }})
		if len(measures) == 0 {
			continue
		}
		looks++
		round := map[schemas.Action]float64{}
		for _, m := range measures {
			if m.Scope == schemas.ScopeClient {
				measured[netip.MustParseAddr(m.Value)] = m.Action
				round[m.Action] = max(round[m.Action], m.Together)
			}
			if m.Evidence.Together < together {
				t.Fatalf("all together touch at most %g, and %g before less was in force", m.Evidence.Together, together)
			}
		}
		sum += round[schemas.Block] + round[schemas.Challenge]
		together = measures[0].Evidence.Together
	}
	if looks < 10 || len(alike) == 0 {
		t.Fatalf("%d looks measured anybody, %d normal clients are alike", looks, len(alike))
	}
	t.Logf("%d looks: %.2f %% added up, %.2f %% together, %d normal clients alike", looks, 100*sum, 100*together, len(alike))
	if together > 0.005+0.02 || together > sum/3 {
		t.Errorf("all together are said to touch %.2f %%; each look alone adds up to %.2f %%", 100*together, 100*sum)
	}
	blocked, of := 0, 0
	for i := range normal.clients {
		if heldOut(normal.clients[i].id) {
			of++
		}
	}
	for _, block := range alike {
		if block {
			blocked++
		}
	}
	if bound := UpperShare(blocked, of); bound > 0.005 {
		t.Errorf("blocks of all looks touch %d normal clients, up to %.2f %%", blocked, 100*bound)
	}
}

// TestAlikeIsCountedOnce: who is touched by a signature too is not counted again.
func TestAlikeIsCountedOnce(t *testing.T) {
	normal, suspect, r := people(8, 4000)
	mimics(suspect, r, 300)
	var some uint64
	for i := range normal.clients {
		if heldOut(normal.clients[i].id) {
			some = normal.clients[i].id
			break
		}
	}
	a := newAnalysis(normal, suspect, Budget{Alike: Alike{some: true}}.withDefaults())
	all := make([]uint64, a.normal.words)
	for i := range all {
		all[i] = ^uint64(0)
	}
	if got, want := a.beside(a.normal.clientsOf(all), a.normal.touched(all, true), true), a.normal.touched(all, true); got != want {
		t.Errorf("%+v are touched with one counted twice, %+v without", got, want)
	}
	if got := a.beside(map[uint64]bool{}, touched{}, true); got.all != 1 {
		t.Errorf("%+v where one is alike", got)
	}
}
