package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/weir-project/weir/internal/demo"
	"github.com/weir-project/weir/sinks/nginx"
)

const (
	maxDemoEdges = 50
	// demoHost is where the application listens for edges in namespaces of their own: an
	// address of the demo's own network, that nobody else sees.
	demoHost = "10.111.0.1"
)

// demoEdge is one edge of a demo. Where there are several, each is a machine of its own as
// far as the network goes: a namespace with one wire to the demo's, and in it an nginx, a
// weir collect and a weir enforce.
type demoEdge struct {
	nginx     *demo.Nginx
	decisions string // the directory that nginx includes from
	space     []string
	wire      string       // this end of it
	hold      io.Closer    // the namespace, until it is closed
	nats      net.Listener // in the namespace: leads to weir run's
}

// apart runs this command again in a network of its own, so that no address and no wire of
// the demo is on this machine's.
func (c *demoCommand) apart(ctx context.Context, s screen) error {
	if os.Geteuid() != 0 {
		return usagef("--edges %d makes network namespaces, and needs root", c.Edges)
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	again := exec.CommandContext(ctx, self, append(os.Args[1:], "--apart")...)
	again.Stdout, again.Stderr = s.out, s.err
	again.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	again.Cancel = func() error { return again.Process.Signal(syscall.SIGTERM) }
	again.WaitDelay = time.Minute
	if err := again.Run(); err != nil {
		return fmt.Errorf("demo in a network of its own: %w", err)
	}
	return nil
}

// ownHost gives the demo's network its address.
func (d *demonstration) ownHost() error {
	d.nats = "127.0.0.1:4222" // the network is the demo's own: nobody else has the port
	return runAll([][]string{{"ip", "link", "set", "lo", "up"}, {"ip", "address", "replace", demoHost + "/32", "dev", "lo"}})
}

func runAll(commands [][]string) error {
	for _, words := range commands {
		if out, err := exec.Command(words[0], words[1:]...).CombinedOutput(); err != nil {
			return fmt.Errorf("demo: %s: %s", strings.Join(words, " "), firstLine(out, err))
		}
	}
	return nil
}

// addEdge makes an edge, and its namespace where there are several.
func (d *demonstration) addEdge(n int, sites []demo.NginxSite) error {
	e := &demoEdge{}
	d.edges = append(d.edges, e)
	dir := d.path("nginx")
	if d.Edges > 1 {
		dir = d.path(fmt.Sprintf("edge%d/nginx", n+1))
	}
	o := demo.NginxOptions{Dir: dir, Application: d.app.Address(), Sites: sites}
	if d.Edges > 1 {
		here, there := fmt.Sprintf("10.111.%d.1", n+1), fmt.Sprintf("10.111.%d.2", n+1)
		if err := e.enter(n+1, here, there); err != nil {
			return err
		}
		o.Host, o.Visitors, o.Port, o.Prefix = there, here, 80, e.space
	}
	e.decisions = filepath.Join(dir, "weir")
	if err := nginx.Install(e.decisions, nginx.SnippetOptions{}); err != nil {
		return err
	}
	o.HTTP, o.Server = filepath.Join(e.decisions, nginx.HTTPName), filepath.Join(e.decisions, nginx.ServerName)
	var err error
	if e.nginx, err = demo.NewNginx(o); err != nil {
		return err
	}
	return e.nginx.Write()
}

// enter makes a namespace that lasts while its holder does, which ends with this process,
// however that ends; and a wire to it.
func (e *demoEdge) enter(n int, here, there string) error {
	holder := exec.Command("cat")
	holder.SysProcAttr = &syscall.SysProcAttr{Cloneflags: syscall.CLONE_NEWNET}
	in, err := holder.StdinPipe()
	if err == nil {
		err = holder.Start()
	}
	if err != nil {
		return fmt.Errorf("demo: a network namespace: %w", err)
	}
	e.hold = in
	go func() { _ = holder.Wait() }() // ends when the pipe does
	pid, wire := strconv.Itoa(holder.Process.Pid), fmt.Sprintf("edge%d", n)
	e.space = []string{"nsenter", "--target", pid, "--net"}
	inside := func(words ...string) []string { return append(append([]string{}, e.space...), words...) }
	e.wire = wire
	err = runAll([][]string{
		{"ip", "link", "add", wire, "type", "veth", "peer", "name", "wire", "netns", pid},
		{"ip", "address", "add", here + "/30", "dev", wire},
		{"ip", "link", "set", wire, "up"},
		inside("ip", "link", "set", "lo", "up"),
		inside("ip", "address", "add", there+"/30", "dev", "wire"),
		inside("ip", "link", "set", "wire", "up"),
		inside("ip", "route", "add", "default", "via", here),
	})
	if err == nil {
		e.nats, err = listenIn(pid, "127.0.0.1:4222")
	}
	return err
}

// listenIn listens in the network namespace of a process.
func listenIn(pid, address string) (l net.Listener, err error) {
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // and never unlocked: the thread ends with the goroutine
		space, openErr := os.Open("/proc/" + pid + "/ns/net")
		if err = openErr; err != nil {
			return
		}
		defer space.Close()
		if err = unix.Setns(int(space.Fd()), unix.CLONE_NEWNET); err == nil {
			l, err = net.Listen("tcp", address)
		}
	}()
	<-done
	if err != nil {
		return nil, fmt.Errorf("demo: listen in a network namespace: %w", err)
	}
	return l, nil
}

