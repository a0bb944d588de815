package schemas

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"reflect"
	"testing"
	"time"
)

// plainDecision is one as it stands in a snapshot.
func plainDecision(id, value string) Event {
	now := time.Date(2026, 11, 22, 5, 8, 12, 345e6, time.UTC)
	return Event{
		Type: DecisionAdded, Time: now, Sites: []string{"www.example.org", "shop.example.org"}, Incident: "i261122-050812",
		Decision: &Decision{ID: id, Action: Block, Scope: ScopeClient, Value: value, Expires: now.Add(time.Hour),
			Collateral: 0.0003, CollateralPerHour: 1.25e-7, CollateralClients: 9800, Reason: "it sends what the attack sends", Origin: OriginWeir},
	}
}

// Snapshots are read without encoding/json: were a field missing here, they would be read
// six times as slowly, and nobody would see why.
func TestPlainLinesReadSnapshots(t *testing.T) {
	var p plainLines
	for i, e := range []Event{plainDecision("i1-1", "192.0.2.1"), plainDecision("i1-2", "2001:db8::"), {
		Type: DecisionRemoved, Time: time.Unix(1e9, 0), Decision: &Decision{ID: "m1", Action: Throttle, Scope: ScopePrefix, Value: "192.0.2.0/24", Expires: time.Unix(2e9, 0), Origin: "alice", Probes: "0123456789abcdef"},
	}} {
		if i == 0 {
			e.CollateralPerHour = 0.5 // small ones have an exponent: those are left to encoding/json
		}
		line, err := AppendEvent(nil, &e)
		if err != nil {
			t.Fatal(err)
		}
		var got Event
		if read := p.read(line[:len(line)-1], &got); read != (i != 1) {
			t.Errorf("read: %t: %s", read, line)
		}
	}
}

// What plainLines reads is what encoding/json reads, whatever came before.
func FuzzPlainLines(f *testing.F) {
	for _, e := range []Event{plainDecision("i1-1", "192.0.2.1"), plainDecision("i1-2", "2001:db8::")} {
		e.CollateralPerHour = 3
		line, err := AppendEvent(nil, &e)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(line[:len(line)-1], line[:len(line)-1])
	}
	f.Add([]byte(`{"type":"decision.added","sites":[],"collateral":0.5,"time":"2026-01-01T00:00:00Z"}`), []byte(`{"sites":["a"],"sites":[]}`))
	f.Add([]byte(`{"decision":"a\u0041","collateral_clients":1e3}`), []byte(`{"value":"ä","collateral":-0}`))
	f.Add([]byte(`{"collateral":00.5}`), []byte(`{"collateral_clients":01}`))
	f.Fuzz(func(t *testing.T, first, second []byte) {
		var p plainLines
		for _, line := range [][]byte{first, second, first} {
			var got, want Event
			if !p.read(line, &got) {
				continue
			}
			if err := json.Unmarshal(line, &want); err != nil {
				t.Fatalf("%q is read, and is wrong: %v", line, err)
			}
			if !reflect.DeepEqual(got, want) {
				t.Fatalf("%q\n%+v %+v\n%+v %+v", line, got, got.Decision, want, want.Decision)
			}
		}
	})
}

// A large snapshot is packed, and read as it was; what is cut short or says that it is larger
// than any is refused.
func TestLargeSnapshotsArePacked(t *testing.T) {
	events := make([]Event, 3000)
	for i := range events {
		events[i] = plainDecision(fmt.Sprint("i1-", i), netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}).String())
	}
	packed, err := EncodeEvents(7, true, events)
	if err != nil {
		t.Fatal(err)
	}
	plain, err := EncodeEvents(7, false, events)
	if err != nil || len(plain) != len(packed) {
		t.Fatalf("%d messages, %d packed, %v", len(plain), len(packed), err)
	}
	var got []Event
	for i, message := range packed {
		if len(message) > len(plain[i])/5 || plain[i][0] != '{' {
			t.Errorf("message %d: %d bytes, packed %d", i, len(plain[i]), len(message))
		}
		header, part, err := DecodeEvents(message)
		if err != nil || !header.Snapshot || header.Part != i+1 {
			t.Fatal(header, err)
		}
		got = append(got, part...)
	}
	if len(got) != len(events) || got[2999].Value != events[2999].Value || !reflect.DeepEqual(got[1].Decision, events[1].Decision) {
		t.Errorf("%d events: %+v", len(got), got[1].Decision)
	}
	for _, wrong := range [][]byte{packed[0][:1], packed[0][:len(packed[0])/2], {1, 0xff, 0xff, 0xff, 0x7f, 0}} {
		if _, _, err := DecodeEvents(wrong); !errors.Is(err, ErrEvents) {
			t.Errorf("%.10q: %v", wrong, err)
		}
	}
}
