package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"runtime"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/internal/simulate"
	"github.com/weir-project/weir/processor"
	"github.com/weir-project/weir/schemas"
)

// benchSpeed is what the benches of one request's cost have in common.
type benchSpeed struct {
	For    time.Duration `default:"3s" help:"How long to measure."`
	Output string        `default:"table" enum:"table,json" help:"table or json."`
}

type benchParseCommand struct {
	benchSpeed
	Log    string `arg:"" optional:"" type:"existingfile" help:"Its lines are parsed; by default those of a simulated estate."`
	Format string `default:"weir" placeholder:"NAME" help:"The format of the lines; simulated ones are weir or combined."`
}

type (
	benchEncodeCommand  struct{ benchSpeed }
	benchDecodeCommand  struct{ benchSpeed }
	benchProcessCommand struct{ benchSpeed }
)

// benchResult is what one request costs.
type benchResult struct {
	What        string  `json:"what"`
	Machine     string  `json:"machine"`
	Requests    int     `json:"requests"`
	Nanoseconds float64 `json:"ns"`      // on a processor, a request
	Wall        float64 `json:"ns_wall"` // by the clock
	Bytes       float64 `json:"bytes"`   // a request, of the line or the message; 0 where there are none
	Allocations float64 `json:"allocations"`
}

// measure calls round, which does so many requests, until the time is over.
func (c *benchSpeed) measure(ctx context.Context, s screen, what string, size float64, round func() (requests int, err error)) error {
	if c.For < 10*time.Millisecond || c.For > time.Hour {
		return usagef("--for is %s, want 10ms to 1h", c.For)
	}
	if _, err := round(); err != nil { // tables grow once
		return err
	}
	var before, after runtime.MemStats
	runtime.ReadMemStats(&before)
	began, used, n := time.Now(), cpuTime(), 0
	for time.Since(began) < c.For {
		if err := ctx.Err(); err != nil {
			return err
		}
		did, err := round()
		if err != nil {
			return err
		}
		n += did
	}
	used, took := cpuTime()-used, time.Since(began)
	runtime.ReadMemStats(&after)
	each := func(d time.Duration) float64 { return float64(d.Nanoseconds()) / float64(n) }
	r := benchResult{what, machine(), n, each(used), each(took), size, float64(after.Mallocs-before.Mallocs) / float64(n)}
	if c.Output == "json" {
		return json.NewEncoder(s.out).Encode(r)
	}
	_, err := fmt.Fprintf(s.out, "%s: %.0f ns a request (%.0f by the clock), %.2f allocations", r.What, r.Nanoseconds, r.Wall, r.Allocations)
	if err == nil && size > 0 {
		_, err = fmt.Fprintf(s.out, ", %.0f bytes", size)
	}
	if err == nil {
		_, err = fmt.Fprintf(s.out, "\n%s requests on %s\n", count(n), r.Machine)
	}
	return err
}

// benchSpan is how much of an estate's traffic is measured, again and again.
const benchSpan = 10 * time.Minute

// benchLines are the lines of an estate.
func benchLines(format simulate.Format) ([][]byte, error) {
	config := simulate.Default()
	config.Ordinary, config.Attack.Requests, config.Tail = benchSpan, 0, 0
	out := simulate.Output{Format: format, Truth: io.Discard}
	if format == simulate.FormatCombined {
		out.Site = config.Sites[0].Name
	}
	var log bytes.Buffer
	out.Log = &log
	if _, err := simulate.Write(config, out); err != nil {
		return nil, err
	}
	return bytes.Split(bytes.TrimSpace(log.Bytes()), []byte("\n")), nil
}

// benchBatches are the same as batches of a thousand requests.
func benchBatches() (batches []*schemas.Batch, rows int, err error) {
	lines, err := benchLines(simulate.FormatJSON)
	if err != nil {
		return nil, 0, err
	}
	parser := accesslog.New(accesslog.Weir)
	var r schemas.Request
	for len(lines) > 0 {
		n := min(benchRows, len(lines))
		b := schemas.NewBuilder("edge", "bench")
		for _, line := range lines[:n] {
			if parser.Parse(line, &r) == accesslog.None && b.Fits(&r) {
				b.Append(&r)
				rows++
			}
		}
		batches, lines = append(batches, b.Batch()), lines[n:]
	}
	return batches, rows, nil
}

