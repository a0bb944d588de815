package simulate

import (
	"testing"
	"time"
)

func TestApplication(t *testing.T) {
	page := &Resource{Method: "GET", Status: 200, Size: 10000, Text: true, Service: time.Second}
	file := &Resource{Method: "GET", Status: 200, Size: 10000, Kept: true}
	ask := func(x *Resource, patience time.Duration) *Request {
		return &Request{Method: "GET", Patience: patience, AcceptEncoding: "gzip", resource: x}
	}
	newApp := func() *application {
		return newApplication(&Site{Name: "x", Workers: 2, Queue: 10, Timeout: 8 * time.Second}, 1)
	}
	t.Run("idle", func(t *testing.T) {
		o := newApp().answer(0, ask(page, time.Minute))
		if o.status != 200 || o.duration < 200*ms || o.duration > 5*time.Second || o.upstream != o.duration {
			t.Errorf("%+v", o)
		}
	})
	t.Run("file", func(t *testing.T) {
		app := newApp()
		for range 100 { // more than workers and queue hold
			if o := app.answer(0, ask(file, time.Minute)); o.status != 200 || o.upstream != -1 || o.duration > 5*ms || o.bytes != 10000 {
				t.Fatalf("%+v", o)
			}
		}
		q := ask(file, time.Minute)
		q.Conditional = true
		if o := app.answer(0, q); o.status != 304 || o.bytes != 0 {
			t.Errorf("%+v", o)
		}
		q = ask(file, time.Minute)
		q.Method = "HEAD"
		if o := app.answer(0, q); o.status != 200 || o.bytes != 0 {
			t.Errorf("%+v", o)
		}
	})
	t.Run("crowded", func(t *testing.T) {
		app := newApp()
		statuses := map[int]int{}
		for range 20 {
			statuses[app.answer(0, ask(page, time.Minute)).status]++
		}
		// Two at work, ten waiting, the rest refused; the last of the ten wait too long.
		if statuses[502] != 8 || statuses[200]+statuses[504] != 12 || statuses[200] < 6 {
			t.Errorf("%v", statuses)
		}
	})
	t.Run("hung up", func(t *testing.T) {
		app := newApp()
		for range 8 {
			app.answer(0, ask(page, time.Minute))
		}
		if o := app.answer(0, ask(page, 300*ms)); o.status != 499 || o.duration != 300*ms || o.bytes != 0 {
			t.Errorf("%+v", o)
		}
		// The application does not notice and works it off: the next one waits behind it.
		free := app.workers.items[0].at
		if free < int64(time.Second) {
			t.Errorf("a worker is free at %s", time.Duration(free))
		}
	})
	t.Run("timeout", func(t *testing.T) {
		app := newApp()
		app.site.Queue = 1000
		for range 100 {
			app.answer(0, ask(page, time.Minute))
		}
		if o := app.answer(0, ask(page, time.Minute)); o.status != 504 || o.duration != 8*time.Second {
			t.Errorf("%+v", o)
		}
		// An hour later all is well again.
		if o := app.answer(time.Hour, ask(page, time.Minute)); o.status != 200 || o.duration > 5*time.Second {
			t.Errorf("%+v", o)
		}
	})
}

func TestBytesComeFromTheResource(t *testing.T) {
	app := newApplication(&Site{Name: "x", Workers: 1, Queue: 1, Timeout: time.Minute}, 1)
	style := &Resource{Method: "GET", Status: 200, Size: 1000, Text: true}
	for encoding, want := range map[string]int{"gzip, deflate": 1000, "gzip, deflate, br": 870, "": 3600, "identity": 3600} {
		if o := app.answer(0, &Request{Method: "GET", AcceptEncoding: encoding, resource: style}); o.bytes != want {
			t.Errorf("%q: %d bytes, want %d", encoding, o.bytes, want)
		}
	}
}
