package notify

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

const (
	stateVersion = 1
	stateName    = "state.json"
	maxThreads   = 500
	threadAge    = 7 * 24 * time.Hour
	bornBefore   = 10 * time.Minute // what was before the first start is not told
)

// state is all that outlives a restart, in one file that is replaced as a whole: how far
// events were read, what they amount to, and what is still to be sent. So none of the
// three can run ahead of the others.
type state struct {
	Version  int       `json:"version"`
	Instance string    `json:"instance"` // in every message's id; made once
	Number   uint64    `json:"number"`   // of the last message
	Born     time.Time `json:"born"`     // nothing from before is told

	Stream    string            `json:"stream"` // the bus that positions count on
	Positions map[string]uint64 `json:"positions"`

	Groups   []*group                       `json:"groups"`
	Waiting  map[string]map[string]*measure `json:"waiting,omitempty"` // decisions whose incident has not come yet
	Troubles map[string]*ailing             `json:"troubles,omitempty"`

	Threads map[string]*thread    `json:"threads"`
	Queues  map[string][]*entry   `json:"queues"`
	Sent    map[string][]sentNote `json:"sent"` // within LimitSpan, by channel
}

// thread is what the channels know of a thread.
type thread struct {
	Refs map[string]string `json:"refs,omitempty"` // by channel, what it calls the first message
	Told map[string]bool   `json:"told,omitempty"` // channels that have had a message of it
	At   time.Time         `json:"at"`
}

type sentNote struct {
	At time.Time `json:"at"`
}

func newState(now time.Time) *state {
	id := make([]byte, 6)
	_, _ = rand.Read(id) // it does not fail
	s := &state{Version: stateVersion, Instance: hex.EncodeToString(id), Born: now.Add(-bornBefore)}
	s.fill()
	return s
}

// fill makes the maps that were not in the file.
func (s *state) fill() {
	if s.Positions == nil {
		s.Positions = make(map[string]uint64)
	}
	if s.Waiting == nil {
		s.Waiting = make(map[string]map[string]*measure)
	}
	if s.Troubles == nil {
		s.Troubles = make(map[string]*ailing)
	}
	if s.Threads == nil {
		s.Threads = make(map[string]*thread)
	}
	if s.Queues == nil {
		s.Queues = make(map[string][]*entry)
	}
	if s.Sent == nil {
		s.Sent = make(map[string][]sentNote)
	}
}

// identify gives a message its id: the same content after a crash that kept none of it
// has another, so that no channel takes it for one it knows.
func (s *state) identify(m *Message) {
	s.Number++
	h := sha256.New()
	fmt.Fprintf(h, "%s\n%d\n%s\n%s\n%s", s.Instance, s.Number, m.Thread, m.Time.Format(time.RFC3339Nano), m.Headline)
	m.Version, m.ID = 1, fmt.Sprintf("%s-%d-%s", s.Instance, s.Number, hex.EncodeToString(h.Sum(nil)[:6]))
}

func (s *state) thread(name string, now time.Time) *thread {
	t := s.Threads[name]
	if t == nil {
		t = &thread{Refs: make(map[string]string), Told: make(map[string]bool)}
		s.Threads[name] = t
	}
	t.At = now
	return t
}

// prune forgets threads that nothing was said in for long, and the oldest of too many.
func (s *state) prune(now time.Time) {
	var names []string
	for name, t := range s.Threads {
		if now.Sub(t.At) > threadAge {
			delete(s.Threads, name)
			continue
		}
		names = append(names, name)
	}
	if len(names) > maxThreads {
		slices.SortFunc(names, func(a, b string) int { return s.Threads[a].At.Compare(s.Threads[b].At) })
		for _, name := range names[:len(names)-maxThreads] {
			delete(s.Threads, name)
		}
	}
}

// loadState reads the state of a directory, which it makes. damaged says why an old one
// could not be used and was moved aside: then people must be told all the same.
func loadState(dir string, now time.Time) (s *state, damaged, err error) {
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, nil, fmt.Errorf("notify: %w", err)
	}
	path := filepath.Join(dir, stateName)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return newState(now), nil, nil
	}
	if err != nil {
		return nil, nil, fmt.Errorf("notify: %w", err)
	}
	s = new(state)
	err = json.Unmarshal(text, s)
	if err == nil && (s.Version != stateVersion || s.Instance == "") {
		err = fmt.Errorf("it is of version %d, this reads %d", s.Version, stateVersion)
	}
	if err != nil {
		return newState(now), fmt.Errorf("%s: %w; moved to %s.damaged", path, err, stateName), os.Rename(path, path+".damaged")
	}
	s.fill()
	for _, queue := range s.Queues {
		for _, e := range queue {
			e.Unsure, e.Sending = e.Unsure || e.Sending, false
		}
	}
	return s, nil, nil
}

// write replaces the file, and returns once it is on the disk.
func writeState(dir string, text []byte) (err error) {
	f, err := os.CreateTemp(dir, "."+stateName+"-")
	if err != nil {
		return err
	}
	defer func() {
		if err != nil {
			_ = os.Remove(f.Name())
		}
	}()
	_, err = f.Write(text)
	if err := errors.Join(err, f.Sync(), f.Close()); err != nil {
		return err
	}
	if err := os.Rename(f.Name(), filepath.Join(dir, stateName)); err != nil {
		return err
	}
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
