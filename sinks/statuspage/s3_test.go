package statuspage

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/johannesboyne/gofakes3"
	"github.com/johannesboyne/gofakes3/backend/s3mem"
)

func contains(text, part string) bool { return strings.Contains(text, part) }

// page is a small page to push.
func page(text string) []File {
	return []File{
		{"api/v2/status.json", "application/json", []byte(`{"status":{}}`)},
		{"index.html", "text/html; charset=utf-8", []byte(text)},
	}
}

// TestS3 pushes to an S3 server over HTTP and reads with a client that has no key.
func TestS3(t *testing.T) {
	backend := s3mem.New()
	if err := backend.CreateBucket("status"); err != nil {
		t.Fatal(err)
	}
	var signed, put int
	fake := gofakes3.New(backend).Server()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Method == http.MethodPut {
			put++
			if strings.HasPrefix(r.Header.Get("Authorization"), "AWS4-HMAC-SHA256 Credential=id/") && contains(r.Header.Get("Cache-Control"), "max-age") && r.Header.Get("Content-Md5") != "" {
				signed++
			}
		}
		fake.ServeHTTP(w, r)
	}))
	defer server.Close()
	place := &S3{Endpoint: server.URL, Bucket: "status", Prefix: "page", AccessKey: "id", SecretKey: "hunter2"}
	get := func(name string) (string, http.Header) {
		t.Helper()
		answer, err := http.Get(server.URL + "/status/page/" + name)
		if err != nil {
			t.Fatal(err)
		}
		defer answer.Body.Close()
		body, err := io.ReadAll(answer.Body)
		if err != nil || answer.StatusCode != http.StatusOK {
			t.Fatalf("%s: %d %v", name, answer.StatusCode, err)
		}
		return string(body), answer.Header
	}
	for _, text := range []string{"<p>one", "<p>two", "<p>two"} {
		if err := place.Put(t.Context(), page(text), true); err != nil {
			t.Fatal(err)
		}
		body, header := get("index.html")
		if body != text || header.Get("Content-Type") != "text/html; charset=utf-8" || header.Get("Content-Encoding") != "" {
			t.Errorf("the bucket has %q, %v", body, header)
		}
	}
	if _, header := get("api/v2/status.json"); header.Get("Content-Type") != "application/json" {
		t.Errorf("JSON is served as %q", header.Get("Content-Type"))
	}
	if put != 3 || signed != put {
		t.Errorf("%d uploads, %d signed and complete; want 3 of what had changed", put, signed)
	}
	// What fails says so without the key, and ends with its context.
	wrong := &S3{Endpoint: server.URL, Bucket: "missing", AccessKey: "id", SecretKey: "hunter2"}
	if err := wrong.Put(t.Context(), page("x"), true); err == nil || !contains(err.Error(), "NoSuchBucket") || contains(err.Error(), "hunter2") {
		t.Errorf("a bucket that is not there: %v", err)
	}
	hung := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { <-r.Context().Done() }))
	defer hung.Close()
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	if err := (&S3{Endpoint: hung.URL, Bucket: "status", AccessKey: "id", SecretKey: "hunter2"}).Put(ctx, page("x"), true); err == nil {
		t.Error("a server that hangs took the page")
	}
}
