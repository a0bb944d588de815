// Command weir keeps websites up while a botnet tries to take them down: it
// reads an edge's requests, notices an attack, works out what sets it apart and
// hands the edge expiring decisions. Each command stands in a file of its own.
package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"runtime"
	"slices"
	"strings"
	"syscall"

	"github.com/alecthomas/kong"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/realip"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/internal/embedded"
)

// version is what `weir --version` prints; the release sets it with -ldflags.
var version = "0.1.0-dev"

// Exit codes, as DESIGN.md's "Commands" has them.
const (
	exitDone   = 0
	exitFailed = 1
	exitUsage  = 2
)

// usageError is an error in how weir was called or configured: exit code 2.
type usageError struct{ error }

func (u usageError) Unwrap() error { return u.error }

// usagef makes a usageError.
func usagef(format string, args ...any) error { return usageError{fmt.Errorf(format, args...)} }

// screen is where a command reads and writes.
type screen struct {
	in       io.Reader
	out, err io.Writer
}

// program is the command line. The order of the fields is the order of the help.
type program struct {
	Config  string           `short:"c" placeholder:"FILE" help:"Configuration; without it the defaults hold."`
	Version kong.VersionFlag `help:"Print the version."`

	Run       runCommand       `cmd:"" help:"Every role in one process: follow logs, notice, decide, enforce, store."`
	Collect   collectCommand   `cmd:"" help:"One role: read this machine's logs and send requests to a NATS elsewhere."`
	Process   processCommand   `cmd:"" help:"The processing role alone: notice and decide, beside other processes that do."`
	Store     storeCommand     `cmd:"" help:"One role: write what goes over a NATS elsewhere into ClickHouse."`
	Enforce   enforceCommand   `cmd:"" help:"One role: keep this machine's nginx, firewall, HAProxy and bouncers at the decisions of a NATS elsewhere."`
	Serve     serveCommand     `cmd:"" help:"One role: the API, the commands' socket, bouncers, notifications and the status page, of a NATS elsewhere."`
	Top       topCommand       `cmd:"" help:"What a running weir sees, live: sites, signals, incidents, decisions."`
	Incidents incidentsCommand `cmd:"" help:"What happened."`
	Incident  incidentCommand  `cmd:"" help:"One incident, as a page: --report."`
	Decisions decisionsCommand `cmd:"" help:"What follows from it: list, add, rm, export, import."`
	Status    statusCommand    `cmd:"" help:"The status page: drafts and posts for the public."`
	SQL       sqlCommand       `cmd:"" name:"sql" help:"Ask the store: every request, signal, incident and decision."`
	Erase     eraseCommand     `cmd:"" help:"Remove one address from what is kept of people."`
	Export    exportCommand    `cmd:"" help:"Write the requests of an incident to a file: Parquet or NDJSON."`
	Rescue    rescueCommand    `cmd:"" help:"In the middle of an attack, with nothing but logs: what sets it apart, and a snippet to paste."`
	Replay    replayCommand    `cmd:"" help:"Run past logs through the whole pipeline in event time."`
	Learn     learnCommand     `cmd:"" help:"Learn what is normal from past logs."`
	Why       whyCommand       `cmd:"" help:"Why an address, a decision or an incident: the evidence."`
	Drill     drillCommand     `cmd:"" help:"An attack through the whole chain, without enforcing: what would be noticed, decided, stopped, told."`
	Panic     panicCommand     `cmd:"" help:"Lift everything at once: off, and on again."`
	Bouncers  bouncersCommand  `cmd:"" help:"Who may ask for decisions as a CrowdSec bouncer does: add, list, rm."`
	Notify    notifyCommand    `cmd:"" help:"Who is told: test."`
	Reload    reloadCommand    `cmd:"" help:"Have a running weir read the modes of its configuration again; what else stands there counts from the next start."`
	Check     checkCommand     `cmd:"" help:"Check the configuration and what a log's lines are read as."`
	Demo      demoCommand      `cmd:"" help:"An attack and its end, live on this machine: real nginx, a small application, visitors, a botnet."`
	Simulate  simulateCommand  `cmd:"" help:"Write a log with known truth: an estate's ordinary hours, then an attack."`
	Evaluate  evaluateCommand  `cmd:"" help:"Play scenarios with known truth, and print the scorecard."`
	Bench     benchCommand     `cmd:"" help:"Measure what weir costs on this machine."`
}

