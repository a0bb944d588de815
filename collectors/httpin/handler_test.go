package httpin

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"github.com/weir-project/weir/collectors/intake"
)

// kept are lines in memory, by edge; err is what Take answers instead.
type kept struct {
	mu    sync.Mutex
	lines map[string]string
	ids   map[string]bool
	err   error
}

func (k *kept) Take(from intake.Stream, id string, lines []byte) (bool, error) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.err != nil {
		return false, fmt.Errorf("kept: %w", k.err)
	}
	if k.lines == nil {
		k.lines, k.ids = map[string]string{}, map[string]bool{}
	}
	if id != "" && k.ids[id] {
		return false, nil
	}
	k.ids[id] = true
	k.lines[from.Edge] += string(lines)
	return true, nil
}

func handler(t *testing.T, o Options, lines Lines) *Handler {
	t.Helper()
	h, err := New(o, lines)
	if err != nil {
		t.Fatal(err)
	}
	return h
}

// send posts a body; headers are names and values.
func send(h http.Handler, path string, body io.Reader, headers ...string) *http.Response {
	r := httptest.NewRequest(http.MethodPost, path, body)
	for i := 0; i < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w.Result()
}

func gzipped(text string) []byte {
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	_, _ = w.Write([]byte(text))
	_ = w.Close()
	return out.Bytes()
}

func zstandard(text string) []byte {
	w, err := zstd.NewWriter(nil)
	if err != nil {
		panic(err)
	}
	return w.EncodeAll([]byte(text), nil)
}

func TestBodiesAreTaken(t *testing.T) {
	for _, test := range []struct {
		name, path string
		body       []byte
		headers    []string
		edge, want string
	}{
		{"lines", "/", []byte("a\nb"), nil, "", "a\nb\n"},
		{"of an edge", "/ingest/Web1", []byte("a\n"), nil, "web1", "a\n"},
		{"NDJSON", "/ingest", []byte(`{"message":"a"}` + "\n" + `{"uri":"/"}`), []string{"Content-Type", "application/x-ndjson"}, "", "a\n{\"uri\":\"/\"}\n"},
		{"an array", "/", []byte(`[{"log":"a"},{"log":"b"}]`), []string{"Content-Type", "application/json"}, "", "a\nb\n"},
		{"gzip", "/", gzipped("a\nb\n"), []string{"Content-Encoding", "gzip"}, "", "a\nb\n"},
		{"zstd", "/", zstandard("a\nb\n"), []string{"Content-Encoding", "zstd"}, "", "a\nb\n"},
		{"nothing", "/", nil, nil, "", ""},
	} {
		var lines kept
		h := handler(t, Options{}, &lines)
		for round := range 2 { // the second with the first one's memory
			answer := send(h, test.path, bytes.NewReader(test.body), test.headers...)
			if answer.StatusCode != http.StatusNoContent || lines.lines[test.edge] != strings.Repeat(test.want, round+1) {
				t.Errorf("%s: %s, %q", test.name, answer.Status, lines.lines)
			}
		}
	}
}

func TestBodiesAreRefused(t *testing.T) {
	bomb := strings.Repeat("x", 1<<20)
	for _, test := range []struct {
		name    string
		path    string
		body    []byte
		headers []string
		want    int
	}{
		{"too much", "/", []byte(strings.Repeat("x", 2000)), nil, 413},
		{"a gzip bomb", "/", gzipped(bomb), []string{"Content-Encoding", "gzip"}, 413},
		{"a zstd bomb", "/", zstandard(bomb), []string{"Content-Encoding", "zstd"}, 413},
		{"no gzip", "/", []byte("a"), []string{"Content-Encoding", "gzip"}, 400},
		{"half of gzip", "/", gzipped("a b c d e f g")[:20], []string{"Content-Encoding", "gzip"}, 400},
		{"no zstd", "/", []byte("a"), []string{"Content-Encoding", "zstd"}, 400},
		{"half of zstd", "/", zstandard("abcdefg")[:12], []string{"Content-Encoding", "zstd"}, 400},
		{"br", "/", []byte("a"), []string{"Content-Encoding", "br"}, 415},
		{"a long id", "/", []byte("a"), []string{IDHeader, strings.Repeat("x", 257)}, 400},
		{"elsewhere", "/metrics", []byte("a"), nil, 404},
		{"no edge", "/ingest/a/b", []byte("a"), nil, 404},
	} {
		var lines kept
		h := handler(t, Options{MaxBody: 1500, MaxUnpacked: 100_000}, &lines)
		if answer := send(h, test.path, bytes.NewReader(test.body), test.headers...); answer.StatusCode != test.want {
			t.Errorf("%s: %s, want %d", test.name, answer.Status, test.want)
		}
		// Without a length the bound holds as well.
		if answer := send(h, test.path, io.MultiReader(bytes.NewReader(test.body)), test.headers...); answer.StatusCode != test.want {
			t.Errorf("%s, without a length: %s, want %d", test.name, answer.Status, test.want)
		}
		if len(lines.lines) > 0 {
			t.Errorf("%s: taken: %q", test.name, lines.lines)
		}
		if answer := send(h, "/", strings.NewReader("after")); answer.StatusCode != http.StatusNoContent {
			t.Errorf("%s: after it: %s", test.name, answer.Status)
		}
	}
}

