package lapi

import (
	"compress/gzip"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"regexp"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"pgregory.net/rapid"

	"github.com/weir-project/weir/schemas"
)

// desk is a server with the means to make keys and events.
type desk struct {
	*Server
	t   testing.TB
	mux *http.ServeMux
}

func newDesk(t testing.TB, o Options) *desk {
	o.Keys = OpenKeys(filepath.Join(t.TempDir(), "bouncers.json"))
	d := &desk{Server: New(o), t: t, mux: http.NewServeMux()}
	d.Register(d.mux)
	return d
}

func (d *desk) key(name string, sites ...string) string {
	d.t.Helper()
	key, err := d.options.Keys.Add(name, sites, nil, time.Now())
	if err != nil {
		d.t.Fatal(err)
	}
	return key
}

func (d *desk) get(key, target, agent string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, nil)
	r.Header.Set("X-Api-Key", key)
	r.Header.Set("User-Agent", agent)
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, r)
	return w
}

type pulled struct {
	New, Deleted []item
}

func (d *desk) pull(key, query, agent string) (p pulled) {
	d.t.Helper()
	w := d.get(key, "/v1/decisions/stream"+query, agent)
	if w.Code != http.StatusOK {
		d.t.Fatalf("status %d: %s", w.Code, w.Body)
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		d.t.Fatal(err)
	}
	return p
}

func decision(kind schemas.EventType, id string, action schemas.Action, value string, ttl time.Duration, sites ...string) schemas.Event {
	scope := schemas.ScopeClient
	if strings.Contains(value, "/") {
		scope = schemas.ScopePrefix
	}
	now := time.Now()
	return schemas.Event{Type: kind, Time: now, Sites: sites, Decision: &schemas.Decision{
		ID: id, Action: action, Scope: scope, Value: value, Expires: now.Add(ttl), Origin: "weir",
	}}
}

func added(id, value string, sites ...string) schemas.Event {
	return decision(schemas.DecisionAdded, id, schemas.Block, value, time.Hour, sites...)
}

func values(items []item) string {
	var list []string
	for _, i := range items {
		list = append(list, i.Type+" "+i.Value)
	}
	return strings.Join(list, ", ")
}

func TestEachKeyHasItsOwnDeltas(t *testing.T) {
	d := newDesk(t, Options{})
	one, two := d.key("one"), d.key("two")
	d.Apply(added("a", "192.0.2.1"))
	want := func(got pulled, fresh, deleted string) {
		t.Helper()
		if values(got.New) != fresh || values(got.Deleted) != deleted {
			t.Fatalf("new %q, deleted %q; want %q and %q", values(got.New), values(got.Deleted), fresh, deleted)
		}
	}
	want(d.pull(one, "?startup=true", ""), "ban 192.0.2.1", "")
	want(d.pull(one, "?startup=false", ""), "", "")
	d.Apply(added("b", "2001:db8:1:2:3::4"), decision(schemas.DecisionRemoved, "a", schemas.Block, "192.0.2.1", time.Hour))
	want(d.pull(one, "", ""), "ban 2001:db8:1:2::/64", "ban 192.0.2.1")
	want(d.pull(one, "", ""), "", "")
	want(d.pull(two, "", ""), "ban 2001:db8:1:2::/64", "") // its first, whatever it says
	want(d.pull(one, "?startup=true", ""), "ban 2001:db8:1:2::/64", "")
	d.Replace(added("c", "198.51.100.0/24"))
	want(d.pull(two, "", ""), "ban 198.51.100.0/24", "ban 2001:db8:1:2::/64")
	want(d.pull(one, "?scopes=ip", ""), "", "")
}

// An answer that did not go out is given again.
func TestLostAnswerIsGivenAgain(t *testing.T) {
	d := newDesk(t, Options{})
	key := d.key("one")
	d.pull(key, "?startup=true", "")
	d.Apply(added("a", "192.0.2.1"))
	r := httptest.NewRequest(http.MethodGet, "/v1/decisions/stream", nil)
	r.Header.Set("X-Api-Key", key)
	d.mux.ServeHTTP(broken{httptest.NewRecorder()}, r)
	if got := d.pull(key, "", ""); values(got.New) != "ban 192.0.2.1" {
		t.Fatalf("new %q after an answer that was lost", values(got.New))
	}
}

type broken struct{ *httptest.ResponseRecorder }

func (broken) Write([]byte) (int, error) { return 0, errors.New("the connection is gone") }

