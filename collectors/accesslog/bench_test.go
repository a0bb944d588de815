package accesslog

import (
	"fmt"
	"strings"
	"syscall"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// benchCombined are lines of 266 bytes, benchWeir of 467: what the budgets are for.
func benchCombined(i int) []byte {
	line := fmt.Sprintf(`203.0.%d.%d - - [17/May/2025:10:05:%02d +0000] "GET /blog/2025/hello-world-%05d?page=2 HTTP/1.1" 200 %d "https://www.example.org/blog/2025/" "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36`,
		i%200, i%250, i/8%60, i%99999, 10000+i%9999)
	return []byte(line + strings.Repeat("x", 265-len(line)) + `"`)
}

func benchWeir(i int) []byte {
	line := fmt.Sprintf(`{"time":"17474763%02d.%03d","host":"www.example.org","client":"203.0.%d.%d","method":"GET","uri":"/blog/2025/hello-%05d","protocol":"HTTP/2.0","status":200,"bytes":%d,"duration":0.012,"upstream_duration":"0.011","referer":"","user_agent":"Mozilla/5.0 Chrome/124.0","accept_language":"de,en;q=0.5","accept_encoding":"gzip, br","tls":"TLSv1.3 TLS_AES_256_GCM_SHA384 X25519","cookie":"1","request_id":"`,
		i/8%99, i%1000, i%200, i%250, i%99999, 10000+i%9999)
	return []byte(line + strings.Repeat("a", 465-len(line)) + `"}`)
}

func benchmark(b *testing.B, f Format, line func(int) []byte) {
	lines := make([][]byte, 4096)
	for i := range lines {
		lines[i] = line(i)
	}
	parser := New(f)
	var r schemas.Request
	for _, l := range lines {
		if reason := parser.Parse(l, &r); reason != None {
			b.Fatalf("%s: %s", reason, l)
		}
	}
	b.SetBytes(int64(len(lines[0])))
	b.ReportAllocs()
	b.ResetTimer()
	before := processorTime()
	for i := 0; i < b.N; i++ {
		parser.Parse(lines[i%len(lines)], &r)
	}
	b.ReportMetric(float64(processorTime()-before)/float64(b.N), "cpu-ns/op")
}

// processorTime is what this process has used, in nanoseconds: on a shared
// machine it says more than the clock.
func processorTime() int64 {
	var usage syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &usage)
	return usage.Utime.Nano() + usage.Stime.Nano()
}

func BenchmarkCombined(b *testing.B) { benchmark(b, Combined, benchCombined) }
func BenchmarkWeir(b *testing.B)     { benchmark(b, Weir, benchWeir) }