func TestTokens(t *testing.T) {
	var lines kept
	h := handler(t, Options{Token: "secret"}, &lines)
	for given, want := range map[string]int{
		"": 401, "Bearer": 401, "Bearer ": 401, "Bearer secre": 401, "Bearer secrets": 401, "secret": 401, "Basic secret": 401,
		"Bearer secret": 204, "bearer secret": 204, "Basic d2VpcjpzZWNyZXQ=": 204, "Basic d2VpcjpvdGhlcg==": 401,
	} {
		if answer := send(h, "/", strings.NewReader("a"), "Authorization", given); answer.StatusCode != want {
			t.Errorf("%q: %s, want %d", given, answer.Status, want)
		}
	}
	if got := lines.lines[""]; got != "a\na\na\n" {
		t.Errorf("taken: %q", got)
	}
}

func TestSendersComeAgain(t *testing.T) {
	for err, want := range map[error]int{intake.ErrFull: 429, errors.New("the disk is broken"): 503} {
		lines := kept{err: err}
		h := handler(t, Options{}, &lines)
		answer := send(h, "/", strings.NewReader("a"), IDHeader, "1")
		body, _ := io.ReadAll(answer.Body)
		if answer.StatusCode != want || answer.Header.Get("Retry-After") == "" || strings.Contains(string(body), "broken") {
			t.Errorf("%v: %s, %v, %s", err, answer.Status, answer.Header, body)
		}
		lines.err = nil
		for range 2 {
			if answer := send(h, "/", strings.NewReader("a"), IDHeader, "1"); answer.StatusCode != 204 {
				t.Errorf("again: %s", answer.Status)
			}
		}
		if lines.lines[""] != "a\n" {
			t.Errorf("taken: %q", lines.lines)
		}
	}
}

// TestMemoryIsBounded sends one body more than there is room for at once.
func TestMemoryIsBounded(t *testing.T) {
	var lines kept
	h := handler(t, Options{AtOnce: 1}, &lines)
	r, w := io.Pipe()
	first := make(chan int, 1)
	go func() { first <- send(h, "/", r).StatusCode }()
	if _, err := w.Write([]byte("half of ")); err != nil { // it is being read
		t.Fatal(err)
	}
	if answer := send(h, "/", strings.NewReader("a")); answer.StatusCode != http.StatusTooManyRequests {
		t.Errorf("a second one: %s", answer.Status)
	}
	_, _ = w.Write([]byte("a line"))
	w.Close()
	if status := <-first; status != http.StatusNoContent || lines.lines[""] != "half of a line\n" {
		t.Errorf("the first one: %d, %q", status, lines.lines)
	}
}

func TestServer(t *testing.T) {
	var lines kept
	s := NewServer("127.0.0.1:0", nil, handler(t, Options{}, &lines))
	if err := s.Open(); err != nil {
		t.Fatal(err)
	}
	address := "http://" + s.Addr().String()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- s.Run(ctx) }()
	answer, err := http.Post(address+"/ingest/web1", "text/plain", strings.NewReader("a\n"))
	if err != nil || answer.StatusCode != http.StatusNoContent {
		t.Fatal(answer, err)
	}
	other := NewServer(answer.Request.URL.Host, nil, handler(t, Options{}, &lines))
	if err := other.Open(); err == nil || !strings.Contains(err.Error(), "address already in use") {
		t.Errorf("a second server: %v", err)
	}
	http.DefaultClient.CloseIdleConnections()
	cancel()
	if err := <-done; err != nil {
		t.Error(err)
	}
}

// FuzzBody sends anything in any encoding: it is answered, and what is taken is lines
// within the bound.
func FuzzBody(f *testing.F) {
	for _, seed := range [][]byte{[]byte("a\nb"), gzipped("a\nb"), zstandard("a\nb"), gzipped(strings.Repeat("x", 5000)), zstandard(strings.Repeat("x", 5000)), []byte(`[{"log":"a"}]`)} {
		for encoding := range 3 {
			f.Add(seed, uint8(encoding), "")
		}
	}
	f.Fuzz(func(t *testing.T, data []byte, encoding uint8, id string) {
		var lines kept
		h := handler(t, Options{MaxUnpacked: 4096}, &lines)
		headers := []string{"Content-Encoding", []string{"", "gzip", "zstd", "deflate"}[encoding%4]}
		if !strings.ContainsFunc(id, func(r rune) bool { return r < ' ' || r > '~' }) {
			headers = append(headers, IDHeader, id)
		}
		answer := send(h, "/", bytes.NewReader(data), headers...)
		switch answer.StatusCode {
		case 204, 400, 413, 415:
		default:
			t.Fatalf("%s", answer.Status)
		}
		if taken := lines.lines[""]; answer.StatusCode != 204 && taken != "" || len(taken) > 3*4096 {
			t.Fatalf("%s, and %d bytes were taken", answer.Status, len(taken))
		}
	})
}
