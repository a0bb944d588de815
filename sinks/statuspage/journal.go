package statuspage

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Bounds on the journal.
const (
	maxEntry    = 1 << 20 // bytes of a line: MaxText in MaxLanguages
	compactFrom = 16 << 20
	keepPosts   = 400 * 24 * time.Hour
)

// journalName is the journal's file in a Page's Dir.
const journalName = "posts.ndjson"

// journal is the file of all that was ever done to posts, a line of JSON each. A line is
// on disk before it counts. Not for concurrent use.
type journal struct {
	path string
	file *os.File
	size int64
	posts
}

// openJournal reads the file, or makes it. What a crash left of a last line was never
// acknowledged, and is cut off.
func openJournal(path string, now time.Time) (*journal, error) {
	j := &journal{path: path, posts: *newPosts()}
	data, err := os.ReadFile(path)
	if err != nil && !errors.Is(err, os.ErrNotExist) {
		return nil, fmt.Errorf("status page: %w", err)
	}
	good, err := j.read(path, data)
	if err != nil {
		return nil, err
	}
	if good > compactFrom {
		if data, err = j.compact(now); err != nil {
			return nil, err
		}
		good = len(data)
	}
	if j.file, err = os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o640); err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	j.size = int64(good)
	if err := errors.Join(j.file.Truncate(j.size), syncDir(filepath.Dir(path))); err != nil {
		return nil, errors.Join(fmt.Errorf("status page: %w", err), j.file.Close())
	}
	return j, nil
}

// read applies the whole lines of a journal, and returns how many bytes they have.
func (s *posts) read(path string, data []byte) (good int, err error) {
	for line := 1; good < len(data); line++ {
		end := bytes.IndexByte(data[good:], '\n')
		if end < 0 {
			break
		}
		var e Entry
		if err := json.Unmarshal(data[good:good+end], &e); err != nil {
			return good, fmt.Errorf("status page: %s:%d is damaged (%w): mend the line or remove it", path, line, err)
		}
		if err := s.apply(e); err != nil {
			return good, fmt.Errorf("status page: %s:%d: %w: mend the line or remove it", path, line, err)
		}
		good += end + 1
	}
	return good, nil
}

// Step is what the public was told at a moment.
type Step struct {
	Time        time.Time
	By          string // "weir", or a user of the machine
	Do          Doing  // publish, update or resolve
	Title, Text Words
}

// Steps are what posts told the public, in the order of their times: those about an incident,
// and those about its sites between two moments, but for what was planned. dir is where a
// Page, which may be running, keeps its posts; there may be none. Titles are as they were
// then. Where a line is damaged, what stands before it comes with the error.
func Steps(dir, incident string, sites []string, from, to time.Time) (out []Step, err error) {
	path := filepath.Join(dir, journalName)
	data, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	s := newPosts()
	_, err = s.read(path, data)
	for _, id := range s.order {
		p := s.byID[id]
		about := slices.Contains(p.Incidents, incident)
		near := !p.Planned() && slices.ContainsFunc(p.Components, func(c string) bool { return slices.Contains(sites, c) })
		var title Words
		for _, e := range p.Audit {
			title = mergeWords(title, e.Title)
			public := e.Do == doPublish || e.Do == doUpdate || e.Do == doResolve
			if public && (about || near && !e.Time.Before(from) && !e.Time.After(to)) {
				out = append(out, Step{Time: e.Time, By: e.By, Do: e.Do, Title: title, Text: e.Text})
			}
		}
	}
	slices.SortStableFunc(out, func(a, b Step) int { return a.Time.Compare(b.Time) })
	return out, err
}

// add does what an entry says: checks it, writes it, and only then lets it count. The
// entry's version is set.
func (j *journal) add(e Entry) (*Post, error) {
	e.Time = e.Time.UTC().Truncate(time.Millisecond)
	e.Version = 1
	if p := j.byID[e.Post]; p != nil {
		e.Version = p.Version + 1
	}
	if err := j.check(e); err != nil {
		return nil, err
	}
	line, err := json.Marshal(e)
	if err != nil {
		return nil, fmt.Errorf("status page: %w", err)
	}
	if len(line) > maxEntry {
		return nil, fmt.Errorf("%d bytes of text, at most %d", len(line), maxEntry)
	}
	line = append(line, '\n')
	_, err = j.file.WriteAt(line, j.size)
	if err == nil {
		err = j.file.Sync()
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("status page: %w", err), j.file.Truncate(j.size))
	}
	j.size += int64(len(line))
	if err := j.apply(e); err != nil {
		return nil, err // cannot be: it was checked
	}
	return j.byID[e.Post], nil
}

// check is apply without its effect.
func (j *journal) check(e Entry) error {
	p := j.byID[e.Post]
	trial := newPosts()
	if p != nil {
		c := p.clone()
		trial.byID[e.Post], trial.order = &c, []string{e.Post}
	}
	return trial.apply(e)
}

// compact writes the file anew without the entries of posts that were over long ago. It
// returns what stands there now.
func (j *journal) compact(now time.Time) ([]byte, error) {
	var entries []Entry
	for _, id := range j.order {
		p := j.byID[id]
		if last := p.Audit[len(p.Audit)-1].Time; p.open() || now.Sub(last) < keepPosts {
			entries = append(entries, p.Audit...)
		}
	}
	slices.SortStableFunc(entries, func(a, b Entry) int { return a.Time.Compare(b.Time) })
	var out bytes.Buffer
	for _, e := range entries {
		line, err := json.Marshal(e)
		if err != nil {
			return nil, fmt.Errorf("status page: %w", err)
		}
		out.Write(append(line, '\n'))
	}
	return out.Bytes(), writeAtomic(j.path, out.Bytes(), 0o640, true)
}

func (j *journal) close() error { return j.file.Close() }

// writeAtomic puts a file in place whole, or leaves what is there, and has it on disk
// where last says so.
func writeAtomic(path string, data []byte, mode os.FileMode, last bool) (err error) {
	f, err := os.CreateTemp(filepath.Dir(path), ".weir-*")
	if err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	defer func() {
		if err != nil {
			_ = f.Close()
			_ = os.Remove(f.Name())
		}
	}()
	if _, err = io.Copy(f, bytes.NewReader(data)); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	if err = f.Chmod(mode); err == nil && last {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	if err = os.Rename(f.Name(), path); err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	if !last {
		return nil
	}
	return syncDir(filepath.Dir(path))
}

func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return fmt.Errorf("status page: %w", err)
	}
	return errors.Join(d.Sync(), d.Close())
}
