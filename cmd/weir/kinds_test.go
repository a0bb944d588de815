package main

import (
	"bytes"
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/weir-project/weir/internal/config"
	"github.com/weir-project/weir/schemas"
	"github.com/weir-project/weir/schemas/profile"
)

// A log's report says what part of the requests, and of the time, what is dear has: of a
// named site and of a recognised one, and of a log far longer than the sample.
func TestSharesOfKinds(t *testing.T) {
	c := config.Default()
	c.Sites = map[string]config.Site{"forge.example": {Profile: "forgejo"}, "silent.example": {Profile: "apt"}}
	apps, targets := newApplications(c), newTargets()
	for i := range 10 * maxTargets {
		path, duration := []string{"/assets/js/index.js", "/jo/x", "/assets/css/index.css", "/jo/x/blame/branch/main/a.go"}[i%4], []int64{1000, 1000, 1000, 97_000}[i%4]
		for _, r := range []*schemas.Request{
			{Site: []byte("forge.example"), Path: []byte(path), Status: 200, Duration: duration, Fields: schemas.FieldDuration},
			{Site: []byte("other.example"), Path: []byte(path), Status: 200},
		} {
			apps.add(r)
			targets.add(r)
		}
	}
	if len(targets.kept) != maxTargets {
		t.Errorf("%d requests are kept", len(targets.kept))
	}
	list := apps.all(targets)
	if len(list) != 2 || !list[0].Named || list[0].Site != "forge.example" || list[1].Named || list[1].Profile != "forgejo" {
		t.Fatalf("%+v", list)
	}
	dear := list[0].Kinds["dear"]
	if dear.Time == nil || math.Abs(dear.Requests-0.25) > 0.03 || math.Abs(*dear.Time-0.97) > 0.01 {
		t.Errorf("dear: %+v", dear)
	}
	if other := list[1].Kinds["asset"]; other.Time != nil || math.Abs(other.Requests-0.5) > 0.03 {
		t.Errorf("assets without times: %+v", other)
	}
	var out bytes.Buffer
	printApplications(&out, list)
	for _, want := range []string{"forge.example is forgejo", "other.example looks like forgejo: sites: {other.example: {profile: forgejo}}", "dear (97 % of the time)"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("%q is not in\n%s", want, out.String())
		}
	}
}

// weir why says which requests of a decision's evidence are for what is dear.
func TestDearInEvidence(t *testing.T) {
	e := added("i1-1", "i1", "weir", "forum.example")
	e.Time, e.Expires = time.Unix(1_800_000_000, 0), time.Unix(1_800_000_600, 0)
	e.Evidence = &schemas.Evidence{Samples: []string{"GET /search?q | a", "GET /search?q | b", "GET /t/7 | c", "nothing"}, Nearest: []string{"GET /latest.rss | d"}}
	forum, err := profile.ByName("discourse")
	if err != nil {
		t.Fatal(err)
	}
	for name, known := range map[string]map[string]*profile.Profile{"known": {"forum.example": forum}, "unknown": nil} {
		var out bytes.Buffer
		newSheet(&out).explain(e, known, nil)
		for _, want := range []string{"(2 of 4 are for what is dear to discourse)", "(dear) GET /search?q | a", "(machine) GET /latest.rss | d"} {
			if strings.Contains(out.String(), want) != (known != nil) {
				t.Errorf("%s: %q in\n%s", name, want, out.String())
			}
		}
		if !strings.Contains(out.String(), "    GET /t/7 | c\n") || !strings.Contains(out.String(), "    nothing\n") {
			t.Errorf("%s: a page is marked in\n%s", name, fmt.Sprint(&out))
		}
	}
}
