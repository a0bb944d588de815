package schemas

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

const exampleScore = `20 of user_agent:3 "curl/8"=12 "wget"=9 tls:4 "TLSv1.3 A"=0 method:1 "POST"=8`

func TestScoreText(t *testing.T) {
	s, err := ParseScore(`20 of  method:1 "POST"=8 user_agent:3 "wget"=9 "curl/8"=12 tls:4 "TLSv1.3 A"=0`)
	if err != nil {
		t.Fatal(err)
	}
	if s.String() != exampleScore {
		t.Errorf("got %s, want %s", s, exampleScore)
	}
	for _, c := range []struct{ text, want string }{
		{"", "want a number"},
		{"20", "want a number"},
		{`20 of "curl"=3`, "before any trait"},
		{`20 of agent:3`, "no trait"},
		{`5 of user_agent:3`, "there can be 3 to 3"},
		{`3 of user_agent:3 "x"=9`, "there can be 3 to 9"},
		{`3 of user_agent:0 "x"=65`, "want 0 to 64"},
		{`3 of user_agent:-1 "x"=6`, "want 0 to 64"},
		{`3 of user_agent:0 "x"=6 "x"=7`, "stands twice"},
		{`3 of user_agent:0 user_agent:5`, "stands twice"},
		{`3 of user_agent:0 "x`, "does not end"},
		{`3 of user_agent:0 "x" 4`, "points"},
		{`3 of wide_network:0 "192.0.2.0/24"=4`, "no client has"},
		{`3 of wide_network:0 "192.0.2.0/8"=4`, "no client has"},
		{`3 of narrow_network:0 "::ffff:192.0.0.0/12"=4`, "no client has"},
		{`3 of narrow_network:0 "2a02:1200::/12"=4`, "no client has"},
		{`3 of narrow_network:0 "}"=4`, "no client has"},
		{`3 of user_agent:0 "` + strings.Repeat("x", MaxScore) + `"=4`, "at most"},
	} {
		if _, err := ParseScore(c.text); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%.60q: got %v, want %q", c.text, err, c.want)
		}
	}
}

func TestScoreMatch(t *testing.T) {
	s, err := ParseScore(exampleScore)
	if err != nil {
		t.Fatal(err)
	}
	request := func(agent, tls, method string, fields Fields) *Request {
		return &Request{UserAgent: []byte(agent), TLS: []byte(tls), Method: []byte(method), Fields: fields}
	}
	all := FieldUserAgent | FieldTLS
	for _, c := range []struct {
		r    *Request
		want bool
	}{
		{request("curl/8", "x", "POST", all), true},         // 12+4+8
		{request("curl/8", "TLSv1.3 A", "POST", all), true}, // 12+0+8
		{request("wget", "TLSv1.3 A", "POST", all), false},  // 9+0+8
		{request("curl/8", "x", "GET", all), false},         // 12+4+1
		{request("curl/8", "x", "POST", FieldTLS), false},   // the agent is unknown
		{request("other", "other", "POST", all), false},     // 3+4+8
	} {
		if got, _ := s.Match(c.r, nil); got != c.want {
			t.Errorf("%s %s %s: %v", c.r.UserAgent, c.r.TLS, c.r.Method, got)
		}
	}
}

// drawScore draws a valid one.
func drawScore(t *rapid.T) *Score {
	s := &Score{}
	fewest, most := 0, 0
	for _, trait := range rapid.SliceOfNDistinct(rapid.IntRange(0, NumScored-1), 1, NumScored, rapid.ID[int]).Draw(t, "traits") {
		st := ScoreTrait{Trait: Trait(trait), Other: rapid.IntRange(0, MaxPoints).Draw(t, "other")}
		low, high := st.Other, st.Other
		for _, value := range rapid.SliceOfNDistinct(rapid.StringN(0, 40, 80), 0, 5, rapid.ID[string]).Draw(t, "values") {
			if st.Trait.IsNetwork() {
				network, _ := st.Trait.NetworkOf(drawAddress(t))
				if value = network.String(); slices.ContainsFunc(st.Values, func(v ScoreValue) bool { return v.Value == value }) {
					continue
				}
			}
			points := rapid.IntRange(0, MaxPoints).Draw(t, "points")
			low, high = min(low, points), max(high, points)
			st.Values = append(st.Values, ScoreValue{value, points})
		}
		fewest, most = fewest+low, most+high
		s.Traits = append(s.Traits, st)
	}
	if fewest == most {
		t.Skip("it tells nothing apart")
	}
	s.Least = rapid.IntRange(fewest+1, most).Draw(t, "least")
	s.Sort()
	return s
}

func drawAddress(t *rapid.T) netip.Addr {
	bytes := rapid.SliceOfN(rapid.Byte(), 16, 16).Draw(t, "address")
	if rapid.Bool().Draw(t, "IPv4") {
		return netip.AddrFrom4([4]byte(bytes[:4]))
	}
	return netip.AddrFrom16([16]byte(bytes)).Unmap()
}

