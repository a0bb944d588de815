package main

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// replayStore keeps what a replay read and decided. The zero value keeps nothing.
type replayStore struct {
	db     *clickhouse.DB
	direct *clickhouse.Direct
	end    func() error
	stream string
	sets   int

	rows    schemas.Rows
	builder *schemas.Builder
}

// store opens where --data or --clickhouse say.
func (c *replayCommand) store(ctx context.Context, s screen, configuration config.Config, inputs []tail.Input) (*replayStore, error) {
	r := new(replayStore)
	log := newLogger(s.err, config.Log{Level: "warn", Format: "text"}) // a store that cannot be written is waited for, not in silence
	var err error
	switch {
	case c.Data != "" && c.ClickHouse != "":
		return nil, usagef("--data and --clickhouse: give one of them")
	case c.Data != "":
		r.db, r.end, err = openData(ctx, c.Data, true, log)
	case c.ClickHouse != "":
		if r.db, err = clickhouse.Open(ctx, clickhouse.Options{DSN: c.ClickHouse, Logger: log}); err == nil {
			r.end = r.db.Close
		}
	default:
		return r, nil
	}
	if err != nil {
		return nil, err
	}
	var privacy clickhouse.Privacy
	if privacy, err = privacyOf(configuration.Privacy, cmp.Or(c.Data, configuration.Data)); err == nil {
		r.db.SetPrivacy(privacy)
		r.stream, err = replayName(inputs)
	}
	if err == nil {
		err = r.db.Migrate(ctx)
	}
	if err == nil {
		r.direct, err = r.db.NewDirect(ctx, clickhouse.DirectOptions{Stream: r.stream})
	}
	if err != nil {
		return nil, errors.Join(err, r.end())
	}
	return r, nil
}

// replayName names a replay by what it reads, so that the same replay into the same
// store adds nothing, whatever the files are called: sites, formats, sizes and the first
// megabyte of each. A log that has grown is another one.
func replayName(inputs []tail.Input) (string, error) {
	h := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(h, "%q %s\n", input.Site, input.Format)
		if input.Path == "-" {
			continue
		}
		if err := fingerprint(h, input.Path); err != nil {
			return "", err
		}
	}
	return "replay:" + hex.EncodeToString(h.Sum(nil)[:12]), nil
}

func fingerprint(h io.Writer, path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("read %s: %w", path, unwrapPath(err))
	}
	defer f.Close()
	info, err := f.Stat()
	if err != nil {
		return fmt.Errorf("read %s: %w", path, unwrapPath(err))
	}
	if !info.Mode().IsRegular() {
		return nil // the reader says what is wrong with it, if anything is
	}
	if err := binary.Write(h, binary.LittleEndian, info.Size()); err != nil {
		return err
	}
	_, err = io.CopyN(h, f, 1<<20)
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return err
}

// signalRows is how many signals are stored at once.
const signalRows = 20000

// write stores a chunk's requests and the events that came of it, and signals once
// there are many.
func (r *replayStore) write(ctx context.Context, b *schemas.Batch, verdicts []verdict, events []schemas.Event, signals *[]schemas.SignalRow) error {
	if r.direct == nil {
		return nil
	}
	if len(events) > 0 {
		r.sets++
		if err := r.db.RecordEvents(ctx, fmt.Sprintf("%s/%d", r.stream, r.sets), events); err != nil {
			return err
		}
	}
	if len(*signals) >= signalRows {
		if err := r.recordSignals(ctx, signals); err != nil {
			return err
		}
	}
	return r.judged(b, verdicts, func(b *schemas.Batch) error { return r.direct.Write(ctx, b) })
}

// judged hands over the batch with the verdicts as its actions, as an edge that held the
// decisions would have logged them.
func (r *replayStore) judged(b *schemas.Batch, verdicts []verdict, write func(*schemas.Batch) error) error {
	if r.builder == nil {
		r.builder = schemas.NewBuilder(b.Edge, b.Source)
	}
	var request schemas.Request
	r.rows.Reset(b)
	for row := 0; r.rows.Next(&request); row++ {
		request.Fields |= schemas.FieldAction
		request.Action = append(request.Action[:0:0], verdicts[row].action...)
		request.Decision = append(request.Decision[:0:0], verdicts[row].decision...)
		if !r.builder.Fits(&request) {
			if err := write(r.builder.Batch()); err != nil {
				return err
			}
			r.builder.Reset()
		}
		r.builder.Append(&request)
	}
	if r.builder.Len() == 0 {
		return nil
	}
	err := write(r.builder.Batch())
	r.builder.Reset()
	return err
}

func (r *replayStore) recordSignals(ctx context.Context, signals *[]schemas.SignalRow) error {
	r.sets++
	err := r.db.RecordSignals(ctx, fmt.Sprintf("%s/%d", r.stream, r.sets), *signals)
	*signals = (*signals)[:0]
	return err
}

func (r *replayStore) close(ctx context.Context, signals *[]schemas.SignalRow) error {
	if r.direct == nil {
		return nil
	}
	return errors.Join(r.recordSignals(ctx, signals), r.direct.Close(ctx), r.end())
}
