package schemas

import (
	"math"
	"testing"
)

func TestServed(t *testing.T) {
	signals := func(rate, stopped, unserved float64) []Signal {
		return []Signal{
			{Name: RequestRate, Value: rate}, {Name: StoppedShare, Value: stopped},
			{Name: "path_entropy", Value: 7}, {Name: UnservedShare, Value: unserved},
		}
	}
	for name, c := range map[string]struct {
		signals []Signal
		share   float64
		known   bool
	}{
		"everybody":                 {signals(50, 0, 0), 1, true},
		"half":                      {signals(50, 0, .5), .5, true},
		"nine tenths stopped":       {signals(500, .9, .1), .9, true},
		"nobody":                    {signals(50, 0, 1), 0, true},
		"all stopped":               {signals(50, 1, 0), 0, false},
		"two requests came through": {signals(10, .98, .1), 0, false},
		"a signal is missing":       {signals(50, .4, .1)[:3], 0, false},
		"nothing":                   {nil, 0, false},
	} {
		if share, known := Served(c.signals); known != c.known || math.Abs(share-c.share) > 1e-9 {
			t.Errorf("%s: %v %v, want %v %v", name, share, known, c.share, c.known)
		}
	}
}
