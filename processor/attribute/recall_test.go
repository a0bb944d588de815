package attribute

import (
	"fmt"
	"math"
	"math/rand/v2"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// returned are a site's visitors, of whom so many use what bots use since, and then twenty
// seconds of these bots.
func returned(t *testing.T, adopted int) (normal, suspect *Sample, armed []schemas.Signature) {
	t.Helper()
	x := NewExtractor(3)
	r := rand.New(rand.NewPCG(3, 1))
	normal, suspect = NewSample(x, 1<<16), NewSample(x, 4096)
	visitors(normal, r, 4000-adopted, 4000*time.Second)
	for range adopted {
		normal.take(request(r.Uint32(), agents[r.IntN(len(agents))], "gzip, deflate", fmt.Sprintf("/page%d", r.IntN(30)), "", schemas.CookieNone))
	}
	normal.Span = 4000 * time.Second
	visitors(suspect, r, 20, 20*time.Second)
	bots(suspect, r, 60, "gzip, deflate")
	suspect.Span = 20 * time.Second
	for _, text := range []string{`user_agent="long gone" accept_encoding="gzip, deflate"`, `accept_encoding="gzip, deflate"`} {
		s, err := schemas.ParseSignature(text)
		if err != nil {
			t.Fatal(err)
		}
		armed = append(armed, s)
	}
	return normal, suspect, armed
}

// TestRecall: of what stopped the attack before, what matches it now is proposed at once, and
// nothing where visitors have come to look like it.
func TestRecall(t *testing.T) {
	normal, suspect, armed := returned(t, 0)
	r := Recall(normal, suspect, armed, Budget{})
	if len(r.Measures) != 1 || r.Measures[0].Value != armed[1].String() || r.Measures[0].Action != schemas.Block || r.Measures[0].Evidence == nil {
		t.Fatalf("%+v", r)
	}
	if r.Share < 0.8 || r.Clients < 55 || r.Measures[0].Stops < 0.8 {
		t.Errorf("it matches %.2f of what is beyond normal, %d clients, and stops %.2f", r.Share, r.Clients, r.Measures[0].Stops)
	}
	if again := Recall(normal, suspect, armed, Budget{InForce: armed[1:]}); len(again.Measures) > 0 {
		t.Errorf("what is in force is proposed again: %+v", again)
	}
	if refused := Recall(normal, suspect, armed, Budget{Refused: armed[1:]}); len(refused.Measures) > 0 {
		t.Errorf("what hurt is proposed again: %+v", refused)
	}
	if bound := Together(normal, suspect, armed, nil); bound <= 0 || bound > 0.005 {
		t.Errorf("together they touch %.4f", bound)
	}
	normal, suspect, armed = returned(t, 400)
	if charged := Recall(normal, suspect, armed, Budget{}); len(charged.Measures) > 0 {
		t.Errorf("a tenth of the visitors look like that: %+v", charged)
	}
	if bound := Together(normal, suspect, armed, nil); bound < 0.08 || bound > 0.14 {
		t.Errorf("together they touch %.4f", bound)
	}
}

func TestLowerBounds(t *testing.T) {
	// Garwood's limits of a Poisson mean, one-sided 95 %.
	for x, want := range map[int]float64{0: 0, 1: 0.0513, 2: 0.355, 5: 1.970, 10: 5.425} {
		if got := LowerCount(x); math.Abs(got-want) > 0.005 {
			t.Errorf("of %d: %.4f, want %.4f", x, got, want)
		}
	}
	if got := LowerShare(10, 10); math.Abs(got-math.Pow(0.05, 0.1)) > 1e-6 {
		t.Errorf("10 of 10: %.5f", got)
	}
	if LowerShare(0, 10) != 0 || LowerShare(0, 0) != 0 {
		t.Error("of nothing, nothing is sure")
	}
}
