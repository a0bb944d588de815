package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math"
	"os"
	"path/filepath"
	"sync/atomic"
	"time"

	"github.com/weir-project/weir/collectors/accesslog"
)

// FollowOptions are how to follow a file; the zero value is ready to use.
type FollowOptions struct {
	FromEnd bool          // begin at the end of a file that was never followed before
	Since   time.Time     // of a log that was never followed before, rotated files written to after it are read, too; the zero time is none
	Piece   int           // bytes read at once at most; 0 is 2 MiB, at least accesslog.MaxLine
	Poll    time.Duration // how often to look without having been told of a change; 0 is 1 s
	Grace   time.Duration // how long a replaced file must be quiet before it is left; 0 is 2 s
	Watch   *Watch        // shared with other Followers; nil is one of its own
	Logger  *slog.Logger  // nil is slog.Default
}

// Follower reads the lines that are appended to a file, through its being
// renamed and created anew, copied and truncated, and deleted, however often
// between two looks. It neither waits nor runs anything in Next; Wait waits. It
// serves one goroutine.
//
// From the moment it sees a file it holds it open until it has read it to its
// end: names shift with each rotation, what is packed or deleted can be read on by
// who has it open, and no other file can get its inode. What it is done with it
// knows by device and inode, by its first bytes, and by how far it was read.
type Follower struct {
	path          string
	base          string // of path
	o             FollowOptions
	file          *os.File // nil where there is none yet
	at            Position
	head          bool   // file is the one at path
	queue         []held // to read after file, in the order of rotation
	quiet         time.Time
	own           []byte
	buffer        *[]byte // own, or lent
	watch         *Watch  // o.Watch, or its own
	watched       string  // the log's directory, once watching it was tried
	target        string  // another directory, in which path is a link to a file at the last look
	watchedTarget string
	changes       chan struct{} // holds one where something may have changed
	link          atomic.Bool   // path was a link at the last look
	fresh         bool          // Look was called since Next

	known   map[fileID]Mark      // files beside it, and how far they have been read
	former  []Mark               // known ones whose inode another file has by now
	packed  map[fileID]packedLog // packed files that have been looked at
	torn    map[fileID]time.Time // packed files that break off, since when
	changed int64                // when the file that was gone on with was last written to, unix ns
	waiting map[fileID]string    // files to read that are not open yet
	refused map[fileID]bool      // files that could not be opened
	past    []Mark               // see Past
	ledger  []byte               // see Ledger
	most    int                  // of files that are remembered, see maxLedger
	floor   int64                // when what is not remembered any more was written to, at the latest
	resumed bool                 // it goes on with what an earlier Follower did
	before  []Mark               // past, as it was resumed with
	knows   bool                 // a ledger was recalled
	begun   bool                 // the first look was taken
	looked  time.Time            // at the directory
	times   [2]int64             // of the directory, at that look
	skipped uint64
	trouble error // why the file at path cannot be opened
}

// held is an open file that is to be read.
type held struct {
	file   *os.File
	at     Position
	suffix string // of its name, as last seen
	head   bool   // it is the one at path
}

// Piece is a run of whole lines of one file. Data is valid until Next is called
// again; it is empty where there is nothing new. Its last line may lack its
// newline where the file has been left for good.
type Piece struct {
	From, To Position
	Data     []byte
}

// NewFollower makes a follower of the file at path, which need not exist yet.
func NewFollower(path string, o FollowOptions) *Follower {
	if o.Piece == 0 {
		o.Piece = 2 << 20
	}
	o.Piece = max(o.Piece, accesslog.MaxLine)
	if o.Poll == 0 {
		o.Poll = time.Second
	}
	if o.Grace == 0 {
		o.Grace = 2 * time.Second
	}
	if o.Logger == nil {
		o.Logger = slog.Default()
	}
	watch := o.Watch
	if watch == nil {
		watch = new(Watch)
	}
	return &Follower{
		path: path, base: filepath.Base(path), o: o, watch: watch, changes: make(chan struct{}, 1), known: map[fileID]Mark{}, packed: map[fileID]packedLog{}, torn: map[fileID]time.Time{},
		waiting: map[fileID]string{}, refused: map[fileID]bool{}, most: maxLedger, floor: math.MinInt64,
	}
}