// lead passes on what comes to an edge's end of NATS, until ctx ends: weir run listens on
// loopback alone, as it should without TLS.
func (e *demoEdge) lead(ctx context.Context, to string) error {
	stop := context.AfterFunc(ctx, func() { _ = e.nats.Close() })
	defer stop()
	for {
		from, err := e.nats.Accept()
		if err != nil {
			return err
		}
		there, err := net.Dial("tcp", to)
		if err != nil {
			_ = from.Close() // it comes again
			continue
		}
		closeBoth := func() { _ = from.Close(); _ = there.Close() }
		context.AfterFunc(ctx, closeBoth)
		go func() { defer closeBoth(); _, _ = io.Copy(there, from) }()
		go func() { defer closeBoth(); _, _ = io.Copy(from, there) }()
	}
}

// leave ends the namespaces. Their wires go at once, not when the kernel has taken the
// namespaces down: another play makes wires of the same names.
func (d *demonstration) leave() {
	for _, e := range d.edges {
		if e.hold == nil {
			continue
		}
		_ = exec.Command("ip", "link", "delete", e.wire).Run() // it may never have been made
		_ = e.hold.Close()
		if e.nats != nil {
			_ = e.nats.Close()
		}
	}
}

// config is the part of weir's configuration that is about the edge.
func (e *demoEdge) config() string {
	list := func(words []string) string {
		quoted := make([]string, len(words))
		for i, w := range words {
			quoted[i] = strconv.Quote(w)
		}
		return "[" + strings.Join(quoted, ", ") + "]"
	}
	return fmt.Sprintf(`sources:
  - file: %q
nginx:
  directory: %q
  test: %s
  reload: %s
`, e.nginx.AccessLog(), e.decisions, list(e.nginx.TestCommand()), list(e.nginx.ReloadCommand()))
}

func edgeName(n int) string { return fmt.Sprintf("edge%d", n+1) }

// configureEdge writes what the weir of one of several edges is told.
func (d *demonstration) configureEdge(n int, e *demoEdge) error {
	text := fmt.Sprintf("# Written by weir demo.\nmode: %s\nedge:\n  name: %s\nnats:\n  url: nats://%s\n%s", d.mode(), edgeName(n), d.nats, e.config())
	if err := os.WriteFile(d.path(edgeName(n)+"/weir.yml"), []byte(text), 0o644); err != nil {
		return fmt.Errorf("demo: %w", err)
	}
	return nil
}

// startEdge runs the two roles of one of several edges.
func (d *demonstration) startEdge(n int, e *demoEdge, part func(string, func(context.Context) error)) {
	dir := edgeName(n)
	part("NATS for "+dir, func(ctx context.Context) error { return e.lead(ctx, d.nats) })
	for role, address := range map[string]string{"collect": "127.0.0.1:8481", "enforce": "127.0.0.1:8480"} {
		part("weir "+role+" on "+dir, func(ctx context.Context) error {
			return d.weir(ctx, dir+"/"+role+".log", e.space, "--config", d.path(dir+"/weir.yml"), role, "--data", d.path(dir+"/"+role), "--http", address)
		})
	}
}

// edgesThere waits until every one of several edges has reported.
func (d *demonstration) edgesThere(ctx context.Context) error {
	if d.Edges == 1 {
		return nil
	}
	d.say("Waiting for %d edges, each in a network namespace of its own", d.Edges)
	there := func() bool {
		answer, err := d.control.do(ctx, http.MethodGet, "/api/edges", nil)
		var seen []struct {
			Edge string `json:"edge"`
		}
		if err != nil || json.Unmarshal(answer, &seen) != nil {
			return false
		}
		found := 0
		for _, e := range seen {
			for n := range d.edges {
				if e.Edge == edgeName(n) {
					found++
				}
			}
		}
		return found == d.Edges
	}
	if !poll(ctx, time.Minute, there) {
		return errors.Join(ctx.Err(), errors.New("demo: not every edge reported within a minute; see the logs in their folders"))
	}
	return nil
}

// check refuses what would fail only at the end.
func (c *demoCommand) check() error {
	if c.Edges < 1 || c.Edges > maxDemoEdges {
		return usagef("--edges %d: want 1 to %d", c.Edges, maxDemoEdges)
	}
	if folder := filepath.Dir(c.Picture); c.Picture != "" {
		if info, err := os.Stat(folder); err != nil || !info.IsDir() {
			return usagef("--picture %s: there is no folder %s", c.Picture, folder)
		}
	}
	return nil
}
