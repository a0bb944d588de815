package processor

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"math"

	"github.com/klauspost/compress/s2"
	"github.com/zeebo/xxh3"

	"github.com/weir-project/weir/processor/sketch"
	"github.com/weir-project/weir/processor/state"
	"github.com/weir-project/weir/schemas"
)

// The form of saved state: magic with version, the content as a stream of s2, and the
// xxh3 of that stream.
const (
	magic    = "weirst6\n"
	maxState = 1 << 30 // bytes, compressed and not
)

// ErrState is wrapped by every error about saved state that cannot be used.
var ErrState = errors.New("saved state cannot be used")

// Save writes what must outlive a restart: baselines, normal samples, clients seen
// before, open incidents, decisions in force. What is in quarantine is left out.
// The secret is not saved, but the state is of use only with the same one.
func (p *Processor) Save(w io.Writer) error {
	return saving(w, func(s *state.Writer) error {
		s.Uint(fingerprint(p.counter.seed))
		p.counter.write(s)
		return p.detector.write(s)
	})
}

// saving streams what a Writer writes, compressed, after the head that unseal looks for;
// the checksum comes last. A million clients are not to stand in memory twice.
func saving(w io.Writer, write func(*state.Writer) error) error {
	fail := func(err error) error { return fmt.Errorf("save the processor's state: %w", err) }
	if _, err := io.WriteString(w, magic); err != nil {
		return fail(err)
	}
	sum := xxh3.New()
	packed := s2.NewWriter(io.MultiWriter(w, sum), s2.WriterConcurrency(1))
	s := &state.Writer{To: packed}
	if err := write(s); err != nil {
		return err
	}
	if err := errors.Join(s.Flush(), packed.Close()); err != nil {
		return fail(err)
	}
	if _, err := w.Write(binary.LittleEndian.AppendUint64(nil, sum.Sum64())); err != nil {
		return fail(err)
	}
	return nil
}

// fingerprint tells one secret's hashes from another's, and says nothing of it.
func fingerprint(seed uint64) uint64 { return xxh3.HashStringSeed("weir state", seed) >> 32 }

// Load replaces everything by what Save wrote with the same secret.
// What is malformed, too large or of another version is refused with one clear
// line that wraps ErrState, and the processor stays as it was.
func (p *Processor) Load(r io.Reader) error {
	raw, err := unseal(r)
	if err != nil {
		return err
	}
	loaded, err := p.read(raw)
	if err != nil {
		return fmt.Errorf("load the processor's state: %w: %w", ErrState, err)
	}
	count := p.counter.count
	loaded.counter.count, loaded.detector.count = count, count
	*p = *loaded
	count.sites.Set(float64(len(p.detector.sites)))
	return nil
}

// Rewind keeps what was learned and forgets when: the next request may be of any time,
// also long before. Incidents and decisions that were open are gone; signatures that would be kept armed
// when they end are armed. To be called after Load where what was saved is a baseline and not the
// same stream's past.
func (p *Processor) Rewind() {
	c, d := p.counter, p.detector
	closed := d.closed
	fresh := newCounter(c.o, c.know, c.count)
	fresh.clients, fresh.extract = c.clients, c.extract
	fresh.clients.Rewind()
	c.Leave()
	p.counter, d.closed, d.held.quarantined = fresh, 0, 0
	d.began, d.strangeFor, d.manyNames = 0, 0, 0
	for i, s := range d.sites {
		for _, held := range s.know.decisions {
			if s.arms(held) {
				s.arm(held, closed)
			}
		}
		fresh := newSite(d, s.name, i)
		s.windows.Drop()
		s.windows, s.buckets, s.bucket, s.filling = fresh.windows, fresh.buckets, fresh.bucket, fresh.filling
		s.state, s.incident, s.last = fresh.state, nil, 0
		s.know.setDecisions(nil)
		s.know.troubled = 0
	}
}

// unseal reads what saving wrote.
func unseal(r io.Reader) (*state.Reader, error) {
	data, err := io.ReadAll(io.LimitReader(r, maxState+1))
	if err != nil {
		return nil, fmt.Errorf("load the processor's state: %w", err)
	}
	raw, err := unpack(data)
	if err != nil {
		return nil, fmt.Errorf("load the processor's state: %w: %w", ErrState, err)
	}
	return state.NewReader(raw), nil
}

func unpack(data []byte) ([]byte, error) {
	switch {
	case len(data) > maxState:
		return nil, fmt.Errorf("it is larger than %d bytes", maxState)
	case len(data) < len(magic)+8 || string(data[:len(magic)]) != magic:
		return nil, errors.New("it is not a state of this version of weir; learn anew with `weir learn`")
	}
	content, sum := data[len(magic):len(data)-8], data[len(data)-8:]
	if xxh3.Hash(content) != binary.LittleEndian.Uint64(sum) {
		return nil, errors.New("its checksum does not fit: it was cut or changed")
	}
	raw, err := io.ReadAll(io.LimitReader(s2.NewReader(bytes.NewReader(content)), maxState+1))
	if err != nil || len(raw) > maxState {
		return nil, errors.New("its content cannot be unpacked")
	}
	return raw, nil
}