// Resume goes to a position that a Piece had, with what Past gave at that time: of
// the files beside the log those are read that are neither among the past ones nor
// among those that were recalled. With past nil, those are that were written to after
// the position's own. Where the position's file is gone, complete is false and it is
// logged: lines have been lost, unless there is a packed form of it.
func (f *Follower) Resume(p Position, past []Mark) (complete bool) {
	for _, mark := range past {
		if f.replaced(mark.id()); mark.known() {
			f.known[mark.id()] = mark
		} else {
			f.gone(mark)
		}
	}
	f.past, f.before, f.resumed = past, past, past != nil || p.known()
	f.o.FromEnd = f.o.FromEnd && !f.resumed
	if !p.known() {
		return true
	}
	seek(f.path, func() bool {
		if f.file, f.at = find(f.path, p, p.Offset); f.file != nil {
			f.replaced(f.at.id())
			f.changed = changedOf(f.file)
			return true
		}
		return f.resumePacked(p)
	})
	if f.changed == 0 {
		f.skip("the log was deleted or replaced while nobody followed it", "offset", p.Offset)
		f.gone(Mark{p, time.Now().UnixNano()}) // should it come back, it is read on from there
	}
	return f.changed != 0
}

// Past gives the files that come before the one being read, those written to
// last, at most 16, in the order in which they were written to. It is never nil
// once Next has been called, and never changed later.
func (f *Follower) Past() []Mark { return f.past }

// Skipped counts the files that, as far as can be told, were not read to their
// end, each of which was logged.
func (f *Follower) Skipped() uint64 { return f.skipped }

// ErrGone says that the bytes of a range exist no more.
var ErrGone = errors.New("the log's range is gone")

// Reread gives the bytes between two positions of one piece again.
func (f *Follower) Reread(from, to Position) ([]byte, error) {
	var file *os.File
	seek(f.path, func() bool {
		if file, _ = find(f.path, from, to.Offset); file == nil {
			file, _, _ = findPacked(f.path, from, func(p *packedFile) (*os.File, bool) {
				file, err := p.unpacked()
				return file, err == nil
			})
		}
		return file != nil
	})
	if file == nil {
		return nil, fmt.Errorf("log %s, bytes %d to %d: %w", f.path, from.Offset, to.Offset, ErrGone)
	}
	defer file.Close()
	data := make([]byte, to.Offset-from.Offset)
	if _, err := file.ReadAt(data, from.Offset); err != nil {
		return nil, fmt.Errorf("log %s, bytes %d to %d: %w", f.path, from.Offset, to.Offset, err)
	}
	return data, nil
}

// Lend gives the memory that Next reads into from now on, which it may replace by a
// larger one.
func (f *Follower) Lend(buffer *[]byte) { f.buffer = buffer }

// Look finds out what has changed since the last look, as Next does. Where ready is false,
// Next would give no data, the same position and the same error.
func (f *Follower) Look() (at Position, ready bool, err error) {
	f.look()
	f.fresh = true
	if f.file == nil {
		return f.at, len(f.queue) > 0, f.trouble
	}
	info, err := f.file.Stat()
	if err != nil { // Next says it
		return f.at, true, nil
	}
	return f.at, info.Size() > f.at.Offset || !f.head && len(f.queue) > 0, f.trouble
}

// Next gives the lines that are there by now and were not given yet.
func (f *Follower) Next() (Piece, error) {
	if !f.fresh {
		f.look()
	}
	f.fresh = false
	if f.file == nil && !f.advance() {
		return Piece{From: f.at, To: f.at}, f.trouble
	}
	for {
		piece, err := f.lines(false)
		if err != nil || len(piece.Data) > 0 {
			f.quiet = time.Time{}
			return piece, err
		}
		piece, left, err := f.leave()
		if err != nil || len(piece.Data) > 0 {
			return piece, err
		}
		if !left || f.file == nil { // or the next file's lines are there already
			return piece, f.trouble
		}
	}
}