// TestScoreOfNetworks: where a client comes from is worth as much as the score says, and nothing is reached by who has no address.
func TestScoreOfNetworks(t *testing.T) {
	s, err := ParseScore(`20 of method:1 "POST"=8 wide_network:4 "198.0.0.0/8"=6 "2a02::/16"=0 narrow_network:2 "198.48.0.0/12"=6 "2a02:1200::/24"=9`)
	if err != nil || !s.FromNetworks() {
		t.Fatal(err)
	}
	for client, want := range map[string]bool{
		"198.51.100.1": true, "198.63.255.255": true, "::ffff:198.51.100.1": true, // 8+6+6
		"198.47.255.255": false, "198.64.0.0": false, "2001:db8::1": false, // 8+6+2, 8+4+2
		"2a02:12ff::1": false, "2a02:12ff::1%eth0": false, // 8+0+9
		"": false,
	} {
		address, _ := netip.ParseAddr(client)
		if got, _ := s.Match(&Request{Method: []byte("POST"), Client: address}, nil); got != want {
			t.Errorf("%q: %v", client, got)
		}
	}
	// What is known without the networks may come to the least sum, and no more counts where they are not known.
	s.Least = 8
	if got, _ := s.Match(&Request{Method: []byte("POST")}, nil); got {
		t.Error("who has no address is matched")
	}
	for _, text := range []string{`wide_network="198.0.0.0/8"`, `narrow_network="198.48.0.0/12" method="GET"`} {
		if _, err := ParseSignature(text); err == nil || !strings.Contains(err.Error(), "no trait") {
			t.Errorf("%s: a signature of a network: %v", text, err)
		}
	}
	r, scratch := &Request{Method: []byte("POST"), Client: netip.MustParseAddr("198.51.100.1")}, make([]byte, 0, 64)
	if n := testing.AllocsPerRun(100, func() { _, scratch = s.Match(r, scratch) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

// TestScoresAreBounded in their networks, as in their other values.
func TestScoresAreBounded(t *testing.T) {
	var b strings.Builder
	b.WriteString("3 of narrow_network:0")
	for i := range MaxScoreNetworks + 1 {
		fmt.Fprintf(&b, ` "%d.%d.0.0/12"=4`, 1+i/16, i%16*16)
	}
	if _, err := ParseScore(b.String()); err == nil || !strings.Contains(err.Error(), "networks, at most 256") {
		t.Errorf("%v", err)
	}
	if s, err := ParseScore(b.String()[:strings.LastIndex(b.String(), " ")]); err != nil || len(s.Traits[0].Values) != MaxScoreNetworks {
		t.Error(err)
	}
}

func TestScoreRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := drawScore(t)
		back, err := ParseScore(s.String())
		if err != nil {
			t.Fatal(err)
		}
		if back.String() != s.String() {
			t.Fatalf("%s became %s", s, back)
		}
	})
}

func FuzzParseScore(f *testing.F) {
	f.Add(exampleScore)
	f.Add(`1 of path_known:0 "no"=1`)
	f.Add(`9 of wide_network:4 "198.0.0.0/8"=6 "2a02::/16"=0 narrow_network:2 "198.48.0.0/12"=6`)
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseScore(text)
		if err != nil {
			return
		}
		back, err := ParseScore(s.String())
		if err != nil && len(s.String()) <= MaxScore {
			t.Fatalf("%q became %q: %v", text, s, err)
		}
		if err == nil && back.String() != s.String() {
			t.Fatalf("%q became %q, then %q", text, s, back)
		}
	})
}

// TestScoreOnTheWire: an edge that knows no scores takes the message, and refuses the score alone.
func TestScoreOnTheWire(t *testing.T) {
	now := time.Date(2026, 11, 30, 9, 0, 0, 0, time.UTC)
	e := Event{Type: DecisionAdded, Time: now, Sites: []string{"a.example"}, Decision: &Decision{
		ID: "i1-1", Action: Challenge, Scope: ScopeScore, Value: exampleScore, Expires: now.Add(time.Hour), Origin: OriginWeir,
	}}
	messages, err := EncodeEvents(1, false, []Event{e})
	if err != nil {
		t.Fatal(err)
	}
	if !strings.Contains(string(messages[0]), `"scope":"signature"`) || e.Scope != ScopeScore {
		t.Errorf("%s", messages[0])
	}
	if _, err := ParseSignature(exampleScore); err == nil {
		t.Error("it reads as a signature")
	}
	_, events, err := DecodeEvents(messages[0])
	if err != nil || len(events) != 1 || events[0].Scope != ScopeScore || events[0].Value != exampleScore {
		t.Errorf("%v %+v", err, events)
	}
}

func BenchmarkScoreMatch(b *testing.B) {
	s, err := ParseScore(exampleScore)
	if err != nil {
		b.Fatal(err)
	}
	r := &Request{UserAgent: []byte("curl/8"), TLS: []byte("x"), Method: []byte("POST"), Fields: FieldUserAgent | FieldTLS}
	scratch := make([]byte, 0, 64)
	b.ReportAllocs()
	for b.Loop() {
		_, scratch = s.Match(r, scratch)
	}
}