// read makes a processor of the same options out of saved state.
func (p *Processor) read(r *state.Reader) (*Processor, error) {
	o := p.counter.o
	o.Registerer = nil
	q, err := New(o)
	if err != nil {
		return nil, err
	}
	if r.Uint(math.MaxUint64) != fingerprint(p.counter.seed) {
		r.Fail("it was saved with another secret")
	}
	q.counter.read(r)
	q.detector.read(r)
	r.End()
	// A detector that has judged no second yet has no clock: the log was shorter than the lateness.
	if lag := q.counter.closed - q.detector.closed; q.detector.closed != 0 && (lag < 0 || lag > 60) {
		r.Fail("its clocks do not hold together")
	}
	return q, r.Err()
}

// write appends what a Counter keeps over a restart.
func (c *Counter) write(w *state.Writer) {
	w.Int(c.latest)
	w.Int(c.closed)
	c.clients.Write(w)
}

func (c *Counter) read(r *state.Reader) {
	c.latest, c.closed = r.Int(), r.Int()
	if lag := c.latest/1000 - c.closed; c.latest < 0 || lag < 0 || lag > 60 {
		r.Fail("its clock does not hold together")
	}
	c.clients.Read(r)
}

// write appends what a Detector keeps over a restart.
func (d *Detector) write(w *state.Writer) error {
	w.Int(d.closed)
	w.Uint(uint64(d.watched))
	w.Text(d.ids.last)
	w.Uint(uint64(d.ids.number))
	w.Uint(uint64(len(d.sites)))
	for _, s := range d.sites {
		w.Text(s.name)
		if err := s.write(w); err != nil {
			return err
		}
	}
	return nil
}

func (d *Detector) read(r *state.Reader) {
	d.closed, d.watched = r.Int(), int(r.Uint(100_000))
	d.ids.last, d.ids.number = r.Text(64), int(r.Uint(math.MaxInt32))
	for range r.Count(d.o.MaxSites + len(d.named)) {
		name := r.Text(schemas.MaxSite)
		if _, ok := d.index[name]; ok {
			r.Fail("the site %q stands twice", name)
		}
		if r.Err() != nil {
			return
		}
		s := newSite(d, name, len(d.sites))
		s.read(r)
		d.held.normal += s.knows()
		d.held.lists(s, 1)
		d.add(s)
	}
	d.rejoin()
}

func writeSeen(w *state.Writer, s *sketch.Seen) error {
	if err := w.Form(s.AppendBinary); err != nil {
		return fmt.Errorf("save the processor's state: %w", err)
	}
	return nil
}

func readSeen(r *state.Reader, s *sketch.Seen) {
	data := r.Raw(r.Count(maxState))
	if r.Err() != nil {
		return
	}
	if err := s.UnmarshalBinary(data); err != nil {
		r.Fail("%v", err)
	}
}

func (s *site) filters() [4]*sketch.Seen {
	return [4]*sketch.Seen{s.know.familiar, s.once, s.users, s.know.known}
}

func (s *site) write(w *state.Writer) error {
	w.Uint(s.requests)
	w.Int(s.last)
	w.Uint(uint64(s.age))
	s.base.Write(w)
	for _, f := range s.filters() {
		if err := writeSeen(w, f); err != nil {
			return err
		}
	}
	for _, n := range s.normal {
		n.Write(w)
	}
	s.lists[schemas.ListedPaths].write(w)
	s.know.sure.write(w)
	// Incidents and decisions are few, and what is emitted of them is JSON anyway.
	saved, err := json.Marshal(s.open())
	if err != nil {
		return fmt.Errorf("save the processor's state: site %s: %w", s.name, err)
	}
	w.Text(string(saved))
	return nil
}

func (s *site) read(r *state.Reader) {
	s.requests, s.last, s.age = r.Uint(math.MaxUint64), r.Int(), int(r.Uint(generation))
	s.base.Read(r)
	for _, f := range s.filters() {
		readSeen(r, f)
	}
	for _, n := range s.normal {
		n.Read(r)
	}
	s.lists[schemas.ListedPaths].read(r)
	s.know.sure.read(r)
	text := r.Text(64 << 20)
	if s.last > s.d.closed {
		r.Fail("site %q has requests of the future", s.name)
	}
	if r.Err() != nil {
		return
	}
	var saved savedOpen
	if err := json.Unmarshal([]byte(text), &saved); err != nil {
		r.Fail("its incidents cannot be read: %v", err)
		return
	}
	s.reopen(saved, r)
}