// What the nginx bouncer in Lua reads of a duration: its expression has no fractions.
var luaDuration = regexp.MustCompile(`^((?P<hours>[0-9]+)h)?((?P<minutes>[0-9]+)m)?(?P<seconds>[0-9]+)s$`)

func TestPullAsTheLuaBouncerDoes(t *testing.T) {
	d := newDesk(t, Options{})
	key := d.key("lua")
	const agent = "crowdsec-nginx-bouncer/v1.0.8"
	d.Apply(
		decision(schemas.DecisionAdded, "a", schemas.Block, "192.0.2.1", 90*time.Minute),
		decision(schemas.DecisionAdded, "b", schemas.Challenge, "192.0.2.0/24", 1234567*time.Microsecond+time.Hour),
		decision(schemas.DecisionAdded, "c", schemas.Throttle, "192.0.2.9", time.Hour),
	)
	r := httptest.NewRequest(http.MethodHead, "/v1/decisions/stream?startup=true", nil)
	r.Header.Set("X-Api-Key", key)
	w := httptest.NewRecorder()
	d.mux.ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("HEAD: status %d", w.Code)
	}
	got := d.pull(key, "?startup=true&scopes=ip,range", agent)
	if len(got.New) != 2 { // a throttle that it does not know would become its fallback: a ban
		t.Fatalf("new %q", values(got.New))
	}
	for _, i := range got.New {
		if !luaDuration.MatchString(i.Duration) || i.ID == 0 || i.Origin != "weir" || !strings.HasPrefix(i.Scenario, "weir/") {
			t.Errorf("%+v", i)
		}
	}
	// In live mode it asks for each address, and reads "null" as nothing.
	if w := d.get(key, "/v1/decisions?ip=198.51.100.7", agent); w.Body.String() != "null" {
		t.Errorf("nothing in force: %s", w.Body)
	}
	var list []item
	if w := d.get(key, "/v1/decisions?ip=192.0.2.1", agent); json.Unmarshal(w.Body.Bytes(), &list) != nil || len(list) != 2 || list[0].Type != "ban" {
		t.Errorf("in force on 192.0.2.1: %s", w.Body)
	}
	if w := d.get("wrong", "/v1/decisions?ip=192.0.2.1", agent); w.Code != http.StatusForbidden {
		t.Errorf("a wrong key: status %d", w.Code)
	}
}

func TestBouncersAreToldOfTheirSites(t *testing.T) {
	d := newDesk(t, Options{Allow: []netip.Prefix{netip.MustParsePrefix("203.0.113.0/28")}})
	shop, all := d.key("shop", "shop.example"), d.key("all")
	d.Apply(added("a", "192.0.2.1", "shop.example"), added("b", "192.0.2.2", "forum.example"), added("c", "192.0.2.3"),
		added("own", "203.0.113.5"), added("around", "203.0.113.0/24"), added("world", "0.0.0.0/0"))
	if got := d.pull(shop, "?startup=true", ""); len(got.New) != 2 {
		t.Errorf("of the shop's: %q", values(got.New))
	}
	if got := d.pull(all, "?startup=true", ""); len(got.New) != 3 {
		t.Errorf("of all: %q", values(got.New))
	}
}

func TestNetworksAreSpeltOutForTheFirewall(t *testing.T) {
	d := newDesk(t, Options{})
	key := d.key("firewall")
	d.Apply(added("a", "192.0.2.0/30"), added("b", "198.51.0.0/16"), added("c", "2001:db8::1"))
	got := d.pull(key, "?startup=true&scopes=ip,range", "crowdsec-firewall-bouncer/v0.0.25")
	if want := "ban 192.0.2.0, ban 192.0.2.1, ban 192.0.2.2, ban 192.0.2.3"; values(got.New) != want {
		t.Errorf("new %q, want %q", values(got.New), want)
	}
	list, err := d.Bouncers()
	if err != nil || len(list) != 1 || list[0].NotCarried != 2 {
		t.Errorf("bouncers %+v, %v: want two values that it cannot hold", list, err)
	}
}

