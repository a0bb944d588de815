package window

import (
	"bytes"
	"testing"

	"pgregory.net/rapid"
)

// TestShelf: what is put there comes back, whatever else comes and goes, and takes no more
// chunks than are needed at once; what is given back leaves none.
func TestShelf(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var s shelf
		type piece struct {
			k    kept
			data []byte
		}
		var pieces []piece
		blocks, most := 0, 0
		of := func(p piece) int { return p.k.bytes() / (blockBytes + 4) }
		drop := func(at int) {
			s.drop(pieces[at].k)
			blocks -= of(pieces[at])
			pieces[at] = pieces[len(pieces)-1]
			pieces = pieces[:len(pieces)-1]
		}
		for i := range rapid.IntRange(0, 300).Draw(t, "n") {
			if len(pieces) > 0 && rapid.IntRange(0, 2).Draw(t, "drop") == 0 {
				drop(rapid.IntRange(0, len(pieces)-1).Draw(t, "which"))
				continue
			}
			size := rapid.SampledFrom([]int{0, 1, blockBytes - 1, blockBytes, blockBytes + 1, 3000, 40_000}).Draw(t, "size")
			data := bytes.Repeat([]byte{byte(i), byte(i >> 8), 7}, size/3+1)[:size]
			pieces = append(pieces, piece{s.put(data), data})
			blocks += of(pieces[len(pieces)-1])
			most = max(most, blocks)
		}
		for i, p := range pieces {
			if got := s.load(nil, p.k); !bytes.Equal(got, p.data) {
				t.Fatalf("piece %d of %d bytes came back as %d others", i, len(p.data), len(got))
			}
		}
		if len(s.chunks) > (most+chunkBlocks-1)/chunkBlocks {
			t.Fatalf("%d chunks for at most %d blocks", len(s.chunks), most)
		}
		for len(pieces) > 0 {
			drop(0)
		}
		for n, c := range s.chunks {
			if c != nil {
				t.Fatalf("chunk %d is left with %d blocks", n, c.used)
			}
		}
		if len(s.open) > 0 || len(s.vacant) != len(s.chunks) {
			t.Fatalf("%d chunks are open, %d of %d vacant", len(s.open), len(s.vacant), len(s.chunks))
		}
	})
}
