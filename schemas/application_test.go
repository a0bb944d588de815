package schemas

import (
	"fmt"
	"strings"
	"testing"
	"time"
)

func TestApplicationsComeBackAsTheyWent(t *testing.T) {
	a := &Applications{Time: time.Unix(1_800_000_000, 0).UTC(), Edge: "web1", Sites: map[string]string{
		"social.example.org": "mastodon", "xn--bcher-kva.example": "wordpress", "a\nb": "apt", `"`: "rpm", "": "apt",
	}}
	message, err := EncodeApplications(a)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeApplications(message)
	if err != nil || got.Edge != "web1" || !got.Time.Equal(a.Time) || len(got.Sites) != 2 || got.Sites["social.example.org"] != "mastodon" {
		t.Errorf("%+v, %v", got, err)
	}
}

// As many sites with as long names as an attacker can have served make one message.
func TestApplicationsFitAMessage(t *testing.T) {
	a := &Applications{Time: time.Unix(1_800_000_000, 0), Edge: strings.Repeat("e", MaxSite), Sites: map[string]string{}}
	for i := range 2 * MaxApplications {
		name := fmt.Sprintf("%d.%s", i, strings.Repeat("x", MaxSite))
		a.Sites[name[:MaxSite]] = strings.Repeat("m", maxApplication)
	}
	message, err := EncodeApplications(a)
	if err != nil || len(message) > MaxMessage {
		t.Fatalf("%d bytes, %v", len(message), err)
	}
	if got, err := DecodeApplications(message); err != nil || len(got.Sites) != MaxApplications {
		t.Errorf("%d sites, %v", len(got.Sites), err)
	}
}

func FuzzDecodeApplications(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-29T14:00:00Z","edge":"web1","sites":{"social.example.org":"mastodon"}}`))
	f.Add([]byte(`{"time":"2026-11-29T14:00:00Z","edge":"web1","sites":{"a b":"mastodon","c":""}}`))
	f.Add([]byte(`{"time":"1000-11-29T14:00:00Z","edge":""}`))
	f.Fuzz(func(t *testing.T, message []byte) {
		a, err := DecodeApplications(message)
		if err != nil {
			return
		}
		again, err := EncodeApplications(a)
		if err != nil {
			t.Fatal(err)
		}
		if b, err := DecodeApplications(again); err != nil || len(b.Sites) != len(a.Sites) {
			t.Errorf("%q became %q, %v", message, again, err)
		}
	})
}