// A thousand bouncers that start together are served one snapshot.
func TestThousandBouncersShareASnapshot(t *testing.T) {
	d := newDesk(t, Options{Jitter: time.Millisecond})
	const bouncers = 1000
	types := []schemas.Action{schemas.Block}
	list := make([]Key, bouncers)
	for i := range list {
		list[i] = Key{Name: fmt.Sprint("b", i), Hash: hashOf(fmt.Sprint("key", i)), Types: types}
	}
	if err := d.options.Keys.change(func([]Key) ([]Key, error) { return list, nil }); err != nil {
		t.Fatal(err)
	}
	for i := range 100 {
		d.Apply(added(fmt.Sprint("d", i), netip.AddrFrom4([4]byte{192, 0, byte(i >> 8), byte(i)}).String()))
	}
	f := &filter{ip: true, ranges: true, types: types}
	first := d.snapshot(f)
	first.made = time.Now().Add(time.Hour) // however slow this machine is
	var running sync.WaitGroup
	for i := range bouncers {
		running.Go(func() {
			w := d.get(fmt.Sprint("key", i), "/v1/decisions/stream?startup=true", "")
			if w.Code != http.StatusOK || w.Body.Len() != len(first.body) {
				t.Errorf("bouncer %d: status %d, %d bytes, want %d", i, w.Code, w.Body.Len(), len(first.body))
			}
		})
	}
	running.Wait()
	if len(d.cached) != 1 || d.snapshot(f) != first {
		t.Errorf("%d snapshots were made for one filter", len(d.cached))
	}
}

func TestUsageIsTaken(t *testing.T) {
	d := newDesk(t, Options{})
	key := d.key("one")
	post := func(body string) int {
		r := httptest.NewRequest(http.MethodPost, "/v1/usage-metrics", strings.NewReader(body))
		r.Header.Set("X-Api-Key", key)
		w := httptest.NewRecorder()
		d.mux.ServeHTTP(w, r)
		return w.Code
	}
	if code := post(`{"remediation_components":[{"name":"x","metrics":[{"items":[
		{"name":"dropped","value":12,"unit":"request","labels":{"origin":"weir"}},{"name":"dropped","value":900,"unit":"byte"},
		{"name":"processed","value":100,"unit":"request"},{"name":"active_decisions","value":7,"unit":"ip"},
		{"name":"dropped","value":-5,"unit":"request"}]}]}]}`); code != http.StatusCreated {
		t.Fatalf("status %d", code)
	}
	if post(`[`) != http.StatusUnprocessableEntity || post(strings.Repeat(" ", maxUsage+1)) != http.StatusRequestEntityTooLarge {
		t.Error("what is no report was taken")
	}
	list, err := d.Bouncers()
	if err != nil || len(list) != 1 || list[0].Dropped != 12 || list[0].Processed != 100 || list[0].Active != 7 {
		t.Errorf("bouncers %+v, %v", list, err)
	}
}

func TestKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "bouncers.json")
	k, other := OpenKeys(path), OpenKeys(path) // a server and a command
	key, err := k.Add("one", nil, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if found, err := other.find(key); err != nil || found == nil || found.Name != "one" {
		t.Fatalf("found %+v, %v", found, err)
	}
	if _, err := other.Add("one", nil, nil, time.Now()); err == nil {
		t.Error("two bouncers of one name")
	}
	if _, err := other.Add("a b", nil, nil, time.Now()); err == nil {
		t.Error("a name with a space")
	}
	if err := other.Remove("one"); err != nil {
		t.Fatal(err)
	}
	if found, _ := k.find(key); found != nil {
		t.Error("a key that was taken away counts")
	}
	if err := other.Remove("one"); err == nil {
		t.Error("removed twice")
	}
}

