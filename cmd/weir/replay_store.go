package main

import (
	"bytes"
	"cmp"
	"context"
	"crypto/rand"
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/sinks/clickhouse"
)

// A replay that stores may hold storeGarbage percent of garbage, and less where it would use
// more than storeMemory bytes: its blocks are large and hold no pointers, so that collecting them
// costs next to nothing, and ClickHouse wants its memory beside them. Both together shall be
// within 1 GiB.
const (
	storeGarbage = 25
	storeMemory  = 480 << 20
)

// storeFrugally lets a process that stores keep so little, unless GOGC or GOMEMLIMIT say how much.
func storeFrugally() {
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(storeGarbage)
	}
	if debug.SetMemoryLimit(-1) == math.MaxInt64 { // GOMEMLIMIT was not set
		debug.SetMemoryLimit(storeMemory)
	}
}

// replayStore keeps what a replay read and decided. The zero value keeps nothing.
type replayStore struct {
	direct *clickhouse.Direct
	end    func() error // closes the store, if there is one
	stream string

	events  []schemas.Event // that wait
	sets    [2]int          // of events and of signals, so far
	aside   chan struct{}   // holds one while a set is being stored
	failure atomic.Pointer[error]
	log     *slog.Logger

	batch   schemas.Batch     // the last one, judged
	indices map[string]uint32 // of what verdicts say, in its strings
}

// Few sets are stored, as each costs ClickHouse a part of a table.
const (
	signalRows = 20000 // in a set
	eventRows  = 500
)

// store opens where --data or --clickhouse say, beside the reading: the embedded ClickHouse
// takes half a second to start.
func (c *replayCommand) store(ctx context.Context, s screen, configuration config.Config, inputs []tail.Input) (*replayStore, error) {
	r := &replayStore{indices: make(map[string]uint32), aside: make(chan struct{}, 1), end: func() error { return nil }}
	if c.Data == "" && c.ClickHouse == "" {
		return r, nil
	}
	if c.Data != "" && c.ClickHouse != "" {
		return nil, usagef("--data and --clickhouse: give one of them")
	}
	stream, err := replayName(inputs, s.in)
	if err != nil {
		return nil, err
	}
	if c.Data != "" { // the key is in it
		if err := makeData(c.Data); err != nil {
			return nil, err
		}
	}
	log := newLogger(s.err, config.Log{Level: "warn", Format: "text"}) // a store that cannot be written is waited for, not in silence
	privacy, err := writersPrivacy(configuration.Privacy, cmp.Or(c.Data, configuration.Data), log)
	if err != nil {
		return nil, err
	}
	storeFrugally()
	r.stream, r.log = stream, log
	r.direct, err = clickhouse.OpenDirect(ctx, clickhouse.DirectOptions{Stream: stream}, privacy, func(ctx context.Context) (*clickhouse.DB, error) {
		db, end, err := c.home(ctx, log)
		if err != nil {
			return nil, err
		}
		r.end = end
		db.SetPrivacy(privacy)
		return db, db.Migrate(ctx)
	})
	return r, err
}

// home is the store that the flags name.
func (c *replayCommand) home(ctx context.Context, log *slog.Logger) (*clickhouse.DB, func() error, error) {
	if c.Data != "" {
		return openData(ctx, c.Data, true, log)
	}
	db, err := clickhouse.Open(ctx, clickhouse.Options{DSN: c.ClickHouse, Logger: log})
	if err != nil {
		return nil, nil, err
	}
	return db, db.Close, nil
}

// replayName names a replay by what it reads, so that the same replay into the same
// store adds nothing, whatever the files are called: sites, formats, sizes and the first
// megabyte of each, and of standard input what its head is. A log that has grown is another
// one, and a named pipe each time.
func replayName(inputs []tail.Input, in io.Reader) (string, error) {
	h := sha256.New()
	for _, input := range inputs {
		fmt.Fprintf(h, "%q %s\n", input.Site, input.Format)
		if head, ok := in.(*headed); ok && input.Path == "-" {
			h.Write(head.first)
			continue
		}
		if err := fingerprint(h, input.Path); err != nil {
			return "", err
		}
	}
	return "replay:" + hex.EncodeToString(h.Sum(nil)[:12]), nil
}

