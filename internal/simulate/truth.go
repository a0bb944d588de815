package simulate

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
)

// Truth is one line of a truth file; see TruthHeader.
type Truth struct {
	Line         int64
	Site         string
	Kind         Kind
	Actor        string
	Client       string
	Attack       bool
	WouldSucceed bool
	Sent         time.Time
}

// TruthReader reads a truth file line by line.
type TruthReader struct {
	lines *bufio.Scanner
	line  int64
}

// NewTruthReader reads from r.
func NewTruthReader(r io.Reader) *TruthReader { return &TruthReader{lines: newLines(r)} }

// Next is the next line; io.EOF after the last. Its strings are its own.
func (t *TruthReader) Next() (Truth, error) {
	if t.line == 0 {
		if !t.lines.Scan() {
			return Truth{}, end(t.lines, "truth", errors.New("truth: empty; it begins with a header line"))
		}
		if t.lines.Text() != TruthHeader {
			return Truth{}, fmt.Errorf("truth: first line is %.80q, want the header of a truth file", t.lines.Text())
		}
	}
	if !t.lines.Scan() {
		return Truth{}, end(t.lines, "truth", io.EOF)
	}
	t.line++
	f := strings.Split(t.lines.Text(), "\t")
	if len(f) != 8 {
		return Truth{}, fmt.Errorf("truth line %d: %d fields, want 8", t.line+1, len(f))
	}
	sent, err := time.Parse(time.RFC3339, f[7])
	if err != nil {
		return Truth{}, fmt.Errorf("truth line %d: sent %.40q is no RFC 3339 time", t.line+1, f[7])
	}
	if f[0] != strconv.FormatInt(t.line, 10) {
		return Truth{}, fmt.Errorf("truth line %d: is about line %.20s of the log, want %d", t.line+1, f[0], t.line)
	}
	return Truth{
		Line: t.line, Site: f[1], Kind: Kind(f[2]), Actor: f[3], Client: f[4],
		Attack: f[5] == "1", WouldSucceed: f[6] == "1", Sent: sent,
	}, nil
}

func newLines(r io.Reader) *bufio.Scanner {
	s := bufio.NewScanner(r)
	s.Buffer(make([]byte, 0, 1<<16), 4<<20)
	return s
}

// end is the reader's own error, or else the given one.
func end(s *bufio.Scanner, what string, otherwise error) error {
	if err := s.Err(); err != nil {
		return fmt.Errorf("%s: %w", what, err)
	}
	return otherwise
}
