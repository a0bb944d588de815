package schemas

import (
	"slices"
	"testing"

	"pgregory.net/rapid"
)

// TestIsSame: where a column's only other value stands does not matter.
func TestIsSame(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		column := make([]uint32, rapid.IntRange(1, 300).Draw(t, "rows"))
		for i := range column {
			column[i] = 7
		}
		if rapid.Bool().Draw(t, "another") {
			column[rapid.IntRange(0, len(column)-1).Draw(t, "row")] = 8
		}
		if want := slices.Min(column) == slices.Max(column); isSame(column) != want {
			t.Fatalf("%v: %t", column, !want)
		}
	})
}

// BenchmarkRows is one row of a batch, as it is walked.
func BenchmarkRows(b *testing.B) {
	builder := NewBuilder("edge-1", "/var/log/nginx/access.log")
	for i := range benchRows {
		r := ordinary(i)
		builder.Append(&r)
	}
	batch := builder.Batch()
	var rows Rows
	var r Request
	b.ReportAllocs()
	for n := 0; n < b.N; {
		for rows.Reset(batch); rows.Next(&r); n++ {
		}
	}
}
