package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/internal/simulate"
)

func (d *demonstration) folder(name string) (err error) {
	if d.Dir == "" {
		d.dir, err = os.MkdirTemp("", "weir-demo-"+name)
	} else if d.dir, err = filepath.Abs(filepath.Join(d.Dir, name)); err == nil {
		err = os.MkdirAll(d.dir, 0o755)
	}
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if _, err := os.Stat(d.path("data")); err == nil {
		return usagef("demo: %s holds a demo already; give another --dir, or remove it", d.dir)
	}
	return os.Chmod(d.dir, 0o755) // nginx's workers are another user
}

func (d *demonstration) path(name string) string { return filepath.Join(d.dir, name) }

// learn writes the ordinary hours up to now and lets weir learn from them, as
// everybody does from their own old logs.
func (d *demonstration) learn(ctx context.Context) error {
	log, err := os.Create(d.path("ordinary.log"))
	if err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	summary, err := simulate.Write(demo.HistoryConfig(d.Seed, time.Now(), d.Hours),
		simulate.Output{Format: simulate.FormatJSON, Log: stopping{ctx, log}})
	if err = errors.Join(err, log.Close()); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	d.say("Learning what is normal from %s requests of %s ordinary hours", count(summary.Lines), strconv.FormatFloat(d.Hours.Hours(), 'g', 3, 64))
	learn := exec.CommandContext(ctx, d.self, "learn", "--quiet", "--baseline", d.path("baseline"), d.path("ordinary.log"))
	if output, err := learn.CombinedOutput(); err != nil {
		return fmt.Errorf("demo: weir learn: %s", firstLine(output, err))
	}
	return nil
}

// stage sets up the application, nginx, and weir's configuration.
func (d *demonstration) stage() error {
	var err error
	if d.traffic, err = simulate.NewTraffic(demo.StoryConfig(d.Seed, time.Now(), d.plan)); err != nil {
		return err
	}
	var appSites []demo.AppSite
	var nginxSites []demo.NginxSite
	for _, site := range d.traffic.Sites() {
		a := demo.AppSiteOf(site)
		appSites = append(appSites, a)
		nginxSites = append(nginxSites, demo.NginxSite{Name: a.Name, Timeout: a.Timeout})
	}
	d.app = demo.NewApp(demo.AppOptions{Sites: appSites, Plan: d.plan, Reached: d.board.Reached})
	host := "127.0.0.1"
	if d.Edges > 1 {
		host = demoHost
		if err := d.ownHost(); err != nil {
			return err
		}
	}
	if err := d.app.Listen(host); err != nil {
		return err
	}
	for n := range d.Edges {
		if err := d.addEdge(n, nginxSites); err != nil {
			return err
		}
	}
	d.inbox = demo.NewInbox()
	if err := d.inbox.Listen(); err != nil {
		return err
	}
	return d.configure()
}

// configure writes what weir run is told: no more than anybody would.
func (d *demonstration) configure() error {
	port, err := freePort()
	if err != nil {
		return err
	}
	edge := d.edges[0].config()
	if d.Edges > 1 {
		// What nobody publishes to: weir run wants something to follow.
		edge = fmt.Sprintf("nats:\n  listen: %s\nsources:\n  - nats: weir.ingest.weir\n", d.nats)
	}
	if d.Closed { // what is waited for at the end
		edge += fmt.Sprintf("decisions: {ttl: %s}\n", demoTTL)
	}
	text := fmt.Sprintf(`# Written by weir demo.
data: %q
mode: %s
%shttp:
  listen: 127.0.0.1:%d
notify:
  channels:
    oncall: {type: webhook, url: %q, token: %s, limit: 0}
  routes:
    - {channels: [oncall], kinds: [opened, closed]}
statuspage:
  folder: %q
  title: Status of the demo
  languages: [en, de]
  components:
%s`, d.path("data"), d.mode(), edge, port, d.inbox.URL(), d.inbox.Key(), d.path("status"), d.components())
	if err := os.WriteFile(d.path("weir.yml"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	if d.Edges == 1 {
		return nil
	}
	for n, e := range d.edges {
		if err := d.configureEdge(n, e); err != nil {
			return err
		}
	}
	return nil
}

// mode is what weir does with what it decides.
func (d *demonstration) mode() string {
	if d.observe {
		return "observe"
	}
	return "enforce"
}

// components are the demo's sites as its status page shows them.
func (d *demonstration) components() string {
	var b strings.Builder
	for _, site := range d.traffic.Sites() {
		name, _, _ := strings.Cut(site.Name, ".")
		if name == "www" {
			name = "Website"
		}
		fmt.Fprintf(&b, "    - {site: %q, name: %q}\n", site.Name, name)
	}
	return b.String()
}

func freePort() (int, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return 0, err
	}
	port := l.Addr().(*net.TCPAddr).Port
	return port, l.Close()
}
