package ship

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"github.com/weir-project/weir/collectors/tail"
)

// stateAt is the n-th of some states of growing size.
func stateAt(n int) State {
	s := State{Version: stateVersion, Position: tail.Position{Inode: 7, Offset: int64(n)}, Format: "combined", Past: []tail.Mark{}}
	for range n % 17 {
		s.Past = append(s.Past, tail.Mark{Changed: int64(n)})
	}
	if n > 10 { // which changes seldom, and is written only then
		s.Ledger = bytes.Repeat([]byte{byte(n / 40)}, 26*(1+n))
	}
	return s
}

// Whatever was saved last is loaded, over as many saves as fill several files, and after
// the journal was closed, loaded and saved again.
func TestJournalKeepsTheLastState(t *testing.T) {
	j := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
	if s, err := j.Load(); err != nil || !cmp.Equal(s, State{}) {
		t.Fatalf("a journal that is not there gives %+v, %v", s, err)
	}
	for n := range 300 {
		if err := j.Save(stateAt(n)); err != nil {
			t.Fatal(err)
		}
		other := &FileJournal{Path: j.Path}
		got, err := other.Load()
		if diff := cmp.Diff(stateAt(n), got); diff != "" || err != nil {
			t.Fatalf("after save %d: %v %s", n, err, diff)
		}
		if n%50 == 49 {
			if err := j.Close(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if info, err := os.Stat(j.Path); err != nil || info.Size() != journalSize {
		t.Errorf("the file has %d bytes, %v", info.Size(), err)
	}
}

// A state larger than the file is kept too.
// A journal of another layout is refused by its version, not called damaged.
func TestJournalOfAnOlderVersion(t *testing.T) {
	j := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
	old := `{"version":1,"position":{"offset":7},"format":"$remote_addr - [$time_local]","intent":{"to":{"offset":9}}}` + "\n"
	if err := os.WriteFile(j.Path, []byte(old), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := j.Load(); err == nil || !strings.Contains(err.Error(), "version 1, this reads 2") {
		t.Errorf("an old journal: %v", err)
	}
}

func TestJournalOfALargeState(t *testing.T) {
	j := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
	large := State{Version: stateVersion, Position: tail.Position{Cursor: strings.Repeat("c", journalSize)}}
	for n := range 3 {
		large.Position.Offset = int64(n)
		if err := j.Save(large); err != nil {
			t.Fatal(err)
		}
		if got, err := (&FileJournal{Path: j.Path}).Load(); err != nil || !cmp.Equal(got, large) {
			t.Fatalf("save %d: %v", n, err)
		}
	}
}

// A power failure leaves any part of what was being written: the state before it counts, or
// the new one where it is whole. Damage elsewhere is said.
func TestJournalTornAndDamaged(t *testing.T) {
	var lines [][]byte
	for n := range 3 {
		line, err := appendState(stateAt(n + 1))
		if err != nil {
			t.Fatal(err)
		}
		lines = append(lines, line)
	}
	whole := bytes.Join(lines, nil)
	load := func(content []byte) (State, error) {
		return lastState(append(bytes.Clone(content), make([]byte, 1000)...))
	}
	before := len(whole) - len(lines[2])
	for cut := before; cut < len(whole); cut++ {
		want := int64(2)
		if cut == len(whole)-1 { // all but the newline
			want = 3
		}
		if s, err := load(whole[:cut]); err != nil || s.Position.Offset != want {
			t.Fatalf("cut at %d of %d: %+v, %v", cut, len(whole), s.Position, err)
		}
		holed := bytes.Clone(whole) // a sector of zeros before the rest
		clear(holed[before:cut])
		if s, err := load(holed); cut > before && (err != nil || s.Position.Offset != 2) {
			t.Fatalf("zeros up to %d: %+v, %v", cut, s.Position, err)
		}
	}
	for at := range before {
		if whole[at] == '\n' {
			continue // it makes the last two one, which is as if neither had been written
		}
		bad := bytes.Clone(whole)
		bad[at] ^= 1
		if s, err := load(bad); err == nil {
			t.Fatalf("byte %d of %d changed: %+v", at, len(whole), s.Position)
		}
	}
	path := filepath.Join(t.TempDir(), "journal")
	if err := os.WriteFile(path, whole[5:], 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := (&FileJournal{Path: path}).Load(); err == nil || !strings.Contains(err.Error(), "damaged") || !strings.Contains(err.Error(), path) {
		t.Errorf("a damaged journal: %v", err)
	}
}