// A bouncer that pulls now and then holds what is in force, whatever happened between;
// also one whose kernel never changes the end of an element that it has.
func TestBouncerConverges(t *testing.T) {
	rapid.Check(t, func(r *rapid.T) {
		now := time.Unix(1_800_000_000, 0)
		table := newTable(nil, 40)
		table.epoch = 0
		f := &filter{ip: true, ranges: true, types: []schemas.Action{schemas.Block, schemas.Challenge}}
		type element struct {
			value string
			kind  string
		}
		holds := map[element]time.Time{}
		since, started := uint64(0), false
		for range rapid.IntRange(1, 60).Draw(r, "steps") {
			switch rapid.IntRange(0, 5).Draw(r, "step") {
			case 0:
				now = now.Add(time.Duration(rapid.IntRange(1, 100).Draw(r, "seconds")) * time.Second)
			case 1: // pull
				var a answer
				if !started || rapid.IntRange(0, 9).Draw(r, "restart") == 0 {
					a, started = table.snapshot(f, now), true
					clear(holds)
				} else {
					a = table.delta(f, since, now)
				}
				since = a.seq
				for _, i := range a.deleted {
					delete(holds, element{i.Value, i.Type})
				}
				for e, end := range holds {
					if !end.After(now) {
						delete(holds, e)
					}
				}
				for _, i := range a.fresh {
					e := element{i.Value, i.Type}
					if _, ok := holds[e]; !ok {
						holds[e] = i.expires
					}
				}
				truth := map[element]time.Time{}
				for value, v := range table.values {
					if h, ok := table.effective(value, v, f, now); ok {
						i := f.spell(nil, value, itemOf(h, 0))[0]
						truth[element{i.Value, i.Type}] = h.expires
					}
				}
				for e, end := range truth {
					if !holds[e].Equal(end) {
						r.Fatalf("%v: held until %v, in force until %v", e, holds[e], end)
					}
				}
				for e, end := range holds {
					if _, ok := truth[e]; !ok && end.Sub(now) >= time.Second {
						r.Fatalf("%v is held and not in force", e)
					}
				}
			case 2:
				table.forget()
				for e := range holds { // which is for bouncers whose own clocks let go
					if p, err := netip.ParsePrefix(e.value); err == nil && table.values[p] != nil {
						continue
					}
					if a, err := netip.ParseAddr(e.value); err == nil && table.values[netip.PrefixFrom(a, 32)] != nil {
						continue
					}
					delete(holds, e)
				}
				started = started && since >= table.floor
			default:
				id := fmt.Sprint("d", rapid.IntRange(0, 12).Draw(r, "id"))
				value := rapid.SampledFrom([]string{"192.0.2.1", "192.0.2.2", "192.0.2.0/24", "2001:db8::1"}).Draw(r, "value")
				e := decision(schemas.DecisionAdded, id, rapid.SampledFrom([]schemas.Action{schemas.Block, schemas.Challenge, schemas.Throttle}).Draw(r, "action"), value, 0)
				e.Expires = now.Add(time.Duration(rapid.IntRange(1, 120).Draw(r, "ttl")) * time.Second)
				if rapid.IntRange(0, 3).Draw(r, "remove") == 0 {
					e.Type = schemas.DecisionRemoved
				}
				table.take(false, []schemas.Event{e}, now)
			}
		}
	})
}

// Bouncers are told to let go of whom a person allows, and of a network that holds such an
// address, and are told of them again once that ends.
func TestSparedAddressesAreTakenBack(t *testing.T) {
	d := newDesk(t, Options{})
	key := d.key("one")
	d.Apply(added("a", "192.0.2.1"), added("b", "198.51.100.0/24"), added("c", "203.0.113.9"))
	d.pull(key, "?startup=true", "")
	d.Spare([]netip.Prefix{netip.MustParsePrefix("192.0.2.0/28"), netip.MustParsePrefix("198.51.100.7/32")})
	got := d.pull(key, "", "")
	if len(got.New) != 0 || values(got.Deleted) != "ban 192.0.2.1, ban 198.51.100.0/24" && values(got.Deleted) != "ban 198.51.100.0/24, ban 192.0.2.1" {
		t.Errorf("new %q, deleted %q", values(got.New), values(got.Deleted))
	}
	if got = d.pull(key, "?startup=true", ""); values(got.New) != "ban 203.0.113.9" {
		t.Errorf("a fresh start: %q", values(got.New))
	}
	d.Apply(added("e", "192.0.2.3"))
	if got = d.pull(key, "", ""); len(got.New) != 0 {
		t.Errorf("a decision on what is allowed: %q", values(got.New))
	}
	d.Spare(nil)
	if got = d.pull(key, "", ""); len(got.New) != 3 {
		t.Errorf("after it has ended: %q", values(got.New))
	}
}

// Bouncers are told nothing of weir's own on a regular, nor on a network that holds one; what
// a person decided they are; and who is no regular any more is told.
func TestRegularsAreNotTold(t *testing.T) {
	d := newDesk(t, Options{})
	key := d.key("one")
	byHand := added("c", "192.0.2.1")
	byHand.Origin = "alice"
	d.Apply(added("a", "192.0.2.1"), added("b", "198.51.100.0/24"), added("d", "203.0.113.9"))
	d.pull(key, "?startup=true", "")
	var none *schemas.RegularSet
	d.Regulars(none.With(1, []schemas.SiteRegulars{{Site: "shop.example", Clients: []netip.Addr{netip.MustParseAddr("192.0.2.1"), netip.MustParseAddr("198.51.100.7")}}}))
	got := d.pull(key, "", "")
	if len(got.New) != 0 || len(got.Deleted) != 2 {
		t.Errorf("new %q, deleted %q", values(got.New), values(got.Deleted))
	}
	if got = d.pull(key, "?startup=true", ""); values(got.New) != "ban 203.0.113.9" {
		t.Errorf("a fresh start: %q", values(got.New))
	}
	d.Apply(byHand)
	if got = d.pull(key, "", ""); values(got.New) != "ban 192.0.2.1" || got.New[0].Scenario != "weir/c" {
		t.Errorf("a person's: %q", values(got.New))
	}
	d.Regulars(none)
	if got = d.pull(key, "", ""); len(got.New) != 2 {
		t.Errorf("after they have left: %q", values(got.New))
	}
}

