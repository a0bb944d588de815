package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/realip"
	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/processor/detect"
	"github.com/weir-project/weir/sinks/nginx"
)

// A botnet from three and a half thousand addresses of its own asks a real nginx; weir notices,
// and the kernel comes to drop the botnet's packets, so that nginx's log falls silent about it.
// What the kernel counts keeps the attack in sight: the incident stays open for as long as the
// attack lasts, which is longer than a quiet incident does, and closes after it.
func TestFirewallKeepsTheAttackInSight(t *testing.T) {
	if os.Getenv("WEIR_LONG") != "1" {
		t.Skip("ten minutes: WEIR_LONG=1")
	}
	needClickHouse(t)
	found(t, "nft")
	if !apart(t) {
		return
	}
	ip(t, "address", "add", address4+"/32", "dev", "lo")
	ip(t, "address", "add", address6+"/128", "dev", "lo", "nodad")
	ip(t, "route", "add", "local", "0.0.0.0/0", "dev", "lo") // whoever comes is here
	ip(t, "-6", "route", "add", "local", "::/0", "dev", "lo")
	s := newStreet(t)
	incident := func() (found struct{ Incident, Kind, Type string }, ok bool) {
		var all []struct{ Incident, Kind, Type string }
		out := mustWeir(t, "incidents", "--data", s.data, "--output", "json")
		if err := json.Unmarshal([]byte(out), &all); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		for _, one := range all {
			if one.Kind == "flood" {
				return one, true
			}
		}
		return found, false
	}
	until(t, "weir notices", func() bool { _, ok := incident(); return ok })
	// A person has the kernel drop the botnet as it is seen, until hardly anyone is left. Those whom
	// weir let through as probes follow when they are none any more.
	start := s.board.AttackEnd().Add(-s.plan.Attack)
	known := map[string]bool{}
	for after := 100 * time.Second; after < s.plan.Attack-10*time.Second; after += 25 * time.Second {
		s.elapsed(t, s.plan.Before+after)
		seen := strings.Fields(mustWeir(t, "sql", "--data", s.data, "--format", "TSV", "SELECT DISTINCT client FROM requests_readable WHERE action = 'block' AND method != ''"))
		fresh := slices.DeleteFunc(seen, func(client string) bool { return known[client] })
		for _, client := range fresh {
			known[client] = true
		}
		list := filepath.Join(t.TempDir(), "list")
		if err := os.WriteFile(list, []byte(strings.Join(fresh, "\n")+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		if len(fresh) > 0 {
			t.Log(mustWeir(t, "decisions", "import", "--data", s.data, "--site", "www.example.org", list))
		}
	}
	s.elapsed(t, s.plan.Before+s.plan.Attack-2*time.Second)
	if now, ok := incident(); !ok || now.Type == "incident.closed" {
		t.Errorf("while the attack goes on: %+v", now)
	}
	end := time.Now()
	of := func(from, to time.Time, what string) float64 {
		out := mustWeir(t, "sql", "--data", s.data, "--format", "TSV", fmt.Sprintf("SELECT count() FROM requests WHERE %s AND time > fromUnixTimestamp64Milli(%d) AND time <= fromUnixTimestamp64Milli(%d)", what, from.UnixMilli(), to.UnixMilli()))
		n, err := strconv.ParseFloat(strings.TrimSpace(out), 64)
		if err != nil {
			t.Fatal(err)
		}
		return n / to.Sub(from).Seconds()
	}
	settled := start.Add(210 * time.Second)
	const byNginx = "action != 'allow' AND method != ''"
	before, after := of(start.Add(60*time.Second), start.Add(100*time.Second), byNginx), of(settled, end, byNginx)
	let, dropped := of(settled, end, "action = 'allow'"), of(settled, end, "action = 'block' AND method = ''")
	t.Logf("stopped by nginx %.1f requests/s before and %.1f after the kernel took over, beside %.1f/s that it served; told by the kernel then %.1f/s, for %s", before, after, let, dropped, end.Sub(settled).Round(time.Second))
	// By nginx's log alone the incident would have been over: a tenth and more of its requests
	// stopped keep one open.
	if before < 50 || after > let/10 || let < 2 || dropped < 10 || end.Sub(settled) < detect.QuietFor+30*time.Second {
		t.Error("the kernel does not drop the attack for long enough, or does not tell")
	}
	if err := <-s.over; err != nil {
		t.Fatal(err)
	}
	closed := func() bool { now, _ := incident(); return now.Type == "incident.closed" }
	for limit := time.Now().Add(4 * time.Minute); !closed(); <-time.After(time.Second) {
		if time.Now().After(limit) {
			t.Fatal("the attack is over, and its incident is not")
		}
	}
	t.Logf("closed %s after the attack's end", time.Since(s.board.AttackEnd()).Round(time.Second))
	r := s.board.Report()
	t.Logf("%d of %d visitors were refused", r.VisitorsRefused, r.Visitors)
}

// Where the site is.
const address4, address6 = "192.0.2.1", "2001:db8::1"

// street is a site with everything that it needs, an ordinary evening and an attack on it.
type street struct {
	data  string
	plan  demo.Plan
	board *demo.Scoreboard
	over  chan error // of the plan
}

// newStreet begins the evening: learns, starts the application, nginx and weir with a firewall, and
// lets people come, and then the botnet.
func newStreet(t *testing.T) *street {
	dir := t.TempDir()
	if err := os.Chmod(dir, 0o755); err != nil { // nginx's workers are another user
		t.Fatal(err)
	}
	s := &street{data: filepath.Join(dir, "data"), plan: demo.DefaultPlan(), over: make(chan error, 1)}
	s.plan.Attack, s.plan.Workers = 400*time.Second, 9 // of the application: 30 requests a second
	s.board = demo.NewScoreboard(s.plan)
	const seed = 3
	log, err := os.Create(filepath.Join(dir, "ordinary.log"))
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	if _, err := simulate.Write(demo.HistoryConfig(seed, time.Now(), 6*time.Hour), simulate.Output{Format: simulate.FormatJSON, Log: log}); err != nil {
		t.Fatal(err)
	}
	mustWeir(t, "learn", "--quiet", "--baseline", filepath.Join(dir, "baseline"), log.Name())
	story := demo.StoryConfig(seed, time.Now(), s.plan)
	story.Attack.Requests *= 4
	traffic, err := simulate.NewTraffic(story)
	if err != nil {
		t.Fatal(err)
	}
	site := demo.AppSiteOf(traffic.Sites()[0])
	app := demo.NewApp(demo.AppOptions{Sites: []demo.AppSite{site}, Plan: s.plan, Reached: s.board.Reached})
	if err := app.Listen("127.0.0.1"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var running sync.WaitGroup
	t.Cleanup(func() { cancel(); running.Wait() })
	keep := func(run func(context.Context) error) {
		running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				t.Error(err)
			}
		})
	}
	keep(app.Run)
	weirDir := filepath.Join(dir, "nginx", "weir")
	if err := nginx.Install(weirDir, nginx.SnippetOptions{}); err != nil {
		t.Fatal(err)
	}
	n, err := demo.NewNginx(demo.NginxOptions{
		Dir: filepath.Join(dir, "nginx"), Host: address4, Port: 80, Visitors: "127.0.0.1", Prefix: []string{"env"}, Application: app.Address(),
		Sites: []demo.NginxSite{{Name: site.Name, Timeout: site.Timeout}},
		HTTP:  filepath.Join(weirDir, nginx.HTTPName), Server: filepath.Join(weirDir, nginx.ServerName),
	})
	if err == nil {
		err = errors.Join(n.Write(), alsoByIPv6(n.Config()))
	}
	if err != nil {
		t.Fatal(err)
	}
	keep(n.Run)
	select {
	case <-n.Ready():
	case <-time.After(time.Minute):
		t.Fatal("nginx is not ready")
	}
	e := &edge{log: n.AccessLog(), weirDir: weirDir, test: n.TestCommand(), reload: n.ReloadCommand()}
	config := e.config(t, s.data, "nftables: {ports: [80]}\n")
	w := startCommand(t, "--config", config, "run", "--baseline", filepath.Join(dir, "baseline"))
	t.Cleanup(func() {
		if t.Failed() {
			t.Log(w.log)
		}
	})
	until(t, "weir is there", func() bool {
		_, err := weir(t, "decisions", "list", "--data", s.data)
		return err == nil
	})
	play := demo.NewTraffic(demo.TrafficOptions{Addresses: []string{n.Address()}, Visits: traffic, Plan: s.plan, Board: s.board, Dial: dialAs(t)})
	running.Go(func() { s.over <- play.Run(ctx) })
	return s
}

