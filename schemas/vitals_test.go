package schemas

import (
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
)

func TestVitals(t *testing.T) {
	v := &Vitals{
		Time: time.Date(2026, 11, 28, 17, 35, 39, 0, time.UTC), Edge: "web1", Interval: 1,
		Nginx:  &NginxVitals{Answered: true, Active: 3},
		Listen: make([]ListenQueue, MaxListen+5), Interfaces: []InterfaceVitals{{Name: "eth0", ReceivedBytes: 1 << 60}},
	}
	message, err := EncodeVitals(v)
	if err != nil {
		t.Fatal(err)
	}
	got, err := DecodeVitals(message)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff(v, got); diff != "" || len(got.Listen) != MaxListen {
		t.Errorf("(-want +got):\n%s", diff)
	}
	for _, broken := range []string{
		"", "[]", `{"edge":"web1"}`, `{"time":"2026-11-28T17:35:39Z"}`, `{"time":"2026-11-28T17:35:39Z","edge":"web1","interval":-1}`,
		`{"time":"2026-11-28T17:35:39Z","edge":"web1","listen":[` + strings.Repeat("{},", MaxListen) + "{}]}",
		`{"time":"2026-11-28T17:35:39Z","edge":"` + strings.Repeat("x", MaxSite+1) + `"}`,
		`{"time":"2026-11-28T17:35:39Z","edge":"web1","x":"` + strings.Repeat("x", maxVitals) + `"}`,
	} {
		if v, err := DecodeVitals([]byte(broken)); err == nil {
			t.Errorf("%.80s: %+v", broken, v)
		}
	}
}

func FuzzVitals(f *testing.F) {
	f.Add([]byte(`{"time":"2026-11-28T17:35:39Z","edge":"web1","interval":1,"nginx":{"active":3},"listen":[{}]}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		v, err := DecodeVitals(data)
		if err != nil {
			return
		}
		if message, err := EncodeVitals(v); err != nil {
			t.Fatal(err)
		} else if _, err := DecodeVitals(message); err != nil && len(message) <= maxVitals {
			t.Fatalf("%s: %v", message, err)
		}
	})
}
