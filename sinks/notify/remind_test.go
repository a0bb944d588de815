package notify

import (
	"strings"
	"testing"
	"testing/synctest"
	"time"
)

// What waits on the status page is said once, with what to type.
func TestRemind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "team"))
		defer stop()
		r := Reminder{ID: "status/p1/draft", Thread: "p1", Waits: true, Subject: "Website", What: "words for the public wait for you",
			Lines: []string{"Since 05:08 <!channel> \x1b[31m"}, Command: "weir status publish p1"}
		n.Remind(r)
		n.Remind(r)
		time.Sleep(time.Minute)
		r.ID, r.What, r.Urgent = "status/p1/due", "the update that was promised is due", true
		n.Remind(r)
		time.Sleep(5 * time.Minute)
		messages := got["team"].got()
		if len(messages) != 2 || got["team"].kinds() != "review review" || messages[0].Thread != messages[1].Thread || !messages[0].First || messages[1].First {
			t.Fatalf("%+v", messages)
		}
		if messages[0].Call != Accept || messages[1].Severity != Warning {
			t.Errorf("%+v", messages)
		}
		if text := messages[0].text(2000); strings.ContainsRune(text, 0x1b) || !strings.Contains(text, "weir status publish p1") || !strings.HasPrefix(text, "It is not known") {
			t.Error(text)
		}
	})
}

// TestAPromiseDoesNotWaitForTheMorning: the update that was promised is due at night as
// well, what else waits on the status page can wait.
func TestAPromiseDoesNotWaitForTheMorning(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		o := options(t, "team") // the bubble begins at midnight
		o.Quiet = Quiet{From: 22 * 60, To: 7 * 60, Zone: time.UTC, Hold: Warning}
		n, got, stop := start(t, o)
		defer stop()
		n.Remind(Reminder{ID: "p1/draft", Thread: "p1", Waits: true, Subject: "s", What: "words for the public wait for you"})
		n.Remind(Reminder{ID: "edge", Thread: "edge", Urgent: true, Subject: "s", What: "a place shows an old page"})
		n.Remind(Reminder{ID: "p2/due", Thread: "p2", Waits: true, Urgent: true, Subject: "s", What: "the public was promised an update"})
		time.Sleep(time.Minute)
		if messages := got["team"].got(); len(messages) != 1 || messages[0].Thread != "status-p2" {
			t.Errorf("%+v", messages)
		}
		time.Sleep(8 * time.Hour)
		if messages := got["team"].got(); len(messages) != 3 {
			t.Errorf("%+v", messages)
		}
	})
}

// TestAnAlertOfAReminderEnds: once a person has said something, on-call is left alone,
// until something is due again; who has no alert hears nothing of it.
func TestAnAlertOfAReminderEnds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		n, got, stop := start(t, options(t, "oncall", "team"))
		defer stop()
		n.mu.Lock()
		got["oncall"].alert = true
		n.mu.Unlock()
		for i, id := range []string{"1", "2"} {
			n.Remind(Reminder{ID: "p1/due/" + id, Thread: "p1", Waits: true, Urgent: true, Subject: "s", What: "the public was promised an update"})
			time.Sleep(time.Minute)
			n.Publish(PublicWords{ID: "p1/" + id, Thread: "p1", Title: "t", Text: "x"})
			n.Publish(PublicWords{ID: "p1/again/" + id, Thread: "p1", Title: "t", Text: "x"})
			time.Sleep(time.Minute)
			n.Publish(PublicWords{ID: "p1/later/" + id, Thread: "p1", Title: "t", Text: "x"})
			time.Sleep(15 * time.Minute)
			messages := got["oncall"].got()
			if len(messages) != 2*(i+1) || messages[2*i].Last || !messages[2*i+1].Last || messages[2*i+1].Thread != messages[2*i].Thread {
				t.Fatalf("%+v", messages)
			}
			if team := got["team"].got(); len(team) != i+1 {
				t.Errorf("the team had %+v", team)
			}
		}
	})
}
