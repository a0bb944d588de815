package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"slices"
	"time"
)

type benchCommand struct {
	Parse   benchParseCommand   `cmd:"" help:"What it costs to parse a line."`
	Encode  benchEncodeCommand  `cmd:"" help:"What it costs to pack a request into a message."`
	Decode  benchDecodeCommand  `cmd:"" help:"What it costs to read one from a message."`
	Process benchProcessCommand `cmd:"" help:"What it costs to process one where nothing is wrong."`
	Memory  benchMemoryCommand  `cmd:"" help:"What the processor takes while everything that a client can choose is random, and with a million clients on a thousand sites."`
	Store   benchStoreCommand   `cmd:"" help:"What it costs to store requests, with the rollups and without, and what a row takes on disk."`
	Ingest  benchIngestCommand  `cmd:"" help:"How fast weir replay is, and what it and ClickHouse take, without a store, with one, and with one that makes no rollups."`
	SQL     benchSQLCommand     `cmd:"" name:"sql" help:"How long the cookbook's and the dashboards' queries take on a store of so many requests."`
}

type benchMemoryCommand struct {
	Requests uint64 `default:"20000000" help:"Requests of each kind of traffic."`
	Picture  string `placeholder:"FILE.svg" help:"Draw there what was taken over the requests."`
	Output   string `default:"table" enum:"table,json" help:"table or json."`
	Traffic  string `default:"" hidden:"" help:"One kind only, in this process, a point a line."`
}

// Run measures each kind of traffic in a process of its own, so that one does not pay
// for the other.
func (c *benchMemoryCommand) Run(ctx context.Context, s screen) error {
	if c.Traffic != "" {
		return c.one(ctx, s.out)
	}
	var runs []memoryRun
	for _, kind := range memoryTraffics() {
		run, err := c.child(ctx, s.err, kind.name)
		if err != nil {
			return fmt.Errorf("bench memory: traffic %s: %w", kind.name, err)
		}
		run.Title = kind.title
		runs = append(runs, run)
	}
	if c.Picture != "" {
		if err := writeFile(c.Picture, func(w io.Writer) error { return memoryPicture(w, runs) }); err != nil {
			return err
		}
	}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(runs)
	}
	fmt.Fprintf(s.out, "Memory of the processor on %s, resident, MiB\n\n%-58s %12s %8s %8s %8s %8s %9s\n", machine(),
		"traffic", "requests", "at 25 %", "at end", "most", "window", "ns each")
	for i := range runs {
		r := &runs[i]
		fmt.Fprintf(s.out, "%-58s %12s %8.0f %8.0f %8.0f %6d s %9.0f\n", r.Title, count(r.last().Requests),
			r.at(0.25).MiB, r.last().MiB, r.most(), r.last().Window, float64(r.last().Took.Nanoseconds())/float64(max(r.last().Requests, 1)))
	}
	return nil
}

// memoryRun is what one kind of traffic took.
type memoryRun struct {
	Traffic string        `json:"traffic"`
	Title   string        `json:"title"`
	Points  []memoryPoint `json:"points"`
}

// memoryPoint is the resident memory after so many requests.
type memoryPoint struct {
	Requests uint64  `json:"requests"`
	MiB      float64 `json:"mib"`
	Clients  int     `json:"clients"`
	Sites    int     `json:"sites"`
	// Window is how many seconds of its ten minutes are known, at the end, of the site of which least is.
	Window int           `json:"window_s,omitempty"`
	Took   time.Duration `json:"took_ns"` // on a processor, since the first request, with decoding and collecting garbage
}

func (r *memoryRun) last() memoryPoint { return r.Points[len(r.Points)-1] }

// at is the point at a share of the requests.
func (r *memoryRun) at(share float64) memoryPoint {
	for _, p := range r.Points {
		if float64(p.Requests) >= share*float64(r.last().Requests) {
			return p
		}
	}
	return r.last()
}

func (r *memoryRun) most() float64 {
	return slices.MaxFunc(r.Points, func(a, b memoryPoint) int { return int(a.MiB - b.MiB) }).MiB
}

func (c *benchMemoryCommand) child(ctx context.Context, log io.Writer, traffic string) (memoryRun, error) {
	run := memoryRun{Traffic: traffic}
	self, err := os.Executable()
	if err != nil {
		return run, err
	}
	command := exec.CommandContext(ctx, self, "bench", "memory", "--traffic", traffic, "--requests", fmt.Sprint(c.Requests))
	command.Stderr = log
	out, err := command.StdoutPipe()
	if err != nil {
		return run, err
	}
	if err := command.Start(); err != nil {
		return run, err
	}
	for points := json.NewDecoder(out); ; {
		var p memoryPoint
		if err := points.Decode(&p); err != nil {
			break // what is wrong, Wait says
		}
		run.Points = append(run.Points, p)
		fmt.Fprintf(log, "\r%s: %s requests, %.0f MiB, %d clients, %d sites   ", traffic, count(p.Requests), p.MiB, p.Clients, p.Sites)
	}
	fmt.Fprintln(log)
	if err := command.Wait(); err != nil {
		return run, err
	}
	if len(run.Points) == 0 {
		return run, errors.New("no point was measured")
	}
	return run, nil
}
