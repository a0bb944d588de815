package state

import (
	"errors"
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestRoundTrip(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		u, i := rapid.Uint64().Draw(t, "uint"), rapid.Int64().Draw(t, "int")
		f, b, s := rapid.Float64().Draw(t, "float"), rapid.Bool().Draw(t, "bool"), rapid.String().Draw(t, "text")
		w := &Writer{}
		w.Uint(u)
		w.Int(i)
		w.Float(f)
		w.Bool(b)
		w.Text(s)
		r := NewReader(w.Bytes)
		if r.Uint(math.MaxUint64) != u || r.Int() != i || r.Float() != f || r.Bool() != b || r.Text(1<<20) != s {
			t.Fatal("what was read is not what was written")
		}
		if r.End(); r.Err() != nil {
			t.Fatal(r.Err())
		}
	})
}

func TestRefusal(t *testing.T) {
	w := &Writer{}
	w.Uint(1 << 40)
	nan := &Writer{}
	nan.Float(math.NaN())
	for name, read := range map[string]func() error{
		"over the limit":       func() error { r := NewReader(w.Bytes); r.Uint(10); return r.Err() },
		"more than there is":   func() error { r := NewReader(w.Bytes); r.Count(math.MaxInt); return r.Err() },
		"cut short":            func() error { r := NewReader(w.Bytes[:2]); r.Int(); return r.Err() },
		"not a number":         func() error { r := NewReader(nan.Bytes); r.Float(); return r.Err() },
		"neither true or not":  func() error { r := NewReader([]byte{2}); r.Bool(); return r.Err() },
		"a negative length":    func() error { r := NewReader([]byte{2}); r.Raw(-1); return r.Err() },
		"something at the end": func() error { r := NewReader([]byte{2}); r.End(); return r.Err() },
	} {
		if err := read(); !errors.Is(err, ErrMalformed) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
