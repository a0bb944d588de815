package clickhouse

import (
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

func private(t *testing.T, db *DB, p Privacy, stream string, requests ...schemas.Request) {
	t.Helper()
	db.SetPrivacy(p)
	b := schemas.NewBuilder("edge-1", "log")
	for _, r := range requests {
		r.Fields = schemas.FieldSite | schemas.FieldReferer | schemas.FieldExtra
		b.Append(&r)
	}
	d, err := db.NewDirect(t.Context(), DirectOptions{Stream: stream})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), b.Batch()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
}

func from(client string) schemas.Request {
	return schemas.Request{Time: time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC).UnixMilli(), Client: netip.MustParseAddr(client), Site: []byte("www.example"), Path: []byte("/")}
}

func TestAddressesAreKeptAsConfigured(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	requests := []schemas.Request{from("192.0.2.77"), from("192.0.2.77"), from("2001:db8:1:2::3")}
	private(t, db, Privacy{Addresses: TruncatedAddresses}, "truncated", requests...)
	private(t, db, Privacy{Addresses: HashedAddresses, Key: []byte("key")}, "hashed", requests...)
	private(t, db, Privacy{Addresses: HashedAddresses, Key: []byte("other")}, "other", requests...)
	private(t, db, Privacy{Addresses: FullAddresses}, "full", requests...)
	for sql, want := range map[string]string{
		"SELECT client, count() FROM requests_readable WHERE NOT startsWith(client, 'fd') AND client NOT IN ('192.0.2.77', '2001:db8:1:2::3') GROUP BY client ORDER BY client": "192.0.2.0\t2\n2001:db8:1::\t1",
		"SELECT uniqExact(client), uniqExact(network), countIf(startsWith(IPv6NumToString(client), 'fd')) FROM requests WHERE stream = 'hashed'":                               "2\t2\t3",
		"SELECT count() FROM requests WHERE stream = 'other' AND client IN (SELECT client FROM requests WHERE stream = 'hashed')":                                              "0",
	} {
		if got := ask(t, db, sql); got != want {
			t.Errorf("%s: %s, want %s", sql, got, want)
		}
	}
}

func TestQueryValuesAreDropped(t *testing.T) {
	f := newFilter(Privacy{DropValues: true, KeepValues: []string{"page"}})
	for query, want := range map[string]string{
		"": "", "q=secret&page=2": "q=&page=2", "token": "token", "a=1=2&&b": "a=&&b", "=x": "=", "page": "page",
		"d41d8cd98f00b204e9800998ecf8427e0": "", "d41d8cd98f00b204e9800998ecf8427e0=1&q=2": "&q=", "q=a%26page=2": "q=", "\x00=\xff": "\x00=",
	} {
		if got := f.query(query); got != want {
			t.Errorf("%q: %q, want %q", query, got, want)
		}
	}
	for referer, want := range map[string]string{
		"": "", "https://a.example/": "https://a.example/", "https://a.example/reset?token=secret#secret": "https://a.example/reset?token=", "?": "?",
	} {
		if got := f.referer(referer); got != want {
			t.Errorf("%q: %q, want %q", referer, got, want)
		}
	}
	db := client(t, home(t, t.TempDir()))
	r := from("192.0.2.1")
	r.Query, r.Referer = []byte("reset=secret&page=3"), []byte("https://www.example/?q=secret")
	private(t, db, Privacy{DropValues: true, KeepValues: []string{"page"}}, "s", r, r)
	if got := ask(t, db, "SELECT DISTINCT query, referer FROM requests"); got != "reset=&page=3\thttps://www.example/?q=" {
		t.Errorf("stored: %s", got)
	}
}

