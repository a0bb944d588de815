package accesslog

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/schemas"
)

// sample is a line of another project's parser tests with what it expects.
type sample struct {
	ID       string         `json:"id"`
	Line     string         `json:"line"`
	MustFail bool           `json:"must_fail"`
	Expect   map[string]any `json:"expect"`
}

func readSamples(t *testing.T, name string) (samples []sample) {
	dir := os.Getenv("WEIR_TESTDATA")
	if dir == "" {
		t.Skip("WEIR_TESTDATA is not set")
	}
	file, err := os.Open(filepath.Join(dir, "parser", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	scanner := bufio.NewScanner(file)
	for scanner.Buffer(nil, MaxLine); scanner.Scan(); {
		var s sample
		if err := json.Unmarshal(scanner.Bytes(), &s); err != nil {
			t.Fatal(err)
		}
		samples = append(samples, s)
	}
	return samples
}

// TestOthersCases holds what is taken of other projects' lines to what they
// expect. What no format takes is counted, so that a change shows.
func TestOthersCases(t *testing.T) {
	for name, want := range map[string]int{"crowdsec.jsonl": 137, "vrl.jsonl": 17, "logstash.jsonl": 3} {
		t.Run(name, func(t *testing.T) {
			taken := 0
			for _, s := range readSamples(t, name) {
				format, share := Detect([][]byte{[]byte(s.Line)})
				if share == 0 {
					continue
				}
				taken++
				var r schemas.Request
				New(format).Parse([]byte(s.Line), &r)
				if s.MustFail {
					t.Errorf("%s: taken as %s: %s", s.ID, format, s.Line)
				}
				compare(t, &s, &r)
			}
			if taken != want {
				t.Errorf("%d lines taken, want %d", taken, want)
			}
		})
	}
}

func compare(t *testing.T, s *sample, r *schemas.Request) {
	target := string(r.Path)
	if len(r.Query) > 0 {
		target += "?" + string(r.Query)
	}
	got := map[string]string{
		"remote_ip": r.Client.String(), "method": string(r.Method), "uri": target, "status": fmt.Sprint(r.Status), "bytes": fmt.Sprint(r.Bytes),
		"referer": string(r.Referer), "user_agent": string(r.UserAgent), "http_version": strings.TrimPrefix(string(r.Protocol), "HTTP/"),
		"host": string(r.Site),
	}
	for key, value := range s.Expect {
		want := string(dashless([]byte(fmt.Sprint(value))))
		if number, ok := value.(float64); ok {
			want = fmt.Sprint(int64(number))
		}
		if key == "uri" && r.Method == nil {
			want = string(appendUnescaped(nil, []byte(want))) // by design: escapes are undone
		}
		if want == "" && (key == "status" || key == "bytes") {
			want = "0"
		}
		if key == "time" {
			compareTime(t, s, r, want)
		} else if g, known := got[key]; known && g != want {
			t.Errorf("%s: %s is %q, want %q: %s", s.ID, key, g, want, s.Line)
		}
	}
}

func compareTime(t *testing.T, s *sample, r *schemas.Request, want string) {
	for _, layout := range []string{"02/Jan/2006:15:04:05 -0700", time.RFC3339} {
		if at, err := time.Parse(layout, want); err == nil && at.UnixMilli() != r.Time {
			t.Errorf("%s: time is %d, want %s", s.ID, r.Time, want)
		}
	}
}
