package main

import (
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/weir-project/weir/internal/embedded"
)

// TestSQLDoorRefuses stands in front of no store at all: whoever has no token gets no
// further, and what is beside it is not there.
func TestSQLDoorRefuses(t *testing.T) {
	path := filepath.Join(t.TempDir(), "token")
	log := slog.New(slog.DiscardHandler)
	if _, err := newSQLDoor(path, nil, log); err == nil {
		t.Error("a token that is not there was taken")
	}
	if err := os.WriteFile(path, []byte("short\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := newSQLDoor(path, nil, log); err == nil || !strings.Contains(err.Error(), "http.sql_token_file") {
		t.Errorf("a short token: %v", err)
	}
	if err := os.WriteFile(path, []byte("0123456789abcdef\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	closed := func() embedded.Home { t.Error("the store was asked"); return nil }
	door, err := newSQLDoor(path, closed, log)
	if err != nil {
		t.Fatal(err)
	}
	mux := http.NewServeMux()
	door.register(mux)
	for _, token := range []string{"", "Bearer ", "Bearer 0123456789abcdeF", "0123456789abcdef", "Basic 0123456789abcdef"} {
		r := httptest.NewRequest(http.MethodPost, doorPath, strings.NewReader("SELECT 1"))
		r.Header.Set("Authorization", token)
		w := httptest.NewRecorder()
		mux.ServeHTTP(w, r)
		if w.Code != http.StatusUnauthorized {
			text, _ := io.ReadAll(w.Body)
			t.Errorf("%q: %d %s", token, w.Code, text)
		}
	}
}

// TestSQLDoorPassesOnOnlyWhatItNames drops settings that would widen what a reader may do.
func TestSQLDoorPassesOnOnlyWhatItNames(t *testing.T) {
	door := &sqlDoor{}
	r := httptest.NewRequest(http.MethodPost, doorPath+"?readonly=0&user=default&allow_ddl=1&max_execution_time=3&query=DROP+TABLE+requests&database=system&log_queries=0", nil)
	got := door.request(r.Context(), embedded.Access{}, r.URL.Query(), nil)
	if want := "cancel_http_readonly_queries_on_client_close=1&implicit_select=0&max_execution_time=3&readonly=1"; got.URL.RawQuery != want {
		t.Errorf("%s, want %s", got.URL.RawQuery, want)
	}
	if user := got.Header.Get("X-ClickHouse-User"); user != embedded.Reader {
		t.Errorf("the user is %q", user)
	}
}
