package clickhouse

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// traffic is batches that look like an estate's: a few hundred agents, paths with a
// long tail, addresses of all kinds.
func traffic(batches, rows int) []*schemas.Batch {
	r := rand.New(rand.NewPCG(1, 2))
	now := time.Date(2026, 11, 22, 5, 8, 0, 0, time.UTC)
	var all []*schemas.Batch
	for n := range batches {
		b := schemas.NewBuilder("edge-1", "/var/log/nginx/access.log")
		for range rows {
			now = now.Add(time.Duration(r.IntN(2)) * time.Millisecond)
			agent := int(float64(400) * r.Float64() * r.Float64())
			q := schemas.Request{Time: now.UnixMilli(),
				Client: netip.AddrFrom4([4]byte{byte(20 + r.IntN(180)), byte(r.IntN(256)), byte(r.IntN(256)), byte(r.IntN(256))}),
				Status: []uint16{200, 200, 200, 304, 404}[r.IntN(5)], Bytes: int64(r.IntN(50000)), Duration: int64(r.IntN(300000)),
				Cookie: schemas.CookieNone, Fields: 1<<11 - 1,
				Site: fmt.Appendf(nil, "site-%d.example", r.IntN(5)), Method: []byte("GET"), Protocol: []byte("HTTP/2.0"),
				Path:           fmt.Appendf(nil, "/articles/%d/comments/%d", int(1000*r.Float64()*r.Float64()), r.IntN(20)),
				Referer:        fmt.Appendf(nil, "https://site-%d.example/articles/%d", r.IntN(5), r.IntN(300)),
				UserAgent:      fmt.Appendf(nil, "Mozilla/5.0 (X11; Linux x86_64; rv:%d.0) Gecko/20100101 Firefox/%d.0", agent, agent),
				AcceptLanguage: []byte("de,en-US;q=0.7,en;q=0.3"), AcceptEncoding: []byte("gzip, deflate, br"),
				TLS: []byte("TLSv1.3 TLS_AES_256_GCM_SHA384 X25519:prime256v1"), Action: []byte("allow"),
				RequestID: fmt.Appendf(nil, "%016x%016x", r.Uint64(), r.Uint64()),
			}
			b.Append(&q)
		}
		b.Batch().Number = uint64(n + 1)
		all = append(all, b.Batch())
	}
	return all
}

// BenchmarkDirect stores a million rows an iteration in a real child; cpu-s/Mrow is
// of both processes, from batches in memory to rows in the table.
func BenchmarkDirect(b *testing.B) {
	s := home(b, b.TempDir())
	db := client(b, s)
	batches := traffic(62, 16384)
	rows := len(batches) * 16384
	b.ReportAllocs()
	own, engine := cpu(b), childCPU(b)
	b.ResetTimer()
	for i := range b.N {
		d, err := db.NewDirect(b.Context(), DirectOptions{Stream: fmt.Sprint("bench", i)})
		if err != nil {
			b.Fatal(err)
		}
		for _, batch := range batches {
			if err := d.Write(b.Context(), batch); err != nil {
				b.Fatal(err)
			}
		}
		if err := d.Close(b.Context()); err != nil {
			b.Fatal(err)
		}
	}
	b.StopTimer()
	b.ReportMetric(float64(b.N*rows)/b.Elapsed().Seconds(), "rows/s")
	b.ReportMetric((cpu(b)-own).Seconds()/float64(b.N*rows)*1e6, "client-cpu-s/Mrow")
	b.ReportMetric((childCPU(b)-engine).Seconds()/float64(b.N*rows)*1e6, "engine-cpu-s/Mrow")
	b.Log(ask(b, db, "SELECT formatReadableSize(sum(bytes_on_disk)), sum(bytes_on_disk) / sum(rows), count() FROM system.parts WHERE table = 'requests' AND active"))
	b.Log(ask(b, db, "SELECT column, sum(column_bytes_on_disk) / sum(rows) AS b FROM system.parts_columns WHERE table = 'requests' AND active GROUP BY column ORDER BY b DESC LIMIT 30"))
}

func cpu(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// childCPU is the processor time of this process's children that live, by proc(5).
func childCPU(b *testing.B) (total time.Duration) {
	stats, err := filepath.Glob("/proc/[0-9]*/stat")
	if err != nil {
		b.Fatal(err)
	}
	for _, path := range stats {
		text, err := os.ReadFile(path)
		if err != nil {
			continue // it has ended
		}
		_, rest, _ := strings.Cut(string(text), ") ")
		fields := strings.Fields(rest) // from field 3, the state
		if len(fields) < 13 || fields[1] != strconv.Itoa(os.Getpid()) {
			continue
		}
		user, _ := strconv.Atoi(fields[11])
		system, _ := strconv.Atoi(fields[12])
		total += time.Duration(user+system) * 10 * time.Millisecond // USER_HZ is 100
	}
	return total
}
