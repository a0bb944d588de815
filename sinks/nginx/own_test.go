package nginx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// A limit that somebody adds to his own nginx while weir runs takes the place of weir's, whether
// nginx took both or not; once it is gone again weir's is back. Requests are answered all the
// time, and what is throttled stays throttled.
func TestOwnLimitsAddedMeanwhile(t *testing.T) {
	t.Parallel()
	for name, x := range map[string]struct {
		http, server string
		refused      bool // by nginx, beside weir's limit
	}{
		"status":   {http: "limit_req_status 503;\n" + includeHTTP, refused: true},
		"later":    {http: includeHTTP + "\nlimit_req_log_level warn;", refused: true},
		"http":     {http: "limit_req_zone $binary_remote_addr zone=own:1m rate=100r/s;\n" + includeHTTP + "\nlimit_req zone=own burst=1000;"},
		"location": {http: "limit_req_zone $binary_remote_addr zone=own:1m rate=100r/s;\n" + includeHTTP, server: "location /login { limit_req zone=own burst=1000; empty_gif; }"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := newServer(t, includeHTTP, limitedSite)
			o, file := s.options(), filepath.Join(s.root, "nginx.conf")
			before, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			changed := strings.Replace(string(before), strings.ReplaceAll(includeHTTP, "ROOT", s.root), strings.ReplaceAll(x.http, "ROOT", s.root), 1)
			changed = strings.Replace(changed, "location / {", x.server+"\nlocation / {", 1)
			o.Snippets = &SnippetOptions{UnknownRate: 12}
			o.Limit = s.prepared()
			s.start()
			e := newEnforcer(t, o)
			e.Known(knownPaths("a.example", "/"))
			e.Apply(added(measure("i1-1", schemas.Throttle, schemas.ScopeSignature, pathUnknown, "a.example")))
			e.attempt(within(t))
			now := time.Now()
			look := func(limited bool) {
				t.Helper()
				now = now.Add(ownPace)
				before := e.options.Limit
				e.watchOwn(within(t), now)
				if e.options.Limit != before && !e.dirty {
					t.Error("Run does not tell nginx")
				}
				if e.options.Limit != limited || e.dir.limited() != limited {
					t.Fatalf("limited %t, in the snippets %t, want %t", e.options.Limit, e.dir.limited(), limited)
				}
				if err := s.check(); err != nil {
					t.Fatal(err)
				}
				e.attempt(within(t))
				if err := e.Status().Err; err != nil {
					t.Fatal(err)
				}
			}
			look(true)
			if err := os.WriteFile(file, []byte(changed), 0o600); err != nil {
				t.Fatal(err)
			}
			if err := s.check(); (err != nil) != x.refused {
				t.Fatalf("beside weir's limit nginx says: %v", err)
			}
			look(false)
			// All that is throttled is refused at once: no budget of weir's is left.
			if err := s.until(within(t), get("a.example", "/login", "10.0.0.1"), func(status int, body string) bool {
				return status == 429 && strings.Contains(body, "i1-1")
			}); err != nil {
				t.Error(err)
			}
			if status, _ := s.dial().say(get("a.example", "/", "10.0.0.1")); status != 200 {
				t.Errorf("a known page is answered %d", status)
			}
			if err := os.WriteFile(file, append(before, '\n'), 0o600); err != nil {
				t.Fatal(err)
			}
			look(true)
			if err := os.WriteFile(file, []byte("broken"), 0o600); err != nil {
				t.Fatal(err)
			}
			now = now.Add(ownPace)
			if e.watchOwn(within(t), now); !e.options.Limit || !e.dir.limited() {
				t.Error("a configuration that is broken otherwise takes weir's limit away")
			}
		})
	}
}
