// Package spool keeps lines that were pushed to this machine until they are in the
// request stream. It is a log in segments that only this process writes: sources
// append to it, a ship reads it like any log and gives back what is published, and
// with that lines are removed from disk and segments deleted. So pushed lines are delivered exactly once from the
// moment Append has returned, as those of files are.
//
//	source ─ Append ─▶ 7.log 8.log 9.log ─ Next ─▶ ship ─ Release ─▶ 7.log is deleted
//
// What Append has taken survives the death of the process at once, and a loss of
// power from about a second later on: segments are synced to disk once a second while
// they are read, and when they end.
package spool

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/tail"
)

// ErrFull says that a spool has reached its bound, or its disk has: the sender is to
// try again later. Nothing of what was given has been kept.
var ErrFull = errors.New("the spool is full")

// Options are how to keep a spool; Dir is needed.
type Options struct {
	Dir     string // of this spool alone; made if missing
	Max     int64  // bytes that may wait; 0 is 1 GiB
	Segment int64  // bytes of a segment; 0 is 8 MiB, at most a quarter of Max
	Piece   int    // bytes that Next gives at most; 0 is 2 MiB, at least accesslog.MaxLine

	Name       string                // the source's, for metrics
	Registerer prometheus.Registerer // nil for none
	Logger     *slog.Logger          // nil is slog.Default
}

func (o *Options) defaults() {
	if o.Max <= 0 {
		o.Max = 1 << 30
	}
	if o.Segment <= 0 {
		o.Segment = 8 << 20
	}
	o.Segment = max(min(o.Segment, o.Max/4), 1)
	if o.Piece <= 0 {
		o.Piece = 2 << 20
	}
	o.Piece = max(o.Piece, accesslog.MaxLine)
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
}

// syncEvery is how long what was appended may be lost by a loss of power.
const syncEvery = time.Second

// Spool is an open spool. Append may be called by many goroutines; all else is for the
// one that ships.
type Spool struct {
	o       Options
	metrics *metrics
	news    chan struct{} // something was appended since the last look

	mu       sync.Mutex
	segments []segment // the oldest first; the last one is written to
	released tail.Position
	last     *os.File
	bytes    int64 // of all segments
	dirty    bool
	synced   time.Time
	closed   bool
	appended int64         // bytes since it was opened
	onDisk   int64         // of these, those that are synced
	ids      *ids          // nil until an id comes
	hollowed tail.Position // up to there nothing is on disk any more
	solid    bool          // the file system knows no holes

	syncing sync.Mutex // held by the one that syncs for all that wait

	// Of the reader.
	at     tail.Position // Inode is the number of the segment
	file   *os.File      // the segment that at is in
	own    []byte
	buffer *[]byte // own, or lent
	lost   uint64
}

// segment is one file of whole lines.
type segment struct {
	number uint64
	size   int64
}

// Open opens the spool of a directory, or makes one. What a process that died had not
// finished to append is cut off: its sender was not told that it was taken.
func Open(o Options) (*Spool, error) {
	o.defaults()
	s := &Spool{o: o, news: make(chan struct{}, 1)}
	var err error
	if s.metrics, err = newMetrics(o.Registerer, o.Name); err != nil {
		return nil, fmt.Errorf("spool %s: %w", o.Dir, err)
	}
	if err := os.MkdirAll(o.Dir, 0o750); err != nil {
		return nil, fmt.Errorf("spool %s: %w", o.Dir, err)
	}
	if s.ids, err = openIDs(o.Dir); err != nil {
		return nil, fmt.Errorf("spool %s: %w", o.Dir, err)
	}
	if s.segments, err = found(o.Dir); err != nil {
		return nil, fmt.Errorf("spool %s: %w", o.Dir, err)
	}
	next := uint64(1)
	if n := len(s.segments); n > 0 {
		next = s.segments[n-1].number + 1
	}
	for _, g := range s.segments {
		s.bytes += g.size
	}
	if err := s.begin(next); err != nil {
		return nil, fmt.Errorf("spool %s: %w", o.Dir, err)
	}
	s.metrics.bytes.Set(float64(s.bytes))
	return s, nil
}

