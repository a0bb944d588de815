package e2e

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// ask is one request of a client through nginx, by its own connection; 0 where none is answered.
func (e *edge) ask(client, path string, header map[string]string) int {
	q, err := http.NewRequest(http.MethodGet, "http://"+e.address+path, nil)
	if err != nil {
		return 0
	}
	q.Host = "www.example.org"
	q.Header.Set("X-Forwarded-For", client)
	for name, value := range header {
		q.Header.Set(name, value)
	}
	answer, err := (&http.Transport{DisableKeepAlives: true}).RoundTrip(q)
	if err != nil {
		return 0
	}
	answer.Body.Close()
	return answer.StatusCode
}

// bots speak so, and, in this test, visitors too.
var bots = map[string]string{"User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/124.0.0.0 Safari/537.36", "Accept-Encoding": "gzip"}

// flood sends what a botnet does until the test stops it.
func (e *edge) flood(t *testing.T) (stop func()) {
	end, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		r := rand.New(rand.NewPCG(1, 2))
		tick := time.NewTicker(12 * time.Millisecond)
		defer tick.Stop()
		for {
			select {
			case <-end:
				return
			case <-tick.C:
				e.ask(fmt.Sprintf("%d.%d.%d.%d", 20+r.IntN(60), r.IntN(256), r.IntN(256), 1+r.IntN(250)), fmt.Sprintf("/x%d/%x", r.IntN(99), r.Uint32()), bots)
			}
		}
	}()
	stopped := false
	stop = func() {
		if !stopped {
			stopped = true
			close(end)
			<-done
		}
	}
	t.Cleanup(stop)
	return stop
}

// ownDecisions are those of weir that somebody's list shows.
func ownDecisions(t *testing.T, data string, args ...string) (own []schemas.Event) {
	t.Helper()
	out, err := weir(t, append([]string{"decisions", "list", "--data", data, "--output", "json"}, args...)...)
	var all []schemas.Event
	if err != nil || json.Unmarshal([]byte(out), &all) != nil {
		return nil
	}
	for _, e := range all {
		if e.Decision != nil && e.Origin == schemas.OriginWeir && e.Scope == schemas.ScopeSignature {
			own = append(own, e)
		}
	}
	return own
}

// report logs what a weir has decided and said, where a test fails.
func report(t *testing.T, w *running, data string) {
	if !t.Failed() {
		return
	}
	for _, d := range ownDecisions(t, data, "--all") {
		t.Log(d.Type, d.Time, d.ID, d.Action, d.Value, "until", d.Expires, d.Reason)
	}
	incidents, err := weir(t, "incidents", "list", "--data", data)
	t.Log(incidents, err)
	t.Log(w.log)
}

// strangers draws addresses that nginx lets through as probes, or none of them.
func strangers(key string, probes bool) netip.Addr {
	for {
		client := netip.AddrFrom4([4]byte{198, 18, byte(rand.IntN(256)), byte(1 + rand.IntN(250))})
		if schemas.Probe(key, client, time.Now().UnixMilli()) == probes {
			return client
		}
	}
}

// calls is what a person does who speaks as the bots do: a page with what it brings with it, and another,
// with a cookie. It returns what the first was answered with.
func (e *edge) calls(client netip.Addr) int {
	speaking := func(referer string) map[string]string {
		h := map[string]string{"Cookie": "session=1"}
		for name, value := range bots {
			h[name] = value
		}
		if referer != "" {
			h["Referer"] = referer
		}
		return h
	}
	status := e.ask(client.String(), "/x1/ab12", speaking(""))
	e.ask(client.String(), "/style.css", speaking("https://www.example.org/x1/ab12"))
	e.ask(client.String(), "/x2/cd34", speaking("https://www.example.org/x1/ab12"))
	return status
}

// TestWhatHurtsIsLifted: an attack on a real nginx is noticed and refused; then visitors come who speak
// as the bots do. Those of them who are let through as probes load pages with what these bring with them
// and keep their cookie: within seconds weir lifts the decision, says why, and nginx lets these visitors in. They
// stay so while the attack goes on: weir takes nothing else in its place that would stop them.
func TestWhatHurtsIsLifted(t *testing.T) {
	needClickHouse(t)
	e := startEdge(t)
	data, log := filepath.Join(t.TempDir(), "data"), filepath.Join(t.TempDir(), "ordinary.json")
	mustWeir(t, "simulate", "--seed", "3", "--hours", "1.5", "--tail", "0s", "--requests", "0", "--site", "www.example.org", log)
	baseline := filepath.Join(t.TempDir(), "baseline")
	mustWeir(t, "learn", "-q", "-o", baseline, log)
	w := startCommand(t, "--config", e.config(t, data, ""), "run", "--baseline", baseline)
	defer report(t, w, data)
	until(t, "weir takes decisions", func() bool {
		_, err := weir(t, "decisions", "list", "--data", data)
		return err == nil
	})
	e.flood(t)
	var taken []schemas.Event
	until(t, "weir decides on what the bots' requests share", func() bool {
		taken = ownDecisions(t, data)
		return len(taken) > 0
	})
	key := taken[0].Probes
	until(t, "nginx refuses a client that speaks as they do", func() bool {
		return e.ask(strangers(key, false).String(), "/x1/ab12", bots) == http.StatusForbidden
	})
	began, visitors := time.Now(), 0
	lifted := schemas.Event{}
	until(t, "what hurts is lifted", func() bool {
		visitors++
		e.calls(strangers(key, true))
		for _, d := range ownDecisions(t, data, "--all") {
			if d.Type == schemas.DecisionRemoved && strings.Contains(d.Reason, " probes behave like people") {
				lifted = d
				return true
			}
		}
		return false
	})
	t.Logf("lifted %s after the first of %d visitors who were let through: %s", time.Since(began).Round(time.Second), visitors, lifted.Reason)
	if out := mustWeir(t, "why", "--data", data, lifted.ID); !strings.Contains(out, "lifted: ") || !strings.Contains(out, "Did so far: ") {
		t.Errorf("weir why does not say so: %s", out)
	}
	in := 0
	until(t, "nginx lets in who speaks like that", func() bool {
		if in++; e.calls(strangers(key, false)) != http.StatusOK {
			in = 0
		}
		return in == 20
	})
	until(t, "the attack goes on", func() bool { // for longer than weir takes to look at it anew
		if in++; e.calls(strangers(key, false)) != http.StatusOK {
			t.Fatalf("the visitor after %d others is refused", in)
		}
		return in == 200
	})
	for _, d := range ownDecisions(t, data) {
		t.Logf("in force: %s %s", d.Action, d.Value)
	}
}
