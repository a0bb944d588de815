// Package tail reads log lines from files: whole ones for a replay (plain or
// compressed, several merged by time), and growing ones through every kind of
// rotation. It knows about files and about the order of lines; what a line says
// is accesslog's business, and where requests go is the caller's.
package tail

import (
	"io"
	"sync/atomic"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/schemas"
)

// Input is one log to read.
type Input struct {
	Path   string           // a file; "-" is standard input
	Site   string           // the site of all its requests; "" leaves what the log says
	Format accesslog.Format // Auto finds it from the first lines
}

// Options are how to read; the zero value is ready to use.
type Options struct {
	Edge     string    // of the batches
	Rows     int       // of one chunk at most; 0 is 4096
	Stdin    io.Reader // what "-" reads; nil is os.Stdin
	Progress *Progress // filled while reading; nil for none
	// Resolve sets the client of a request that came through proxies; nil leaves what
	// the log says.
	Resolve func(*schemas.Request)
}

// Progress is how far a Read is, for a progress bar. Bytes are those of the
// files, compressed ones as they lie on disk.
type Progress struct {
	Done  atomic.Int64
	Total atomic.Int64 // known before the first chunk; standard input counts nothing
}

// Chunk is a run of lines in merged order. It and all that it points to are
// valid until the function that it was given to returns.
type Chunk struct {
	// Batch holds the parsed requests, in the order of Lines. Its number counts the
	// chunks from 1; its watermark is the time of the merge: no later line was
	// put in order by an earlier one.
	Batch *schemas.Batch
	Lines []Line
	// Shifts are, of each row, how many ms are added to its time for it to count among those of
	// other logs: not 0 where its clock was set back, or its time fits nothing. Empty where
	// there is one log.
	Shifts []int64
}

// Line is one line of the input.
type Line struct {
	File   int    // index of the input
	Number uint64 // of the line in its file, from 1
	Row    int    // index in Batch, -1 where the line was refused
	Reason accesslog.Reason
}

// Stats are what Read has read: Lines = Parsed + the sum of Refused, in all and
// in every file.
type Stats struct {
	Files []FileStats // one for each input, in their order
}

// FileStats are about one input.
type FileStats struct {
	Path        string
	Site        string
	Format      accesslog.Format // as found; Auto where the file holds no line
	Others      uint64           // requests that were logged in another format
	Lines       uint64
	Parsed      uint64
	Refused     [accesslog.NumReasons]uint64
	First, Last int64  // times of the earliest and the latest request, unix milliseconds
	Strays      uint64 // requests whose times fit nothing before them or after
	SetBack     int64  // ms by which the clock was set back, in all; seen where there are other logs
}

// Empty reports whether the file held no line at all: no error, but worth a word.
func (f *FileStats) Empty() bool { return f.Lines == 0 }

// Lines is the number of lines read.
func (s *Stats) Lines() (n uint64) {
	for i := range s.Files {
		n += s.Files[i].Lines
	}
	return n
}

// Parsed is the number of lines that gave a request.
func (s *Stats) Parsed() (n uint64) {
	for i := range s.Files {
		n += s.Files[i].Parsed
	}
	return n
}

// Refused is the number of lines that did not, by reason.
func (s *Stats) Refused() (by [accesslog.NumReasons]uint64) {
	for i := range s.Files {
		for reason, n := range s.Files[i].Refused {
			by[reason] += n
		}
	}
	return by
}
