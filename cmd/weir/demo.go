package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/sinks/statuspage"
)

type demoCommand struct {
	Dir     string        `placeholder:"DIR" help:"Where to work; by default a new folder for temporary files. It stays."`
	Seed    uint64        `default:"3" help:"Who comes: the same seed, the same visitors and bots; it also picks the library that the bots are written with."`
	Hours   time.Duration `default:"24h" help:"Ordinary hours to learn from first."`
	Edges   int           `default:"1" help:"Edges, each with an nginx and a weir of its own in a network namespace; more than one needs root."`
	Apart   bool          `hidden:"" help:"The network is the demo's own."`
	Closed  bool          `name:"closed-loop" help:"Judge each promise of a closed loop: an application of 30 requests a second, first with a weir that only looks on, then with one that enforces, until everything that it decided has expired. A good twenty minutes."`
	Keep    bool          `help:"Leave everything running until Ctrl-C."`
	Picture string        `placeholder:"FILE" help:"Draw the table there, as SVG; DIR/demo.svg is always drawn."`
	Output  string        `default:"text" enum:"text,json" help:"The table at the end: text or json."`
}

// Run plays the opening story on this machine with the real parts:
//
//	simulate ─▶ learn ─▶ baseline
//	visitors, botnet ─▶ nginx ─▶ a small application
//	                     │  ▲
//	            access log  decisions
//	                     ▼  │
//	                    weir run
func (c *demoCommand) Run(ctx context.Context, s screen) error {
	if err := c.check(); err != nil {
		return err
	}
	if c.Edges > 1 && !c.Apart {
		return c.apart(ctx, s)
	}
	if c.Closed {
		return c.closedLoop(ctx, s)
	}
	d, err := c.prepare(ctx, s, demo.DefaultPlan(), "")
	if err != nil {
		return err
	}
	defer d.leave()
	report, err := d.play(ctx)
	if err != nil {
		return err
	}
	if err := d.draw(&report); err != nil {
		return err
	}
	if c.Output == "json" {
		if err := report.JSON(s.out); err != nil {
			return err
		}
	}
	if verdict := report.Verdict(); !verdict.Passed {
		return fmt.Errorf("the demo did not do what it promises: %s", strings.Join(verdict.Why, "; "))
	}
	return nil
}

// draw writes the pictures.
func (d *demonstration) draw(report *demo.Report) error {
	for _, path := range []string{d.path("demo.svg"), d.Picture} {
		if path == "" {
			continue
		}
		if err := writeFile(path, report.Picture); err != nil {
			return fmt.Errorf("draw %s: %w", path, err)
		}
	}
	return nil
}

// demonstration is one run of the demo.
type demonstration struct {
	*demoCommand
	screen  screen
	dir     string
	self    string // this program
	plan    demo.Plan
	board   *demo.Scoreboard
	traffic *simulate.Traffic
	app     *demo.App
	edges   []*demoEdge
	nats    string // where weir run listens for the others, "" where it is alone
	control *controlClient
	inbox   *demo.Inbox
	observe bool // weir looks on and enforces nothing
	ending  demo.Ending
}

// prepare makes everything that the play needs and starts nothing.
// It works in a folder of that name in --dir, or, where it is empty, in --dir itself.
func (c *demoCommand) prepare(ctx context.Context, s screen, plan demo.Plan, folder string) (*demonstration, error) {
	d := &demonstration{demoCommand: c, screen: s, plan: plan, observe: folder == demoWithout}
	if err := d.folder(folder); err != nil {
		return nil, err
	}
	var err error
	if d.self, err = os.Executable(); err != nil {
		return nil, err
	}
	d.say("Working in %s", d.dir)
	if err := d.learn(ctx); err != nil {
		return nil, err
	}
	d.board = demo.NewScoreboard(d.plan)
	d.control = newControlClient(d.path("data"))
	if err := d.stage(); err != nil {
		d.leave()
		return nil, err
	}
	return d, nil
}

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

func (d *demonstration) say(format string, args ...any) {
	if d.Output == "text" {
		fmt.Fprintf(d.screen.out, format+"\n", args...)
	}
}

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

