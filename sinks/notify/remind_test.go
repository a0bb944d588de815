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
