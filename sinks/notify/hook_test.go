package notify

import (
	"bufio"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

const hookKey = "a key that only two know"

// receiver is a webhook's receiver as docs/notifications.md describes it: it checks the
// signature, and takes each key once.
type receiver struct {
	t       testing.TB
	mu      sync.Mutex
	taken   []Message         // in order, each key once
	keys    map[string]string // body by key
	repeats int
	refuse  func() int  // a status, 0 to take
	drop    func() bool // takes the message and hangs up without an answer
}

func newReceiver(t testing.TB) *receiver { return &receiver{t: t, keys: make(map[string]string)} }

func (r *receiver) ServeHTTP(w http.ResponseWriter, q *http.Request) {
	body, err := io.ReadAll(io.LimitReader(q.Body, 1<<20))
	if err != nil {
		return // the sender was killed in the middle: that is no message
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.refuse != nil {
		if status := r.refuse(); status != 0 {
			http.Error(w, "not now", status)
			return
		}
	}
	timestamp := q.Header.Get(HeaderTimestamp)
	seconds, err := strconv.ParseInt(timestamp, 10, 64)
	if err != nil || time.Since(time.Unix(seconds, 0)).Abs() > 5*time.Minute || q.Header.Get(HeaderSignature) != Sign([]byte(hookKey), timestamp, body) {
		r.t.Errorf("a bad signature: %v", q.Header)
		http.Error(w, "bad signature", http.StatusForbidden)
		return
	}
	var m Message
	if err := json.Unmarshal(body, &m); err != nil || m.ID == "" || m.ID != q.Header.Get(HeaderKey) {
		r.t.Errorf("%v: %s", err, body)
	}
	if before, ok := r.keys[m.ID]; ok {
		r.repeats++
		if before != string(body) {
			r.t.Errorf("one key, two messages:\n%s\n%s", before, body)
		}
	} else {
		r.keys[m.ID] = string(body)
		r.taken = append(r.taken, m)
	}
	if r.drop != nil && r.drop() {
		if conn, _, err := w.(http.Hijacker).Hijack(); err == nil {
			_ = conn.Close()
		}
	}
}

func (r *receiver) got() []Message {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.taken)
}

// taking waits, at most a minute, until so many messages were taken.
func (r *receiver) taking(n int) {
	deadline, tick := time.After(time.Minute), time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for len(r.got()) < n {
		select {
		case <-deadline:
			return
		case <-tick.C:
		}
	}
}

func hookOptions(dir, url string) Options {
	return Options{
		Dir: dir, Name: "test", Stream: "s", Gather: time.Millisecond, UpdateEvery: time.Millisecond, Mode: func(string) string { return "enforce" },
		Channels: map[string]ChannelOptions{"hook": {Type: "webhook", URL: url, Token: hookKey}},
	}
}

// run runs a Notifier until the test ends.
func run(t testing.TB, o Options) *Notifier {
	t.Helper()
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return n
}

// until polls a condition for at most half a minute.
func until(t testing.TB, what string, condition func() bool) {
	t.Helper()
	deadline, tick := time.After(30*time.Second), time.NewTicker(5*time.Millisecond)
	defer tick.Stop()
	for !condition() {
		select {
		case <-deadline:
			t.Fatalf("not within half a minute: %s", what)
		case <-tick.C:
		}
	}
}

// TestOutage: a receiver that nobody listens at, then one that refuses, then one that
// takes and hangs up; everything arrives once, in order.
func TestOutage(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := l.Addr().String()
	_ = l.Close()
	n := run(t, hookOptions(t.TempDir(), "http://"+address+"/hook"))
	s := teller{n: n}
	const incidents = 6
	waiting := func(at int) func() bool {
		return func() bool {
			n.mu.Lock()
			defer n.mu.Unlock()
			q := n.state.Queues["hook"]
			return len(q) >= at && q[0].Attempts > 0
		}
	}
	for i := range incidents {
		id := fmt.Sprint("i", i)
		s.tell(opened(id, "www.example.org", schemas.Flood, signals(100, 0, 0.5)))
		until(t, "the opening waits", waiting(2*i+1))
		s.tell(closed(id, "www.example.org", schemas.Flood))
		until(t, "the closing waits", waiting(2*i+2))
	}
	r := newReceiver(t)
	refusals, drops := 0, 0
	r.refuse = func() int { refusals++; return map[bool]int{true: 503, false: 0}[refusals <= 2] }
	r.drop = func() bool { drops++; return drops == 1 }
	if l, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &httptest.Server{Listener: l, Config: &http.Server{Handler: r}}
	server.Start()
	defer server.Close()
	hurry := func() { // backoff has grown meanwhile
		n.mu.Lock()
		defer n.mu.Unlock()
		for _, e := range n.state.Queues["hook"] {
			e.Next = time.Time{}
		}
		n.rouse("hook")
	}
	until(t, "everything arrives", func() bool { hurry(); return len(r.got()) == 2*incidents })
	for i, m := range r.got() {
		want, thread := Opened, fmt.Sprint("weir-i", i/2)
		if i%2 == 1 {
			want = Closed
		}
		if m.Kind != want || m.Thread != thread {
			t.Errorf("message %d is %s of %s, want %s of %s", i, m.Kind, m.Thread, want, thread)
		}
	}
	until(t, "nothing waits", func() bool {
		hurry()
		n.mu.Lock()
		defer n.mu.Unlock()
		return len(n.state.Queues["hook"]) == 0
	})
	if r.repeats == 0 {
		t.Error("the message whose answer was lost was not sent again: the test shows nothing")
	}
}

// TestMain is the child of TestKill as well.
func TestMain(m *testing.M) {
	if url := os.Getenv("WEIR_NOTIFY_CHILD"); url != "" {
		child(url)
		return
	}
	os.Exit(withProxy(m))
}

// withProxy runs the tests with a proxy and an authority of their own in the environment.
func withProxy(m *testing.M) int {
	dir, err := os.MkdirTemp("", "weir-notify-")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	var ca string
	if proxied.certificate, ca, err = newAuthority(dir, "hooks.slack.com"); err != nil {
		panic(err)
	}
	server := httptest.NewServer(proxied)
	defer server.Close()
	for name, value := range map[string]string{"HTTPS_PROXY": server.URL, "https_proxy": server.URL, "SSL_CERT_FILE": ca, "NO_PROXY": "", "no_proxy": ""} {
		if err := os.Setenv(name, value); err != nil {
			panic(err)
		}
	}
	return m.Run()
}

// child tells the story of many incidents, from where its state has got to, and says how
// far it is.
func child(url string) {
	n, err := New(hookOptions(os.Getenv("WEIR_NOTIFY_DIR"), url))
	if err != nil {
		fmt.Println("error", err)
		os.Exit(1)
	}
	go func() { _ = n.Run(context.Background()) }()
	incidents, _ := strconv.ParseUint(os.Getenv("WEIR_NOTIFY_INCIDENTS"), 10, 32)
	for sequence := n.Position(schemas.StreamIncidents) + 1; sequence <= 2*incidents; sequence++ {
		id := fmt.Sprintf("i%03d", (sequence-1)/2)
		e := opened(id, "www.example.org", schemas.Flood, signals(100, 0, 0.5))
		if sequence%2 == 0 {
			e = closed(id, "www.example.org", schemas.Flood)
		}
		n.Apply(schemas.StreamIncidents, sequence, []schemas.Event{e})
		time.Sleep(3 * time.Millisecond) // of the child's, not of the test's: the pace of events
	}
	for {
		n.mu.Lock()
		done := len(n.state.Queues["hook"]) == 0 && len(n.state.Groups) == 0
		n.mu.Unlock()
		if done {
			n.save()
			fmt.Println("done")
			time.Sleep(time.Hour)
		}
		time.Sleep(time.Millisecond)
	}
}

// TestKill kills a process that tells people at random moments, again and again. What
// arrives has each message once by its key, and no incident is missing.
func TestKill(t *testing.T) {
	kills := 8
	if os.Getenv("WEIR_LONG") != "" {
		kills = 20 // more messages than that in an hour are joined
	}
	incidents := 8 * kills // each is told once or twice, and a kill comes at most every sixth message
	r := newReceiver(t)
	server := httptest.NewServer(r)
	defer server.Close()
	dir := t.TempDir()
	source := rand.New(rand.NewPCG(uint64(kills), 10))
	killed := 0
	for round := 0; ; round++ {
		command := exec.Command(os.Args[0], "-test.run=^$")
		command.Env = append(os.Environ(), "WEIR_NOTIFY_CHILD="+server.URL+"/hook", "WEIR_NOTIFY_DIR="+dir, fmt.Sprintf("WEIR_NOTIFY_INCIDENTS=%d", incidents))
		out, err := command.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := command.Start(); err != nil {
			t.Fatal(err)
		}
		said := make(chan string, 1)
		go func() {
			line, _ := bufio.NewReader(out).ReadString('\n')
			said <- strings.TrimSpace(line)
		}()
		due := make(chan struct{})
		if round < kills {
			more, after := 1+source.IntN(6), time.Duration(source.IntN(8))*time.Millisecond
			go func() {
				defer close(due)
				r.taking(len(r.got()) + more)
				<-time.After(after) // somewhere between two steps
			}()
		}
		var line string
		select {
		case line = <-said:
		case <-due:
			killed++
		case <-time.After(time.Minute):
		}
		_ = command.Process.Kill()
		_ = command.Wait()
		if line == "done" {
			break
		}
		if round >= kills || killed <= round {
			t.Fatalf("round %d did not end: %q", round, line)
		}
	}
	kinds := make(map[string][]Kind)
	for _, m := range r.got() {
		kinds[m.Thread] = append(kinds[m.Thread], m.Kind)
	}
	for i := range incidents {
		told := kinds[fmt.Sprintf("weir-i%03d", i)]
		// An incident that has closed before its opening was told is told once.
		if slices.Compare(told, []Kind{Opened, Closed}) != 0 && slices.Compare(told, []Kind{Closed}) != 0 {
			t.Errorf("incident %d: %v", i, told)
		}
	}
	if len(kinds) != incidents {
		t.Errorf("%d threads: %v", len(kinds), slices.Sorted(maps.Keys(kinds)))
	}
	t.Logf("killed %d times; %d messages, %d of them sent again and told apart by their key", killed, len(r.got()), r.repeats)
	if killed < kills {
		t.Errorf("killed only %d times", killed)
	}
}

// TestHeartbeat beats while weir is healthy, and not when it is not.
func TestHeartbeat(t *testing.T) {
	var mu sync.Mutex
	beats := 0
	switchboard := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, q *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		if q.Method != http.MethodGet || q.URL.Path != "/ping/x" {
			t.Errorf("%s %s", q.Method, q.URL)
		}
		beats++
	}))
	defer switchboard.Close()
	count := func() int { mu.Lock(); defer mu.Unlock(); return beats }
	var ill error
	asked := 0
	o := hookOptions(t.TempDir(), "http://127.0.0.1:1/")
	o.Heartbeat = HeartbeatOptions{URL: switchboard.URL + "/ping/x", Every: 20 * time.Millisecond}
	o.Healthy = func() error { mu.Lock(); defer mu.Unlock(); asked++; return ill }
	run(t, o)
	until(t, "three beats", func() bool { return count() >= 3 })
	mu.Lock()
	ill, asked = io.ErrClosedPipe, 0
	mu.Unlock()
	looks := func() int { mu.Lock(); defer mu.Unlock(); return asked }
	until(t, "a look that finds it ill", func() bool { return looks() >= 2 }) // one beat may have been on its way
	before := count()
	until(t, "five looks more", func() bool { return looks() >= 7 })
	if after := count(); after != before {
		t.Errorf("%d beats while it was ill", after-before)
	}
}