// Header fields that a format carries hold addresses and queries, too.
func TestExtraIsKeptAsItsKindIs(t *testing.T) {
	const (
		address = "remote_user=ann\thttp_x_real_ip=192.0.2.77\thttp_cf_connecting_ip=2001:db8:1:2::3\thttp_range=bytes=0-5"
		values  = "arg_token=secret\targ_page=3\thttp_x_original_url=/reset?token=secret&page=2#secret\thttp_via=1.1 a"
	)
	full := Privacy{Addresses: FullAddresses}
	truncated := Privacy{Addresses: TruncatedAddresses}
	drop := Privacy{Addresses: FullAddresses, DropValues: true, KeepValues: []string{"page"}}
	for _, c := range []struct {
		privacy     Privacy
		extra, want string
	}{
		{full, address, address},
		{full, values, values},
		{truncated, address, "remote_user=ann\thttp_x_real_ip=192.0.2.0\thttp_cf_connecting_ip=2001:db8:1::\thttp_range=bytes=0-5"},
		{truncated, values, values},
		{drop, address, address},
		{drop, values, "arg_token=\targ_page=3\thttp_x_original_url=/reset?token=&page=2\thttp_via=1.1 a"},
		{drop, "", ""}, {drop, "?\t\t=?", "?\t\t=?"},
	} {
		if got := newFilter(c.privacy).extra(c.extra); got != c.want {
			t.Errorf("%+v: %q is kept as %q, want %q", c.privacy, c.extra, got, c.want)
		}
	}
	if got := newFilter(Privacy{Addresses: HashedAddresses, Key: []byte("key")}).extra(address); strings.Contains(got, "192.0.2") || strings.Contains(got, "2001:") {
		t.Errorf("hashed: %q", got)
	}
	db := client(t, home(t, t.TempDir()))
	r := from("192.0.2.1")
	r.Extra = []byte(address)
	private(t, db, truncated, "truncated", r, r)
	r.Extra = []byte(values)
	private(t, db, drop, "drop", r)
	if got := ask(t, db, "SELECT countIf(position(extra, '192.0.2.77') > 0), countIf(position(extra, 'secret') > 0), countIf(extra != '') FROM requests"); got != "0\t0\t3" {
		t.Errorf("rows with an address, with a value, with anything: %s", got)
	}
}

func FuzzQueryValues(f *testing.F) {
	f.Add("q=secret&page=2", "secret")
	f.Fuzz(func(t *testing.T, key, value string) {
		if strings.ContainsAny(key, "&=") || strings.ContainsAny(value, "&=") || len(value) < 3 || strings.Contains(key, value) || strings.Contains("&=", value) {
			return
		}
		if got := newFilter(Privacy{DropValues: true}).query(key + "=" + value + "&" + key + "=" + value); strings.Contains(got, value) {
			t.Errorf("%q=%q is kept as %q", key, value, got)
		}
	})
}

func TestAddressesAreTruncatedWhenTheirTimeHasCome(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	r := from("192.0.2.77")
	r.Extra = []byte("http_x_real_ip=198.51.100.9, 192.0.2.0\thttp_forwarded_by=2001:db8:1:2::3\tat=05:08:00")
	private(t, db, Privacy{}, "s", r, from("2001:db8:1:2::3"))
	at := time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)
	if err := db.RecordEvents(t.Context(), "", []schemas.Event{{Type: schemas.DecisionAdded, Time: at, Incident: "i", Decision: &schemas.Decision{
		ID: "d", Action: schemas.Block, Scope: schemas.ScopeClient, Value: "192.0.2.77", Expires: at, Reason: "asked by 192.0.2.77",
		Evidence: &schemas.Evidence{SQL: "client = toIPv6('192.0.2.77')"}}}}); err != nil {
		t.Fatal(err)
	}
	const kept = "SELECT arraySort(groupArray(client)), (SELECT any(value) FROM decisions), (SELECT countIf(position(concat(reason, evidence), '192.0.2.77') > 0) FROM decisions) FROM requests_readable"
	for _, c := range []struct {
		before time.Time
		want   string
	}{
		{time.Now().Add(-time.Hour), "['192.0.2.77','2001:db8:1:2::3']\t192.0.2.77\t1"},
		{time.Now().Add(time.Hour), "['192.0.2.0','2001:db8:1::']\t192.0.2.0 (truncated)\t0"},
		{time.Now().Add(time.Hour), "['192.0.2.0','2001:db8:1::']\t192.0.2.0 (truncated)\t0"},
	} {
		if err := db.Truncate(t.Context(), c.before); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, db, kept); got != c.want {
			t.Errorf("before %v: %s, want %s", c.before, got, c.want)
		}
	}
	if got, want := ask(t, db, "SELECT max(extra) FROM requests"), `http_x_real_ip=198.51.100.0, 192.0.2.0\thttp_forwarded_by=(address)\tat=05:08:00`; got != want {
		t.Errorf("what the format carried beside is %s, want %s", got, want)
	}
}