// begin makes the segment that is written to from now on.
func (s *Spool) begin(number uint64) error {
	file, err := os.OpenFile(s.name(number), os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if s.last != nil {
		if err := errors.Join(s.last.Sync(), s.last.Close()); err != nil {
			s.o.Logger.Warn("a segment of a spool may not survive a loss of power", "spool", s.o.Dir, "error", err)
		}
	}
	s.last = file
	s.segments = append(s.segments, segment{number: number})
	return syncDirectory(s.o.Dir)
}

// Append keeps lines, each ended by a newline; that of the last may be missing. All of
// them are kept, or none: then the error wraps ErrFull where trying again later is
// right.
func (s *Spool) Append(lines []byte) error {
	if len(lines) == 0 {
		return nil
	}
	if lines[len(lines)-1] != '\n' {
		lines = append(lines[:len(lines):len(lines)], '\n')
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.appendAnd(lines, nil)
}

// appendAnd appends, and tells of it. note, if not nil, is called with the place where
// the lines come to lie before they are written; its error leaves them out.
func (s *Spool) appendAnd(lines []byte, note func(segment) error) error {
	if err := s.append(lines, note); err != nil {
		s.metrics.refused.Inc()
		return fmt.Errorf("spool %s: %w", s.o.Dir, err)
	}
	s.metrics.bytes.Set(float64(s.bytes))
	select {
	case s.news <- struct{}{}:
	default:
	}
	return nil
}

func (s *Spool) append(lines []byte, note func(segment) error) error {
	switch current := s.segments[len(s.segments)-1]; {
	case s.closed:
		return os.ErrClosed
	case s.bytes+int64(len(lines)) > s.o.Max:
		return ErrFull
	case current.size >= s.o.Segment:
		if err := s.begin(current.number + 1); err != nil {
			return full(err)
		}
	}
	current := &s.segments[len(s.segments)-1]
	if note != nil {
		if err := note(*current); err != nil {
			return full(err)
		}
	}
	if _, err := s.last.WriteAt(lines, current.size); err != nil {
		// What was written of them lies beyond the segment's size, and is written over.
		return full(errors.Join(err, s.last.Truncate(current.size)))
	}
	current.size += int64(len(lines))
	s.bytes += int64(len(lines))
	s.appended += int64(len(lines))
	s.dirty = true
	return nil
}

// Sync returns once all that Append had taken before would survive a loss of power.
// Those who wait at the same time share one sync.
func (s *Spool) Sync() error {
	s.mu.Lock()
	wanted := s.appended
	s.mu.Unlock()
	s.syncing.Lock()
	defer s.syncing.Unlock()
	s.mu.Lock()
	file, reached, done := s.last, s.appended, s.onDisk >= wanted
	s.mu.Unlock()
	if done {
		return nil
	}
	if err := file.Sync(); err != nil && !errors.Is(err, os.ErrClosed) { // a segment that has ended was synced
		return fmt.Errorf("spool %s: %w", s.o.Dir, err)
	}
	s.mu.Lock()
	s.onDisk = max(s.onDisk, reached)
	s.mu.Unlock()
	return nil
}

// full makes ErrFull of a disk without room.
func full(err error) error {
	if errors.Is(err, syscall.ENOSPC) || errors.Is(err, syscall.EDQUOT) {
		return fmt.Errorf("%w: %w", ErrFull, err)
	}
	return err
}

// Bytes is how much waits on disk, at most Options.Max.
func (s *Spool) Bytes() int64 {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.bytes
}

// Resume goes to a position that a Piece had. It is incomplete where what lay there is
// gone. The marks are for followed files.
func (s *Spool) Resume(p tail.Position, _ []tail.Mark) (complete bool) {
	s.leave()
	s.mu.Lock()
	first := s.segments[0].number
	index := s.index(p.Inode)
	s.mu.Unlock()
	if p.Inode == 0 {
		s.at = tail.Position{Inode: first}
		return true
	}
	if index < 0 {
		s.lost++
		s.o.Logger.Warn("lines of a spool are gone", "spool", s.o.Dir, "segment", p.Inode, "offset", p.Offset)
		s.at = tail.Position{Inode: first}
		return false
	}
	s.at = p
	s.Release(p)
	return true
}

// Lend gives the memory that Next reads into from now on, which it may replace by a
// larger one: a process with many spools need not have a piece of each in memory.
func (s *Spool) Lend(buffer *[]byte) { s.buffer = buffer }

// Next gives the lines that are there by now and were not given yet.
func (s *Spool) Next() (tail.Piece, error) {
	size, following := s.extent()
	for s.at.Offset >= size && following != 0 {
		s.leave()
		s.at = tail.Position{Inode: following}
		size, following = s.extent()
	}
	piece := tail.Piece{From: s.at, To: s.at}
	if s.at.Offset >= size {
		return piece, nil
	}
	if s.file == nil {
		file, err := os.Open(s.name(s.at.Inode))
		if err != nil {
			return piece, fmt.Errorf("spool %s: %w", s.o.Dir, err)
		}
		s.file = file
	}
	n := int(min(size-s.at.Offset, int64(s.o.Piece)))
	if s.buffer == nil {
		s.buffer = &s.own
	}
	if len(*s.buffer) < n {
		*s.buffer = make([]byte, n)
	}
	data := (*s.buffer)[:n]
	if _, err := s.file.ReadAt(data, s.at.Offset); err != nil {
		return piece, fmt.Errorf("spool %s: %w", s.o.Dir, err)
	}
	end := bytes.LastIndexByte(data, '\n') + 1
	s.at.Inside = end == 0 // a line longer than any may be
	if end == 0 {
		end = n
	}
	s.at.Offset += int64(end)
	piece.To, piece.Data = s.at, data[:end]
	return piece, nil
}

// extent is how long the reader's segment is by now, and the number of the one after
// it, 0 where there is none. It syncs what is due.
func (s *Spool) extent() (size int64, following uint64) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := time.Now(); s.dirty && now.Sub(s.synced) >= syncEvery {
		if err := s.last.Sync(); err != nil {
			s.o.Logger.Warn("a spool may not survive a loss of power", "spool", s.o.Dir, "error", err)
		}
		s.dirty, s.synced = false, now
	}
	i := s.index(s.at.Inode)
	if i < 0 {
		return 0, s.segments[0].number
	}
	if i+1 < len(s.segments) {
		following = s.segments[i+1].number
	}
	return s.segments[i].size, following
}

// index is that of a segment, -1 where there is none of that number.
func (s *Spool) index(number uint64) int {
	for i := range s.segments {
		if s.segments[i].number == number {
			return i
		}
	}
	return -1
}

func (s *Spool) leave() {
	if s.file != nil {
		s.file.Close()
		s.file = nil
	}
}

// Reread gives the bytes between two positions of one piece again.
func (s *Spool) Reread(from, to tail.Position) ([]byte, error) {
	file, err := os.Open(s.name(from.Inode))
	if err != nil {
		return nil, fmt.Errorf("spool %s, segment %d: %w", s.o.Dir, from.Inode, tail.ErrGone)
	}
	defer file.Close()
	data := make([]byte, to.Offset-from.Offset)
	if _, err := file.ReadAt(data, from.Offset); err != nil {
		return nil, fmt.Errorf("spool %s, segment %d: %w", s.o.Dir, from.Inode, tail.ErrGone)
	}
	return data, nil
}

// Past is nothing: segments have numbers.
func (s *Spool) Past() []tail.Mark { return nil }

// Skipped counts the times that lines were gone.
func (s *Spool) Skipped() uint64 { return s.lost }

// Wait waits until something was appended or for d, whichever comes first. It returns
// ctx's error where that ends.
func (s *Spool) Wait(ctx context.Context, d time.Duration) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	timer := time.NewTimer(max(d, 0))
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
	case <-s.news:
	}
	return nil
}

