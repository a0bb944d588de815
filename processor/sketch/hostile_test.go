package sketch

import (
	"encoding/binary"
	"math"
	"testing"

	"github.com/zeebo/xxh3"
)

// crafted are texts found by search whose hash without a key is as an attacker would want:
// the first bits zero but for runs that make an estimate explode, or all in one place.
func crafted(n int, wanted func(hash uint64) bool) (texts [][8]byte) {
	for i := uint64(0); len(texts) < n; i++ {
		var b [8]byte
		binary.LittleEndian.PutUint64(b[:], i)
		if wanted(xxh3.Hash(b[:])) {
			texts = append(texts, b)
		}
	}
	return texts
}

// TestCraftedKeys: keys that collide without the secret bend every estimate; with it, they
// are keys like any others.
func TestCraftedKeys(t *testing.T) {
	const n, secret = 3000, 0x5eed_f00d_5eed_f00d
	for name, wanted := range map[string]func(uint64) bool{
		// All in one of 4,096 groups of registers: the count is held down.
		"one place": func(h uint64) bool { return h>>52 == 0x123 },
		// Ten more zeros than by chance where the registers look: the count explodes.
		"low rank": func(h uint64) bool { return h<<precision>>54 == 0 },
		// All of the same half hash, but for 20 bits: a tally takes them for few keys.
		"one key": func(h uint64) bool { return uint32(h)>>20 == 0xabc },
	} {
		texts := crafted(n, wanted)
		var keyed, plain Distinct
		var keyedTally, plainTally Tally
		for i := range texts {
			with, without := xxh3.HashSeed(texts[i][:], secret), xxh3.Hash(texts[i][:])
			keyed.Insert(with)
			plain.Insert(without)
			keyedTally.Insert(with, 1, nil)
			plainTally.Insert(without, 1, nil)
		}
		if got := keyed.Estimate(); math.Abs(got/n-1) > 0.025 {
			t.Errorf("%s: %v distinct keys with the secret, want %d", name, got, n)
		}
		if got := keyedTally.Bits(); math.Abs(got-math.Log2(n)) > 0.01 {
			t.Errorf("%s: entropy %v with the secret, want %v", name, got, math.Log2(n))
		}
		if name == "one key" {
			continue // exact while there is room: shown for the tally below
		}
		if got := plain.Estimate(); math.Abs(got/n-1) < 0.05 {
			t.Errorf("%s: %v without the secret: the keys are not hostile, the test shows nothing", name, got)
		}
	}
	// Keys of low rank without the secret take all the room of a tally, and push out what
	// has fewer than thousands of requests.
	var keyed, plain Tally
	low := crafted(2*TallyMax, func(h uint64) bool { return rank(uint32(h)) < 1<<22 })
	for i := range low {
		keyed.Insert(xxh3.HashSeed(low[i][:], secret), 1, nil)
		plain.Insert(xxh3.Hash(low[i][:]), 1, nil)
	}
	if plain.Missed() < 1000 {
		t.Errorf("%d missed without the secret: the keys are not hostile, the test shows nothing", plain.Missed())
	}
	if keyed.Missed() > 20 {
		t.Errorf("%d missed with the secret", keyed.Missed())
	}
}
