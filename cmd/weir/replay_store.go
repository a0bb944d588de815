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
	"runtime/debug"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// storeGarbage is how much garbage, in percent, a replay may hold that stores: its blocks are
// large and hold no pointers, so that collecting them costs next to nothing, and ClickHouse
// wants its memory beside them.
const storeGarbage = 50

// storeFrugally lets a process that stores keep so little, unless GOGC says how much.
func storeFrugally() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(storeGarbage)
	}
}

// replayStore keeps what a replay read and decided. The zero value keeps nothing.
type replayStore struct {
	db     *clickhouse.DB
	direct *clickhouse.Direct
	end    func() error
	stream string
	sets   int

	batch   schemas.Batch     // the last one, judged
	indices map[string]uint32 // of what verdicts say, in its strings
}

// store opens where --data or --clickhouse say.
func (c *replayCommand) store(ctx context.Context, s screen, configuration config.Config, inputs []tail.Input) (*replayStore, error) {
	r := &replayStore{indices: make(map[string]uint32)}
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
	storeFrugally()
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
	if err := r.events(ctx, events); err != nil {
		return err
	}
	if len(*signals) >= signalRows {
		if err := r.recordSignals(ctx, signals); err != nil {
			return err
		}
	}
	return r.direct.Write(ctx, r.judged(b, verdicts))
}

// events stores what was decided.
func (r *replayStore) events(ctx context.Context, events []schemas.Event) error {
	if r.direct == nil || len(events) == 0 {
		return nil
	}
	r.sets++
	return r.db.RecordEvents(ctx, fmt.Sprintf("%s/%d", r.stream, r.sets), events)
}

// judged is the batch with the verdicts as its actions, as an edge that held the decisions
// would have logged them: the same columns but for the two, whose strings follow the batch's.
// It is valid until the next call.
func (r *replayStore) judged(b *schemas.Batch, verdicts []verdict) *schemas.Batch {
	j := &r.batch
	j.Version, j.Edge, j.Source, j.Number, j.Watermark = b.Version, b.Edge, b.Source, b.Number, b.Watermark
	j.Fields, j.Weight = b.Fields|uint32(schemas.FieldAction), b.Weight
	j.Time, j.Client, j.Site, j.Method, j.Path, j.Query = b.Time, b.Client, b.Site, b.Method, b.Path, b.Query
	j.Protocol, j.Referer, j.UserAgent, j.AcceptLanguage = b.Protocol, b.Referer, b.UserAgent, b.AcceptLanguage
	j.AcceptEncoding, j.Tls, j.RequestId, j.CacheStatus, j.Extra = b.AcceptEncoding, b.Tls, b.RequestId, b.CacheStatus, b.Extra
	j.Status, j.Bytes, j.Duration, j.UpstreamDuration, j.Cookie = b.Status, b.Bytes, b.Duration, b.UpstreamDuration, b.Cookie

	j.Strings = append(j.Strings[:0], b.Strings...)
	j.StringLengths = append(j.StringLengths[:0], b.StringLengths...)
	clear(r.indices)
	r.indices[""] = 0
	j.Action, j.Decision = j.Action[:0], j.Decision[:0]
	var action, decision uint32
	for i := range verdicts {
		if v := &verdicts[i]; i == 0 || *v != verdicts[i-1] {
			action, decision = r.index(string(v.action)), r.index(v.decision)
		}
		j.Action, j.Decision = append(j.Action, action), append(j.Decision, decision)
	}
	return j
}

// index is that of a string in the judged batch.
func (r *replayStore) index(text string) uint32 {
	at, ok := r.indices[text]
	if !ok {
		at = uint32(len(r.batch.StringLengths))
		r.batch.Strings = append(r.batch.Strings, text...)
		r.batch.StringLengths = append(r.batch.StringLengths, uint32(len(text)))
		r.indices[text] = at
	}
	return at
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
