package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/weir-project/weir/schemas"
)

const (
	// walkedAtOnce is how many events are taken from the board under its lock: nobody waits for
	// who reads half a million of them.
	walkedAtOnce = 500
	// hurriedList is how many events in an answer are worth more garbage.
	hurriedList = 10_000
	// totalHeader says of how many decisions in force an answer has the newest.
	totalHeader = "X-Weir-Total"
)

// walk hands over the latest events, the newest thing first and few at a time, until visit fails.
// What comes meanwhile may be among them or not.
func (b *board) walk(l *boardList, visit func([]schemas.Event) error) error {
	b.mu.Lock()
	order := slices.Clone(l.order)
	b.mu.Unlock()
	few := make([]schemas.Event, 0, walkedAtOnce)
	for len(order) > 0 {
		rest := max(0, len(order)-walkedAtOnce)
		few = few[:0]
		b.mu.Lock()
		for _, id := range slices.Backward(order[rest:]) {
			if e, ok := l.events[id]; ok {
				few = append(few, e)
			}
		}
		b.mu.Unlock()
		if err := visit(few); err != nil {
			return err
		}
		order = order[:rest]
	}
	return nil
}

// countInForce is how many decisions count at a time.
func (b *board) countInForce(now time.Time) (n int) {
	_ = b.walk(&b.decisions, func(few []schemas.Event) error { // it does not fail
		for i := range few {
			if !ended(&few[i], now) {
				n++
			}
		}
		return nil
	})
	return n
}

// errEnough ends a walk.
var errEnough = errors.New("enough")

// eventList writes events as one JSON array, each when it comes: half a million are 200 MB.
type eventList struct {
	to     *bufio.Writer
	json   *json.Encoder
	others bool
}

func newEventList(w http.ResponseWriter) *eventList {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("X-Content-Type-Options", "nosniff")
	to := bufio.NewWriterSize(w, 64<<10)
	_ = to.WriteByte('[') // close says what went wrong
	return &eventList{to: to, json: json.NewEncoder(to)}
}

func (l *eventList) add(e *schemas.Event) error {
	if l.others {
		_ = l.to.WriteByte(',') // as above
	}
	l.others = true
	return l.json.Encode(e)
}

func (l *eventList) close() error {
	_, _ = l.to.WriteString("]\n") // as below
	return l.to.Flush()
}

// answerDecisions lists the decisions in force, the newest first; with ?limit=N those, and in a header
// how many there are.
func (s *server) answerDecisions(w http.ResponseWriter, r *http.Request) {
	now, limit := time.Now(), -1
	if text := r.URL.Query().Get("limit"); text != "" {
		n, err := strconv.Atoi(text)
		if err != nil || n < 0 {
			http.Error(w, "limit: want a number of decisions", http.StatusBadRequest)
			return
		}
		limit = n
		w.Header().Set(totalHeader, strconv.Itoa(s.board.countInForce(now)))
	}
	if limit < 0 || limit > hurriedList {
		hurry()
	}
	list, written := newEventList(w), 0
	err := s.board.walk(&s.board.decisions, func(few []schemas.Event) error {
		for i := range few {
			if written == limit {
				return errEnough
			}
			if ended(&few[i], now) {
				continue
			}
			if err := list.add(&few[i]); err != nil {
				return err
			}
			written++
		}
		return nil
	})
	s.finish(list, err)
}

// answerEvents lists all that is known, incidents first.
func (s *server) answerEvents(w http.ResponseWriter, _ *http.Request) {
	hurry()
	list := newEventList(w)
	all := func(few []schemas.Event) error {
		for i := range few {
			if err := list.add(&few[i]); err != nil {
				return err
			}
		}
		return nil
	}
	err := s.board.walk(&s.board.incidents, all)
	if err == nil {
		err = s.board.walk(&s.board.decisions, all)
	}
	s.finish(list, err)
}

// finish ends a list. Where it cannot be, the client has gone.
func (s *server) finish(list *eventList, err error) {
	if err == nil || err == errEnough {
		err = list.close()
	}
	if err != nil {
		s.log.Debug("answer", "error", err)
	}
}
