package demo

import (
	"context"
	"errors"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/weir-project/weir/internal/simulate"
)

// within is a Traffic of the default story whose requests are answered by a
// function instead of nginx; for fake time.
func within(t *testing.T, plan Plan, send func(context.Context, *simulate.Request) Answered) (*Traffic, *Scoreboard, simulate.Config) {
	t.Helper()
	story := StoryConfig(1, time.Date(2026, 11, 21, 12, 0, 0, 0, time.UTC), plan)
	visits, err := simulate.NewTraffic(story)
	if err != nil {
		t.Fatal(err)
	}
	board := NewScoreboard(plan)
	traffic := NewTraffic(TrafficOptions{Visits: visits, Plan: plan, Board: board})
	traffic.send = func(ctx context.Context, q *simulate.Request, ticket string) Answered {
		board.Reached(ticket)
		return send(ctx, q)
	}
	return traffic, board, story
}

// served answers as the site does when all is well.
func served(ctx context.Context, q *simulate.Request) Answered {
	select {
	case <-time.After(q.Resource().Service):
		return Answered{Status: q.Resource().Status}
	case <-ctx.Done():
		return Answered{HungUp: true}
	}
}

// The whole default story in fake time: every request of the botnet, in its
// phase; visitors from the first second on, as many as the site has.
func TestTrafficPlaysThePlan(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := DefaultPlan()
		traffic, board, story := within(t, plan, served)
		if err := traffic.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		if took := board.Elapsed(); took < plan.Total() || took > plan.Total()+DefaultPatience {
			t.Errorf("took %s for a plan of %s", took, plan.Total())
		}
		r := board.Report()
		if r.Attack.Sent != story.Attack.Requests || r.Addresses != story.Attack.Addresses || r.Attack.Open != 0 {
			t.Errorf("attack %+v from %d addresses", r.Attack, r.Addresses)
		}
		kinds, visitors := map[simulate.Kind]int{}, 0
		for i := range board.records {
			x := &board.records[i]
			kinds[x.Actor.Kind]++
			if x.bot() {
				if plan.phase(x.at) != PhaseDuring {
					t.Fatalf("a bot at %s", x.at)
				}
			} else {
				visitors++
			}
		}
		rate := float64(visitors) / plan.Total().Seconds()
		if rate < siteRate/3. || rate > siteRate*3 {
			t.Errorf("%.1f requests/s of visitors, the site has %v in the mean", rate, siteRate)
		}
		for _, kind := range []simulate.Kind{simulate.Person, simulate.Tool, simulate.Crawler, simulate.Monitor} {
			if kinds[kind] == 0 {
				t.Errorf("no %s: %v", kind, kinds)
			}
		}
		if first := r.Slots[0].Visitors.Requests; float64(first) < rate*slotLength.Seconds()/4 {
			t.Errorf("%d requests in the first ten seconds of %.1f/s: it does not begin in the middle of things", first, rate)
		}
	})
}

// The live traffic is the log's: the same story through simulate.Run asks for
// the same pages as here, where the answers are the same.
func TestTrafficIsTheLogs(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := Plan{Before: 5 * time.Minute, Attack: 2 * time.Minute, Speed: 1}
		traffic, board, story := within(t, plan, served)
		if err := traffic.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		story.Attack.Requests = 0 // its overload would make another story
		story.Ordinary = plan.Total()
		logged, live := 0, 0
		err := simulate.Run(story, func(*simulate.Record) error { logged++; return nil })
		if err != nil {
			t.Fatal(err)
		}
		for i := range board.records {
			if !board.records[i].bot() {
				live++
			}
		}
		if live < logged*9/10 || live > logged*11/10 {
			t.Errorf("%d requests of visitors live, %d in the log of the same story", live, logged)
		}
	})
}

// Whoever waits too long hangs up, and no later than the patience.
func TestTrafficHangsUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		plan := Plan{Before: 0, Attack: 61 * time.Second, After: 0, Speed: 2}
		var mu sync.Mutex
		flying, most := 0, 0
		traffic, board, _ := within(t, plan, func(ctx context.Context, _ *simulate.Request) Answered {
			mu.Lock()
			flying++
			most = max(most, flying)
			mu.Unlock()
			<-ctx.Done() // the application never answers
			mu.Lock()
			flying--
			mu.Unlock()
			return Answered{HungUp: true}
		})
		if err := traffic.Run(t.Context()); err != nil {
			t.Fatal(err)
		}
		for i := range board.records {
			x := &board.records[i]
			if !x.done || !x.HungUp || x.wait > DefaultPatience {
				t.Fatalf("%+v", x)
			}
		}
		if most > maxBots+maxVisitors {
			t.Errorf("%d requests in flight", most)
		}
	})
}

// When the context ends, everything ends at once: synctest fails where a
// goroutine is left.
func TestTrafficStops(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		ctx, cancel := context.WithTimeout(t.Context(), 45*time.Second)
		defer cancel()
		traffic, board, _ := within(t, DefaultPlan(), served)
		if err := traffic.Run(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("error %v", err)
		}
		if took := board.Elapsed(); took != 45*time.Second {
			t.Errorf("stopped after %s", took)
		}
	})
}