// Release deletes the segments before a position, and what is before it in its own: all
// of that is published, and a restart does not ask for it.
func (s *Spool) Release(p tail.Position) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.released = p
	for len(s.segments) > 1 && s.segments[0].number < p.Inode {
		if err := os.Remove(s.name(s.segments[0].number)); err != nil && !errors.Is(err, os.ErrNotExist) {
			s.o.Logger.Warn("a segment that is done with cannot be deleted", "spool", s.o.Dir, "error", err)
			return
		}
		s.bytes -= s.segments[0].size
		s.segments = s.segments[1:]
	}
	s.hollow(p)
	s.metrics.bytes.Set(float64(s.bytes))
}

// Close ends reading. Appending goes on: a ship that failed is run again.
func (s *Spool) Close() error {
	s.leave()
	return nil
}

// Shut ends appending, and syncs what was appended.
func (s *Spool) Shut() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		return nil
	}
	s.closed = true
	return errors.Join(s.last.Sync(), s.last.Close(), s.ids.close())
}

func (s *Spool) name(number uint64) string {
	return segmentName(s.o.Dir, number)
}

func segmentName(dir string, number uint64) string {
	return filepath.Join(dir, fmt.Sprintf("%016d.log", number))
}

// found lists the segments of a directory, and cuts off what is no whole line at the
// end of the last one.
func found(dir string) (segments []segment, err error) {
	entries, err := os.ReadDir(dir) // sorted by name, hence by number
	if err != nil {
		return nil, err
	}
	for _, entry := range entries {
		var number uint64
		if n, err := fmt.Sscanf(entry.Name(), "%016d.log", &number); n != 1 || err != nil {
			continue
		}
		info, err := entry.Info()
		if err != nil {
			return nil, err
		}
		segments = append(segments, segment{number, info.Size()})
	}
	if n := len(segments); n > 0 {
		last := &segments[n-1]
		if last.size, err = whole(segmentName(dir, last.number), last.size); err != nil {
			return nil, err
		}
	}
	return segments, nil
}

// whole cuts a file after its last newline and gives its new size.
func whole(name string, size int64) (int64, error) {
	file, err := os.OpenFile(name, os.O_RDWR, 0)
	if err != nil {
		return 0, err
	}
	defer file.Close()
	block := make([]byte, 64<<10)
	for end := size; end > 0; {
		from := max(0, end-int64(len(block)))
		n, err := file.ReadAt(block[:end-from], from)
		if err != nil && err != io.EOF {
			return 0, err
		}
		if at := bytes.LastIndexByte(block[:n], '\n'); at >= 0 {
			return from + int64(at) + 1, file.Truncate(from + int64(at) + 1)
		}
		end = from
	}
	return 0, file.Truncate(0)
}

func syncDirectory(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	defer d.Close()
	return d.Sync()
}
