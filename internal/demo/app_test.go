package demo

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

func runCommand(t *testing.T, command []string) ([]byte, error) {
	t.Helper()
	return exec.CommandContext(t.Context(), command[0], command[1:]...).CombinedOutput()
}

// pages is a site of some resources by path; what it has not is missing.
type pages map[string]*simulate.Resource

func (p pages) Resource(_, uri string) *simulate.Resource {
	if x, ok := p[uri]; ok {
		return x
	}
	return &simulate.Resource{Method: "GET", Status: 404, Size: 30, Service: time.Second}
}

var somePages = pages{
	"/":     {Method: "GET", Path: "/", Status: 200, Size: 700, Text: true, Service: time.Second},
	"/big":  {Method: "GET", Path: "/big", Status: 200, Size: 7 << 20},
	"/file": {Method: "GET", Path: "/file", Status: 200, Size: 10, Kept: true},
	"/post": {Method: "POST", Path: "/post", Status: 303},
	"/none": {Method: "POST", Path: "/none", Status: 204},
}

func appOf(workers, queue int, reached func(string)) *App {
	return NewApp(AppOptions{
		Sites: []AppSite{{Name: "www.example.org", Pages: somePages, Workers: workers, Queue: queue}},
		Plan:  DefaultPlan(), Reached: reached,
	})
}

func TestAppAnswers(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		app := appOf(2, 2, nil)
		for _, x := range []struct {
			method, uri, host string
			header            [2]string
			status, bytes     int
		}{
			{"GET", "/", "www.example.org", [2]string{"Accept-Encoding", "gzip, deflate"}, 200, 700},
			{"GET", "/", "WWW.example.org:8080", [2]string{}, 200, 700 * 36 / 10},
			{"HEAD", "/", "www.example.org", [2]string{}, 200, 0},
			{"GET", "/missing", "www.example.org", [2]string{}, 404, 30},
			{"GET", "/big", "www.example.org", [2]string{}, 200, maxBody},
			{"GET", "/file", "www.example.org", [2]string{"If-None-Match", `"1"`}, 304, 0},
			{"POST", "/post", "www.example.org", [2]string{}, 303, 0},
			{"POST", "/none", "www.example.org", [2]string{}, 204, 0},
			{"GET", "/", "other.example.org", [2]string{}, 421, 13},
		} {
			r := httptest.NewRequest(x.method, x.uri, nil)
			r.Host = x.host
			if x.header[0] != "" {
				r.Header.Set(x.header[0], x.header[1])
			}
			w := httptest.NewRecorder()
			app.ServeHTTP(w, r)
			if w.Code != x.status || w.Body.Len() != x.bytes {
				t.Errorf("%s %s of %s: %d with %d bytes, want %d with %d", x.method, x.uri, x.host, w.Code, w.Body.Len(), x.status, x.bytes)
			}
		}
	})
}

// Two workers and a queue of three: of ten at once five are answered, two at a
// time, the others find the door shut; files cost nothing.
func TestAppHasACapacity(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var mu sync.Mutex
		arrived := 0
		app := appOf(2, 3, func(string) { mu.Lock(); arrived++; mu.Unlock() })
		begun := time.Now()
		counts := map[int]int{}
		var open sync.WaitGroup
		ask := func(uri string) {
			w, r := httptest.NewRecorder(), httptest.NewRequest("GET", uri, nil)
			r.Host = "www.example.org"
			app.ServeHTTP(w, r)
			mu.Lock()
			counts[w.Code]++
			mu.Unlock()
		}
		for range 10 {
			open.Go(func() { ask("/missing") })
		}
		synctest.Wait()
		ask("/file")
		if took := time.Since(begun); took != 0 {
			t.Errorf("a file took %s", took)
		}
		open.Wait()
		// Three rounds of about a second, more where others wait.
		if took := time.Since(begun); took < 2*time.Second || took > 15*time.Second {
			t.Errorf("took %s", took)
		}
		if counts[404] != 5 || counts[502] != 5 || counts[200] != 1 || arrived != 11 {
			t.Errorf("answers %v, %d arrived", counts, arrived)
		}
	})
}

// Run ends with its context, in the middle of work.
func TestAppStops(t *testing.T) {
	arrived := make(chan string, 1)
	app := appOf(1, 1, func(ticket string) { arrived <- ticket })
	if err := app.Run(t.Context()); err == nil {
		t.Error("runs without listening")
	}
	if err := app.Listen(loopback); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	ended := make(chan error, 1)
	go func() { ended <- app.Run(ctx) }()
	answered := make(chan error, 1)
	go func() {
		r, _ := http.NewRequest("GET", "http://"+app.Address()+"/", nil)
		r.Host = "www.example.org"
		r.Header.Set(TicketHeader, "12")
		answer, err := http.DefaultClient.Do(r)
		if err == nil {
			io.Copy(io.Discard, answer.Body)
			answer.Body.Close()
		}
		answered <- err
	}()
	if ticket := <-arrived; ticket != "12" {
		t.Errorf("ticket %q", ticket)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if err := <-answered; err == nil {
		t.Error("answered after the end")
	}
}

func TestLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := board(DefaultPlan(), goodStory()...)
		var b strings.Builder
		live := NewLive(&b, s)
		live.Show("weir: 1 incident\x1b[2J of /\u202ex\ntwo")
		if got := b.String(); strings.Count(got, "\n") != 1 || strings.ContainsAny(got, "\x1b\u202e") || !strings.HasSuffix(got, "| weir: 1 incident?[2J of /?x | two\n") {
			t.Errorf("plain: %q", got)
		}
		b.Reset()
		live.terminal = true
		live.Show(strings.Repeat("x", 200) + strings.Repeat("\ny", 20))
		live.Show("")
		blocks := strings.Split(b.String(), "\x1b[9A\x1b[J") // three of its own, six of extra
		if len(blocks) != 2 {
			t.Fatalf("terminal: %q", b.String())
		}
		for line := range strings.Lines(blocks[0]) {
			if len(line) > liveWidth+1 {
				t.Errorf("%d columns: %q", len(line), line)
			}
		}
	})
}

// Run shows at once, then at its step, and ends with its context.
func TestLiveRuns(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := NewScoreboard(DefaultPlan())
		s.Begin()
		var b strings.Builder
		ctx, cancel := context.WithTimeout(t.Context(), 12*time.Second)
		defer cancel()
		NewLive(&b, s).Run(ctx, func() string { return "weir" })
		if n := strings.Count(b.String(), "| weir\n"); n != 3 {
			t.Errorf("%d lines in 12 s:\n%s", n, b.String())
		}
	})
}
