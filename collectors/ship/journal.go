package ship

import (
	"fmt"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// State is where a Ship stands. Everything that its batches are made from, but
// the lines and the names of edge and source, is in it.
type State struct {
	Version   int                        `json:"version"`
	Position  tail.Position              `json:"position"`         // all before it is published
	Past      []tail.Mark                `json:"past"`             // the files before the position's
	Ledger    []byte                     `json:"ledger,omitempty"` // the files before those, see Rememberer
	Next      [schemas.Partitions]uint64 `json:"next"`             // the number of each partition's next batch, from 1
	Watermark int64                      `json:"watermark"`        // unix milliseconds
	Format    string                     `json:"format"`           // of the lines; "" where not found yet
	Intents   []Intent                   `json:"intents,omitempty"`
}

// Intent is a piece that a Ship is about to publish, or has published last.
type Intent struct {
	From      tail.Position `json:"from"`
	To        tail.Position `json:"to"`
	Format    string        `json:"format"`    // of its first lines
	Found     bool          `json:"found"`     // nobody named it: it may become another within the piece
	Clock     int64         `json:"clock"`     // unix milliseconds; no watermark lies after it
	Watermark int64         `json:"watermark"` // of an idle log, unix milliseconds
	Beats     uint          `json:"beats"`     // partitions that get a batch even without rows, a bit set
	Rows      int           `json:"rows"`      // of one batch at most
	Site      string        `json:"site,omitempty"`
	Level     uint          `json:"level,omitempty"` // of 2^Level clients one is kept
	Key       uint64        `json:"key,omitempty"`   // by which it is told which
	// Next are the numbers after it: where its lines are gone on a restart, empty
	// batches take their numbers.
	Next [schemas.Partitions]uint64 `json:"next"`
}

// Journal keeps a State over restarts.
type Journal interface {
	// Load gives the state saved last, the zero State where there is none.
	Load() (State, error)
	// Save returns when the state would survive a loss of power. An error leaves
	// the one before in place, or the new one.
	Save(State) error
}

// stateVersion is the layout of a State that this code writes and reads.
const stateVersion = 2

// Check says whether this code can go on from a state that was saved. One of another
// layout would make other batches of the lines that it was about to publish, under
// numbers that are in use.
func (s *State) Check() error {
	if s.Version != stateVersion {
		return fmt.Errorf("it has version %d, this reads %d: end it with the weir that wrote it, once all lines are shipped, and move it away", s.Version, stateVersion)
	}
	if _, err := accesslog.ByName(s.Format); err != nil {
		return err
	}
	return nil
}

// Saved is the state as a Journal is to keep it.
func (s State) Saved() State {
	s.Version = stateVersion
	return s
}

// Lease is a Journal whose saves also say that its Ship lives, so that no other takes its
// place: it is saved at every beat, though nothing has changed.
type Lease interface {
	Journal
	Leased()
}