// BenchmarkThousandBouncers has a thousand bouncers, each with a connection and a key of its
// own, start at the same moment, with 10,000 decisions in force: as Go's bouncers do, with gzip,
// and as the Lua bouncer does, without.
func BenchmarkThousandBouncers(b *testing.B) {
	for _, gzipped := range []bool{true, false} {
		b.Run(fmt.Sprint("gzip=", gzipped), func(b *testing.B) {
			d := newDesk(b, Options{})
			const bouncers = 1000
			list := make([]Key, bouncers)
			for i := range list {
				list[i] = Key{Name: fmt.Sprint("b", i), Hash: hashOf(fmt.Sprint("key", i)), Types: []schemas.Action{schemas.Block}}
			}
			if err := d.options.Keys.change(func([]Key) ([]Key, error) { return list, nil }); err != nil {
				b.Fatal(err)
			}
			for i := range 10_000 {
				d.Apply(added(fmt.Sprint("d", i), netip.AddrFrom4([4]byte{11, 0, byte(i >> 8), byte(i)}).String()))
			}
			server := httptest.NewServer(d.mux)
			defer server.Close()
			for b.Loop() {
				before := rusage(b)
				var all, took atomic.Int64
				var running sync.WaitGroup
				for i := range bouncers {
					running.Go(func() {
						began := time.Now()
						client := http.Client{Transport: &http.Transport{DisableCompression: true, DisableKeepAlives: true}}
						r, err := http.NewRequestWithContext(b.Context(), http.MethodGet, server.URL+"/v1/decisions/stream?startup=true", nil)
						if err != nil {
							b.Error(err)
							return
						}
						r.Header.Set("X-Api-Key", fmt.Sprint("key", i))
						if gzipped {
							r.Header.Set("Accept-Encoding", "gzip")
						}
						answer, err := client.Do(r)
						if err != nil {
							b.Error(err)
							return
						}
						n, err := io.Copy(io.Discard, answer.Body)
						if answer.Body.Close(); err != nil || answer.StatusCode != http.StatusOK {
							b.Error(answer.StatusCode, err)
						}
						all.Add(n)
						for old := took.Load(); int64(time.Since(began)) > old && !took.CompareAndSwap(old, int64(time.Since(began))); old = took.Load() {
						}
					})
				}
				running.Wait()
				b.ReportMetric(float64(all.Load())/bouncers, "bytes/bouncer")
				b.ReportMetric(time.Duration(took.Load()).Seconds(), "slowest-s")
				b.ReportMetric((rusage(b)-before).Seconds()*1000/bouncers, "cpu-ms/bouncer")
			}
			b.ReportMetric(float64(testutil.ToFloat64(d.metrics.snapshots)), "snapshots")
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			b.ReportMetric(float64(m.Sys)/(1<<20), "MiB")
		})
	}
}

// rusage is the processor time of this process.
func rusage(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// A snapshot that is packed is the same, and only for those who say that they take it so.
func TestSnapshotsArePacked(t *testing.T) {
	d := newDesk(t, Options{})
	key := d.key("one")
	for i := range 200 {
		d.Apply(added(fmt.Sprint("d", i), netip.AddrFrom4([4]byte{11, 0, 0, byte(i)}).String()))
	}
	get := func(encoding string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/v1/decisions/stream?startup=true", nil)
		r.Header.Set("X-Api-Key", key)
		r.Header.Set("Accept-Encoding", encoding)
		w := httptest.NewRecorder()
		d.mux.ServeHTTP(w, r)
		return w
	}
	plain, packed := get(""), get("gzip")
	if plain.Header().Get("Content-Encoding") != "" || packed.Header().Get("Content-Encoding") != "gzip" || packed.Body.Len() > plain.Body.Len()/4 {
		t.Fatalf("%v, %d bytes; %v, %d bytes", plain.Header(), plain.Body.Len(), packed.Header(), packed.Body.Len())
	}
	reader, err := gzip.NewReader(packed.Body)
	if err != nil {
		t.Fatal(err)
	}
	var all struct{ New []item }
	if err := json.NewDecoder(reader).Decode(&all); err != nil || len(all.New) != 200 {
		t.Errorf("%d items, %v", len(all.New), err)
	}
}
