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

const benchAgent = "Mozilla/5.0 (X11; Linux x86_64; rv:142.0) Gecko/20100101 Firefox/142.0"

// benchHAProxy are lines of 331 bytes: a syslog header and a captured agent.
func benchHAProxy(i int) []byte {
	return fmt.Appendf(nil, `May 17 10:05:03 192.168.4.2 haproxy[7]: 203.0.%d.%d:53332 [17/May/2025:10:05:%02d.%03d] prod_http_in~ bk_shop/nginx_1 0/0/1/%d/%d 200 %d - - ---- 12/9/3/1/0 0/0 {www.example.org|%s} {} "GET /blog/2025/hello-world-%05d?page=2&ajax=1&survey=130&ajax=1&refresh=1 HTTP/1.1"`,
		i%200, 100+i%100, i/8%60, i%1000, 100+i%900, 200+i%700, 10000+i%9999, benchAgent, i%99999)
}

// benchCaddy are lines of 906 bytes, with what Firefox sends.
func benchCaddy(i int) []byte {
	return fmt.Appendf(nil, `{"level":"info","ts":17474763%02d.%03d,"logger":"http.log.access","msg":"handled request","request":{"remote_ip":"203.0.%d.%d","remote_port":"46628","client_ip":"203.0.%d.%d","proto":"HTTP/1.1","method":"GET","host":"www.example.org","uri":"/blog/%05d","headers":{"Accept-Encoding":["gzip, deflate, br, zstd"],"Upgrade-Insecure-Requests":["1"],"Sec-Fetch-Site":["none"],"Accept":["text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8"],"Accept-Language":["en-US,en;q=0.5"],"Priority":["u=0, i"],"Cookie":["REDACTED"],"Sec-Fetch-Dest":["document"],"User-Agent":["%s"],"Sec-Fetch-Mode":["navigate"],"Connection":["keep-alive"],"Sec-Fetch-User":["?1"]}},"bytes_read":0,"user_id":"","duration":0.001674508,"size":%d,"status":200,"resp_headers":{"Etag":["\"ddnp8sh5vg3i58\""],"Server":["Caddy"],"Vary":["Accept-Encoding"]}}`,
		i/8%99, i%1000, i%200, 100+i%100, i%200, 100+i%100, i%99999, benchAgent, 10000+i%9999)
}

func benchTraefik(i int) []byte {
	return fmt.Appendf(nil, `203.0.%d.%d - - [17/May/2025:10:05:%02d +0000] "GET /blog/2025/hello-%05d?page=2 HTTP/2.0" 200 %d "https://www.example.org/" "%s" %d "shop@docker" "http://172.17.0.3:80" %dms`,
		i%200, 100+i%100, i/8%60, i%99999, 10000+i%9999, benchAgent, i, i%900)
}

func benchTraefikJSON(i int) []byte {
	return fmt.Appendf(nil, `{"ClientAddr":"203.0.%d.%d:39496","ClientHost":"203.0.%d.%d","ClientPort":"39496","ClientUsername":"-","DownstreamContentSize":%d,"DownstreamStatus":200,"Duration":357313,"OriginContentSize":357,"OriginDuration":324669,"OriginStatus":200,"Overhead":32644,"RequestAddr":"www.example.org","RequestContentSize":0,"RequestCount":%d,"RequestHost":"www.example.org","RequestMethod":"GET","RequestPath":"/blog/%05d","RequestPort":"-","RequestProtocol":"HTTP/2.0","RequestScheme":"https","RetryAttempts":0,"RouterName":"shop@docker","ServiceAddr":"172.17.0.3:80","ServiceName":"shop@docker","ServiceURL":"http://172.17.0.3:80","StartLocal":"2025-05-17T10:05:%02d.587782192Z","StartUTC":"2025-05-17T10:05:%02d.587782192Z","TLSCipher":"TLS_AES_128_GCM_SHA256","TLSVersion":"1.3","entryPointName":"https","level":"info","msg":"","request_User-Agent":"%s","time":"2025-05-17T10:05:03Z"}`,
		i%200, 100+i%100, i%200, 100+i%100, 10000+i%9999, i, i%99999, i/8%60, i/8%60, benchAgent)
}

// Formats as people have them: nginx's example with times behind, the same as JSON,
// and Apache's combined with a time in front.
const (
	benchNginxFormat  = `log_format timed '$remote_addr - $remote_user [$time_local] "$request" $status $body_bytes_sent "$http_referer" "$http_user_agent" "$http_x_forwarded_for" rt=$request_time urt="$upstream_response_time" host=$host'`
	benchJSONFormat   = `log_format j escape=json '{"time":"$time_iso8601","ip":"$remote_addr","host":"$host","request":"$request","status":$status,"size":$body_bytes_sent,"referer":"$http_referer","agent":"$http_user_agent","rt":$request_time,"language":"$http_accept_language"}'`
	benchApacheFormat = `LogFormat "%v %D %h %l %u %t \"%r\" %>s %O \"%{Referer}i\" \"%{User-Agent}i\"" timed`
)

func benchNginx(i int) []byte {
	return fmt.Appendf(nil, `203.0.%d.%d - - [17/May/2025:10:05:%02d +0000] "GET /blog/2025/hello-%05d?page=2 HTTP/2.0" 200 %d "https://www.example.org/" "%s" "-" rt=0.%03d urt="0.011, 0.012" host=www.example.org`,
		i%200, 100+i%100, i/8%60, i%99999, 10000+i%9999, benchAgent, i%1000)
}

func benchNginxJSON(i int) []byte {
	return fmt.Appendf(nil, `{"time":"2025-05-17T10:05:%02d+00:00","ip":"203.0.%d.%d","host":"www.example.org","request":"GET /blog/2025/hello-%05d?page=2 HTTP/2.0","status":200,"size":%d,"referer":"https://www.example.org/","agent":"%s","rt":0.%03d,"language":"de,en;q=0.5"}`,
		i/8%60, i%200, 100+i%100, i%99999, 10000+i%9999, benchAgent, i%1000)
}

func benchApache(i int) []byte {
	return fmt.Appendf(nil, `www.example.org %d 203.0.%d.%d - - [17/May/2025:10:05:%02d +0000] "GET /blog/2025/hello-%05d?page=2 HTTP/1.1" 200 %d "https://www.example.org/" "%s"`,
		i, i%200, 100+i%100, i/8%60, i%99999, 10000+i%9999, benchAgent)
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

func BenchmarkCombined(b *testing.B)    { benchmark(b, Combined, benchCombined) }
func BenchmarkWeir(b *testing.B)        { benchmark(b, Weir, benchWeir) }
func BenchmarkHAProxy(b *testing.B)     { benchmark(b, HAProxy, benchHAProxy) }
func BenchmarkCaddy(b *testing.B)       { benchmark(b, Caddy, benchCaddy) }
func BenchmarkTraefik(b *testing.B)     { benchmark(b, Traefik, benchTraefik) }
func BenchmarkTraefikJSON(b *testing.B) { benchmark(b, TraefikJSON, benchTraefikJSON) }
func BenchmarkCustomNginx(b *testing.B) { benchmark(b, benchNginxFormat, benchNginx) }
func BenchmarkCustomJSON(b *testing.B)  { benchmark(b, benchJSONFormat, benchNginxJSON) }
func BenchmarkCustomApache(b *testing.B) {
	benchmark(b, benchApacheFormat, benchApache)
}
