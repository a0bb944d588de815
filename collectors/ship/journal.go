package ship

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/weir-project/weir/collectors/accesslog"
	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// State is where a Ship stands. Everything that its batches are made from, but
// the lines and the names of edge and source, is in it.
type State struct {
	Version   int                        `json:"version"`
	Position  tail.Position              `json:"position"`  // all before it is published
	Past      []tail.Mark                `json:"past"`      // the files before the position's
	Next      [schemas.Partitions]uint64 `json:"next"`      // the number of each partition's next batch, from 1
	Watermark int64                      `json:"watermark"` // unix milliseconds
	Format    string                     `json:"format"`    // of the lines; "" where not found yet
	Intent    *Intent                    `json:"intent,omitempty"`
}

// Intent is what a Ship is about to publish, or has published last.
type Intent struct {
	To        tail.Position `json:"to"`
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
const stateVersion = 1

// FileJournal is a Journal in a file of its own.
type FileJournal struct {
	Path string
}

// Load implements Journal.
func (j FileJournal) Load() (State, error) {
	var state State
	content, err := os.ReadFile(j.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return state, nil
	}
	if err != nil {
		return state, fmt.Errorf("journal %s: %w", j.Path, err)
	}
	if err := json.Unmarshal(content, &state); err != nil {
		return State{}, fmt.Errorf("journal %s is damaged (%w): move it away to begin anew", j.Path, err)
	}
	if state.Version != stateVersion {
		return State{}, fmt.Errorf("journal %s has version %d, this reads %d", j.Path, state.Version, stateVersion)
	}
	if _, err := accesslog.ByName(state.Format); err != nil {
		return State{}, fmt.Errorf("journal %s: %w", j.Path, err)
	}
	return state, nil
}

// Save implements Journal: a new file is written and takes the old one's place.
func (j FileJournal) Save(state State) error {
	state.Version = stateVersion
	content, err := json.Marshal(state)
	if err == nil {
		err = replace(j.Path, append(content, '\n'))
	}
	if err != nil {
		return fmt.Errorf("journal %s: %w", j.Path, err)
	}
	return nil
}

func replace(path string, content []byte) error {
	fresh := path + ".new"
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	if _, err = file.Write(content); err == nil {
		err = file.Sync()
	}
	if closed := file.Close(); err == nil {
		err = closed
	}
	if err == nil {
		err = os.Rename(fresh, path)
	}
	if err != nil {
		return err
	}
	directory, err := os.Open(filepath.Dir(path))
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