// TestPublicWords reach the channels for the public once, as they were written, and no
// other; and nothing else does.
func TestPublicWords(t *testing.T) {
	var mu sync.Mutex
	var statuses []string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		var body struct{ Status string }
		_ = json.NewDecoder(q.Body).Decode(&body)
		mu.Lock()
		defer mu.Unlock()
		statuses = append(statuses, body.Status)
		_, _ = io.WriteString(w, `{"id":"1"}`)
	}))
	defer server.Close()
	team := newReceiver(t)
	hook := httptest.NewServer(team)
	defer hook.Close()
	o := hookOptions(t.TempDir(), hook.URL)
	o.Channels["public"] = ChannelOptions{Type: "mastodon", URL: server.URL, Token: "token"}
	n := run(t, o)
	s := teller{n: n}
	s.tell(opened("i1", "www.example.org", schemas.Flood, signals(100, 0, 0.5)))
	words := PublicWords{ID: "p1/1", Thread: "p1", Title: "Our sites are slow", Text: "We are on it.\nSee https://status.example.org/", Link: "https://status.example.org/p1"}
	n.Publish(words)
	n.Publish(words) // said again, as after a crash
	until(t, "both", func() bool { mu.Lock(); defer mu.Unlock(); return len(statuses) >= 1 && len(team.got()) >= 1 })
	n.Publish(PublicWords{ID: "p1/2", Thread: "p1", Title: "Resolved", Text: "All is well.", Over: true})
	until(t, "the second", func() bool { mu.Lock(); defer mu.Unlock(); return len(statuses) >= 2 })
	mu.Lock()
	defer mu.Unlock()
	if len(statuses) != 2 || statuses[0] != "Our sites are slow\n\nWe are on it.\nSee https://status.example.org/\n\nhttps://status.example.org/p1" {
		t.Errorf("%q", statuses)
	}
	if got := team.got(); len(got) != 1 || got[0].Kind != Opened {
		t.Errorf("%+v", got)
	}
}
