package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/sinks/clickhouse"
)

type benchIngestCommand struct {
	Files  []string `arg:"" optional:"" name:"log" help:"Replay these logs; by default two simulated ones, of few requests a second and of many."`
	Rounds int      `default:"3" help:"Rounds of each; the medians are shown."`
	Long   bool     `help:"Also a simulated log of ten million requests and more, once: seven GB on disk."`
	Folder string   `placeholder:"DIR" help:"Where to make the temporary logs and stores; by default where temporary files are."`
	Output string   `default:"table" enum:"table,markdown,json" help:"table, markdown or json."`
}

// ingestLog is a log to be replayed.
type ingestLog struct {
	name, path string
	requests   int
	rounds     int
}

// ingestKinds are what is done with a log: not stored, stored, and stored without rollups.
var ingestKinds = [...]string{"no", "yes", "no rollups"}

// ingestRun is what one replay took, the start and the end of both processes among it.
type ingestRun struct {
	Log        string  `json:"log"`
	Stored     string  `json:"stored"` // one of ingestKinds
	Requests   int     `json:"requests"`
	Seconds    float64 `json:"seconds"`
	Weir       float64 `json:"cpu_weir"` // seconds a million requests
	ClickHouse float64 `json:"cpu_clickhouse"`
	WeirMiB    float64 `json:"mib_weir"` // resident at the most
	EngineMiB  float64 `json:"mib_clickhouse"`
}

func (r *ingestRun) rate() float64 { return float64(r.Requests) / r.Seconds }

// Run replays each log by a weir of its own, as a person would.
func (c *benchIngestCommand) Run(ctx context.Context, s screen) error {
	if c.Rounds < 1 || c.Rounds > 100 {
		return usagef("bench ingest: --rounds is %d; give 1 to 100", c.Rounds)
	}
	folder, err := os.MkdirTemp(c.Folder, "weir-bench-*")
	if err != nil {
		return unwrapPath(err)
	}
	defer os.RemoveAll(folder) // not before: an ext4 that has just deleted files makes new ones slowly
	logs, err := c.logs(ctx, s, folder)
	if err != nil {
		return err
	}
	var medians []ingestRun
	for _, log := range logs {
		for _, kind := range ingestKinds {
			var runs []ingestRun
			for range log.rounds {
				run, err := log.replay(ctx, s, folder, kind)
				if err != nil {
					return fmt.Errorf("bench ingest: %s: %w", printable(log.name, 80), err)
				}
				fmt.Fprintf(s.err, "%s, stored: %s: %s requests/s\n", printable(log.name, 80), kind, count(int(run.rate())))
				runs = append(runs, run)
			}
			slices.SortFunc(runs, func(a, b ingestRun) int { return int(a.rate() - b.rate()) })
			medians = append(medians, runs[len(runs)/2])
		}
	}
	return c.print(s.out, medians)
}

// logs are those that were named, or are made.
func (c *benchIngestCommand) logs(ctx context.Context, s screen, folder string) (logs []ingestLog, err error) {
	for i, name := range basenames(c.Files) {
		requests, err := countLines(paths(c.Files)[i])
		if err != nil {
			return nil, err
		}
		logs = append(logs, ingestLog{name, c.Files[i], requests, c.Rounds})
	}
	if len(c.Files) == 0 {
		// 340 and 3,200 requests a second over five sites, with a flood on one.
		logs = append(logs, ingestLog{name: "thin", rounds: c.Rounds}, ingestLog{name: "dense", rounds: c.Rounds})
	}
	if c.Long {
		logs = append(logs, ingestLog{name: "long", rounds: 1})
	}
	for i := range logs {
		if log := &logs[i]; log.path == "" {
			fmt.Fprintf(s.err, "making the log %q\n", log.name)
			log.path = filepath.Join(folder, log.name+".log")
			err := writeFile(log.path, func(w io.Writer) (err error) {
				log.requests, err = simulateIngest(stopping{ctx, w}, log.name)
				return err
			})
			if err != nil {
				return nil, err
			}
		}
	}
	return logs, nil
}

// simulateIngest writes a log, and says of how many requests.
func simulateIngest(w io.Writer, name string) (int, error) {
	config := simulate.Default()
	config.Attack.Requests, config.Attack.Addresses = 100_000, 60_000
	config.Scale, config.Ordinary = 20, time.Hour
	if name != "thin" {
		config.Scale, config.Ordinary = 200, 6*time.Minute
		config.Attack.Duration, config.Tail = 3*time.Minute, 2*time.Minute
	}
	if name == "long" {
		config.Ordinary = 51 * time.Minute
	}
	summary, err := simulate.Write(config, simulate.Output{Log: w})
	return int(summary.Lines), err
}

