package simulate

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"io"
	"net/netip"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
	"pgregory.net/rapid"
)

func written(t *testing.T, c Config, f Format, site string) (log, truth []byte) {
	t.Helper()
	var l, tr bytes.Buffer
	if _, err := Write(c, Output{Format: f, Site: site, Log: &l, Truth: &tr}); err != nil {
		t.Fatal(err)
	}
	return l.Bytes(), tr.Bytes()
}

func hash(parts ...[]byte) string {
	h := sha256.New()
	for _, p := range parts {
		h.Write(p)
	}
	return hex.EncodeToString(h.Sum(nil))[:16]
}

// TestReproducible holds the bytes of a seed. A change of the model changes the
// hash: then whoever compares figures over versions must know.
func TestReproducible(t *testing.T) {
	t.Parallel()
	want := map[uint64]string{1: "54e235ae0776775e", 2: "d1d3dae1f41b6632"}
	for seed, want := range want {
		log, truth := written(t, small(seed), FormatJSON, "")
		again, truthAgain := written(t, small(seed), FormatJSON, "")
		if !bytes.Equal(log, again) || !bytes.Equal(truth, truthAgain) {
			t.Errorf("seed %d: two runs differ", seed)
		}
		// Elsewhere the compiler may fuse multiplications and additions.
		if got := hash(log, truth); got != want && runtime.GOARCH == "amd64" {
			t.Errorf("seed %d: hash %s, want %s", seed, got, want)
		}
	}
}

func TestSiteOfItsOwnLog(t *testing.T) {
	t.Parallel()
	c := small(3)
	all, _ := written(t, c, FormatJSON, "")
	shop, _ := written(t, c, FormatJSON, "shop.example.org")
	n := bytes.Count(all, []byte(`"host":"shop.example.org"`))
	if got := bytes.Count(shop, []byte("\n")); got != n || n == 0 {
		t.Errorf("the shop's log has %d lines, %d in the whole", got, n)
	}
	combined, truth := written(t, c, FormatCombined, "shop.example.org")
	if got := bytes.Count(combined, []byte("\n")); got != n || bytes.Count(truth, []byte("\n")) != n+1 {
		t.Errorf("the combined log has %d lines, %d in the whole", got, n)
	}
	_, err := Write(c, Output{Format: FormatCombined, Log: io.Discard})
	if err == nil || err.Error() != "simulate: a combined log does not name the site; say which of the 5" {
		t.Error(err)
	}
}

// drawn is any small story.
func drawn(t *rapid.T) Config {
	c := small(rapid.Uint64().Draw(t, "seed"))
	c.Ordinary = time.Duration(rapid.IntRange(0, 120).Draw(t, "ordinary")) * time.Second
	c.Tail = time.Duration(rapid.IntRange(0, 90).Draw(t, "tail")) * time.Second
	c.Scale = rapid.Float64Range(.1, 2).Draw(t, "scale")
	c.Plain = rapid.Bool().Draw(t, "plain")
	from := rapid.IntRange(0, 4).Draw(t, "first site")
	c.Sites = c.Sites[from:min(5, from+rapid.SampledFrom([]int{1, 1, 1, 2}).Draw(t, "sites"))]
	c.Attack.Site = rapid.SampledFrom(c.Sites).Draw(t, "site").Name
	c.Attack.Requests = rapid.IntRange(0, 600).Draw(t, "requests")
	c.Attack.Addresses = rapid.IntRange(1, max(1, c.Attack.Requests)).Draw(t, "addresses")
	c.Attack.Duration = time.Duration(rapid.IntRange(1, 120).Draw(t, "duration")) * time.Second
	return c
}

func TestStory(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		c := drawn(t)
		var log, truth bytes.Buffer
		summary, err := Write(c, Output{Log: &log, Truth: &truth})
		if err != nil {
			t.Fatal(err)
		}
		rows := NewTruthReader(&truth)
		var last float64
		attack, clients := 0, map[string]bool{}
		begin := c.Start.Add(c.Ordinary)
		for line := range bytes.Lines(log.Bytes()) {
			row, err := rows.Next()
			if err != nil {
				t.Fatalf("the truth ends before the log: %v", err)
			}
			at := checkLine(t, line, &row, c.Plain)
			if at < last {
				t.Fatalf("line %d is logged before the one above", row.Line)
			}
			last = at
			if row.Attack != (row.Kind == Bot) {
				t.Fatalf("line %d: attack %t of a %s", row.Line, row.Attack, row.Kind)
			}
			if row.Attack {
				attack++
				clients[row.Client] = true
				if row.Site != c.Attack.Site || row.Sent.Before(begin.Truncate(time.Millisecond)) || row.Sent.After(begin.Add(c.Attack.Duration)) {
					t.Fatalf("line %d: attack at %s, %s", row.Line, row.Site, row.Sent)
				}
			}
		}
		if _, err := rows.Next(); !errors.Is(err, io.EOF) {
			t.Fatal("the truth goes on after the log")
		}
		if attack != c.Attack.Requests || attack > 0 && len(clients) != c.Attack.Addresses {
			t.Fatalf("%d attack requests of %d clients, want %d of %d", attack, len(clients), c.Attack.Requests, c.Attack.Addresses)
		}
		if summary.Kinds[Bot] != int64(attack) {
			t.Fatalf("the summary counts %d", summary.Kinds[Bot])
		}
	})
}

