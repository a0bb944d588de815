package clickhouse

import (
	"encoding/hex"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/weir-project/weir/internal/embedded"
	"github.com/weir-project/weir/schemas"
)

func hexOf(s string) string { return hex.EncodeToString([]byte(s)) }

// What a client may send comes out of the store byte for byte, in every column.
func TestHostileRequestsComeBackAsTheyWere(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	texts := []string{"", "\x00", "a\x00b", "'", `"`, "`", `\`, `\'`, "\n", "\r\n", "\t", "\xff\xfe", "\xc3\x28", "é", "\u202e",
		"'; DROP TABLE requests; --", "{stream:String}", "?", "$1", "%s", strings.Repeat("x", schemas.MaxTrait)}
	b := schemas.NewBuilder("edge'\\\n\x00", "source")
	for i, text := range texts {
		v := []byte(text)
		short := v[:min(len(v), schemas.MaxMethod)]
		b.Append(&schemas.Request{Time: int64(i) * 1000, Client: netip.MustParseAddr("192.0.2.1"), Status: 999, Cookie: schemas.Cookie(i % 3),
			Bytes: 1<<63 - 1, Duration: 1<<63 - 1,
			Site: v[:min(len(v), schemas.MaxSite)], Method: short, Path: v, Query: v, Protocol: short, Referer: v, UserAgent: v, AcceptLanguage: v,
			AcceptEncoding: v, TLS: v, Action: short, Decision: v, RequestID: v, CacheStatus: short, Extra: v})
	}
	d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:'hostile\\"})
	if err != nil {
		t.Fatal(err)
	}
	for range 4 { // once row by row, once through the table of known strings
		for range 4 {
			if err := d.Write(t.Context(), b.Batch()); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	columns := "method, path, query, protocol, referer, user_agent, accept_language, accept_encoding, tls, action, decision, request_id, cache_status, extra, site"
	got := ask(t, db, "SELECT DISTINCT toUnixTimestamp(time), "+"hex("+strings.ReplaceAll(columns, ", ", "), hex(")+"), hex(edge), cookie FROM requests ORDER BY time")
	for i, line := range strings.Split(got, "\n") {
		text := texts[i]
		short := text[:min(len(text), schemas.MaxMethod)]
		want := []string{fmt.Sprint(i)}
		for _, v := range []string{short, text, text, short, text, text, text, text, text, short, text, text, short, text, text[:min(len(text), schemas.MaxSite)], "edge'\\\n\x00"} {
			want = append(want, strings.ToUpper(hexOf(v)))
		}
		want = append(want, []string{"", "none", "some"}[i%3])
		if line != strings.Join(want, "\t") {
			t.Errorf("%q came back as %s, want %s", text, line, want)
		}
	}
	if got := ask(t, db, "SELECT uniqExact(time), max(bytes), max(duration), max(status), count() FROM requests"); got != fmt.Sprintf("%d\t9223372036854775807\t9223372036854775807\t999\t%d", len(texts), 16*len(texts)) {
		t.Errorf("numbers are %s", got)
	}
}

func TestAddressesTimesAndNetworks(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	b := schemas.NewBuilder("edge", "source")
	var at []int64
	for i, c := range []string{"203.0.113.77", "::ffff:203.0.113.78", "2001:db8:1:2:3:4:5:6", "::1", "::"} {
		at = append(at, []int64{1431817200123, -5, 1 << 60, 253402300800000, 0}[i])
		b.Append(&schemas.Request{Time: at[i], Client: netip.MustParseAddr(c), Site: []byte(fmt.Sprint(i))})
	}
	d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:addresses"})
	if err != nil {
		t.Fatal(err)
	}
	if err := d.Write(t.Context(), b.Batch()); err != nil {
		t.Fatal(err)
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := db.conn.Exec(t.Context(), "OPTIMIZE TABLE requests FINAL"); err != nil { // old rows outlive merges
		t.Fatal(err)
	}
	want := `203.0.113.77	203.0.113.0/24	2015-05-16 23:00:00.123
203.0.113.78	203.0.113.0/24	1970-01-01 00:00:00.000
2001:db8:1:2:3:4:5:6	2001:db8:1::/48	2106-02-07 06:28:15.000
::1	::/48	2106-02-07 06:28:15.000
::	::/48	1970-01-01 00:00:00.000`
	if got := ask(t, db, "SELECT client, network, time FROM requests_readable ORDER BY site"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	if got := ask(t, db, "SELECT count() FROM requests WHERE network != IPv6CIDRToRange(client, if(startsWith(hex(client), '00000000000000000000FFFF'), 120, 48)).1"); got != "0" {
		t.Errorf("%s networks are not what ClickHouse makes of the clients", got)
	}
}

func TestMigrationsCanBeRepeatedAndNewerOnesAreRefused(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	errs := make(chan error)
	for range 4 {
		go func() { errs <- db.Migrate(t.Context()) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := db.conn.Exec(t.Context(), "TRUNCATE TABLE schema_migrations"); err != nil {
		t.Fatal(err)
	}
	for range 4 { // all steps again, at once
		go func() { errs <- db.Migrate(t.Context()) }()
	}
	for range 4 {
		if err := <-errs; err != nil {
			t.Error(err)
		}
	}
	if err := db.conn.Exec(t.Context(), "INSERT INTO schema_migrations (version, name) VALUES (99, 'later')"); err != nil {
		t.Fatal(err)
	}
	if err := db.Migrate(t.Context()); err == nil || !strings.Contains(err.Error(), "use a newer weir") {
		t.Errorf("a newer schema: %v", err)
	}
}

// Eight that open an empty store at once leave what one does.
func TestMigrationsInSeveralAtOnce(t *testing.T) {
	const schema = "SELECT groupArray(name || ' ' || create_table_query) FROM (SELECT * FROM system.tables WHERE database = currentDatabase() ORDER BY name)"
	const steps = "SELECT version, name FROM schema_migrations FINAL ORDER BY version"
	alone := client(t, home(t, t.TempDir()))
	store := home(t, t.TempDir())
	var all errgroup.Group
	for range 8 {
		db, err := Open(t.Context(), Options{Logger: logger(t), Dial: dialTo(store), Reader: embedded.Reader})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { db.Close() })
		all.Go(func() error { return db.Migrate(t.Context()) })
	}
	if err := all.Wait(); err != nil {
		t.Fatal(err)
	}
	db := client(t, store)
	for _, sql := range []string{schema, steps} {
		if got, want := ask(t, db, sql), ask(t, alone, sql); got != want {
			t.Errorf("%s:\n%s\nwant\n%s", sql, got, want)
		}
	}
	s := newStream(t, 2, 4, 1000, time.Date(2026, 11, 21, 5, 8, 0, 0, time.UTC), time.Millisecond)
	j := watch(journalIn(t, t.TempDir()), s)
	runUntil(t, s.writer(db, j), j.all)
	if got := ask(t, db, "SELECT (SELECT count() FROM requests), (SELECT sum(requests) FROM rollup_10s), (SELECT sum(requests) FROM rollup_1h)"); got != "4000\t4000\t4000" {
		t.Errorf("of 4000 requests there are %s", got)
	}
}
