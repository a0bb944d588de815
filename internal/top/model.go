package top

import (
	"context"
	"io"
	"slices"
	"time"

	tea "github.com/charmbracelet/bubbletea"
)

// Options are what Run needs.
type Options struct {
	Address string // shown
	Every   time.Duration
	Colour  bool
	Fetch   func(context.Context) (Overview, error)
	Windows func(ctx context.Context, site string) (*Windows, error)
	In      io.Reader
	Out     io.Writer
}

// Run shows the screen until q, an interrupt or the end of ctx, and leaves the terminal as
// it was.
func Run(ctx context.Context, o Options) error {
	m := model{o: o, ctx: ctx, view: View{Width: 80, Height: 24, Address: o.Address, Colour: o.Colour}}
	// Signals end ctx. Where bubbletea waits for the same signal, it waits for ever if ctx is
	// what it sees first.
	_, err := tea.NewProgram(m, tea.WithContext(ctx), tea.WithoutSignalHandler(), tea.WithInput(o.In), tea.WithOutput(o.Out), tea.WithAltScreen(), tea.WithFPS(10)).Run()
	if ctx.Err() != nil {
		return nil
	}
	return err
}

type model struct {
	o     Options
	ctx   context.Context // of Run, for the fetches that bubbletea starts
	view  View
	last  Overview
	asked bool
	site  string // that was chosen; "" until one was: then it is the first
}

// looked is what a fetch brought.
type looked struct {
	overview Overview
	windows  *Windows
	err      error
}

type tick struct{}

// Init implements tea.Model.
func (m model) Init() tea.Cmd { return m.fetch() }

func (m model) fetch() tea.Cmd {
	site := ""
	if m.view.Mixed && m.view.Selected >= 0 && m.view.Selected < len(m.last.Sites) {
		site = m.last.Sites[m.view.Selected].Name
	}
	return func() (message tea.Msg) {
		l := looked{}
		if l.overview, l.err = m.o.Fetch(m.ctx); l.err == nil && site != "" {
			l.windows, l.err = m.o.Windows(m.ctx, site)
		}
		return l
	}
}

// Update implements tea.Model.
func (m model) Update(message tea.Msg) (tea.Model, tea.Cmd) {
	switch message := message.(type) {
	case tea.WindowSizeMsg:
		m.view.Width, m.view.Height = message.Width, message.Height
	case looked:
		m.view.Problem = ""
		switch {
		case message.err != nil:
			m.view.Problem = message.err.Error()
		case !m.view.Paused:
			m.last, m.asked, m.view.Windows = message.overview, true, message.windows
			m.follow()
		}
		return m, tea.Tick(m.o.Every, func(time.Time) tea.Msg { return tick{} })
	case tick:
		return m, m.fetch()
	case tea.KeyMsg:
		return m.key(message.String())
	}
	return m, nil
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

func (m model) key(key string) (tea.Model, tea.Cmd) {
	switch key {
	case "q", "ctrl+c":
		return m, tea.Quit
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
	return m, nil
}

// View implements tea.Model.
func (m model) View() string {
	if !m.asked && m.view.Problem == "" {
		return " weir top   " + plain(m.o.Address, 40)
	}
	return Render(&m.last, m.view)
}
