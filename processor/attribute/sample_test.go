package attribute

import (
	"bytes"
	"errors"
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

const fields = schemas.FieldReferer | schemas.FieldUserAgent | schemas.FieldAcceptLanguage | schemas.FieldAcceptEncoding |
	schemas.FieldTLS | schemas.FieldCookie

func request(client uint32, agent, encoding, path, referer string, cookie schemas.Cookie) *schemas.Request {
	return &schemas.Request{
		Time: 1_795_000_000_000, Client: netip.AddrFrom4([4]byte{byte(client >> 24), byte(client >> 16), byte(client >> 8), byte(client)}),
		Status: 200, Cookie: cookie, Fields: fields, Site: []byte("www.example.org"), Method: []byte("GET"), Path: []byte(path),
		Protocol: []byte("HTTP/2.0"), Referer: []byte(referer), UserAgent: []byte(agent), AcceptLanguage: []byte("en"),
		AcceptEncoding: []byte(encoding), TLS: []byte("TLSv1.3 TLS_AES_128_GCM_SHA256 X25519"),
	}
}

func (s *Sample) take(r *schemas.Request) {
	s.Add(s.x.ClientHash(schemas.ClientOf(r.Client).As16()), r)
}

func keys(s *Sample) []uint64 {
	var out []uint64
	for i := range s.clients {
		out = append(out, s.clients[i].hash)
	}
	slices.Sort(out)
	return out
}

func TestMergeHasNoOrderAndNoMoreThanTheBound(t *testing.T) {
	x := NewExtractor(1)
	rapid.Check(t, func(t *rapid.T) {
		parts := make([]*Sample, rapid.IntRange(1, 5).Draw(t, "parts"))
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 1))
		all := make(map[uint32]bool)
		for i := range parts {
			parts[i] = NewSample(x, 16)
			for range r.IntN(60) {
				c := r.Uint32N(100)
				all[c] = true
				parts[i].take(request(c, "a", "gzip", "/", "", schemas.CookieNone))
			}
		}
		forward, backward := NewSample(x, 16), NewSample(x, 16)
		for i := range parts {
			forward.Merge(parts[i], false)
			backward.Merge(parts[len(parts)-1-i], false)
		}
		if forward.Len() > 16 {
			t.Fatalf("%d clients, at most 16", forward.Len())
		}
		if !slices.Equal(keys(forward), keys(backward)) || forward.level != backward.level {
			t.Fatalf("orders differ: %d at level %d, %d at level %d", forward.Len(), forward.level, backward.Len(), backward.level)
		}
		if forward.level == 0 && forward.Len() != len(all) {
			t.Fatalf("%d clients, want all %d", forward.Len(), len(all))
		}
	})
}

func TestMemoryIsBoundedWhateverComes(t *testing.T) {
	x := NewExtractor(1)
	s := NewSample(x, 256)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 100_000 {
		noise := fmt.Sprintf("%x", r.Uint64())
		s.take(request(r.Uint32(), noise, noise, "/"+noise, noise, schemas.CookieNone))
		if i%1000 == 0 && (len(s.clients) > 256 || len(s.rows) > 256*maxRows || len(s.texts) > 256) {
			t.Fatalf("%d clients, %d rows, %d texts", len(s.clients), len(s.rows), len(s.texts))
		}
	}
	if c := s.Clients(); c < 70_000 || c > 130_000 {
		t.Errorf("estimates %.0f clients of 100000", c)
	}
	if len(x.scratch) > 4096 {
		t.Errorf("scratch of %d bytes", len(x.scratch))
	}
}

func TestFrequentValuesKeepTheirNamesAmongNoise(t *testing.T) {
	x := NewExtractor(1)
	s := NewSample(x, 64)
	r := rand.New(rand.NewPCG(1, 1))
	for i := range 60_000 {
		agent := fmt.Sprintf("%x", r.Uint64())
		if i%10 == 0 {
			agent = "the attack's"
		}
		s.take(request(uint32(i), agent, "gzip", "/", "", schemas.CookieNone))
	}
	if name, ok := x.Name(schemas.TraitUserAgent, x.hash(schemas.TraitUserAgent, []byte("the attack's"))); !ok || name != "the attack's" {
		t.Errorf("named %q, %v", name, ok)
	}
}

