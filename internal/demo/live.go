package demo

import (
	"context"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// The live view's step on a terminal, and in a file or pipe.
const (
	liveEvery  = time.Second
	plainEvery = 5 * time.Second
)

// liveWidth keeps a line from wrapping at 80 columns.
const liveWidth = 79

// Live shows a demo while it runs: a block that is drawn again every second on a
// terminal, a line every five seconds elsewhere. Not for concurrent use.
type Live struct {
	w        io.Writer
	board    *Scoreboard
	terminal bool
	drawn    int // lines of the block on the screen
}

// NewLive makes a view; it is a block where w is a terminal.
func NewLive(w io.Writer, board *Scoreboard) *Live {
	l := &Live{w: w, board: board}
	if file, ok := w.(*os.File); ok {
		l.terminal = term.IsTerminal(int(file.Fd()))
	}
	return l
}

// Run shows until the context ends, with a last look then. extra is what weir
// says of itself, a few lines at most, asked for each time; nil for nothing.
func (l *Live) Run(ctx context.Context, extra func() string) {
	every := plainEvery
	if l.terminal {
		every = liveEvery
	}
	again := time.NewTicker(every)
	defer again.Stop()
	for {
		text := ""
		if extra != nil {
			text = extra()
		}
		l.Show(text)
		select {
		case <-again.C:
		case <-ctx.Done():
			return
		}
	}
}

// Show draws once. extra may hold what strangers chose: it is made printable.
func (l *Live) Show(extra string) {
	lines := l.lines(extra)
	if !l.terminal {
		fmt.Fprintln(l.w, strings.Join(lines, " | "))
		return
	}
	var b strings.Builder
	if l.drawn > 0 {
		fmt.Fprintf(&b, "\x1b[%dA\x1b[J", l.drawn) // up, and clear to the end of the screen
	}
	for _, line := range lines {
		b.WriteString(line + "\n")
	}
	l.drawn = len(lines)
	io.WriteString(l.w, b.String()) // a lost terminal is no reason to stop
}

// maxExtra bounds extra's lines.
const maxExtra = 6

func (l *Live) lines(extra string) []string {
	now := l.board.glance()
	lines := []string{
		fmt.Sprintf("%5s %-6s", clock(now.at.Seconds()), now.phase),
		fmt.Sprintf("visitors %5.1f/s: median wait %s, %d refused, %d failed", now.visitorRate, wait(now.median), now.refused, now.failed),
	}
	if now.sent > 0 {
		lines = append(lines, fmt.Sprintf("botnet %7.1f/s: %3.0f %% stopped at nginx (%s of %s in all)",
			now.botRate, now.stoppedNow, thousands(now.stopped), thousands(now.sent)))
	}
	for i, line := range strings.Split(strings.TrimRight(extra, "\n"), "\n") {
		if i < maxExtra && line != "" {
			lines = append(lines, line)
		}
	}
	for i := range lines {
		lines[i] = printable(lines[i], liveWidth)
	}
	return lines
}

// glance is the last few seconds of a demo.
type glance struct {
	at                        time.Duration
	phase                     Phase
	visitorRate, botRate      float64 // requests/s of the story
	median                    float64 // seconds, of visitors' pages answered lately
	stoppedNow                float64 // % of the botnet's lately
	refused, failed           int     // visitors' requests so far
	sent, stopped, recentBots int     // the botnet's so far, and lately
}

// lately is what a glance looks back on.
const lately = 5 * time.Second

func (s *Scoreboard) glance() glance {
	s.mu.Lock()
	defer s.mu.Unlock()
	now := s.elapsed()
	g := glance{at: now, phase: s.plan.phase(now)}
	var recent VisitorReport
	stoppedLately := 0
	for i := range s.records {
		r := &s.records[i]
		isStopped, isRecent := r.outcome() == stopped, r.at+r.wait > now-lately
		switch {
		case r.bot():
			g.sent++
			if isStopped {
				g.stopped++
			}
			if isRecent {
				g.recentBots++
				if isStopped {
					stoppedLately++
				}
			}
		case r.visitor():
			if r.refused() {
				g.refused++
			} else if r.failed() {
				g.failed++
			}
			if isRecent {
				recent.add(r)
			}
		}
	}
	recent.close()
	span := min(max(now, time.Second), lately).Seconds()
	g.visitorRate, g.median = float64(recent.Requests)/span, recent.Median
	g.botRate = float64(g.recentBots) / span
	if g.recentBots > 0 {
		g.stoppedNow = 100 * float64(stoppedLately) / float64(g.recentBots)
	}
	return g
}