// play runs all of it to the end of the plan, prints the table, and stops what it
// started.
func (d *demonstration) play(ctx context.Context) (demo.Report, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	var parts stage
	defer parts.wait()
	defer cancel(nil)
	part := func(name string, run func(context.Context) error) {
		parts.running.Go(func() {
			if err := run(ctx); err != nil && ctx.Err() == nil {
				cancel(fmt.Errorf("demo: %s: %w", name, err))
			}
		})
	}
	part("the application", d.app.Run)
	for _, e := range d.edges {
		part("nginx", e.nginx.Run)
	}
	part("the inbox", d.inbox.Run)
	for _, e := range d.edges {
		select {
		case <-e.nginx.Ready():
		case <-ctx.Done():
			return demo.Report{}, context.Cause(ctx)
		}
	}
	part("weir run", func(ctx context.Context) error {
		return d.weir(ctx, "weir.log", nil, "--config", d.path("weir.yml"), "run", "--baseline", d.path("baseline"))
	})
	if err := d.waitReady(ctx); err != nil {
		return demo.Report{}, err
	}
	var addresses []string
	for n, e := range d.edges {
		addresses = append(addresses, e.nginx.Address())
		if d.Edges > 1 {
			d.startEdge(n, e, part)
		}
	}
	if err := d.edgesThere(ctx); err != nil {
		return demo.Report{}, err
	}
	d.say("nginx answers at %s, weir follows its log and enforces.\nOrdinary visitors for %s, then a botnet for %s, then %s of peace.\n",
		strings.Join(addresses, ", "), d.plan.Before, d.plan.Attack, d.plan.After)

	part("watching", d.watch)
	var view sync.WaitGroup
	viewing, endView := context.WithCancel(ctx)
	defer endView()
	if d.Output == "text" {
		view.Go(func() { demo.NewLive(d.screen.out, d.board).Run(viewing, d.extra(ctx)) })
	}
	traffic := demo.NewTraffic(demo.TrafficOptions{Addresses: addresses, Visits: d.traffic, Plan: d.plan, Board: d.board})
	if err := traffic.Run(ctx); err != nil {
		endView()
		view.Wait()
		if cause := context.Cause(ctx); cause != nil {
			err = cause
		}
		return demo.Report{}, err
	}
	endView() // before the table, or it would be drawn over
	view.Wait()
	report := d.board.Report()
	report.Unjudged = d.Closed
	if d.Output == "text" {
		fmt.Fprintln(d.screen.out)
		if err := report.Table(d.screen.out); err != nil {
			return report, err
		}
		if d.observe {
			return report, nil
		}
		if err := d.told(ctx); err != nil {
			return report, err
		}
		if d.Closed {
			return report, d.toTheEnd(ctx)
		}
		d.next(ctx)
	}
	if d.Keep {
		d.say("\nEverything is still running; Ctrl-C ends it.")
		<-ctx.Done()
	}
	return report, nil
}

// weir runs a role of weir as its own process, as anybody would; prefix enters a namespace.
func (d *demonstration) weir(ctx context.Context, file string, prefix []string, args ...string) error {
	log, err := os.Create(d.path(file))
	if err != nil {
		return err
	}
	defer log.Close()
	words := append(append(slices.Clone(prefix), d.self), args...)
	run := exec.CommandContext(ctx, words[0], words[1:]...)
	run.Stdout, run.Stderr = log, log
	// It must not outlive the demo, however that ends. The signal comes when the thread
	// that started it ends (prctl(2), PR_SET_PDEATHSIG): this one stays.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	run.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	run.Cancel = func() error { return run.Process.Signal(syscall.SIGTERM) }
	run.WaitDelay = 20 * time.Second
	if err := run.Run(); err != nil {
		text, _ := os.ReadFile(d.path(file)) // the error without its text is better than none
		return errors.New(lastLine(text, err))
	}
	return errors.New("it ended")
}