func TestNothingLongOrUnprintableIsNamed(t *testing.T) {
	x := NewExtractor(1)
	s := NewSample(x, 64)
	for _, agent := range []string{strings.Repeat("a", schemas.MaxNamed+1), "line\nbreak", "nul\x00"} {
		s.take(request(1, agent, "gzip", "/", "", schemas.CookieNone))
		if name, ok := x.Name(schemas.TraitUserAgent, x.hash(schemas.TraitUserAgent, []byte(agent))); ok {
			t.Errorf("%.20q is named %.20q", agent, name)
		}
	}
}

// TestTraitsAgreeWithTheSchemas: what is hashed here is what an edge compares.
func TestTraitsAgreeWithTheSchemas(t *testing.T) {
	x := NewExtractor(1)
	for _, r := range []*schemas.Request{
		request(1, "Mozilla/5.0 Firefox/140.0", "gzip", "/a/b2.php", "https://www.example.org/x", schemas.CookieSome),
		request(1, "", "", "", "-", schemas.CookieNone),
		{Method: []byte("GET"), Path: []byte("/"), Protocol: []byte("HTTP/1.0")},
	} {
		r.Query = []byte("q=1&page=2")
		var traits Traits
		x.Profile(&traits, r)
		x.Rest(&traits, r)
		for i := range schemas.NumTraits {
			value, known := schemas.Trait(i).Value(nil, r)
			if known != (traits[i] != 0) {
				t.Errorf("%s: known is %v", schemas.Trait(i), traits[i] != 0)
				continue
			}
			if name, ok := x.Name(schemas.Trait(i), traits[i]); known && (!ok || name != string(value)) {
				t.Errorf("%s: %q, want %q", schemas.Trait(i), name, value)
			}
		}
	}
}

func TestSampleRoundTripAndRefusal(t *testing.T) {
	x := NewExtractor(1)
	s := NewSample(x, 32)
	for i := range uint32(200) {
		s.take(request(i%70, "a", "gzip", fmt.Sprintf("/%d", i), "", schemas.CookieNone))
	}
	w := &state.Writer{}
	s.Write(w)
	back := NewSample(x, 32)
	r := state.NewReader(w.Bytes)
	back.Read(r)
	r.End()
	if r.Err() != nil {
		t.Fatal(r.Err())
	}
	again := &state.Writer{}
	back.Write(again)
	if !bytes.Equal(w.Bytes, again.Bytes) {
		t.Error("what was read is not what was written")
	}
	for n := 0; n < len(w.Bytes); n += 7 {
		r := state.NewReader(w.Bytes[:n])
		NewSample(x, 32).Read(r)
		if !errors.Is(r.Err(), state.ErrMalformed) {
			t.Fatalf("%d of %d bytes: %v", n, len(w.Bytes), r.Err())
		}
	}
}

func FuzzSampleRead(f *testing.F) {
	x := NewExtractor(1)
	s := NewSample(x, 16)
	for i := range uint32(20) {
		s.take(request(i, "a", "gzip", "/", "", schemas.CookieNone))
	}
	w := &state.Writer{}
	s.Write(w)
	f.Add(w.Bytes)
	f.Fuzz(func(t *testing.T, data []byte) {
		s := NewSample(x, 16)
		s.Read(state.NewReader(data))
		if s.Len() > 16 {
			t.Fatalf("%d clients", s.Len())
		}
		s.Merge(s.Clone(), true)
	})
}

func FuzzExamplesArePrintable(f *testing.F) {
	f.Add([]byte("/a\x1b[31m"), []byte("\u202e\xff"))
	f.Fuzz(func(t *testing.T, path, agent []byte) {
		var x text
		x.set(&schemas.Request{Method: []byte("GET"), Path: path, UserAgent: agent})
		out := x.String()
		if strings.ContainsAny(out, "\x00\n\r\x1b\u202e\u2028") || len(out) > 4*maxText {
			t.Fatalf("%q", out)
		}
		sql := Quote(string(agent))
		if body := sql[1 : len(sql)-1]; strings.Contains(strings.ReplaceAll(strings.ReplaceAll(body, `\\`, ""), `\'`, ""), "'") {
			t.Fatalf("%s", sql)
		}
	})
}

