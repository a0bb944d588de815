package demo

import (
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strings"
	"time"
)

// Table prints a report to fit 80 columns.
func (r *Report) Table(w io.Writer) error {
	var b strings.Builder
	b.WriteString("             --- the botnet's requests ----- --- visitors' requests ------------\n")
	b.WriteString(" from phase     sent stopped reached through   sent refused failed median    p95\n")
	for i := range r.Slots {
		r.Slots[i].line(&b)
	}
	b.WriteString("\n")
	r.summary(&b)
	_, err := io.WriteString(w, b.String())
	return err
}

func (s *Slot) line(b *strings.Builder) {
	through := ""
	if s.Attack.Sent > 0 {
		through = fmt.Sprintf("%.1f%%", 100*float64(s.Attack.Reached)/float64(s.Attack.Sent))
	}
	v := &s.Visitors
	fmt.Fprintf(b, "%5s %-6s %7d %7d %7d %7s %6d %7d %6d %6s %6s\n",
		clock(s.From), s.Phase, s.Attack.Sent, s.Attack.Stopped, s.Attack.Reached, through,
		v.Requests, v.Refused, v.Failed, wait(v.Median), wait(v.P95))
}

func (r *Report) summary(b *strings.Builder) {
	line := func(name, format string, args ...any) {
		fmt.Fprintf(b, " %-13s %s\n", name, fmt.Sprintf(format, args...))
	}
	line("noticed", "%s", after(r.Noticed, "after the attack's first request"))
	line("decided", "%s", after(r.Decided, "after it"))
	line("first block", "%s", after(r.FirstStopped, "after it, at nginx"))
	line("botnet", "%s requests from %s addresses", thousands(r.Attack.Sent), thousands(r.Addresses))
	line("", "%s stopped at nginx, %s reached the application%s", thousands(r.Attack.Stopped), thousands(r.Attack.Reached), r.Attack.rest())
	line("", "after the first minute %s of %s stopped: %.1f %%",
		thousands(r.Later.Stopped), thousands(r.Later.Sent), floor(100*r.Later.StoppedShare()))
	line("visitors", "%s people and honest programs, %s of them blocked, %s challenged", thousands(r.Visitors), thousands(r.VisitorsBlocked), thousands(r.VisitorsRefused-r.VisitorsBlocked))
	var waits []string
	for _, p := range r.Phases {
		waits = append(waits, fmt.Sprintf("%s %s", wait(p.Visitors.Median), phaseWord(p.Phase)))
	}
	line("median wait", "%s", strings.Join(waits, ", "))
	for i := range r.Refusals {
		x := &r.Refusals[i]
		line("refused", "%s", printable(fmt.Sprintf("%s %s %s: %d to %s", clock(x.At), x.Kind, x.Actor, x.Status, x.Request), 65))
	}
	if r.Unjudged {
		return
	}
	verdict := r.Verdict()
	if verdict.Passed {
		line("PASSED", "at least %.0f %% stopped, no visitor blocked, at most %.0f %% challenged", 100*wantStopped, 100*mayChallenge)
	}
	for _, why := range verdict.Why {
		line("FAILED", "%s", why)
	}
}

// rest is what adds up to all that was sent.
func (a AttackReport) rest() string {
	if a.Failed+a.Open == 0 {
		return ""
	}
	return fmt.Sprintf(", %s neither", thousands(a.Failed+a.Open))
}

// JSON writes the report and its verdict as one object.
func (r *Report) JSON(w io.Writer) error {
	e := json.NewEncoder(w)
	e.SetIndent("", "  ")
	return e.Encode(struct {
		*Report
		Verdict Verdict `json:"verdict"`
	}{r, r.Verdict()})
}

func phaseWord(p Phase) string {
	if p == PhaseDuring {
		return "during"
	}
	return string(p)
}

func after(s *float64, of string) string {
	if s == nil {
		return "never"
	}
	return fmt.Sprintf("%.1f s %s", *s, of)
}

// clock is seconds as minutes and seconds.
func clock(seconds float64) string {
	d := time.Duration(seconds * float64(time.Second)).Truncate(time.Second)
	return fmt.Sprintf("%d:%02d", int(d.Minutes()), int(d.Seconds())%60)
}

// wait is seconds as a person reads a wait; "-" for none.
func wait(seconds float64) string {
	if seconds == 0 {
		return "-"
	}
	if math.IsInf(seconds, 1) {
		return "endless"
	}
	if seconds >= 10 {
		return fmt.Sprintf("%.1fs", seconds)
	}
	return fmt.Sprintf("%.2fs", seconds)
}

// thousands groups digits by commas.
func thousands(n int) string {
	s := fmt.Sprint(n)
	for i := len(s) - 3; i > 0; i -= 3 {
		s = s[:i] + "," + s[i:]
	}
	return s
}