// Run parses lines, on one core.
func (c *benchParseCommand) Run(ctx context.Context, s screen) error {
	format, err := accesslog.ByName(c.Format)
	if err != nil {
		return usageError{err}
	}
	var lines [][]byte
	switch {
	case c.Log != "":
		var text []byte
		if text, err = os.ReadFile(c.Log); err == nil {
			lines = bytes.Split(bytes.TrimSpace(text), []byte("\n"))
		}
	case format == accesslog.Weir:
		lines, err = benchLines(simulate.FormatJSON)
	case format == accesslog.Combined:
		lines, err = benchLines(simulate.FormatCombined)
	default:
		return usagef("bench parse --format %s: give a log in that format, too", c.Format)
	}
	if err != nil {
		return err
	}
	size := 0
	for _, line := range lines {
		size += len(line)
	}
	parser, refused := accesslog.New(format), 0
	var r schemas.Request
	err = c.measure(ctx, s, "parse a line of "+c.Format, float64(size)/float64(len(lines)), func() (int, error) {
		refused = 0
		for _, line := range lines {
			if parser.Parse(line, &r) != accesslog.None {
				refused++
			}
		}
		return len(lines), nil
	})
	if err == nil && refused > 0 && c.Output != "json" {
		_, err = fmt.Fprintf(s.out, "%s of %s lines were refused\n", count(refused), count(len(lines)))
	}
	return err
}

// Run packs requests into batches and those into messages.
func (c *benchEncodeCommand) Run(ctx context.Context, s screen) error {
	batches, rows, err := benchBatches()
	if err != nil {
		return err
	}
	requests := make([]schemas.Request, 0, rows)
	for _, b := range batches {
		var from schemas.Rows
		var r schemas.Request
		for from.Reset(b); from.Next(&r); {
			requests = append(requests, r)
		}
	}
	size, message := 0, []byte(nil)
	var encoder schemas.BatchEncoder
	builder := schemas.NewBuilder("edge", "bench")
	round := func() (int, error) {
		size = 0
		for from := 0; from < len(requests); from += benchRows {
			builder.Reset()
			for i := from; i < min(from+benchRows, len(requests)); i++ {
				builder.Append(&requests[i])
			}
			if message, err = encoder.Encode(message[:0], builder.Batch()); err != nil {
				return 0, err
			}
			size += len(message)
		}
		return len(requests), nil
	}
	if _, err := round(); err != nil {
		return err
	}
	return c.measure(ctx, s, "pack, encode and compress", float64(size)/float64(len(requests)), round)
}

// Run reads messages and the requests in them.
func (c *benchDecodeCommand) Run(ctx context.Context, s screen) error {
	batches, rows, err := benchBatches()
	if err != nil {
		return err
	}
	var messages [][]byte
	size := 0
	for _, b := range batches {
		message, err := schemas.EncodeBatch(nil, b)
		if err != nil {
			return err
		}
		messages, size = append(messages, message), size+len(message)
	}
	var decoder schemas.BatchDecoder
	var from schemas.Rows
	var r schemas.Request
	return c.measure(ctx, s, "decompress and decode", float64(size)/float64(rows), func() (n int, err error) {
		for _, message := range messages {
			b, err := decoder.Decode(message)
			if err != nil {
				return 0, err
			}
			for from.Reset(b); from.Next(&r); n++ {
			}
		}
		return n, nil
	})
}

// Run counts and judges ordinary requests.
func (c *benchProcessCommand) Run(ctx context.Context, s screen) error {
	batches, _, err := benchBatches()
	if err != nil {
		return err
	}
	engine, err := processor.New(processor.Options{})
	if err != nil {
		return err
	}
	shift := int64(0)
	return c.measure(ctx, s, "process: sketches, windows, clients, samples; no incident", 0, func() (n int, err error) {
		for _, b := range batches {
			first := b.Time[0]
			b.Time[0] += shift
			engine.Consume(b, nil, func(schemas.Event) {})
			b.Time[0] = first
			n += len(b.Time)
		}
		shift += benchSpan.Milliseconds()
		return n, nil
	})
}
