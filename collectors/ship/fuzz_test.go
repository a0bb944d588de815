package ship

import (
	"bytes"
	"os"
	"path/filepath"
	"testing"
)

// FuzzJournal takes damaged journals: what is loaded is what one of the whole lines says, or
// an error, and what is saved after it is what is loaded then.
func FuzzJournal(f *testing.F) {
	var whole []byte
	for n := range 3 {
		line, err := appendState(stateAt(9 + n))
		if err != nil {
			f.Fatal(err)
		}
		whole = append(whole, line...)
		f.Add(append(bytes.Clone(whole), make([]byte, 64)...))
		f.Add(append(bytes.Clone(whole), line[:len(line)/2]...))
	}
	f.Add([]byte(`{"version":1,"position":{"offset":7}}` + "\n"))
	f.Add([]byte{})
	f.Fuzz(func(t *testing.T, content []byte) {
		j := &FileJournal{Path: filepath.Join(t.TempDir(), "journal")}
		if err := os.WriteFile(j.Path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		state, err := j.Load()
		if err != nil {
			return
		}
		state.Position.Offset++
		if err := j.Save(state); err != nil {
			t.Fatal(err)
		}
		again, err := j.Load()
		if err != nil || again.Position != state.Position || !bytes.Equal(again.Ledger, state.Ledger) {
			t.Errorf("saved %+v, loaded %+v, %v", state, again, err)
		}
		if err := j.Close(); err != nil {
			t.Fatal(err)
		}
	})
}
