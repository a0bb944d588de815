package clickhouse

import (
	"fmt"
	"net/netip"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// batchOf is a batch of n rows that start at a time, a row each step.
func batchOf(number uint64, start time.Time, step time.Duration, n int) *schemas.Batch {
	b := schemas.NewBuilder("edge-1", "/var/log/nginx/access.log")
	for i := range n {
		client := netip.AddrFrom4([4]byte{203, 0, byte(i >> 8), byte(i)})
		if i%5 == 0 {
			client = netip.MustParseAddr(fmt.Sprintf("2001:db8:%x:2::%x", number, i+1))
		}
		r := schemas.Request{
			Time: start.Add(time.Duration(i) * step).UnixMilli(), Client: client, Status: []uint16{200, 200, 404, 301}[i%4],
			Bytes: int64(i), Duration: 1500, Fields: schemas.FieldSite | schemas.FieldUserAgent,
			Site: []byte([]string{"shop.example", "www.example"}[i%2]), Method: []byte("GET"),
			Path: fmt.Appendf(nil, "/%d/%d", number, i), Protocol: []byte("HTTP/1.1"),
			UserAgent: fmt.Appendf(nil, "agent/%d", i%7), RequestID: fmt.Appendf(nil, "%d-%d", number, i),
		}
		b.Append(&r)
	}
	b.Batch().Number = number
	return b.Batch()
}

func TestDirectStoresEveryRequest(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	for range 2 { // the second adds nothing
		d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:test"})
		if err != nil {
			t.Fatal(err)
		}
		for n := range uint64(30) {
			start := time.Date(2015, 5, 17, 22, 0, 0, 0, time.UTC).Add(time.Duration(n) * 5000 * time.Second)
			if err := d.Write(t.Context(), batchOf(n+1, start, time.Second, 5000)); err != nil {
				t.Fatal(err)
			}
		}
		if err := d.Close(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ask(t, db, "SELECT count(), uniqExact(request_id), uniqExact(toDate(time)), min(time) FROM requests"); got != "150000\t150000\t3\t2015-05-17 22:00:00.000" {
			t.Errorf("count, ids, days, first are %s", got)
		}
	}
	want := "shop.example\t200\t37500\t8500\nshop.example\t404\t37500\t8500\nwww.example\t200\t37500\t8500\nwww.example\t301\t37500\t8500"
	if got := ask(t, db, "SELECT site, status, count(), uniqExact(client) FROM requests GROUP BY site, status ORDER BY ALL"); got != want {
		t.Errorf("by site and status:\n%s", got)
	}
	if got := ask(t, db, "SELECT time, site, client, network, method, path, status, bytes, duration, user_agent, edge FROM requests_readable WHERE path = '/1/4'"); got !=
		"2015-05-17 22:00:04.000\tshop.example\t203.0.0.4\t203.0.0.0/24\tGET\t/1/4\t200\t4\t0.0015\tagent/4\tedge-1" {
		t.Errorf("for people: %s", got)
	}
}

// What stands for several requests is counted as several by the queries of docs/sql.md.
func TestSampledRequestsAreWeighted(t *testing.T) {
	db := client(t, home(t, t.TempDir()))
	d, err := db.NewDirect(t.Context(), DirectOptions{Stream: "replay:test"})
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC)
	for n, weight := range []uint32{0, 8} {
		b := schemas.NewBuilder("edge-1", fmt.Sprint("source-", n))
		for i := range 100 { // 50 clients with two requests each, the same in both batches
			b.Append(&schemas.Request{
				Time: at.UnixMilli(), Client: netip.AddrFrom4([4]byte{192, 0, 2, byte(i % 50)}), Weight: weight,
				Status: 200 + uint16(300*n), Duration: int64(1000 + 1000*n), Fields: schemas.FieldDuration,
			})
		}
		if err := d.Write(t.Context(), b.Batch()); err != nil {
			t.Fatal(err)
		}
	}
	if err := d.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	const query = `SELECT count(), sum(weight), sumIf(weight, status >= 500), round(avgWeighted(duration, weight)),
		quantileExactWeighted(0.05)(duration, toUInt64(weight)), uniqExact(client),
		uniqExactArray(arrayMap(i -> (client, i), range(toUInt32(weight)))) FROM requests`
	if got, want := ask(t, db, query), "200\t900\t800\t1889\t1000\t50\t400"; got != want {
		t.Errorf("rows, requests, errors, mean and low duration, clients as they are and weighted: %s, want %s", got, want)
	}
}