// What goes over the wire: the model's headers exactly, none of Go's.
func TestHead(t *testing.T) {
	for _, x := range []struct {
		name string
		q    simulate.Request
		want string
	}{
		{"a browser", simulate.Request{
			Method: "GET", URI: "/a?b=1", Protocol: "HTTP/1.1", Site: "www.example.org", UserAgent: "Mozilla/5.0",
			AcceptLanguage: "de", AcceptEncoding: "gzip, deflate", Referer: "http://www.example.org/", Cookie: true, Conditional: true,
		}, "GET /a?b=1 HTTP/1.1\r\nHost: www.example.org\r\nAccept-Encoding: gzip, deflate\r\nAccept-Language: de\r\nConnection: close\r\n" +
			"Cookie: session=1\r\nIf-None-Match: \"1\"\r\nReferer: http://www.example.org/\r\nUser-Agent: Mozilla/5.0\r\nX-Demo-Ticket: 7\r\nX-Forwarded-For: invalid IP\r\n\r\n"},
		{"nothing at all, and old", simulate.Request{Method: "GET", URI: "/", Protocol: "HTTP/1.0", Site: "www.example.org"},
			"GET / HTTP/1.0\r\nHost: www.example.org\r\nConnection: close\r\nX-Demo-Ticket: 7\r\nX-Forwarded-For: invalid IP\r\n\r\n"},
		{"a post", simulate.Request{Method: "POST", URI: "/", Protocol: "HTTP/1.1", Site: "www.example.org"},
			"POST / HTTP/1.1\r\nHost: www.example.org\r\nConnection: close\r\nContent-Length: 0\r\nX-Demo-Ticket: 7\r\nX-Forwarded-For: invalid IP\r\n\r\n"},
		{"line breaks", simulate.Request{Method: "GET", URI: "/ HTTP/1.1\r\nX: y", Protocol: "HTTP/1.1", Site: "a\r\nb", UserAgent: "a\r\nX: y"},
			"GET /_HTTP/1.1__X:_y HTTP/1.1\r\nHost: a__b\r\nConnection: close\r\nUser-Agent: a  X: y\r\nX-Demo-Ticket: 7\r\nX-Forwarded-For: invalid IP\r\n\r\n"},
	} {
		if got := string(head(&x.q, "7")); got != x.want {
			t.Errorf("%s:\n%q\nwant\n%q", x.name, got, x.want)
		}
	}
}

func TestPlan(t *testing.T) {
	if err := DefaultPlan().Validate(); err != nil {
		t.Error(err)
	}
	if total := DefaultPlan().Total() + DefaultPatience; total >= 3*time.Minute {
		t.Errorf("the demo lasts %s", total)
	}
	for _, x := range []struct {
		spoil func(*Plan)
		want  string
	}{
		{func(p *Plan) { p.Attack = time.Minute }, "an attack of 1m0s; give more than 1m0s"},
		{func(p *Plan) { p.Before = -1 }, "none may be negative"},
		{func(p *Plan) { p.After = time.Hour }, "give at most 1h0m0s"},
		{func(p *Plan) { p.Speed = 0 }, "speed 0; give 0.1 to 100"},
	} {
		p := DefaultPlan()
		x.spoil(&p)
		if err := p.Validate(); err == nil || !strings.Contains(err.Error(), x.want) {
			t.Errorf("%+v: error %v, want %q", p, err, x.want)
		}
	}
}

func TestConfigsAreValid(t *testing.T) {
	now := time.Now()
	history, story := HistoryConfig(3, now, 6*time.Hour), StoryConfig(3, now, DefaultPlan())
	for _, c := range []simulate.Config{history, story} {
		if err := c.Validate(); err != nil {
			t.Error(err)
		}
		if !c.Plain || c.Seed != 3 || len(c.Sites) != 1 {
			t.Errorf("%+v", c)
		}
	}
	if !history.Start.Add(history.End()).Equal(story.Start) || history.Sites[0] != story.Sites[0] {
		t.Error("the story does not go on where the history ends")
	}
}

// The pause before the next step begins when the last answer is there; before
// the story, when it would have been.
func TestTrafficStep(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		traffic, board, _ := within(t, DefaultPlan(), func(context.Context, *simulate.Request) Answered {
			<-time.After(3 * time.Second)
			return Answered{Status: 404}
		})
		visits := traffic.options.Visits
		v := visits.Next()
		step, ok := v.Next(nil)
		if !ok {
			t.Fatal("an empty visit")
		}
		q := step.Requests[:1]
		q[0].Delay = time.Second
		answers, last, ok := traffic.step(t.Context(), v, -time.Hour, q)
		if !ok || answers[0].Status != q[0].Resource().Status || last != time.Second-time.Hour+q[0].Resource().Service || len(board.records) != 0 {
			t.Errorf("before the story: %v, last at %s, %v, %d sent", answers, last, ok, len(board.records))
		}
		board.Begin()
		answers, last, ok = traffic.step(t.Context(), v, 10*time.Second, q)
		if !ok || answers[0].Status != 404 || last != 14*time.Second || len(board.records) != 1 {
			t.Errorf("in the story: %v, last at %s, %v, %d sent", answers, last, ok, len(board.records))
		}
		if _, _, ok = traffic.step(t.Context(), v, time.Hour, q); ok || len(board.records) != 1 {
			t.Errorf("after the story: %v, %d sent", ok, len(board.records))
		}
	})
}