// checkLine compares a line of the log with the truth about it.
func checkLine(t *rapid.T, line []byte, row *Truth, plain bool) (at float64) {
	var got struct {
		Time, Host, Client, URI, Protocol, TLS string
		Duration                               float64
	}
	if err := json.Unmarshal(line, &got); err != nil {
		t.Fatalf("line %d: %v", row.Line, err)
	}
	at, err := strconv.ParseFloat(got.Time, 64)
	if err != nil {
		t.Fatal(err)
	}
	client, err := netip.ParseAddr(got.Client)
	if err != nil || schemas.ClientOf(client).String() != row.Client || got.Host != row.Site {
		t.Fatalf("line %d: %s at %s, truth %+v", row.Line, got.Client, got.Host, row)
	}
	if sent := at - got.Duration; sent < float64(row.Sent.UnixMilli())/1000-.0015 || sent > float64(row.Sent.UnixMilli())/1000+.0015 {
		t.Fatalf("line %d: sent at %f by the log, %s by the truth", row.Line, sent, row.Sent)
	}
	if !strings.HasPrefix(got.URI, "/") {
		t.Fatalf("line %d: uri %q", row.Line, got.URI)
	}
	if plain != (got.TLS == "  ") || plain && got.Protocol == "HTTP/2.0" {
		t.Fatalf("line %d: %s, tls %q, plain %t", row.Line, got.Protocol, got.TLS, plain)
	}
	return at
}

// TestOverload: the attacked site answers late or not at all, the others as ever,
// and people who do not get their page try again or leave.
func TestOverload(t *testing.T) {
	t.Parallel()
	c := Default()
	c.Ordinary, c.Tail = 10*time.Minute, 5*time.Minute
	var before, during, after, elsewhere outcomes
	c.Attack.Requests, c.Attack.Addresses, c.Attack.Duration = 5000, 1700, 5*time.Minute
	begin := c.Start.Add(c.Ordinary)
	err := Run(c, func(r *Record) error {
		switch {
		case r.Attack() || r.Upstream < 0:
		case r.Site != c.AttackSite():
			elsewhere.add(r)
		case r.Sent.Before(begin):
			before.add(r)
		case r.Sent.Before(begin.Add(c.Attack.Duration)):
			during.add(r)
		case r.Sent.After(begin.Add(c.Attack.Duration + 90*time.Second)):
			after.add(r)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, calm := range []struct {
		when string
		o    outcomes
	}{{"before", before}, {"after", after}, {"elsewhere", elsewhere}} {
		if calm.o.failed*100 > calm.o.all || calm.o.slowest > 20*time.Second {
			t.Errorf("%s: %+v", calm.when, calm.o)
		}
	}
	if during.failed*3 < during.all || during.slowest < 20*time.Second {
		t.Errorf("during: %+v", during)
	}
}

type outcomes struct {
	all, failed int
	slowest     time.Duration
}

func (o *outcomes) add(r *Record) {
	o.all++
	if r.Status >= 499 {
		o.failed++
	}
	o.slowest = max(o.slowest, r.Duration)
}

func TestRunStopsByItsCaller(t *testing.T) {
	enough := errors.New("enough")
	n := 0
	err := Run(small(1), func(*Record) error {
		if n++; n == 10 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || n != 10 {
		t.Errorf("after %d records: %v", n, err)
	}
}

func BenchmarkRun(b *testing.B) {
	c := Default()
	c.Ordinary = time.Hour
	b.ReportAllocs()
	lines := 0
	for b.Loop() {
		summary, err := Write(c, Output{Log: io.Discard, Truth: io.Discard})
		if err != nil {
			b.Fatal(err)
		}
		lines = int(summary.Lines)
	}
	b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*lines), "ns/line")
}
