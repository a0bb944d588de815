package processor

import (
	"fmt"
	"net/netip"
	"testing"

	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/schemas"
)

// TestWhoCameBeforeAnAttackIsKept: steps of a crowd are kept once they are old enough to hold nothing of an
// attack that was not noticed yet, none after it was; the attack's suspects begin with the turn; and
// all that survives a restart.
func TestWhoCameBeforeAnAttackIsKept(t *testing.T) {
	count, err := newMetrics(nil)
	if err != nil {
		t.Fatal(err)
	}
	s := newSite(newDetector(Options{MaxClients: 64, SampleClients: 64}, newExtractor(Options{}), NewKnowledge(), count), "www.example.org", 0)
	second := int64(1_795_000_000)
	step := func(n int) {
		for i := range 10 {
			client := netip.AddrFrom4([4]byte{198, 51, byte(n), byte(i)})
			q := &schemas.Request{Time: second * 1000, Site: []byte(s.name), Client: client, Method: []byte("GET"), Path: []byte("/"), Status: 200}
			s.filling.Add(s.d.extract.ClientHash(client.As16()), q)
		}
		second += stepSeconds
		s.filled(second)
		s.noteEarlier()
		s.empty()
	}
	for n := range 4 { // calm
		step(n)
	}
	s.state.Kind = schemas.Crowd
	s.change(detect.Opened, second, func(schemas.Event) {})
	for n := 4; n < 12; n++ {
		step(n)
	}
	came := func(n int) bool { return s.incident.earlier.Has(netip.AddrFrom4([4]byte{198, 51, byte(n), 1})) }
	for n := range 12 {
		if want := n > 4-earlierLag && n <= 12-earlierLag; came(n) != want {
			t.Errorf("step %d of 12: kept %t, want %t", n, came(n), want)
		}
	}
	s.state.Kind = schemas.Flood
	s.change(detect.Updated, second, func(schemas.Event) {})
	if from := s.incident.suspectsFrom(); from != second-before {
		t.Errorf("the suspects come from %d s before the turn on", second-from)
	}
	was := s.incident.earlier.Len()
	for n := 12; n < 20; n++ {
		step(n)
	}
	if s.incident.earlier.Len() != was {
		t.Error("the attack's clients are among those before it")
	}
	saved := s.incident.saveEarlier()
	s.incident.earlier = nil
	if err := s.loadEarlier(saved); err != nil || s.incident.earlier.Len() != was || fmt.Sprint(s.incident.earlier.IDs()) == "map[]" {
		t.Errorf("after a restart: %v", err)
	}
	if s.loadEarlier(saved[:len(saved)/2]) == nil {
		t.Error("half of it is taken for whole")
	}
	if !s.incident.among {
		t.Error("it does not know that it was a crowd")
	}
}
