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

// TestTallyBefore reads the forms that tallies had before.
func TestTallyBefore(t *testing.T) {
	for _, before := range []string{goldenTally1, goldenTally2, goldenTally3} {
		var tally Tally
		old, err := hex.DecodeString(before)
		if err != nil {
			t.Fatal(err)
		}
		if err := tally.UnmarshalBinary(old); err != nil {
			t.Fatal(err)
		}
		if got := hex.EncodeToString(form(t, &tally)); got != goldenTally {
			t.Errorf("%s became\n%s", before, got)
		}
		if err := tally.UnmarshalBinary(old[:len(old)-1]); err == nil || !tally.Empty() {
			t.Errorf("cut short: %v, %d requests", err, tally.Total())
		}
	}
}

// TestQuantilesBefore reads the form that quantiles had before.
func TestQuantilesBefore(t *testing.T) {
	var q Quantiles
	old, err := hex.DecodeString(goldenQuantiles1)
	if err != nil {
		t.Fatal(err)
	}
	if err := q.UnmarshalBinary(old); err != nil {
		t.Fatal(err)
	}
	if got := hex.EncodeToString(form(t, &q)); got != goldenQuantiles {
		t.Errorf("it became\n%s", got)
	}
	if err := q.UnmarshalBinary(old[:len(old)-1]); err == nil || !q.Empty() {
		t.Errorf("cut short: %v, %d values", err, q.Total())
	}
}

const (
	goldenDistinct   = "020e00010000000000000004036f48e20000000d51a99ae503def583078a81d410"
	goldenTally      = "54040a00000003010500cb97d880020200cbba80a20503000300026b3001026b3102026b32"
	goldenTally3     = "54030a000003010500cb97d880020200cbba80a20503000300026b3001026b3102026b32"
	goldenTally2     = "54020a000003010500cb97d880020200cbba80a20503000300026b3001026b3102026b32"
	goldenTally1     = "54010a000003000000000500e5050b1002008a142b3a03000300026b3001026b3102026b32"
	goldenQuantiles  = "51020400c80180029801"
	goldenQuantiles1 = "510104000164018001014c01"
	goldenSeen       = "53030a000000000000000100000000000000c086fd6a000000000100e5050b101d1692560000"
)
