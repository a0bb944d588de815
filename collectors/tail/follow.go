package tail

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"time"

	"github.com/fsnotify/fsnotify"

	"github.com/weir-project/weir/collectors/accesslog"
)

// FollowOptions are how to follow a file; the zero value is ready to use.
type FollowOptions struct {
	FromEnd bool          // begin at the end of a file that was never followed before
	Piece   int           // bytes read at once at most; 0 is 4 MiB, at least accesslog.MaxLine
	Poll    time.Duration // how often to look without having been told of a change; 0 is 1 s
	Grace   time.Duration // how long a replaced file must be quiet before it is left; 0 is 2 s
	Logger  *slog.Logger  // nil is slog.Default
}

// Follower reads the lines that are appended to a file, through its being
// renamed and created anew, copied and truncated, and deleted. It neither waits
// nor runs anything in Next; Wait waits. It serves one goroutine.
type Follower struct {
	path    string
	o       FollowOptions
	file    *os.File // nil where there is none yet
	at      Position
	queue   []string // rotated files to read before path
	old     bool     // file is not the one at path any more
	quiet   time.Time
	buffer  []byte
	watcher *fsnotify.Watcher
	watched bool // watching was tried
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
		o.Piece = 4 << 20
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
	return &Follower{path: path, o: o}
}

// Resume goes to a position that a Piece had. Where its file is gone, following
// begins anew at the start of the file at path, and complete is false: lines have
// been lost, unless the position was at the end of its file.
func (f *Follower) Resume(p Position) (complete bool) {
	f.o.FromEnd = f.o.FromEnd && !p.known()
	if !p.known() {
		return true
	}
	file, at, name := find(f.path, p, p.Offset)
	if file == nil {
		return false
	}
	f.use(file, at, name)
	return true
}

// ErrGone says that the bytes of a range exist no more.
var ErrGone = errors.New("the log's range is gone")

// Reread gives the bytes between two positions of one piece again.
func (f *Follower) Reread(from, to Position) ([]byte, error) {
	file, _, _ := find(f.path, from, to.Offset)
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

// Next gives the lines that are there by now and were not given yet.
func (f *Follower) Next() (Piece, error) {
	if f.file == nil {
		if err := f.open(); err != nil || f.file == nil {
			return Piece{From: f.at, To: f.at}, err
		}
	}
	piece, err := f.lines(false)
	if err != nil || len(piece.Data) > 0 {
		f.quiet = time.Time{}
		return piece, err
	}
	return f.rotate()
}

// use makes file the one being read.
func (f *Follower) use(file *os.File, at Position, name string) {
	if f.file != nil {
		f.file.Close()
	}
	f.file, f.at, f.quiet = file, at, time.Time{}
	if f.old = name != f.path; f.old && len(f.queue) == 0 {
		f.queue = later(f.path, file, at)
	}
}

// open opens the next file of the queue, or the one at path.
func (f *Follower) open() error {
	name := f.path
	if len(f.queue) > 0 {
		name, f.queue = f.queue[0], f.queue[1:]
	}
	file, err := os.Open(name)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			f.o.FromEnd = false // all that it will hold is new
			return nil
		}
		return pathError(name, err)
	}
	at, size, err := startOf(file)
	if err != nil {
		file.Close()
		return pathError(name, err)
	}
	if f.o.FromEnd && size > 0 {
		if at, err = at.moved(file, size); err != nil {
			file.Close()
			return pathError(name, err)
		}
		var last [1]byte
		_, err = file.ReadAt(last[:], size-1)
		at.Inside = err == nil && last[0] != '\n'
	}
	f.o.FromEnd = false
	if f.file != nil {
		f.file.Close()
	}
	f.file, f.at, f.old, f.quiet = file, at, name != f.path, time.Time{}
	return nil
}

// lines reads from the current position to the last newline there is; with last,
// to the end of the file.
func (f *Follower) lines(last bool) (Piece, error) {
	piece := Piece{From: f.at, To: f.at}
	n := 0
	for {
		if n == len(f.buffer) {
			if n >= f.o.Piece {
				break
			}
			f.buffer = append(f.buffer, make([]byte, min(max(blockSize, n), f.o.Piece-n))...)
		}
		m, err := f.file.ReadAt(f.buffer[n:], f.at.Offset+int64(n))
		n += m
		if err == io.EOF {
			break
		}
		if err != nil {
			return piece, pathError(f.path, err)
		}
	}
	if n == 0 || !f.at.holds(f.file, f.at.Offset) { // truncated: rotate sees to it
		return piece, nil
	}
	end := bytes.LastIndexByte(f.buffer[:n], '\n') + 1
	inside := false
	switch {
	case end > 0:
	case n == f.o.Piece:
		end, inside = n, true
	case last:
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
	f.at, piece.To, piece.Data = to, to, f.buffer[:end]
	return piece, nil
}

// rotate looks, at the end of the current file, for what became of it.
func (f *Follower) rotate() (Piece, error) {
	nothing := Piece{From: f.at, To: f.at}
	if !f.at.holds(f.file, f.at.Offset) {
		f.truncated()
		return nothing, nil
	}
	if !f.old {
		info, err := os.Stat(f.path)
		if err != nil {
			return nothing, nil // moved or deleted, with no new one yet: it may still grow
		}
		current, err := f.file.Stat()
		if err != nil {
			return nothing, pathError(f.path, err)
		}
		if os.SameFile(info, current) {
			return nothing, nil
		}
	}
	// There is a new file. Whoever writes may not have turned to it yet.
	now := time.Now()
	if f.quiet.IsZero() {
		f.quiet = now
	}
	if now.Sub(f.quiet) < f.o.Grace {
		return nothing, nil
	}
	piece, err := f.lines(true)
	if err != nil || len(piece.Data) > 0 {
		return piece, err
	}
	if len(f.queue) == 0 && !f.old {
		f.queue = later(f.path, f.file, f.at)
	}
	if err := f.open(); err != nil {
		return nothing, err
	}
	return Piece{From: f.at, To: f.at}, nil
}

// truncated goes on where the bytes that were cut off have been copied to, if
// they have, and at the file's new beginning if not.
func (f *Follower) truncated() {
	start, _, err := startOf(f.file)
	if f.at.Length > 0 {
		if file, at, name := find(f.path, f.at, f.at.Offset); file != nil {
			f.queue = nil
			f.use(file, at, name)
			f.quiet = time.Unix(0, 1) // nobody writes to a copy
			return
		}
		f.o.Logger.Warn("a log was cut off and no copy of it found", "log", f.path, "offset", f.at.Offset)
	}
	if err == nil {
		f.at = start
	}
}

// Close ends following.
func (f *Follower) Close() error {
	if f.watcher != nil {
		f.watcher.Close()
	}
	if f.file != nil {
		return f.file.Close()
	}
	return nil
}