// advance goes on to the next file of the queue; false where there is none.
func (f *Follower) advance() bool {
	if len(f.queue) == 0 {
		return false
	}
	next := f.queue[0]
	f.queue = f.queue[1:]
	f.file, f.at, f.head, f.quiet = next.file, next.at, next.head, time.Time{}
	if k, is := f.known[f.at.id()]; is && !k.begins(f.file) {
		f.gone(k) // a packed file has the inode that this one had, and it was read
	}
	delete(f.known, f.at.id())
	return true
}

// lines reads from the current position to the last newline there is; with last,
// to the end of the file.
func (f *Follower) lines(last bool) (Piece, error) {
	piece := Piece{From: f.at, To: f.at}
	if f.buffer == nil {
		f.buffer = &f.own
	}
	info, err := f.file.Stat()
	if err != nil {
		return piece, pathError(f.path, err)
	}
	if room := int(min(info.Size()-f.at.Offset+1, int64(f.o.Piece))); room > len(*f.buffer) {
		*f.buffer = make([]byte, max(room, min(blockSize, f.o.Piece)))
	}
	buffer := (*f.buffer)[:min(len(*f.buffer), f.o.Piece)]
	n, ended := 0, false
	for n < len(buffer) { // what is written from now on is the next piece's
		m, err := f.file.ReadAt(buffer[n:], f.at.Offset+int64(n))
		n += m
		if ended = err == io.EOF; ended {
			break
		}
		if err != nil {
			return piece, pathError(f.path, err)
		}
	}
	if n == 0 || !f.at.holds(f.file, f.at.Offset) { // truncated: look sees to it
		return piece, nil
	}
	end := bytes.LastIndexByte(buffer[:n], '\n') + 1
	inside := false
	switch {
	case end > 0:
	case n == f.o.Piece:
		end, inside = n, true
	case last && ended:
		end = n
	default:
		return piece, nil
	}
	to, err := f.at.moved(f.file, int64(end))
	if err != nil {
		return piece, nil
	}
	to.Inside = inside
	piece.From.Fingerprint, piece.From.Length = to.Fingerprint, to.Length
	f.at, piece.To, piece.Data = to, to, buffer[:end]
	return piece, nil
}

// leave goes on to the next file, where the current one was read to its end and
// is written to no more. Before it does, it gives a last line without its newline.
func (f *Follower) leave() (piece Piece, left bool, err error) {
	nothing := Piece{From: f.at, To: f.at}
	if f.head || len(f.queue) == 0 || !f.at.holds(f.file, f.at.Offset) {
		return nothing, false, nil
	}
	// Whoever writes may not have turned to the new file yet.
	info, err := f.file.Stat()
	if err != nil {
		return nothing, false, pathError(f.path, err)
	}
	now := time.Now()
	if f.quiet.IsZero() {
		f.quiet = now
	}
	if now.Sub(f.quiet) < f.o.Grace && now.Sub(info.ModTime()) < f.o.Grace {
		return nothing, false, nil
	}
	piece, err = f.lines(true)
	if err != nil || len(piece.Data) > 0 {
		return piece, false, err
	}
	for id, k := range f.known { // of its plain form, where it was packed since
		if f.at.Length > 0 && k.Fingerprint == f.at.Fingerprint && k.Length == f.at.Length && k.Offset <= f.at.Offset {
			delete(f.known, id)
		}
	}
	f.note(info.ModTime().UnixNano())
	f.file.Close()
	f.file = nil
	f.advance()
	f.remember()
	return Piece{From: f.at, To: f.at}, true, nil
}

// Close ends following.
func (f *Follower) Close() error {
	f.watchOver(&f.watched, "")
	f.watchOver(&f.watchedTarget, "")
	for _, h := range f.queue {
		h.file.Close()
	}
	if f.file != nil {
		return f.file.Close()
	}
	return nil
}