func TestAnAddressIsErasedAndItsNeighboursAreNot(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	other := from("192.0.2.77")
	other.Extra = []byte("http_x_real_ip=192.0.2.7 192.0.2.7\thttp_via=192.0.2.77")
	private(t, db, Privacy{}, "s", from("192.0.2.7"), from("192.0.2.7"), other)
	at := time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)
	decision := func(id, value string) schemas.Event {
		return schemas.Event{Type: schemas.DecisionAdded, Time: at, Incident: "i", Decision: &schemas.Decision{ID: id, Action: schemas.Block, Scope: schemas.ScopeClient,
			Value: value, Expires: at, Reason: "asked by " + value + ".", Evidence: &schemas.Evidence{SQL: "client = toIPv6('" + value + "')"}}}
	}
	if err := db.RecordEvents(t.Context(), "", []schemas.Event{decision("d1", "192.0.2.7"), decision("d2", "192.0.2.77"), decision("d3", "1192.0.2.7"),
		{Type: schemas.IncidentOpened, Time: at, Incident: "i", Opened: at, Cause: "192.0.2.7 and 192.0.2.77"}}); err != nil {
		t.Fatal(err)
	}
	got, err := db.Erase(t.Context(), netip.MustParseAddr("::ffff:192.0.2.7"))
	if want := (Erased{Requests: 2, Decisions: 1, Incidents: 1}); err != nil || got != want {
		t.Errorf("%+v, %v, want %+v", got, err, want)
	}
	if got, want := ask(t, db, `SELECT (SELECT groupArray(client) FROM requests_readable), (SELECT arraySort(groupArray(value)) FROM decisions), (SELECT any(cause) FROM incidents),
		(SELECT sum(requests) FROM rollup_1h)`), "['192.0.2.77']\t['(erased)','1192.0.2.7','192.0.2.77']\t(erased) and 192.0.2.77\t3"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got, want := ask(t, db, "SELECT extra FROM requests"), `http_x_real_ip=(erased) (erased)\thttp_via=192.0.2.77`; got != want {
		t.Errorf("what another's request carries is %s, want %s", got, want)
	}
	if got := ask(t, db, "SELECT count() FROM decisions WHERE position(reason, '192.0.2.7.') > 0 OR position(evidence, 'toIPv6(\\'192.0.2.7\\')') > 0"); got != "1" { // of d3
		t.Errorf("%s decisions still name it", got)
	}
	if again, err := db.Erase(t.Context(), netip.MustParseAddr("192.0.2.7")); err != nil || again != (Erased{}) {
		t.Errorf("again: %+v, %v", again, err)
	}
}

func TestEventsKeepAddressesAsRequestsDo(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	at := time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC)
	events := []schemas.Event{{Type: schemas.IncidentOpened, Time: at, Incident: "i", Opened: at, Cause: "since 05:08:12 mostly 192.0.2.77: flood"}}
	for id, d := range map[string]schemas.Decision{
		"four":   {Scope: schemas.ScopeClient, Value: "192.0.2.77", Evidence: &schemas.Evidence{SQL: "client = toIPv6('192.0.2.77')", Samples: []string{"GET / | Chrome/120.0.0.1"}}},
		"six":    {Scope: schemas.ScopeClient, Value: "2001:db8:1:2::"},
		"narrow": {Scope: schemas.ScopePrefix, Value: "192.0.2.64/26"},
		"wide":   {Scope: schemas.ScopePrefix, Value: "192.0.0.0/16"},
	} {
		d.ID, d.Action, d.Expires, d.Reason = id, schemas.Block, at, "from "+d.Value+", and [2001:db8:1:2::3]:443, 192.0.2.77."
		events = append(events, schemas.Event{Type: schemas.DecisionAdded, Time: at, Incident: "i", Decision: &d})
	}
	db.SetPrivacy(Privacy{Addresses: TruncatedAddresses})
	if err := db.RecordEvents(t.Context(), "", events); err != nil {
		t.Fatal(err)
	}
	if got, want := ask(t, db, `SELECT arraySort(groupArray(decision || ' ' || value)), (SELECT any(cause) FROM incidents), anyIf(reason, decision = 'six'), anyIf(evidence, decision = 'four') LIKE '%Chrome/120.0.0.1%toIPv6(\'192.0.2.0\')%' FROM decisions`),
		`['four 192.0.2.0 (truncated)','narrow 192.0.2.0 (truncated)','six 2001:db8:1:: (truncated)','wide 192.0.0.0/16']`+"\tsince 05:08:12 mostly 192.0.2.0: flood\tfrom 2001:db8:1::, and [2001:db8:1::]:443, 192.0.2.0.\t1"; got != want {
		t.Errorf("truncated:\n%s, want\n%s", got, want)
	}
	if events[0].Cause != "since 05:08:12 mostly 192.0.2.77: flood" || events[1].Decision.Value == "" || strings.Contains(events[1].Decision.Value, "truncated") {
		t.Error("the events that others hold were changed")
	}
	db.SetPrivacy(Privacy{Addresses: HashedAddresses, Key: []byte("key")})
	private(t, db, Privacy{Addresses: HashedAddresses, Key: []byte("key")}, "hashed", from("192.0.2.77"))
	for i := range events {
		events[i].Time = at.Add(time.Hour)
	}
	if err := db.RecordEvents(t.Context(), "", events); err != nil {
		t.Fatal(err)
	}
	const hashed = "FROM decisions WHERE startsWith(value, 'fd')"
	if got := ask(t, db, "SELECT arraySort(groupArray(decision)), countIf(match(concat(reason, evidence), '192[.]0[.]2|2001:db8')), countIf(toIPv6OrZero(value) IN (SELECT client FROM requests)) "+hashed); got != "['four','narrow','six']\t0\t1" {
		t.Errorf("hashed: %s", got)
	}
	if _, err := db.Erase(t.Context(), netip.MustParseAddr("192.0.2.77")); err != nil {
		t.Fatal(err)
	}
	if got := ask(t, db, "SELECT count() FROM decisions WHERE decision = 'four' AND value = '(erased)'"); got != "1" {
		t.Errorf("%s decisions against it are erased", got)
	}
}

