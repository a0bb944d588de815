package main

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

type benchStoreCommand struct {
	Files  []string `arg:"" optional:"" name:"log" help:"Store what these logs hold; by default half an hour of a simulated estate, with a flood. HOST=FILE where a log does not name the site."`
	Format string   `default:"auto" placeholder:"NAME" help:"The format of the logs."`
	Rows   int      `default:"3000000" help:"Rows to store in each round; the requests are stored again and again until there are so many."`
	Rounds int      `default:"3" help:"Rounds with and without the rollups, in turn; the median is shown."`
	Folder string   `placeholder:"DIR" help:"Where to make the temporary stores; by default where temporary files are."`
	Output string   `default:"table" enum:"table,markdown,json" help:"table, markdown or json."`

	Messages string `hidden:"" help:"One round in this process: the file of messages."`
	Views    bool   `hidden:"" help:"That round has the rollups."`
	Columns  bool   `hidden:"" help:"That round measures columns, too."`
}

// storeRound is what one round took.
type storeRound struct {
	Rollups   bool    `json:"rollups"`
	Rows      int     `json:"rows"`
	Seconds   float64 `json:"seconds"`
	Weir      float64 `json:"cpu_weir"`   // seconds a million rows, from message to the last insert's end
	Engine    float64 `json:"cpu_engine"` // the same of ClickHouse
	Merged    float64 `json:"cpu_merged"` // the same, with the merges that follow
	WeirMiB   float64 `json:"mib_weir"`   // resident at the most
	EngineMiB float64 `json:"mib_engine"`

	Columns []columnSize `json:"columns,omitempty"`
	Rollup  []columnSize `json:"rollup,omitempty"` // tables, as bytes in all
}

// columnSize is the bytes a row of a column, as it is kept and by other codecs.
type columnSize struct {
	Name   string             `json:"name"`
	Codec  string             `json:"codec,omitempty"`
	Bytes  float64            `json:"bytes"`
	Raw    float64            `json:"raw,omitempty"` // uncompressed
	Codecs map[string]float64 `json:"codecs,omitempty"`
}

// benchStoreReport is what the command prints.
type benchStoreReport struct {
	Machine string       `json:"machine"`
	From    string       `json:"from"`
	Rounds  []storeRound `json:"rounds"`
}

// Run measures storing with and without the rollups, each round in a process and a
// store of its own.
func (c *benchStoreCommand) Run(ctx context.Context, s screen) error {
	if c.Rows < 1 || c.Rounds < 1 || c.Rounds > 100 {
		return usagef("bench store: --rows is %d and --rounds %d; give at least 1 row, and 1 to 100 rounds", c.Rows, c.Rounds)
	}
	folder, err := os.MkdirTemp(c.Folder, "weir-bench-*")
	if err != nil {
		return unwrapPath(err)
	}
	defer os.RemoveAll(folder)
	if c.Messages != "" {
		storeFrugally() // as a replay does
		round, err := c.round(ctx, folder)
		return errors.Join(err, json.NewEncoder(s.out).Encode(round))
	}
	messages := filepath.Join(folder, "messages")
	from, err := c.prepare(ctx, s, messages)
	if err != nil {
		return err
	}
	report := benchStoreReport{Machine: machine(), From: from}
	for n := range c.Rounds {
		for _, views := range []bool{false, true} {
			round, err := c.child(ctx, s, messages, views, views && n == c.Rounds-1)
			if err != nil {
				return err
			}
			report.Rounds = append(report.Rounds, round)
			fmt.Fprintf(s.err, "round %d, %s: %s rows/s\n", n+1, withRollups(views), count(int(float64(round.Rows)/round.Seconds)))
		}
	}
	return report.print(s.out, c.Output)
}

func (c *benchStoreCommand) child(ctx context.Context, s screen, messages string, views, columns bool) (round storeRound, err error) {
	self, err := os.Executable()
	if err != nil {
		return round, err
	}
	command := exec.CommandContext(ctx, self, "bench", "store", "--messages", messages, "--rows", fmt.Sprint(c.Rows),
		"--folder", filepath.Dir(messages), fmt.Sprintf("--views=%t", views), fmt.Sprintf("--columns=%t", columns))
	command.Stderr = s.err
	out, err := command.Output()
	if err != nil {
		return round, fmt.Errorf("bench store: a round failed: %w", err)
	}
	return round, json.Unmarshal(out, &round)
}

