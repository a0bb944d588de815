package notify

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/weir-project/weir/schemas"
)

// TestAStopWaitsForTheAnswer stops while a message is on its way: it is answered after the
// stop, and is not sent again by the next life.
func TestAStopWaitsForTheAnswer(t *testing.T) {
	r := newReceiver(t)
	taken, answer := make(chan struct{}, 4), make(chan struct{})
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		r.ServeHTTP(w, q)
		taken <- struct{}{}
		<-answer
	}))
	defer server.Close()
	o := hookOptions(t.TempDir(), server.URL+"/hook")
	n, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	n.Apply(schemas.StreamIncidents, 1, []schemas.Event{opened("i1", "www.example.org", schemas.Flood, signals(100, 0, 0.5))})
	<-taken
	cancel()
	close(answer)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	next := run(t, o)
	next.Apply(schemas.StreamIncidents, 2, []schemas.Event{closed("i1", "www.example.org", schemas.Flood)})
	<-taken
	if got := r.got(); len(got) != 2 || got[1].Kind != Closed || r.repeats != 0 {
		t.Errorf("%d sent again of %+v", r.repeats, got)
	}
}