func main() {
	embedded.ChildMain()       // does not return in the child that holds ClickHouse
	runtime.MemProfileRate = 0 // a library brings in the profile of allocations, which nobody asks for
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM, syscall.SIGHUP)
	// The first Ctrl-C ends in order, a second one at once: what hangs in a call of the kernel
	// (a pipe that nobody writes to) does not look at ctx.
	context.AfterFunc(ctx, func() { signal.Reset(os.Interrupt) })
	code := run(ctx, os.Args[1:], screen{os.Stdin, os.Stdout, os.Stderr})
	stop()
	os.Exit(code)
}

// run is the program without the process: a test calls it with its own screen.
func run(ctx context.Context, args []string, s screen) int {
	var p program
	out := &written{to: s.out}
	if !isTerminal(s.out) { // a terminal stays what it is: commands ask for its size
		s.out = out
	}
	exited := -1
	parser, err := newParser(&p, s, func(code int) { exited = code })
	if err != nil {
		fmt.Fprintln(s.err, "weir:", err)
		return exitFailed
	}
	command, err := parser.Parse(args)
	if out.failed != nil { // the help
		return report(s.err, out.failed)
	}
	if exited >= 0 { // --help or --version
		return exited
	}
	if err != nil {
		fmt.Fprintf(s.err, "weir: %s (see weir --help)\n", plain(err))
		return exitUsage
	}
	command.BindTo(ctx, (*context.Context)(nil))
	err = command.Run(s, &p)
	if err == nil {
		err = out.failed
	}
	return report(s.err, err)
}

// newParser is the command line of p; exit is called behind --help and --version.
func newParser(p *program, s screen, exit func(code int)) (*kong.Kong, error) {
	return kong.New(p,
		kong.Name("weir"),
		kong.Description("Measures a stream of HTTP requests, notices an attack, and governs what passes."),
		kong.Writers(s.out, s.err),
		kong.Exit(exit),
		kong.UsageOnError(),
		kong.ConfigureHelp(kong.HelpOptions{Compact: true}),
		kong.Vars{
			"version": version, "propagation": "2s",
			"formats":   strings.Join(accesslog.Names(), ", "),
			"proxies":   strings.Join(realip.Names(), ", "),
			"scenarios": scenarioNames(),
		},
	)
}

// written is standard output that remembers that it could not be written: what a command
// prints for people it prints without a look at each error, and a report that is cut off
// by a full disk must not end as if all of it were there.
type written struct {
	to     io.Writer
	failed error
}

func (w *written) Write(p []byte) (int, error) {
	n, err := w.to.Write(p)
	if err != nil && w.failed == nil {
		w.failed = fmt.Errorf("standard output: %w", unwrapPath(err))
	}
	return n, err
}

// report prints an error as one line and turns it into an exit code.
func report(w io.Writer, err error) int {
	var usage usageError
	switch {
	case err == nil:
		return exitDone
	case errors.Is(err, context.Canceled):
		fmt.Fprintln(w, "weir: interrupted")
		return exitFailed
	case errors.As(err, &usage):
		fmt.Fprintf(w, "weir: %s\n", plain(err))
		return exitUsage
	}
	fmt.Fprintf(w, "weir: %s\n", plain(err))
	return exitFailed
}

// plain is an error's text, safe for a terminal: a file's name may hold anything. Several
// errors stay several lines.
func plain(err error) string {
	lines := strings.Split(err.Error(), "\n")
	for i := range lines {
		lines[i] = printable(lines[i], 4000)
	}
	return strings.Join(slices.Compact(lines), "\nweir: ")
}

// configuration loads what --config names, or the defaults.
func (p *program) configuration() (config.Config, error) {
	if p.Config == "" {
		return config.Default(), nil
	}
	c, err := config.Load(p.Config)
	if err != nil {
		return c, usageError{err}
	}
	return c, nil
}
