package intake

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/ship"
	"github.com/weir-project/weir/collectors/spool"
	"github.com/weir-project/weir/schemas"
)

// Options say where the lines of one source are kept, and how they are shipped. Dir,
// Source and Publisher are needed, and of Ship the edge.
type Options struct {
	Dir     string // of this source alone; made if missing
	Source  string // its name, the same over restarts
	Max     int64  // bytes that may wait in all; 0 is 1 GiB
	Streams int    // kept apart at most; 0 is 16; the lines of further ones go together

	// Ship is how each stream is shipped; its edge is that of streams without one.
	Ship      ship.Options
	Publisher ship.Publisher
	// Resolve makes each stream's Ship.Resolve; nil is none.
	Resolve func() func(*schemas.Request)

	Metrics    *Metrics              // of the listener; nil counts for nobody
	Registerer prometheus.Registerer // nil for none
	Logger     *slog.Logger          // nil is slog.Default
}

// Intake is the Lines of one source: each stream has a spool and a ship of its own, so
// that its order is kept and its format found by itself.
//
//	listener ─ Append ─▶ stream ─▶ spool ─▶ ship ─▶ the request stream
type Intake struct {
	o Options

	mu      sync.Mutex
	lanes   map[Stream]*lane
	run     func(*lane) // starts a lane that is opened while Run runs; nil before and after
	running sync.WaitGroup
}

// lane is one stream's way.
type lane struct {
	spool *spool.Spool
	ship  *ship.Ship
	log   *slog.Logger
}

// others is the stream of those for which there is no lane left.
func others() Stream { return Stream{Tag: "others"} }

