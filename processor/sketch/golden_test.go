package sketch

import (
	"encoding/hex"
	"strings"
	"testing"
)

// TestGolden holds the binary forms: other bytes for the same content are another version.
func TestGolden(t *testing.T) {
	var d Distinct
	var tally Tally
	var q Quantiles
	for i := range uint64(4) {
		d.Insert(mix(i))
		tally.Insert(mix(i%3), uint32(i+1), []byte{'k', '0' + byte(i)})
		q.Insert(100 * i * i)
	}
	seen := NewSeen(10)
	seen.Add(mix(1))
	seen.Advance(1_795_000_000, 3600)
	for name, c := range map[string]struct {
		s    appender
		want string
	}{
		"distinct":  {&d, goldenDistinct},
		"tally":     {&tally, goldenTally},
		"quantiles": {&q, goldenQuantiles},
		"seen":      {seen, goldenSeen},
	} {
		// What follows the last one is not written down: a generation that is empty.
		if got := hex.EncodeToString(form(t, c.s)); strings.TrimRight(got, "0") != strings.TrimRight(c.want, "0") {
			t.Errorf("%s: the bytes are now\n%s", name, got)
		}
	}
}

const (
	goldenDistinct  = "020e00010000000000000004036f48e20000000d51a99ae503def583078a81d410"
	goldenTally     = "54010a000003000000000500e5050b1002008a142b3a03000300026b3001026b3102026b32"
	goldenQuantiles = "510104000164018001014c01"
	goldenSeen      = "53020a000000000000000100000000000000c086fd6a000000000400000000000000000000000000000000" +
		"000000000000000000000000000000000000000000000000000000020000000400000004000000000000002" // and zeros
)
