package top

import (
	"context"
	"os"
	"slices"
	"time"
)

// Options are what Run needs.
type Options struct {
	Address string // shown
	Every   time.Duration
	Colour  bool
	Fetch   func(context.Context) (Overview, error)
	Windows func(ctx context.Context, site string) (*Windows, error)
	In, Out *os.File // the terminal
}

// Run shows the screen until q, Ctrl-C or the end of ctx, and leaves the terminal as it
// was.
func Run(ctx context.Context, o Options) error {
	t, err := openTerminal(o.In, o.Out)
	if err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(ctx)
	keys := t.keys(ctx)
	defer func() {
		cancel()
		for range keys { // until nobody reads from the terminal any more
		}
		t.close()
	}()
	m := model{o: o, view: View{Address: o.Address, Colour: o.Colour}}
	m.view.Width, m.view.Height = t.size()
	sized := t.resized()
	defer sized.stop()
	looks := make(chan looked, 1) // one look at a time, which does not wait for its reader
	look := func() { fetch, site := m.o, m.wants(); go func() { looks <- fetch.look(ctx, site) }() }
	look()
	next := time.NewTimer(o.Every)
	next.Stop()
	defer next.Stop()
	for {
		if err := t.draw(m.screen()); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-sized.changed:
			m.view.Width, m.view.Height = t.size()
		case l := <-looks:
			m.take(l)
			next.Reset(o.Every)
		case <-next.C:
			look()
		case key, open := <-keys:
			if !open || m.key(key) {
				return nil
			}
		}
	}
}

type model struct {
	o     Options
	view  View
	last  Overview
	asked bool
	site  string // that was chosen; "" until one was: then it is the busiest
}

// looked is what a look brought.
type looked struct {
	overview Overview
	windows  *Windows
	err      error
}

// look asks for what is shown, and for the windows of a site unless it is "".
func (o Options) look(ctx context.Context, site string) (l looked) {
	if l.overview, l.err = o.Fetch(ctx); l.err == nil && site != "" {
		l.windows, l.err = o.Windows(ctx, site)
	}
	return l
}

// wants is the site whose windows are shown; "" is none.
func (m *model) wants() string {
	if m.view.Mixed && m.view.Selected >= 0 && m.view.Selected < len(m.last.Sites) {
		return m.last.Sites[m.view.Selected].Name
	}
	return ""
}

func (m *model) take(l looked) {
	m.view.Problem = ""
	switch {
	case l.err != nil:
		m.view.Problem = l.err.Error()
	case !m.view.Paused:
		m.last, m.asked, m.view.Windows = l.overview, true, l.windows
		m.follow()
	}
}

// follow keeps the site that was chosen where the rows are in another order now.
func (m *model) follow() {
	if m.site == "" {
		m.view.Selected = 0
	} else if at := slices.IndexFunc(m.last.Sites, func(s Site) bool { return s.Name == m.site }); at >= 0 {
		m.view.Selected = at
	}
	m.view.Selected = max(0, min(m.view.Selected, len(m.last.Sites)-1))
}

// choose makes the site of a row the one that is followed.
func (m *model) choose(row int) {
	m.view.Selected = max(0, min(row, len(m.last.Sites)-1))
	if m.view.Selected < len(m.last.Sites) {
		m.site = m.last.Sites[m.view.Selected].Name
	}
}

// key does what a key stands for, and reports whether that is to end it.
func (m *model) key(key string) (quit bool) {
	switch key {
	case "q", "ctrl+c":
		return true
	case "esc":
		m.view.Detail, m.view.Mixed = false, false
	case "up", "k":
		m.choose(m.view.Selected - 1)
	case "down", "j":
		m.choose(m.view.Selected + 1)
	case "enter":
		m.choose(m.view.Selected)
		m.view.Detail, m.view.Mixed = !m.view.Detail || m.view.Mixed, false
	case "w":
		m.choose(m.view.Selected)
		m.view.Mixed = !m.view.Mixed // the next look brings them
	case " ":
		m.view.Paused = !m.view.Paused
	}
	return false
}

func (m *model) screen() string {
	if !m.asked && m.view.Problem == "" {
		return " weir top   " + plain(m.o.Address, 40)
	}
	return Render(&m.last, m.view)
}