// New makes an Intake. It opens nothing.
func New(o Options) (*Intake, error) {
	if o.Dir == "" || o.Source == "" || o.Ship.Edge == "" || o.Publisher == nil {
		return nil, errors.New("intake: needs a directory, a source's name, an edge and a publisher")
	}
	if o.Max <= 0 {
		o.Max = 1 << 30
	}
	if o.Streams <= 0 {
		o.Streams = 16
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	if o.Metrics == nil {
		var err error
		if o.Metrics, err = NewMetrics(nil, o.Source); err != nil {
			return nil, err
		}
	}
	return &Intake{o: o, lanes: map[Stream]*lane{}}, nil
}

// Run ships what is taken, and what an earlier process took and had not shipped, until
// ctx ends. Lines that are appended while it does not run wait on disk.
func (in *Intake) Run(ctx context.Context) error {
	if err := in.reopen(); err != nil {
		return err
	}
	in.mu.Lock()
	in.run = func(l *lane) { in.running.Go(func() { l.keep(ctx) }) }
	for _, l := range in.lanes {
		in.run(l)
	}
	in.mu.Unlock()
	<-ctx.Done()
	in.mu.Lock()
	in.run = nil
	in.mu.Unlock()
	in.running.Wait()
	return nil
}

// Close ends appending.
func (in *Intake) Close() (err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, l := range in.lanes {
		err = errors.Join(err, l.spool.Shut())
	}
	return err
}

// keep runs a lane's ship, and again where it fails, until ctx ends.
func (l *lane) keep(ctx context.Context) {
	for pause := 200 * time.Millisecond; ; pause = min(2*pause, 10*time.Second) {
		err := l.ship.Run(ctx)
		if ctx.Err() != nil {
			return
		}
		l.log.Error("lines wait to be shipped; trying again", "error", err, "pause", pause)
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// reopen opens the lanes whose spools hold something.
func (in *Intake) reopen() error {
	entries, err := os.ReadDir(in.o.Dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("spool of %s: %w", in.o.Source, err)
	}
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, entry := range entries {
		edge, tag, ok := strings.Cut(entry.Name(), laneMark)
		if !ok || !entry.IsDir() || !holdsLines(filepath.Join(in.o.Dir, entry.Name())) {
			continue
		}
		if _, err := in.open(Stream{Edge: edge, Tag: tag}); err != nil {
			return err
		}
	}
	return nil
}

// holdsLines reports whether a spool's directory has a segment with anything in it.
func holdsLines(dir string) bool {
	segments, _ := filepath.Glob(filepath.Join(dir, "*.log"))
	for _, name := range segments {
		if info, err := os.Stat(name); err == nil && info.Size() > 0 {
			return true
		}
	}
	return false
}

// laneMark stands between edge and tag in the name of a lane's directory; neither has it.
const laneMark = "+"

// open gives a stream's lane, and makes it where there is none. mu is held.
func (in *Intake) open(from Stream) (*lane, error) {
	if l, ok := in.lanes[from]; ok {
		return l, nil
	}
	if len(in.lanes) >= in.o.Streams && from != others() {
		in.o.Logger.Debug("too many streams: this one's lines go with others", "edge", from.Edge, "tag", from.Tag)
		return in.open(others())
	}
	name := in.o.Source
	if from != (Stream{}) {
		name += "/" + from.Edge + "/" + from.Tag
	}
	dir := filepath.Join(in.o.Dir, from.Edge+laneMark+from.Tag)
	kept, err := spool.Open(spool.Options{
		Dir: dir, Max: in.o.Max, Piece: 1, Name: name, Registerer: in.o.Registerer, Logger: in.o.Logger, // 1 is the least there is
	})
	if err != nil {
		return nil, err
	}
	o := in.o.Ship
	o.Source, o.Open, o.Logger, o.Registerer = name, func() ship.Input { return kept }, in.o.Logger, in.o.Registerer
	if from.Edge != "" {
		o.Edge = from.Edge
	}
	if in.o.Resolve != nil {
		o.Resolve = in.o.Resolve()
	}
	s, err := ship.New(o, &ship.FileJournal{Path: filepath.Join(dir, "journal.json")}, in.o.Publisher)
	if err != nil {
		return nil, errors.Join(err, kept.Shut())
	}
	l := &lane{spool: kept, ship: s, log: in.o.Logger.With("source", name)}
	in.lanes[from] = l
	if in.run != nil {
		in.run(l)
	}
	return l, nil
}

// room opens a stream's lane, and says ErrFull where all lanes together hold too much.
func (in *Intake) room(from Stream, more int) (*lane, error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	l, err := in.open(from)
	if err != nil {
		return nil, err
	}
	waiting := int64(more)
	for _, other := range in.lanes {
		waiting += other.spool.Bytes()
	}
	if waiting > in.o.Max {
		return nil, fmt.Errorf("spool of %s: %w", in.o.Source, ErrFull)
	}
	return l, nil
}

// roomEvery is how often one who waits for room looks for it.
const roomEvery = 50 * time.Millisecond

// Append implements Lines.
func (in *Intake) Append(ctx context.Context, from Stream, lines []byte) error {
	for waited := false; ; waited = true {
		l, err := in.room(from, len(lines))
		if err == nil {
			err = l.spool.Append(lines)
		}
		if !errors.Is(err, ErrFull) {
			return err
		}
		if !waited {
			in.o.Metrics.Waiting.Inc()
		}
		select {
		case <-ctx.Done():
			return err
		case <-time.After(roomEvery):
		}
	}
}

// Take is Append that does not wait: it says ErrFull at once. id, where it is not
// empty, is the sender's for these lines: they are taken once under it, and fresh is
// false where they had been. When it returns without an error the lines would survive
// a loss of power.
func (in *Intake) Take(from Stream, id string, lines []byte) (fresh bool, err error) {
	l, err := in.room(from, len(lines))
	switch {
	case err != nil:
	case id != "":
		fresh, err = l.spool.AppendOnce(id, lines)
	default:
		if err = l.spool.Append(lines); err == nil {
			fresh, err = true, l.spool.Sync()
		}
	}
	if errors.Is(err, ErrFull) {
		in.o.Metrics.Waiting.Inc()
	}
	return fresh, err
}

// Forget is spool.Spool's, of all lanes.
func (in *Intake) Forget(find func(lines []byte) [][2]int) (waiting bool, err error) {
	in.mu.Lock()
	defer in.mu.Unlock()
	for _, l := range in.lanes {
		more, forgetErr := l.spool.Forget(find)
		waiting, err = waiting || more, errors.Join(err, forgetErr)
	}
	return waiting, err
}