// replay runs weir replay, and looks at it and at its ClickHouse meanwhile.
func (l *ingestLog) replay(ctx context.Context, s screen, folder, kind string) (run ingestRun, err error) {
	run = ingestRun{Log: l.name, Stored: kind, Requests: l.requests}
	arguments := []string{"replay", "--quiet"}
	if kind != "no" {
		data, err := os.MkdirTemp(folder, "store-*")
		if err != nil {
			return run, unwrapPath(err)
		}
		if kind != "yes" {
			if err := withoutRollups(ctx, data); err != nil {
				return run, err
			}
		}
		arguments = append(arguments, "--data", data)
	}
	self, err := os.Executable()
	if err != nil {
		return run, err
	}
	command := exec.CommandContext(ctx, self, append(arguments, l.path)...)
	command.Stderr = s.err
	began := time.Now()
	if err := command.Start(); err != nil {
		return run, err
	}
	ended := make(chan error, 1)
	go func() { ended <- command.Wait() }()
	engine := watchIngest(command.Process.Pid, &run, ended)
	run.Seconds = time.Since(began).Seconds()
	if engine.err != nil {
		return run, engine.err
	}
	million := float64(l.requests) / 1e6
	run.EngineMiB, run.ClickHouse = engine.mib, engine.cpu.Seconds()/million
	// What a process waited for is counted with it.
	all := command.ProcessState.UserTime() + command.ProcessState.SystemTime()
	run.Weir = (all - engine.cpu).Seconds() / million
	return run, nil
}

// watched is a ClickHouse as it was seen last, and how its weir ended.
type watched struct {
	usage
	err error
}

// watchIngest looks at a weir until it has ended.
func watchIngest(pid int, run *ingestRun, ended <-chan error) (engine watched) {
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case engine.err = <-ended:
			return engine
		case <-tick.C:
			now := usageBelow(pid)
			engine.cpu, engine.mib = max(engine.cpu, now.cpu), max(engine.mib, now.mib)
			run.WeirMiB = max(run.WeirMiB, mostMiB(strconv.Itoa(pid)))
		}
	}
}

// withoutRollups makes a store that has none.
func withoutRollups(ctx context.Context, data string) (err error) {
	db, end, err := openData(ctx, data, true, nil)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := db.Migrate(ctx); err != nil {
		return err
	}
	return dropRollups(ctx, db)
}

// dropRollups takes the views away that make them.
func dropRollups(ctx context.Context, db *clickhouse.DB) error {
	for _, view := range []string{"incoming_to_rollup_10s", "incoming_to_decision_hits"} {
		if err := db.Query(ctx, "DROP VIEW "+view, clickhouse.QueryOptions{Write: true}, io.Discard); err != nil {
			return err
		}
	}
	return nil
}

// print shows a line for each log and kind.
func (c *benchIngestCommand) print(w io.Writer, runs []ingestRun) error {
	if c.Output == "json" {
		return json.NewEncoder(w).Encode(runs)
	}
	t := printedTable{w: w, markdown: c.Output == "markdown"}
	t.text("weir replay on %s. CPU-s a million requests, MiB resident at most.", machine())
	t.row("log", "requests", "stored", "requests/s", "CPU-s", "weir", "ClickHouse", "MiB", "weir", "ClickHouse")
	for i := range runs {
		r := &runs[i]
		t.row(printable(r.Log, 20), count(r.Requests), r.Stored, count(int(r.rate())),
			fmt.Sprintf("%.2f", r.Weir+r.ClickHouse), fmt.Sprintf("%.2f", r.Weir), fmt.Sprintf("%.2f", r.ClickHouse),
			fmt.Sprintf("%.0f", r.WeirMiB+r.EngineMiB), fmt.Sprintf("%.0f", r.WeirMiB), fmt.Sprintf("%.0f", r.EngineMiB))
	}
	return t.flush()
}

// countLines counts the lines of a file that is not packed: the requests of a log.
func countLines(path string) (n int, err error) {
	f, err := os.Open(path)
	if err != nil {
		return 0, unwrapPath(err)
	}
	defer f.Close()
	for buffer := make([]byte, 1<<20); ; {
		read, err := f.Read(buffer)
		n += bytes.Count(buffer[:read], []byte{'\n'})
		if errors.Is(err, io.EOF) {
			return n, nil
		} else if err != nil {
			return n, unwrapPath(err)
		}
	}
}