// prepare writes the messages that all rounds store, each its length and its bytes.
func (c *benchStoreCommand) prepare(ctx context.Context, s screen, path string) (from string, err error) {
	flags := logFlags{Files: c.Files, Format: c.Format}
	from = "the log " + strings.Join(basenames(c.Files), ", ")
	if len(c.Files) == 0 {
		log := path + ".log"
		defer os.Remove(log)
		if err := writeFile(log, simulatedFlood); err != nil {
			return "", err
		}
		flags.Files, from = []string{log}, "half an hour of a simulated estate, with a flood"
	}
	inputs, err := flags.inputs()
	if err != nil {
		return "", err
	}
	rows := 0
	err = writeFile(path, func(w io.Writer) error {
		var encoder schemas.BatchEncoder
		var message []byte
		stats, err := tail.Read(ctx, inputs, tail.Options{Edge: "bench", Rows: benchMessage}, func(chunk *tail.Chunk) error {
			rows += len(chunk.Batch.Time)
			if message, err = encoder.Encode(message[:0], chunk.Batch); err != nil {
				return err
			}
			if err := binary.Write(w, binary.LittleEndian, uint32(len(message))); err != nil {
				return err
			}
			_, err := w.Write(message)
			return err
		})
		return errors.Join(err, emptyLogs(s, stats))
	})
	return fmt.Sprintf("%s: %s requests", from, count(rows)), err
}

// basenames are the files' names, without where they are.
func basenames(arguments []string) []string {
	var names []string
	for _, path := range paths(arguments) {
		names = append(names, filepath.Base(path))
	}
	return names
}

// benchMessage is the rows of a message: about as many as a busy collector sends.
const benchMessage = 4096

func simulatedFlood(w io.Writer) error {
	config := simulate.Default()
	config.Scale, config.Ordinary, config.Tail = 20, 30*time.Minute, time.Minute
	config.Attack.Requests, config.Attack.Addresses = 200_000, 60_000
	_, err := simulate.Write(config, simulate.Output{Log: w})
	return err
}

// round stores the messages into a new store of this process.
func (c *benchStoreCommand) round(ctx context.Context, folder string) (round storeRound, err error) {
	db, end, err := openData(ctx, folder, true, nil)
	if err != nil {
		return round, err
	}
	defer func() { err = errors.Join(err, end()) }()
	if err := db.Migrate(ctx); err != nil {
		return round, err
	}
	if !c.Views {
		if err := dropRollups(ctx, db); err != nil {
			return round, err
		}
	}
	before, weir := childUsage(), cpuTime()
	began := time.Now()
	for pass := 0; round.Rows < c.Rows; pass++ {
		if err := c.pass(ctx, db, pass, &round.Rows); err != nil {
			return round, err
		}
	}
	round.Seconds = time.Since(began).Seconds()
	million := float64(round.Rows) / 1e6
	round.Rollups, round.Weir = c.Views, (cpuTime()-weir).Seconds()/million
	round.Engine = (childUsage().cpu - before.cpu).Seconds() / million
	if err := merged(ctx, db); err != nil {
		return round, err
	}
	after := childUsage()
	round.Merged = (after.cpu - before.cpu).Seconds() / million
	round.WeirMiB, round.EngineMiB = mostMiB("self"), after.mib
	if c.Columns {
		err = measureColumns(ctx, db, &round)
	}
	return round, err
}

// pass stores all messages once more, as another stream.
func (c *benchStoreCommand) pass(ctx context.Context, db *clickhouse.DB, pass int, rows *int) error {
	f, err := os.Open(c.Messages)
	if err != nil {
		return unwrapPath(err)
	}
	defer f.Close()
	direct, err := db.NewDirect(ctx, clickhouse.DirectOptions{Stream: fmt.Sprint("bench:", pass)})
	if err != nil {
		return err
	}
	in, message := bufio.NewReaderSize(f, 1<<20), []byte(nil)
	for *rows < c.Rows {
		var size uint32
		if err := binary.Read(in, binary.LittleEndian, &size); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			return err
		}
		message = slices.Grow(message[:0], int(size))[:size]
		if _, err := io.ReadFull(in, message); err != nil {
			return err
		}
		batch, err := schemas.DecodeBatch(message)
		if err != nil {
			return err
		}
		*rows += len(batch.Time)
		if err := direct.Write(ctx, batch); err != nil {
			return err
		}
	}
	return direct.Close(ctx)
}

// mergePatience is how long merges are waited for.
const mergePatience = 2 * time.Minute

// merged waits until ClickHouse merges nothing more, three times in a row.
func merged(ctx context.Context, db *clickhouse.DB) error {
	tick := time.NewTicker(500 * time.Millisecond)
	defer tick.Stop()
	for deadline, quiet := time.Now().Add(mergePatience), 0; quiet < 3 && time.Now().Before(deadline); {
		n, err := askNumber(ctx, db, "SELECT count() FROM system.merges")
		if err != nil {
			return err
		}
		if quiet++; n > 0 {
			quiet = 0
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return nil
}