// waitReady waits until weir says that everything is there.
func (d *demonstration) waitReady(ctx context.Context) error {
	d.say("Starting nginx, an application with little capacity, and weir run")
	ctx, cancel := context.WithTimeoutCause(ctx, time.Minute, errors.New("demo: weir run was not ready within a minute; see weir.log"))
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for {
		if _, err := d.control.do(ctx, http.MethodGet, "/readyz", nil); err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-tick.C:
		}
	}
}

// watch notes when weir notices the attack and when it first decides.
func (d *demonstration) watch(ctx context.Context) error {
	every(ctx, 200*time.Millisecond, func(ctx context.Context) {
		events, err := d.control.events(ctx, "/api/events")
		if err != nil {
			return // it is asked again
		}
		for _, e := range events {
			if e.Decision != nil && e.ID != "" {
				d.board.Decided(time.Now())
			} else if e.Kind.Attack() {
				d.board.Noticed(time.Now())
			}
		}
	})
	return nil
}

// extra is what weir says at this moment, for the live view.
func (d *demonstration) extra(ctx context.Context) func() string {
	return func() string {
		events, err := d.control.events(ctx, "/api/events")
		if err != nil {
			return ""
		}
		decisions, text := 0, "weir: no incident"
		for _, e := range events {
			if e.Decision != nil && e.ID != "" {
				decisions++
			}
		}
		for _, e := range events {
			if e.Decision == nil && e.Kind.Attack() {
				text = fmt.Sprintf("weir: %s on %s (%s), %s", e.Kind, strings.Join(e.Sites, ", "),
					strings.TrimPrefix(string(e.Type), "incident."), plural(decisions, "decision"))
				break
			}
		}
		return text
	}
}

// next says what to try on what the demo leaves.
func (d *demonstration) next(ctx context.Context) {
	events, err := d.control.events(ctx, "/api/events")
	if err != nil {
		return
	}
	incident, decision := "", ""
	for _, e := range events {
		if e.Decision != nil && e.ID != "" && e.Origin == "weir" {
			decision = e.ID
		} else if e.Decision == nil && e.Kind.Attack() {
			incident = e.Incident
		}
	}
	weir := filepath.Base(d.self)
	if relative, err := filepath.Rel(mustGetwd(), d.self); err == nil && !strings.HasPrefix(relative, "..") {
		weir = relative
	}
	d.sayStatus(ctx)
	d.say("\nTry next, on what it leaves:")
	if incident != "" {
		d.say("  %s incidents --data %s", weir, d.path("data"))
	}
	if decision != "" {
		d.say("  %s why --data %s %s", weir, d.path("data"), incident)
		d.say("  %s why --data %s %s", weir, d.path("data"), decision)
	}
	d.say("  %s sql --data %s \"SELECT action, count(), uniqExact(client) FROM requests GROUP BY action\"", weir, d.path("data"))
}

// sayStatus says where the status page is, and what waits to be published on it.
func (d *demonstration) sayStatus(ctx context.Context) {
	d.say("\nThe status page is %s", d.path("status/index.html"))
	answer, err := d.control.do(ctx, http.MethodGet, "/api/status", nil)
	var posts []statuspage.Listed
	if err != nil || json.Unmarshal(answer, &posts) != nil {
		return
	}
	for i := range posts {
		if posts[i].Standing == statuspage.Draft {
			d.say("This draft waits for a person (weir status publish, while weir runs):")
			if d.Output == "text" {
				printWords(d.screen.out, statuspage.Words{"en": posts[i].NewTitle.In("en", "")}, statuspage.Words{"en": posts[i].NewText.In("en", "")})
			}
			return
		}
	}
}

func mustGetwd() string {
	dir, err := os.Getwd()
	if err != nil {
		return "/"
	}
	return dir
}

// firstLine is the first line of a program's output, or else its error.
func firstLine(output []byte, err error) string {
	line, _, _ := strings.Cut(strings.TrimSpace(string(output)), "\n")
	if line == "" {
		return err.Error()
	}
	return printable(line, 500)
}

func lastLine(output []byte, err error) string {
	text := strings.TrimSpace(string(output))
	if text == "" {
		return err.Error()
	}
	return printable(text[strings.LastIndexByte(text, '\n')+1:], 500)
}
