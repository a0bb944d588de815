package ship

import (
	"bytes"
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/weir-project/weir/collectors/tail"
	"github.com/weir-project/weir/schemas"
)

// slowly is a log and a journal of which the log gives some pieces more while the journal
// saves, as while a disk syncs.
type slowly struct {
	Input
	Journal
	mu    sync.Mutex
	more  *sync.Cond
	given int
	ended bool // all was given that there is
	most  int  // intents that were saved at once
}

func newSlowly(j Journal) *slowly {
	s := &slowly{Journal: j}
	s.more = sync.NewCond(&s.mu)
	return s
}

func (s *slowly) Lend(b *[]byte) { s.Input.(Borrower).Lend(b) }

func (s *slowly) Next() (tail.Piece, error) {
	piece, err := s.Input.Next()
	s.mu.Lock()
	defer s.mu.Unlock()
	s.given++
	s.ended = len(piece.Data) < full
	s.more.Broadcast()
	return piece, err
}

func (s *slowly) Save(state State) error {
	s.mu.Lock()
	s.most = max(s.most, len(state.Intents))
	late := false // a Ship that is ending reads no more
	timer := time.AfterFunc(time.Second, func() { s.mu.Lock(); late = true; s.mu.Unlock(); s.more.Broadcast() })
	for until := s.given + 4; s.given < until && !s.ended && !late; {
		s.more.Wait()
	}
	timer.Stop()
	s.mu.Unlock()
	return s.Journal.Save(state)
}

// once is a stream that keeps what comes under an id it does not know.
type once struct {
	t    *testing.T
	mu   sync.Mutex
	of   map[string][]byte
	next map[string]uint64
	got  map[string]int // paths
}

func (o *once) Publish(_ context.Context, subject, id string, data []byte) error {
	batch, err := schemas.DecodeBatch(data)
	if err != nil || id == "" {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	if before, is := o.of[id]; is {
		if !bytes.Equal(before, data) {
			o.t.Errorf("batch %s is another than before", id)
		}
		return nil
	}
	o.of[id] = bytes.Clone(data)
	if o.next[subject]++; batch.Number != o.next[subject] {
		o.t.Errorf("%s: batch %d, want %d", subject, batch.Number, o.next[subject])
	}
	var rows schemas.Rows
	var r schemas.Request
	for rows.Reset(batch); rows.Next(&r); {
		o.got[string(r.Path)]++
	}
	return nil
}

// Pieces that are read while those before are journaled and published are journaled at once,
// and a Ship that ends at any step leaves to the next one what it takes to publish the same.
func TestGatheredExactlyOnce(t *testing.T) {
	l := newLog(t)
	var content strings.Builder
	n := 0
	for agent := strings.Repeat("a", 6000); content.Len() < 14<<20; n++ {
		content.WriteString(strings.Replace(line(n), "agent", agent, 1))
	}
	l.write(content.String())
	most := 0
	for crash := 1; crash < 80; crash += 9 {
		to := &once{t: t, of: map[string][]byte{}, next: map[string]uint64{}, got: map[string]int{}}
		journal := newSlowly(&FileJournal{Path: filepath.Join(t.TempDir(), "journal")})
		o := options(l)
		o.Rows = 0
		o.Open = func() Input {
			journal.Input, journal.ended = tail.NewFollower(l.path, o.Follow), false
			return journal
		}
		o.Follow.Piece = 1 << 20
		seen := map[string]bool{}
		run(t, o, &crasher{crash: crash, after: crash%4 > 1, next: to, journal: journal, seen: seen})
		run(t, o, &crasher{rows: n, next: to, journal: journal, seen: seen})
		for i := range n {
			if to.got[fmt.Sprint("/", i)] != 1 {
				t.Fatalf("ended at step %d: line %d arrived %d times", crash, i, to.got[fmt.Sprint("/", i)])
			}
		}
		most = max(most, journal.most)
	}
	if most < 3 {
		t.Errorf("at most %d pieces were journaled at once", most)
	}
}