// No address that a sentence names is in what is kept of it, whatever stands around it.
func FuzzSentences(f *testing.F) {
	f.Add("by ", "192.0.2.77", ": flood")
	f.Add("", "2001:db8:1:2::3", ".")
	f.Add("add:", "2001:db8:1:2:3:4:5:6", ":443")
	f.Fuzz(func(t *testing.T, before, address, after string) {
		addr, err := netip.ParseAddr(address)
		if err != nil || addr.Zone() != "" || len(before)+len(after) > 1000 {
			return
		}
		address = addr.String()
		truncated, _ := newFilter(Privacy{Addresses: TruncatedAddresses}).client(addr.As16())
		if netip.AddrFrom16(truncated) == netip.AddrFrom16(addr.As16()) {
			return
		}
		text := before + " " + address + " " + after
		if got := newFilter(Privacy{Addresses: TruncatedAddresses}).sentence(text); strings.Contains(got, " "+address+" ") {
			t.Errorf("%q: %q", text, got)
		}
	})
}

// TestRollupsCountByAKey: a sketch of few clients is the list of their hashes. With a key, whoever
// has the database finds none of an address that was there; the numbers are the same, and those
// that were counted before the key go on being told.
func TestRollupsCountByAKey(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	requests := []schemas.Request{from("192.0.2.77"), from("192.0.2.77"), from("192.0.2.78"), from("2001:db8:1:2::3")}
	for _, p := range []struct {
		name string
		key  []byte
		has  string
	}{{"none", nil, "1"}, {"one", []byte("key"), "0"}, {"another", []byte("other"), "0"}} {
		if err := db.Query(t.Context(), "TRUNCATE TABLE rollup_10s", QueryOptions{Write: true}, io.Discard); err != nil {
			t.Fatal(err)
		}
		private(t, db, Privacy{Addresses: FullAddresses, Key: p.key}, p.name, requests...)
		if got := ask(t, db, "SELECT requests, clients, networks FROM traffic_10s"); got != "4\t3\t2" {
			t.Errorf("with the key %q: %s", p.key, got)
		}
		// Adding an address that is in a sketch makes it no larger.
		if got := ask(t, db, "SELECT toUInt8(uniqCombined64Merge(14)(s) = 3) FROM (SELECT arrayJoin([clients, (SELECT uniqCombined64State(14)(toIPv6('192.0.2.77')))]) AS s FROM rollup_10s)"); got != p.has {
			t.Errorf("with the key %q the address is told to be there: %s, want %s", p.key, got, p.has)
		}
	}
	if got := ask(t, db, "SELECT uniqExact(client) FROM requests"); got != "3" {
		t.Errorf("the rows' clients: %s", got)
	}
	private(t, db, Privacy{Addresses: FullAddresses, Key: []byte("other")}, "again", requests...)
	if got := ask(t, db, "SELECT requests, clients FROM traffic_10s"); got != "8\t3" {
		t.Errorf("the same again: %s", got)
	}
}
