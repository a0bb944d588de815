package clickhouse

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// stream is a stream of encoded batches in memory, as a bus would hold it.
type stream struct {
	messages [][]message // by partition
}

type message struct {
	sequence uint64
	data     []byte
}

func (m message) Data() []byte     { return m.data }
func (m message) Sequence() uint64 { return m.sequence }

// newStream spreads n batches over partitions; sequences are the stream's, so that a
// partition's have gaps. Every seventh batch is published twice, and one message is
// no batch.
func newStream(t testing.TB, partitions, n, rows int, start time.Time, step time.Duration) *stream {
	t.Helper()
	s := &stream{messages: make([][]message, partitions)}
	sequence := uint64(0)
	add := func(partition int, data []byte) {
		sequence++
		s.messages[partition] = append(s.messages[partition], message{sequence, data})
	}
	add(0, []byte("no batch"))
	for i := range n {
		b := batchOf(uint64(i+1), start.Add(time.Duration(i*rows)*step), step, rows)
		data, err := schemas.EncodeBatch(nil, b)
		if err != nil {
			t.Fatal(err)
		}
		add(i%partitions, data)
		if i%7 == 3 {
			add(i%partitions, data)
		}
	}
	return s
}

// follow is a Follow.
func (s *stream) follow(ctx context.Context, partition int, from uint64, handle func(context.Context, Message) error) error {
	for _, m := range s.messages[partition] {
		if m.sequence < from {
			continue
		}
		if err := handle(ctx, m); err != nil {
			return err
		}
	}
	<-ctx.Done()
	return nil
}

// last is a partition's last sequence.
func (s *stream) last(partition int) uint64 {
	m := s.messages[partition]
	return m[len(m)-1].sequence
}

// watched is a journal that tells when everything is stored, and that can crash: at
// its n-th write from now on it calls crash, before or after having written.
type watched struct {
	Journal
	stream *stream

	mu     sync.Mutex
	stored map[int]bool
	all    chan struct{} // closed when all partitions are stored
	n      int           // 0: never
	after  bool
	crash  func()
}

func watch(j Journal, s *stream) *watched {
	w := &watched{Journal: j, stream: s, stored: make(map[int]bool), all: make(chan struct{})}
	for p := range s.messages {
		if position, err := j.Load(p); err == nil {
			w.note(p, position)
		}
	}
	return w
}

// note closes all when everything is stored.
func (w *watched) note(partition int, p Position) {
	if p.Stored == w.stream.last(partition) && !w.stored[partition] {
		w.stored[partition] = true
		if len(w.stored) == len(w.stream.messages) {
			close(w.all)
		}
	}
}

var errCrash = errors.New("crashed")

func (w *watched) Store(partition int, p Position) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.n--; w.n == 0 && !w.after {
		w.crash()
		return errCrash
	}
	if err := w.Journal.Store(partition, p); err != nil {
		return err
	}
	if w.n == 0 {
		w.crash()
		return errCrash
	}
	w.note(partition, p)
	return nil
}

// writer is a Writer of all the stream's partitions.
func (s *stream) writer(db *DB, j Journal) *Writer {
	var partitions []int
	for p := range s.messages {
		partitions = append(partitions, p)
	}
	return db.NewWriter(WriterOptions{Stream: "TEST@1", Partitions: partitions, Follow: s.follow, Journal: j,
		MaxWait: 20 * time.Millisecond})
}

// journalIn is a file journal.
func journalIn(t testing.TB, dir string) *FileJournal {
	t.Helper()
	j, err := NewFileJournal(dir)
	if err != nil {
		t.Fatal(err)
	}
	return j
}
