package window

import (
	"errors"
	"slices"
	"testing"
)

// TestRestoreRefusesWhatIsMalformed: a saved step that does not hold together is refused, and the
// site is what it was; taken, it would be found out when its window is read.
func TestRestoreRefusesWhatIsMalformed(t *testing.T) {
	const end = 1009
	from := NewSite(NewEstate(DefaultBudget))
	p := new(Pane)
	for key := range uint64(50) {
		p.Counts[Requests]++
		p.Clients.Insert(key * 0x9E3779B97F4A7C15)
		p.Tallies[ByPath].Insert(key*0x9E3779B97F4A7C15, 1, []byte("/"))
	}
	from.Take(end, p)
	from.Close(end)
	from.Step()
	var good Step
	from.EachStep(end, end, func(s *Step) { good = *s; good.Data = slices.Clone(s.Data) })
	if len(good.Data) == 0 {
		t.Fatal("nothing was saved: the test shows nothing")
	}
	site := NewSite(NewEstate(DefaultBudget))
	refused := func(what string, s Step) {
		t.Helper()
		if err := site.Restore(&s); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := 1; n < len(good.Data); n++ {
		cut := good
		cut.Data = good.Data[:n]
		refused("cut", cut)
	}
	other := good
	other.Data = slices.Clone(good.Data)
	other.Data[0]++
	refused("of another version", other)
	other = good
	other.Counts[Requests]++
	refused("of other requests", other)
	if err := site.Restore(&good); err != nil {
		t.Fatal(err)
	}
	refused("the same again", good)
	var want, got Detail
	from.Detail(TenMinutes, &want)
	if site.Detail(TenMinutes, &got); got.Counts != want.Counts || got.Clients != want.Clients {
		t.Errorf("%+v, want %+v", got, want)
	}
}