// alsoByIPv6 has an nginx of the demo listen there as well.
func alsoByIPv6(conf string) error {
	text, err := os.ReadFile(conf)
	if err != nil {
		return err
	}
	four := "listen " + address4 + ":80"
	for _, rest := range []string{" default_server;", ";"} {
		text = bytes.ReplaceAll(text, []byte(four+rest), []byte(four+rest+" listen ["+address6+"]:80"+rest))
	}
	return os.WriteFile(conf, text, 0o600)
}

// dialAs connects from the client's own address. The dice give some of the botnet's addresses in
// networks of a CDN, against which weir lets nobody decide: these come from elsewhere.
func dialAs(t *testing.T) demo.Dial {
	t.Helper()
	trust, err := realip.NewTrust(nil)
	if err != nil {
		t.Fatal(err)
	}
	return func(ctx context.Context, client netip.Addr, address string) (net.Conn, error) {
		if slices.ContainsFunc(trust.Edges(), func(p netip.Prefix) bool { return p.Contains(client) }) {
			bytes := client.As16()
			client = netip.AddrFrom4([4]byte{198, 18, bytes[14], bytes[15]})
		}
		if client.Is6() {
			address = net.JoinHostPort(address6, "80")
		}
		d := net.Dialer{LocalAddr: &net.TCPAddr{IP: client.AsSlice()}}
		return d.DialContext(ctx, "tcp", address)
	}
}

// elapsed waits for a moment of the plan.
func (s *street) elapsed(t *testing.T, at time.Duration) {
	t.Helper()
	select {
	case <-time.After(at - s.board.Elapsed()):
	case err := <-s.over:
		t.Fatalf("it is over already: %v", err)
	}
}