func BenchmarkAddTraits(b *testing.B) {
	x := NewExtractor(1)
	s := NewSample(x, 512)
	r := request(1, "Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0", "gzip, deflate, br", "/blog/2024/hello", "", schemas.CookieSome)
	b.ReportAllocs()
	for i := range b.N {
		var t Traits
		x.Profile(&t, r)
		x.Rest(&t, r)
		s.AddTraits(uint64(i%300)*0x9E3779B97F4A7C15, &t, r, Mark{})
	}
}

// TestPackAndThinKeepWhatIsThere: a packed sample merges as the one it is of; a thinned
// one is one that was as thin from the start, and takes more.
func TestPackAndThinKeepWhatIsThere(t *testing.T) {
	x := NewExtractor(1)
	fill := func(s *Sample, from, to uint64) {
		for i := from; i < to; i++ {
			client := mix(i % 300)
			r := schemas.Request{Method: []byte("GET"), Path: []byte(fmt.Sprintf("/p%d/x", i%7)), Protocol: []byte("HTTP/1.1"), Status: 200}
			s.Add(client, &r)
		}
	}
	text := func(s *Sample) string {
		var w state.Writer
		s.Write(&w)
		return string(w.Bytes)
	}
	whole := NewSample(x, 512)
	fill(whole, 0, 2000)
	packed := whole.Pack()
	a, b := NewSample(x, 512), NewSample(x, 512)
	a.Merge(whole, false)
	b.Merge(packed, false)
	if text(a) != text(b) || text(whole) != text(packed) {
		t.Error("a packed sample is another one")
	}
	if len(packed.texts) > packed.maxTexts() || cap(packed.clients) > len(packed.clients) {
		t.Errorf("%d examples, room for %d clients of %d", len(packed.texts), cap(packed.clients), len(packed.clients))
	}
	whole.Thin()
	packed.Thin()
	thin := NewSample(x, 512)
	thin.Begin(1)
	fill(thin, 0, 2000)
	for _, s := range []*Sample{whole, packed} {
		if s.Len() != thin.Len() || s.Len() > 200 || s.Len() < 100 {
			t.Errorf("%d clients are left, want %d", s.Len(), thin.Len())
		}
	}
	fill(whole, 2000, 4000)
	fill(thin, 2000, 4000)
	if whole.Len() != thin.Len() {
		t.Errorf("%d clients later, want %d", whole.Len(), thin.Len())
	}
}

// A sample that was written before there were agents and query keys to be known is read, and says nothing of them.
func TestASampleOfBefore(t *testing.T) {
	x := NewExtractor(1)
	old := &state.Writer{}
	old.Uint(0) // level, and how thin the examples are
	old.Uint(0)
	old.Float(20)
	old.Float(0)
	old.Uint(uint64(time.Second))
	old.Uint(1) // clients: hash, own hash, address, requests, most of them in a step
	old.Uint(7)
	old.Uint(9)
	old.Bytes = append(old.Bytes, make([]byte, 16)...)
	old.Uint(1)
	old.Uint(1)
	old.Bool(true)
	old.Bool(false)
	old.Uint(0)
	old.Bool(false)
	old.Uint(1)
	for i := range uint64(firstTraits) {
		old.Uint(100 + i)
	}
	old.Uint(3)
	old.Uint(3)
	back := NewSample(x, 32)
	r := state.NewReader(old.Bytes)
	back.Read(r)
	r.End()
	if r.Err() != nil || back.Len() != 1 {
		t.Fatal(r.Err(), back.Len())
	}
	if row := back.rows[back.clients[0].head]; row.traits[schemas.TraitPathKnown] != 100+uint32(schemas.TraitPathKnown) || row.traits[schemas.TraitAgentKnown] != 0 || row.count != 3 {
		t.Errorf("%+v", row)
	}
	if told := back.told(); told != [schemas.NumListed]bool{schemas.ListedPaths: true} {
		t.Errorf("lists say something of it: %v", told)
	}
	all := &Resolver{Version: 5}
	for of := range all.Known {
		all.Known[of] = func(uint32, uint64) bool { return true }
	}
	if lists := all.on(back); lists.Known[schemas.ListedPaths] == nil || lists.Known[schemas.ListedAgents] != nil || lists.Known[schemas.ListedQueries] != nil || lists.Version == 5 {
		t.Errorf("of a sample that does not tell: %v", lists)
	}
}
