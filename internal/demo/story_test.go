package demo

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// needNginx skips a test on a machine without nginx, and fails it in continuous
// integration.
func needNginx(t *testing.T) {
	t.Helper()
	if _, err := findNginx(""); err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal(err)
		}
		t.Skip(err)
	}
}

// quickPlan is a demo of a few seconds.
func quickPlan() Plan {
	return Plan{Before: 10 * time.Second, Attack: 65 * time.Second, After: 5 * time.Second, Speed: 20}
}

// stage is a whole demo without weir.
type stage struct {
	plan  Plan
	board *Scoreboard
	nginx *Nginx
	story simulate.Config
}

// play runs a demo with the snippets given ("" for none) and returns when all of
// it has ended.
func play(t *testing.T, plan Plan, httpSnippet, serverSnippet string) *stage {
	t.Helper()
	needNginx(t)
	s := &stage{plan: plan, board: NewScoreboard(plan)}
	s.story = StoryConfig(1, time.Now(), plan)
	s.story.Attack.Requests, s.story.Attack.Addresses = 750, 250
	traffic, err := simulate.NewTraffic(s.story)
	if err != nil {
		t.Fatal(err)
	}
	site := traffic.Sites()[0]
	app := NewApp(AppOptions{Sites: []AppSite{AppSiteOf(site)}, Plan: plan, Reached: s.board.Reached})
	if err := app.Listen(loopback); err != nil {
		t.Fatal(err)
	}
	s.nginx, err = NewNginx(NginxOptions{
		Dir: t.TempDir(), Application: app.Address(), HTTP: httpSnippet, Server: serverSnippet,
		Sites: []NginxSite{{site.Name, plan.wall(site.Timeout)}},
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.nginx.Write(); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var parts sync.WaitGroup
	run := func(part func(context.Context) error) {
		parts.Go(func() {
			if err := part(ctx); err != nil {
				t.Error(err)
				cancel()
			}
		})
	}
	run(app.Run)
	run(s.nginx.Run)
	select {
	case <-s.nginx.Ready():
	case <-ctx.Done():
	}
	err = NewTraffic(TrafficOptions{Addresses: []string{s.nginx.Address()}, Visits: traffic, Plan: plan, Board: s.board}).Run(ctx)
	if err != nil {
		t.Error(err)
	}
	cancel()
	parts.Wait()
	return s
}

// The whole stage without weir: visitors are served, the bots reach the
// application, and everything adds up.
func TestStoryWithoutWeir(t *testing.T) {
	s := play(t, quickPlan(), "", "")
	r := s.board.Report()
	var table strings.Builder
	if err := r.Table(&table); err != nil {
		t.Fatal(err)
	}
	t.Log("\n" + table.String())
	if r.Attack.Sent != s.story.Attack.Requests || r.Addresses != s.story.Attack.Addresses {
		t.Errorf("the botnet sent %d requests from %d addresses, want %d and %d",
			r.Attack.Sent, r.Addresses, s.story.Attack.Requests, s.story.Attack.Addresses)
	}
	if r.Attack.Sent != r.Attack.Stopped+r.Attack.Reached+r.Attack.Failed || r.Attack.Open != 0 {
		t.Errorf("does not add up: %+v", r.Attack)
	}
	// A busy machine may keep a few requests waiting longer than bots do.
	if r.Attack.Reached < r.Attack.Sent*9/10 || r.Attack.Stopped != 0 {
		t.Errorf("nothing protects the application, but %+v", r.Attack)
	}
	if r.Visitors < 10 || r.VisitorsRefused != 0 {
		t.Errorf("%d visitors, %d refused", r.Visitors, r.VisitorsRefused)
	}
	served := 0 // how many depends on how busy the machine is that runs 20 seconds in one
	for _, p := range r.Phases {
		served += p.Visitors.Requests - p.Visitors.Failed
	}
	if served < 20 {
		t.Errorf("%d requests of visitors were served", served)
	}
	if r.Verdict().Passed {
		t.Error("the demo passes without weir")
	}
	slots, phases := 0, 0
	for i := range r.Slots {
		slots += r.Slots[i].Attack.Sent + r.Slots[i].Visitors.Requests
	}
	for i := range r.Phases {
		phases += r.Phases[i].Visitors.Requests
	}
	if slots != phases+r.Attack.Sent {
		t.Errorf("%d requests in the slots, %d of visitors in the phases, %d of bots", slots, phases, r.Attack.Sent)
	}
	checkLog(t, s)
}

// checkLog compares nginx's log with what was sent: what weir is shown has the
// simulated clients and headers, and nothing of the tickets.
func checkLog(t *testing.T, s *stage) {
	t.Helper()
	file, err := os.Open(s.nginx.AccessLog())
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	type line struct {
		Host, Client, Method, URI, Protocol, TLS, Cookie, Action string
		Status                                                   int
		UserAgent                                                string `json:"user_agent"`
		AcceptEncoding                                           string `json:"accept_encoding"`
	}
	lines, loopback, noEncoding := 0, 0, 0
	for in := bufio.NewScanner(file); in.Scan(); lines++ {
		if strings.Contains(in.Text(), TicketHeader) {
			t.Fatal("the log has a ticket")
		}
		var l line
		if err := json.Unmarshal(in.Bytes(), &l); err != nil {
			t.Fatalf("line %d: %v: %s", lines+1, err, in.Text())
		}
		if address, err := netip.ParseAddr(l.Client); err != nil || address.IsLoopback() {
			loopback++
		}
		if l.Host != s.story.Sites[0].Name || strings.HasPrefix(l.UserAgent, "Go-http-client") && l.AcceptEncoding != "gzip" {
			t.Errorf("line %d: %+v", lines+1, l)
		}
		if l.AcceptEncoding == "" {
			noEncoding++
		}
	}
	if want := len(s.board.records); lines < want*9/10 || lines > want {
		t.Errorf("%d lines in the log, %d requests sent", lines, want)
	}
	if loopback > 0 || noEncoding == 0 {
		t.Errorf("%d lines without a client's address, %d without an Accept-Encoding", loopback, noEncoding)
	}
}

// With an edge that refuses the bots, they are counted as stopped.
func TestStoryWithMeasures(t *testing.T) {
	dir := t.TempDir()
	httpSnippet, serverSnippet := dir+"/http.conf", dir+"/server.conf"
	// A trait that only this test's bots cannot hide: no cookie, no referer and
	// no file asked for. Visitors share it: they are refused too.
	text := plainFormat + `  map "$http_referer$http_cookie$request_uri" $refuse { default 0; "~^/[^.]*$" 1; }` + "\n"
	if err := errors.Join(os.WriteFile(httpSnippet, []byte(text), 0o600),
		os.WriteFile(serverSnippet, []byte("if ($refuse) { return 403; }\n"), 0o600)); err != nil {
		t.Fatal(err)
	}
	r := play(t, quickPlan(), httpSnippet, serverSnippet).board.Report()
	if r.Attack.Sent != r.Attack.Stopped+r.Attack.Reached+r.Attack.Failed {
		t.Errorf("does not add up: %+v", r.Attack)
	}
	if r.Attack.Stopped < r.Attack.Sent/2 || r.FirstStopped == nil {
		t.Errorf("stopped %+v, the first %v", r.Attack, r.FirstStopped)
	}
	if r.VisitorsRefused == 0 || len(r.Refusals) == 0 || r.Verdict().Passed {
		t.Errorf("%d visitors refused, examples %v, verdict %+v", r.VisitorsRefused, r.Refusals, r.Verdict())
	}
}
