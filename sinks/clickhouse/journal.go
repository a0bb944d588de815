package clickhouse

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
)

// Journal keeps, by partition, how far a Writer has come. Store returns when the
// position survives a crash of the machine; Load returns the last one stored, or
// the zero Position. One Writer uses a journal at a time.
type Journal interface {
	Load(partition int) (Position, error)
	Store(partition int, p Position) error
}

// Position is how far a partition has been stored.
type Position struct {
	Stream string `json:"stream"` // whose sequences these are
	Stored uint64 `json:"stored"` // all messages up to this sequence are in the table
	// First and Last are the range that was about to be stored; 0, 0 is none.
	First uint64 `json:"first,omitempty"`
	Last  uint64 `json:"last,omitempty"`
	// Sample is of how many clients that range keeps one as rows; 0 is 1.
	Sample uint32 `json:"sample,omitempty"`
	// Numbers are the last batch numbers in the messages up to Stored.
	Numbers []SourceNumber `json:"numbers,omitempty"`
}

// SourceNumber is the last number seen of one source of one edge.
type SourceNumber struct {
	Edge   string `json:"edge"`
	Source string `json:"source"`
	Number uint64 `json:"number"`
}

// FileJournal is a Journal of one small file a partition.
type FileJournal struct {
	dir string
}

// NewFileJournal makes the directory if it is missing.
func NewFileJournal(dir string) (*FileJournal, error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, fmt.Errorf("the writer's journal in %s: %w", dir, err)
	}
	return &FileJournal{dir: dir}, nil
}

func (j *FileJournal) path(partition int) string {
	return filepath.Join(j.dir, "partition-"+strconv.Itoa(partition)+".json")
}

// Load reads a partition's position.
func (j *FileJournal) Load(partition int) (Position, error) {
	var p Position
	text, err := os.ReadFile(j.path(partition))
	if errors.Is(err, fs.ErrNotExist) {
		return p, nil
	}
	if err == nil {
		err = json.Unmarshal(text, &p)
	}
	if err != nil {
		return p, fmt.Errorf("the writer's journal %s: %w: mend it, or remove it to go on from what the store holds", j.path(partition), err)
	}
	return p, nil
}

// Store replaces a partition's position: written beside it, synced, renamed, and
// the rename synced.
func (j *FileJournal) Store(partition int, p Position) error {
	text, err := json.Marshal(p)
	if err != nil {
		return err
	}
	path := j.path(partition)
	if err := writeSynced(path+".new", text); err != nil {
		return fmt.Errorf("the writer's journal: %w", err)
	}
	if err := os.Rename(path+".new", path); err != nil {
		return fmt.Errorf("the writer's journal: %w", err)
	}
	return syncDir(j.dir)
}

func writeSynced(path string, text []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Sync(), f.Close())
}

func syncDir(dir string) error {
	f, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(f.Sync(), f.Close())
}
