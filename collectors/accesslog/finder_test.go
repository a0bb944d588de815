package accesslog

import (
	"strings"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// A log goes on in another format, and back, and several share one: each line is read as a
// parser of its own format reads it.
func TestFinder(t *testing.T) {
	formats := []struct {
		format Format
		line   func(int) []byte
	}{{Combined, benchCombined}, {Weir, benchWeir}, {Caddy, benchCaddy}, {HAProxy, benchHAProxy}, {TraefikJSON, benchTraefikJSON}, {Traefik, benchTraefik}}
	var f Finder
	f.Reset(Combined)
	for i := range 300 {
		x := formats[i/50]
		if i >= 200 {
			x = formats[i%len(formats)]
		}
		line := x.line(i)
		var got, want schemas.Request
		if reason := f.Parse(line, &got); reason != None {
			t.Fatalf("line %d, %s: %s", i, x.format, reason)
		}
		New(x.format).Parse(line, &want)
		if f.Format() == Combined && x.format == Traefik { // a line of the one is one of the other
			continue
		}
		if f.Format() != x.format || plainOf(&got) != plainOf(&want) || got.Fields != want.Fields {
			t.Errorf("line %d: %s, want %s\n%+v\n%+v", i, f.Format(), x.format, plainOf(&got), plainOf(&want))
		}
	}
}

// What is in no format is refused for the reason that its own has, costs little, and hides
// no line for long.
func TestFinderRefuses(t *testing.T) {
	var f Finder
	f.Reset(Weir)
	var r schemas.Request
	for line, want := range map[string]Reason{"": Empty, "x": Syntax, `{"time":1}`: Client, strings.Repeat("x", MaxLine+1): TooLong} {
		if got := f.Parse([]byte(line), &r); got != want {
			t.Errorf("%.20q: %s, want %s", line, got, want)
		}
	}
	for range 1000 {
		f.Parse([]byte("no log"), &r)
	}
	if got := f.Parse(benchWeir(1), &r); got != None || f.Format() != Weir {
		t.Errorf("a line of its own: %s, %s", got, f.Format())
	}
	for range 1000 {
		f.Parse([]byte("no log"), &r)
	}
	taken := 0
	for i := range triedOneOf + 1 {
		if f.Parse(benchCombined(i), &r) == None {
			taken++
		}
	}
	if taken == 0 || f.Format() != Combined {
		t.Errorf("%d lines of another format are taken", taken)
	}
	f.Reset(Auto)
	if got := f.Parse(benchCaddy(1), &r); got != None {
		t.Errorf("of no format yet: %s", got)
	}
	lines := [][]byte{benchWeir(1), benchCombined(2)}
	if n := testing.AllocsPerRun(100, func() {
		for _, line := range lines {
			f.Parse(line, &r)
		}
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
