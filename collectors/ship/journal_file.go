package ship

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"syscall"

	"github.com/zeebo/xxh3"
)

// FileJournal is a Journal in a file of its own, for one Ship at a time: states, a line
// each, of which the last counts, and zeros up to journalSize. A state is written over
// zeros that are on the disk, so that syncing it changes nothing but these: no length, no
// allocation, no directory. That takes an eighth of the time that a new file in the old
// one's place takes. A line without a ledger has that of the line before it.
type FileJournal struct {
	Path string

	file   *os.File // nil: the next save makes a new one
	at     int64    // where the next line goes
	ledger []byte   // of the last line
}

// journalSize is how long the file is, in bytes. When it is full, a new one takes its place.
const journalSize = 128 << 10

// Load implements Journal.
func (j *FileJournal) Load() (State, error) {
	if err := j.Close(); err != nil {
		return State{}, err
	}
	content, err := os.ReadFile(j.Path)
	if errors.Is(err, fs.ErrNotExist) {
		return State{}, nil
	}
	if err != nil {
		return State{}, fmt.Errorf("journal %s: %w", j.Path, err)
	}
	state, err := lastState(content)
	if err != nil {
		return State{}, fmt.Errorf("journal %s is damaged (%w): move it away to begin anew", j.Path, err)
	}
	if err := state.Check(); err != nil {
		return State{}, fmt.Errorf("journal %s: %w", j.Path, err)
	}
	return state, nil
}

// lastState is the state of the last whole line. One that was being written when the power
// failed may follow it, and nothing after that.
func lastState(content []byte) (state State, err error) {
	content = bytes.TrimRight(content, "\x00")
	var broken error
	for first := true; len(content) > 0; first = false {
		line, rest, _ := bytes.Cut(content, []byte{'\n'})
		content = rest
		next, err := parseState(line)
		switch {
		case err != nil && first:
			return State{}, err
		case err != nil:
			broken = err
		case broken != nil:
			return State{}, broken // in its middle
		default:
			if next.Ledger == nil {
				next.Ledger = state.Ledger
			}
			state = next
		}
	}
	return state, nil
}

// parseState reads what appendState wrote.
func parseState(line []byte) (state State, err error) {
	if json.Unmarshal(line, &state) == nil && state.Version != stateVersion {
		return state, nil // before there were checksums: Check refuses it by its version
	}
	state = State{}
	at := bytes.LastIndexByte(line, ' ')
	if at < 0 {
		return state, errors.New("a line without a checksum")
	}
	if sum, err := strconv.ParseUint(string(line[at+1:]), 16, 64); err != nil || sum != xxh3.Hash(line[:at]) {
		return state, errors.New("a line whose checksum is wrong")
	}
	return state, json.Unmarshal(line[:at], &state)
}

func appendState(state State) ([]byte, error) {
	line, err := json.Marshal(state.Saved())
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(line, " %016x\n", xxh3.Hash(line)), nil
}

// Save implements Journal.
func (j *FileJournal) Save(state State) error {
	if err := j.save(state); err != nil {
		return fmt.Errorf("journal %s: %w", j.Path, err)
	}
	return nil
}

func (j *FileJournal) save(state State) error {
	short := state
	if bytes.Equal(state.Ledger, j.ledger) {
		short.Ledger = nil
	}
	line, err := appendState(short)
	if err != nil {
		return err
	}
	if j.file == nil || j.at+int64(len(line)) > journalSize {
		if line, err = appendState(state); err == nil {
			err = j.renew(line)
		}
	} else {
		err = j.write(line)
	}
	if err == nil {
		j.ledger = state.Ledger
	}
	return err
}

func (j *FileJournal) write(line []byte) error {
	_, err := j.file.WriteAt(line, j.at)
	if err == nil {
		err = syscall.Fdatasync(int(j.file.Fd()))
	}
	if err != nil { // what is there now is not known: no line may follow it
		return errors.Join(err, j.Close())
	}
	j.at += int64(len(line))
	return nil
}

// renew puts a file that has this line alone in the old one's place.
func (j *FileJournal) renew(line []byte) error {
	if err := j.Close(); err != nil {
		return err
	}
	fresh := j.Path + ".new"
	file, err := os.OpenFile(fresh, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	content := append(line, make([]byte, max(0, journalSize-len(line)))...)
	if _, err = file.Write(content); err == nil {
		err = file.Sync()
	}
	if err == nil {
		err = os.Rename(fresh, j.Path)
	}
	if err == nil {
		err = syncDirectory(filepath.Dir(j.Path))
	}
	if err != nil {
		return errors.Join(err, file.Close())
	}
	j.file, j.at = file, int64(len(line))
	return nil
}

// Close lets go of the file. The next Load or Save takes it up again.
func (j *FileJournal) Close() error {
	if j.file == nil {
		return nil
	}
	file := j.file
	j.file = nil
	return file.Close()
}

func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	defer directory.Close()
	return directory.Sync()
}