// headed is a reader whose beginning is known before anybody reads it.
type headed struct {
	io.Reader
	first []byte
}

// headBytes is how much of standard input names a replay.
const headBytes = 64 << 10

// withHead reads the beginning of standard input where a replay that stores reads that.
func (c *replayCommand) withHead(s screen, inputs []tail.Input) (screen, error) {
	if !c.stores() || !slices.ContainsFunc(inputs, func(i tail.Input) bool { return i.Path == "-" }) {
		return s, nil
	}
	first := make([]byte, headBytes)
	n, err := io.ReadFull(s.in, first)
	if err != nil && !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF) {
		return s, fmt.Errorf("read standard input: %w", unwrapPath(err))
	}
	s.in = &headed{Reader: io.MultiReader(bytes.NewReader(first[:n]), s.in), first: first[:n]}
	return s, nil
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
	if !info.Mode().IsRegular() { // the reader says what is wrong with it, if anything is
		_, err := io.WriteString(h, rand.Text())
		return err
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

// write stores a chunk's requests, and the events and signals that came of it once there are
// many.
func (r *replayStore) write(ctx context.Context, b *schemas.Batch, verdicts []verdict, events []schemas.Event, signals *[]schemas.SignalRow) error {
	if r.direct == nil {
		return nil
	}
	r.events = append(r.events, events...)
	if len(r.events) >= eventRows {
		r.recordEvents(ctx)
	}
	if len(*signals) >= signalRows {
		r.recordSignals(ctx, signals)
	}
	if failure := r.failure.Load(); failure != nil {
		return *failure
	}
	return r.direct.Write(ctx, r.judged(b, verdicts))
}

// recordEvents stores what was decided, and lets go of it.
func (r *replayStore) recordEvents(ctx context.Context) {
	events := r.events
	r.events = nil
	r.record(ctx, 0, "events", func(db *clickhouse.DB, token string) error { return db.RecordEvents(ctx, token, events) })
}

func (r *replayStore) recordSignals(ctx context.Context, signals *[]schemas.SignalRow) {
	rows := *signals
	*signals = make([]schemas.SignalRow, 0, len(rows)+len(rows)/8)
	r.record(ctx, 1, "signals", func(db *clickhouse.DB, token string) error { return db.RecordSignals(ctx, token, rows) })
}

// record stores a set beside what goes on, one at a time, and tries again as blocks of
// requests do: the store's process may have ended, and the next one not begun.
func (r *replayStore) record(ctx context.Context, kind int, name string, store func(db *clickhouse.DB, token string) error) {
	r.sets[kind]++
	token := fmt.Sprintf("%s/%s/%d", r.stream, name, r.sets[kind])
	r.aside <- struct{}{}
	go func() {
		defer func() { <-r.aside }()
		db := r.direct.DB()
		if db == nil {
			return
		}
		err := retry(ctx, func() error {
			err := store(db, token)
			if gone := db.Gone(); err != nil && gone != nil {
				r.failure.CompareAndSwap(nil, &gone)
				return nil
			}
			return err
		}, func(err error) { r.log.Warn(name+" could not be stored; trying again", "error", err) })
		if err != nil {
			r.failure.CompareAndSwap(nil, &err)
		}
	}()
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

// close stores what is left, and lets last ask the store; whole says that nothing failed before,
// or else its error was returned already, and last is not called.
func (r *replayStore) close(ctx context.Context, events []schemas.Event, signals *[]schemas.SignalRow, whole bool, last func(*clickhouse.DB) error) error {
	if r.direct == nil {
		return nil
	}
	if whole {
		r.events = append(r.events, events...)
	}
	r.recordEvents(ctx)
	r.recordSignals(ctx, signals)
	r.aside <- struct{}{}
	err := r.direct.Close(ctx)
	if failure := r.failure.Load(); failure != nil && err == nil {
		err = *failure
	}
	switch {
	case !whole:
		err = nil
	case err == nil:
		err = last(r.direct.DB())
	}
	return errors.Join(err, r.end())
}
